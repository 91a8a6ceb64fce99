//! The name that an author probably meant.

/// The known name closest to `written`, where one is close: at most a third of its letters differ, or only their case.
pub(super) fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (written.chars().count() / 3).max(1);
    let (distance, name) = known.into_iter().map(|name| (distance(written, name), name)).min()?;
    (distance <= limit).then_some(name)
}

/// Insertions, deletions, replacements and swaps of neighbours (the optimal string alignment distance), whatever the
/// case of letters.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.to_lowercase().chars().collect();
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let replaced = at(&above, column) + usize::from(letter != wanted);
            let mut best = replaced.min(at(&above, column + 1) + 1).min(at(&current, column) + 1);
            let is_swap =
                row > 0 && column > 0 && one.get(row - 1) == Some(wanted) && other.get(column - 1) == Some(letter);
            if is_swap {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    at(&above, other.len())
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_slip_finds_the_name_and_another_word_does_not() {
        let known = ["viewer", "developer", "oncall"];
        for (written, expected) in [
            ("veiwer", Some("viewer")),
            ("Oncall", Some("oncall")),
            ("developers", Some("developer")),
            ("admin", None),
            ("", None),
        ] {
            assert_eq!(closest(written, known), expected, "{written}");
        }
    }
}
