//! A row of the journal as it is kept, shipped, exported and checked: which columns it has, and the one form of it that
//! is hashed. How an `Entry` becomes one is the business of `store::journal`.

mod line;
mod written;

pub use written::Written;

use crate::audit::chain::Hash;
use std::io::Write as _;
use std::sync::Arc;

/// The columns, in the order in which they are hashed. `hash` follows them wherever a row is kept.
pub const COLUMNS: [&str; 42] = [
    "seq",
    "event_id",
    "instance",
    "run",
    "call_id",
    "kind",
    "at",
    "at_ms",
    "request_id",
    "trace_id",
    "issuer",
    "subject",
    "tenant",
    "agent",
    "roles",
    "scopes",
    "client",
    "endpoint",
    "upstream",
    "method",
    "tool",
    "class",
    "arguments",
    "arguments_digest",
    "decision",
    "rule",
    "revision",
    "shadow_decision",
    "shadow_rule",
    "approval_id",
    "job_id",
    "outcome",
    "termination",
    "status",
    "error",
    "detail",
    "bytes_in",
    "bytes_out",
    "latency_us",
    "upstream_us",
    "redactions",
    "protocol",
];

/// The columns that hold numbers; the others hold text.
pub const NUMBERS: [&str; 7] = ["seq", "at_ms", "status", "bytes_in", "bytes_out", "latency_us", "upstream_us"];

/// The bytes that no line of an export reaches: every text in it is bounded.
pub const LONGEST_LINE: usize = 4 << 20;

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing to say.
    Null,
    /// A number.
    Int(i64),
    /// A text; `roles`, `scopes`, `arguments` and `redactions` hold JSON as text.
    Text(Arc<str>),
}

impl Cell {
    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The number, where it is one.
    pub fn int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    fn write(&self, into: &mut Vec<u8>) {
        match self {
            Self::Null => into.extend_from_slice(b"null"),
            Self::Int(number) => digits(*number, into),
            Self::Text(text) => quote(text, into),
        }
    }
}

fn digits(number: i64, into: &mut Vec<u8>) {
    // Writing to memory can't fail; were it to, the row would be another one than was hashed, which is found.
    let _ = write!(into, "{number}");
}

/// As a JSON string: `"` and `\` and what is below U+0020 are escaped, the latter by a letter where JSON has one, else by
/// four small hex digits; nothing else is. So do serde_json, SQLite's `json_array` and Python's `json.dumps(..,
/// ensure_ascii=False)`.
fn quote(text: &str, into: &mut Vec<u8>) {
    let before = into.len();
    if serde_json::to_writer(&mut *into, text).is_err() {
        // Writing a text to memory can't fail; were it to, half a text must not stand for it.
        into.truncate(before);
    }
}

/// The form of a row that is hashed: a JSON array of its values in the order of `COLUMNS`, without spaces, as UTF-8.
pub fn canonical(cells: &[Cell]) -> Vec<u8> {
    let mut form = Canonical { bytes: Vec::with_capacity(1024) };
    form.write(cells);
    form.bytes
}

/// The same, of row after row in memory that is used again: of values that are borrowed from wherever they are kept.
#[derive(Debug, Default)]
pub struct Canonical {
    bytes: Vec<u8>,
}

impl Canonical {
    /// Begins a row, and forgets the one before it.
    pub fn begin(&mut self) {
        self.bytes.clear();
    }

    /// The row's next value is nothing.
    pub fn null(&mut self) {
        self.separate();
        self.bytes.extend_from_slice(b"null");
    }

    /// The row's next value is a number.
    pub fn int(&mut self, number: i64) {
        self.separate();
        digits(number, &mut self.bytes);
    }

    /// The row's next value is a text.
    pub fn text(&mut self, text: &str) {
        self.separate();
        quote(text, &mut self.bytes);
    }

    /// The row has no more values.
    pub fn end(&mut self) -> &[u8] {
        if self.bytes.is_empty() {
            self.bytes.push(b'[');
        }
        self.bytes.push(b']');
        &self.bytes
    }

