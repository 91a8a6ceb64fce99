//! How rows of the record are printed. What callers and upstreams put into them speaks to no terminal and to no
//! spreadsheet.

use portcullis_core::audit::row::{COLUMNS, Cell, Stored};
use portcullis_core::visible::{is_invisible, visible};
use std::borrow::Cow;
use std::fmt::Write as _;

/// How rows are printed.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table, for people; what is invisible is spelled out.
    Table,
    /// A line of JSON for each row, with all that it says.
    Json,
    /// CSV with all columns; what a spreadsheet would take for a formula has an apostrophe before it.
    Csv,
}

/// What a table shows.
const SHOWN: [&str; 9] = ["seq", "at", "subject", "method", "tool", "decision", "rule", "outcome", "error"];

/// The longest cell of a table, in characters.
const CELL: usize = 60;

/// `rows` in `format`, with a head where the format has one and `head` says so.
pub fn show(rows: &[Stored], format: Format, head: bool) -> String {
    match format {
        Format::Table => table(rows, head),
        Format::Json => rows.iter().map(|row| json(row) + "\n").collect(),
        Format::Csv => csv(rows, head),
    }
}

fn table(rows: &[Stored], head: bool) -> String {
    let head = head.then(|| SHOWN.map(str::to_owned));
    let cells = |row: &Stored| SHOWN.map(|column| short(row.cell(column)));
    let lines: Vec<[String; SHOWN.len()]> = head.into_iter().chain(rows.iter().map(cells)).collect();
    let mut widths = [0; SHOWN.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let print = |line: &[String; SHOWN.len()]| {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(print).collect()
}

fn short(cell: &Cell) -> String {
    let text = match cell {
        Cell::Null => return "-".into(),
        Cell::Int(number) => return number.to_string(),
        Cell::Text(text) => one_line(text),
    };
    if text.chars().count() <= CELL {
        return text;
    }
    text.chars().take(CELL - 1).chain(['…']).collect()
}

fn one_line(text: &str) -> String {
    visible(text).replace('\n', "\\u{a}")
}

/// A line of an export, in which what is invisible is escaped as JSON escapes.
fn json(row: &Stored) -> String {
    let line = row.json_line();
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() || is_invisible(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// RFC 4180, but for line ends.
fn csv(rows: &[Stored], head: bool) -> String {
    let head = head.then(|| COLUMNS.join(",") + "\n");
    let line = |row: &Stored| row.cells.iter().map(value).collect::<Vec<_>>().join(",") + "\n";
    head.into_iter().chain(rows.iter().map(line)).collect()
}

fn value(cell: &Cell) -> String {
    let text = match cell {
        Cell::Null => return String::new(),
        Cell::Int(number) => return number.to_string(),
        Cell::Text(text) => one_line(text),
    };
    let text = without_formulas(&text);
    let quoted = text.contains([',', '"', ' ', '\'', ';']);
    if quoted { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into_owned() }
}

/// What spreadsheets begin a formula with; full-width forms too, which some fold.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// `text` with an apostrophe before whatever would begin a formula: at its start, and after each semicolon, which parts cells
/// where decimals have a comma, and where our quotes stand within a cell and quote nothing. Blanks and quotes between are
/// passed over, as spreadsheets do.
fn without_formulas(text: &str) -> Cow<'_, str> {
    if !text.contains(FORMULA) {
        return Cow::Borrowed(text);
    }
    let (mut out, mut begins) = (String::with_capacity(text.len() + 1), true);
    for c in text.chars() {
        if begins && FORMULA.contains(&c) {
            out.push('\'');
        }
        begins = c == ';' || begins && (c == '"' || c.is_whitespace());
        out.push(c);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::audit::chain::Hash;

    fn row(tool: &str) -> Stored {
        let mut cells = Box::new([const { Cell::Null }; COLUMNS.len()]);
        cells[0] = Cell::Int(7);
        cells[COLUMNS.iter().position(|column| *column == "tool").unwrap()] = Cell::Text(tool.into());
        Stored::new(cells, Hash::of(&[b"x"])).unwrap()
    }

    #[test]
    fn nothing_in_a_row_speaks_to_a_terminal_or_makes_a_second_row() {
        let hostile = row("a\n\r\u{1b}[2J\u{202e}\u{0}\u{9b}\u{200b}b\u{e0041}");
        for format in [Format::Table, Format::Json, Format::Csv] {
            let text = show(std::slice::from_ref(&hostile), format, false);
            assert_eq!(text.lines().count(), 1, "{text}");
            let line = text.trim_end_matches('\n');
            assert!(!line.chars().any(|c| c.is_control() || is_invisible(c)), "{line:?}");
        }
        let json: serde_json::Value = serde_json::from_str(&show(&[hostile], Format::Json, false)).unwrap();
        assert_eq!(json["tool"], "a\n\r\u{1b}[2J\u{202e}\u{0}\u{9b}\u{200b}b\u{e0041}");
    }

    #[test]
    fn no_cell_of_a_csv_is_a_formula() {
        for (said, written) in [
            ("=1+1", r#""'=1+1""#),
            ("+1", r#""'+1""#),
            ("-1", r#""'-1""#),
            ("@x", r#""'@x""#),
            ("\t=1", r"\u{9}=1"),
            (" =1", r#"" '=1""#),
            ("x;=cmd|'/ccalc'!A0;y", r#""x;'=cmd|'/ccalc'!A0;y""#),
            (r#"x; "-1;2;+3"#, r#""x; ""'-1;2;'+3""#),
            ("a-b=c", "a-b=c"),
            ("a,b", r#""a,b""#),
            ("a\"b", r#""a""b""#),
            ("crm.get", "crm.get"),
        ] {
            assert_eq!(value(&Cell::Text(said.into())), written);
        }
    }

    #[test]
    fn a_long_cell_of_a_table_is_cut_and_says_so() {
        let text = show(&[row(&"x".repeat(1 << 20))], Format::Table, true);
        assert!(text.contains("x…") && text.len() < 1000, "{}", text.len());
    }
}
