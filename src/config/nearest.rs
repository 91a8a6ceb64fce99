//! Which known name somebody may have meant.

/// The known name that takes the fewest typing errors to get to `written`, if they are few.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    let length = written.chars().count();
    if length > LONGEST {
        return None;
    }
    let close = known.into_iter().map(|name| (distance(written, name), name));
    let (errors, name) = close.filter(|(_, name)| name.len() <= LONGEST).min()?;
    (errors <= length.max(3) / 3).then_some(name)
}

/// `did you mean …?` where a known name is near, or all known names where they are few.
pub fn suggest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(name) = nearest(written, known.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    (!known.is_empty() && known.len() <= 16).then(|| format!("known are {}", list(&known)))
}

/// `a`, `b` and `c`.
pub fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Insertions, removals, replacements and swaps of neighbours from one to the other (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut previous = None;
    for (row, wanted) in one.chars().enumerate() {
        let mut line = vec![row + 1];
        for (column, found) in other.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let replaced = at(&last, column) + usize::from(wanted != *found);
            let mut least = replaced.min(at(&last, column + 1) + 1).min(at(&line, column) + 1);
            let left = column.checked_sub(1).and_then(|left| other.get(left));
            if previous == Some(*found) && left == Some(&wanted) {
                least = least.min(at(&before_last, column.saturating_sub(1)) + 1);
            }
            line.push(least);
        }
        before_last = std::mem::replace(&mut last, line);
        previous = Some(wanted);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_typing_errors() {
        for (one, other, errors) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("develper", "developer", 1),
            ("listne", "listen", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), errors, "{one} {other}");
        }
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(nearest("develper", ["viewer", "developer"]), Some("developer"));
        assert_eq!(nearest("cat", ["viewer", "developer"]), None);
        assert_eq!(suggest("x", ["ab", "cd"]).as_deref(), Some("known are `ab` and `cd`"));
        assert_eq!(suggest("x", []), None);
    }
}