    /// The row in `line`, and its form, where the line is written as [`Stored::json_line`] does; `None` says nothing else than
    /// that it is not: [`Stored::parse_line`] may still read it.
    pub fn of_line<'line>(&mut self, line: &'line str) -> Option<(Written<'line>, &[u8])> {
        self.begin();
        let row = written::read(line, &mut self.bytes)?;
        Some((row, &self.bytes))
    }

    /// All of `cells`.
    pub(super) fn write(&mut self, cells: &[Cell]) -> &[u8] {
        self.begin();
        for cell in cells {
            self.separate();
            cell.write(&mut self.bytes);
        }
        self.end()
    }

    fn separate(&mut self) {
        self.bytes.push(if self.bytes.is_empty() { b'[' } else { b',' });
    }
}

/// A row that is kept somewhere, with what was kept as its hash; whether that is right is to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place; the first is 1.
    pub seq: i64,
    /// What is kept as its hash.
    pub hash: Hash,
    /// A value for each of `COLUMNS`.
    pub cells: Box<[Cell; COLUMNS.len()]>,
}

impl Stored {
    /// From a value for each of `COLUMNS`; `None` where the first is no number.
    pub fn new(cells: Box<[Cell; COLUMNS.len()]>, hash: Hash) -> Option<Self> {
        let seq = cells.first()?.int()?;
        Some(Self { seq, hash, cells })
    }

    /// The value of `column`; `Null` where there is no such column.
    pub fn cell(&self, column: &str) -> &Cell {
        let at = COLUMNS.iter().position(|name| *name == column);
        at.and_then(|at| self.cells.get(at)).unwrap_or(&Cell::Null)
    }

    /// The text in `column`, where there is one.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.cell(column).text()
    }

    /// The number in `column`, where there is one.
    pub fn int(&self, column: &str) -> Option<i64> {
        self.cell(column).int()
    }

    /// The form that is hashed.
    pub fn canonical(&self) -> Vec<u8> {
        canonical(self.cells.as_slice())
    }

    /// A line of an export, without its end: an object with all columns in their order, and `hash` as hex digits.
    pub fn json_line(&self) -> String {
        let mut bytes = Vec::with_capacity(2048);
        bytes.push(b'{');
        for (column, cell) in COLUMNS.iter().zip(self.cells.iter()) {
            quote(column, &mut bytes);
            bytes.push(b':');
            cell.write(&mut bytes);
            bytes.push(b',');
        }
        bytes.extend_from_slice(format!("\"hash\":\"{}\"}}", self.hash).as_bytes());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The row of a line of an export.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_line(line: &str) -> Result<Self, String> {
        line::parse(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        let mut cells = Box::new([const { Cell::Null }; COLUMNS.len()]);
        cells[0] = Cell::Int(7);
        cells[1] = Cell::Text("a\"b\\c\n\r\t\u{8}\u{c}\0\u{1b}[2J\u{7f}\u{2028}\u{202e}é😀/".into());
        Stored::new(cells, Hash::of(&[b"x"])).unwrap()
    }

    #[test]
    fn the_canonical_form_is_what_python_writes() {
        // python3: json.dumps([7, "a..."] + [None] * 40, ensure_ascii=False, separators=(",", ":"))
        let nulls = ",null".repeat(COLUMNS.len() - 2);
        let expected =
            format!(r#"[7,"a\"b\\c\n\r\t\b\f\u0000\u001b[2J{}{}{}é😀/"{nulls}]"#, '\u{7f}', '\u{2028}', '\u{202e}');
        assert_eq!(String::from_utf8(stored().canonical()).unwrap(), expected);
    }

    #[test]
    fn the_form_is_the_same_wherever_the_values_lie() {
        let (row, mut form) = (stored(), Canonical::default());
        for _ in 0..2 {
            form.begin();
            for cell in row.cells.iter() {
                match cell {
                    Cell::Null => form.null(),
                    Cell::Int(number) => form.int(*number),
                    Cell::Text(text) => form.text(text),
                }
            }
            assert_eq!(form.end(), row.canonical());
        }
    }

    #[test]
    fn a_line_of_an_export_is_one_line_and_reads_back() {
        let line = stored().json_line();
        assert!(!line.contains('\n') && line.starts_with(r#"{"seq":7,"event_id":"a\"b"#), "{line}");
        assert_eq!(Stored::parse_line(&line), Ok(stored()));
        for (wrong, expected) in [
            ("[]".to_owned(), "not an object"),
            ("{".to_owned(), "not JSON"),
            (line.replace("\"protocol\":null,", ""), "`protocol` is missing"),
            (line.replace("\"protocol\":null,", "\"protocol\":null,\"x\":1,"), "`x` is no column"),
            (line.replace("\"protocol\":null,", "\"protocol\":null,\"protocol\":null,"), "`protocol` is there twice"),
            (line.replace("\"protocol\":null", "\"protocol\":[]"), "expected a text"),
            (line.replace("\"protocol\":null", "\"protocol\":18446744073709551615"), "too large"),
            (format!("{line}{{}}"), "not JSON"),
            (line.replace("\"protocol\":null", "\"protocol\":1.5"), "no integer"),
            (line.replace("\"seq\":7", "\"seq\":null"), "`seq` is no number"),
            (line.replace("\"hash\":\"", "\"hash\":\"0"), "64 hex digits"),
        ] {
            assert!(Stored::parse_line(&wrong).unwrap_err().contains(expected), "{wrong}");
        }
    }

    #[test]
    fn the_form_is_taken_out_of_a_line_as_it_stands_there() {
        let mut row = stored();
        row.cells[2] = Cell::Text("here".into());
        for (at, value) in
            [(7, Cell::Int(i64::MIN)), (8, Cell::Int(0)), (9, Cell::Int(-1)), (10, Cell::Text("".into()))]
        {
            row.cells[at] = value;
        }
        let (line, mut form) = (row.json_line(), Canonical::default());
        for _ in 0..2 {
            let (written, bytes) = form.of_line(&line).unwrap();
            assert_eq!((written.seq, written.instance, written.hash), (7, "here", row.hash));
            assert_eq!(bytes, row.canonical());
        }
    }

    /// Whatever is taken so is what the other way of reading makes of the same line.
    #[test]
    fn other_words_for_the_same_are_left_to_those_who_read_values() {
        let mut row = stored();
        (row.cells[1], row.cells[2]) = (Cell::Text("a/\u{1f}".into()), Cell::Text("here".into()));
        let line = row.json_line();
        for (from, to, says_the_same) in [
            ("a/", "\\u0061/", true),
            ("a/", "a\\/", true),
            ("\\u001f", "\\u001F", true),
            ("\\u001f", "\\u0009", false),
            ("\\u001f", "\\u0022", false),
            ("\\u001f", "\u{1f}", false),
            ("\\u001f", "\\u00", false),
            ("\\u001f", "\\", false),
            ("null", " null", true),
            ("null", "nul", false),
            ("\"seq\":7", "\"seq\":07", false),
            ("\"seq\":7", "\"seq\":-0", false),
            ("\"seq\":7", "\"seq\":7.0", false),
            ("\"seq\":7", "\"seq\":7e0", false),
            ("\"seq\":7", "\"seq\":+7", false),
            ("\"seq\":7", "\"seq\":9223372036854775808", false),
            ("\"seq\":7", "\"seq\":", false),
            ("\"seq\":7", "\"seq\":-", false),
            ("here", "\\u0068ere", true),
            ("\"protocol\":null,", "", false),
            ("\"protocol\":null", "\"protocol\":null,\"protocol\":null", false),
            ("\"}", "\"} ", true),
            ("\"}", "\"}}", false),
            ("\"}", "0\"}", false),
            ("\"}", "\",\"x\":1}", false),
            ("{", " {", true),
        ] {
            let other = line.replacen(from, to, 1);
            assert_ne!(other, line, "{from}");
            assert_eq!(Canonical::default().of_line(&other), None, "{other}");
            assert_eq!(Stored::parse_line(&other).as_ref() == Ok(&row), says_the_same, "{other}");
        }
    }

    #[test]
    fn numbers_are_columns() {
        assert!(NUMBERS.iter().all(|number| COLUMNS.contains(number)));
    }
}
