//! Messages of MCP, with what makes two readers of JSON disagree: equal keys, keys that fold, escapes, halves of surrogate
//! pairs, odd numbers, marks and rubbish around them. About half of them are sound.

use crate::dice::Dice;

const METHODS: [&str; 9] = [
    "tools/call",
    "tools/call",
    "tools/call",
    "prompts/get",
    "resources/read",
    "completion/complete",
    "tools/list",
    "initialize",
    "notifications/cancelled",
];

const WORDS: [&str; 16] = [
    "a",
    "crm.get_user",
    "crm.delete_user",
    "file:///srv/a",
    "",
    "x y",
    "\u{e9}\u{20ac}",
    "\u{1f600}",
    "\u{2028}",
    "constructor",
    "__proto__",
    "method",
    "null",
    "ſK",
    "\u{ffff}",
    "10",
];

const NUMBERS: [&str; 20] = [
    "0",
    "1",
    "-1",
    "-0",
    "7",
    "1.0",
    "1.10",
    "1e3",
    "1E+3",
    "-2.5e-7",
    "1e400",
    "9007199254740993",
    "18446744073709551616",
    "-9223372036854775809",
    "0.1",
    "100.00000000000000001",
    "123456789012345678901234567890",
    "5e-324",
    "1e-400",
    "0e0",
];

/// What no reader should take for a number, and some do.
const BAD_NUMBERS: [&str; 8] = ["01", "+1", ".5", "1.", "NaN", "Infinity", "0x1", "1_000"];

const BAD_STRINGS: [&str; 7] =
    [r#""\ud800""#, r#""\udc00a""#, r#""\x""#, r#""\u12""#, "\"\t\"", "'a'", r#""\ud800\u0061""#];

/// The message with this number.
pub fn message(number: u64) -> Vec<u8> {
    let mut maker = Maker { dice: Dice::new(number), odd: 0 };
    // Half of all messages have nothing odd in them but sound oddities; in the others, about one thing is unsound.
    maker.odd = maker.dice.pick(&[0, 0, 12, 24]);
    let text = maker.message();
    maker.damaged(text.into_bytes())
}

struct Maker {
    dice: Dice,
    /// One thing in so many is unsound; none where it is 0.
    odd: usize,
}

impl Maker {
    fn is_odd(&mut self) -> bool {
        self.odd > 0 && self.dice.one_in(self.odd)
    }

    fn message(&mut self) -> String {
        let method = self.dice.pick(&METHODS);
        let mut members = vec![("jsonrpc", "\"2.0\"".to_owned()), ("method", self.string(method))];
        if !method.starts_with("notifications/") {
            members.push(("id", self.id()));
        }
        if !self.dice.one_in(12) {
            members.push(("params", self.params(method)));
        }
        if self.dice.one_in(8) {
            members.push(("extra", self.value(2)));
        }
        if self.is_odd() {
            let wrong = self.dice.pick(&["result", "error", "jsonrpc"]);
            members.push((wrong, self.value(1)));
        }
        self.object(members)
    }

    fn params(&mut self, method: &str) -> String {
        if self.is_odd() {
            return self.value(1);
        }
        let mut members = Vec::new();
        match method {
            "resources/read" => members.push(("uri", self.word())),
            "completion/complete" => members.push(("ref", self.reference())),
            "initialize" => members.push(("protocolVersion", self.string("2025-11-25"))),
            _ => members.push(("name", self.word())),
        }
        if !self.dice.one_in(4) {
            let arguments = self.map(3);
            members.push(("arguments", if self.is_odd() { self.value(2) } else { arguments }));
        }
        if self.dice.one_in(3) {
            members.push(("_meta", self.meta()));
        }
        if self.dice.one_in(8) {
            members.push(("name", self.word()));
            members.dedup_by_key(|(key, _)| *key);
        }
        self.object(members)
    }

    fn reference(&mut self) -> String {
        let members = vec![("type", self.string("ref/prompt")), ("name", self.word())];
        self.object(members)
    }

    fn meta(&mut self) -> String {
        let mut members = vec![("progressToken", self.id())];
        if self.dice.one_in(2) {
            members.push(("io.modelcontextprotocol/protocolVersion", self.string("2026-07-28")));
            members.push(("io.modelcontextprotocol/clientCapabilities", self.map(1)));
        }
        self.object(members)
    }

    fn id(&mut self) -> String {
        match self.dice.below(6) {
            0..=2 => self.dice.pick(&["0", "1", "-1", "-0", "9007199254740993", "18446744073709551615"]).to_owned(),
            3 | 4 => self.word(),
            _ if self.is_odd() => self.value(1),
            _ => "7".to_owned(),
        }
    }

    /// The members in some order, at times one of them twice, or under a key that another reader takes for it.
    fn object(&mut self, mut members: Vec<(&str, String)>) -> String {
        if self.is_odd() && !members.is_empty() {
            let (key, _) = members[self.dice.below(members.len())];
            let other = self.dice.pick(&["\"other\"", "{}", "1", "{\"name\":\"other\"}"]);
            members.push((key, other.to_owned()));
        }
        if self.dice.one_in(3) {
            self.dice.shuffle(&mut members);
        }
        let written: Vec<_> = members.iter().map(|(key, value)| self.member(key, value)).collect();
        let blank = self.blank();
        format!("{{{blank}{}}}", written.join(","))
    }

    fn member(&mut self, key: &str, value: &str) -> String {
        let key = if self.is_odd() { self.alike(key) } else { key.to_owned() };
        let (key, before, after, end) = (self.string(&key), self.blank(), self.blank(), self.blank());
        format!("{before}{key}{after}:{value}{end}")
    }

    /// A key that some reader takes for `key`.
    fn alike(&mut self, key: &str) -> String {
        match self.dice.below(6) {
            0 => key.to_uppercase(),
            1 => key.chars().enumerate().map(|(at, c)| if at == 0 { c.to_ascii_uppercase() } else { c }).collect(),
            2 => key.replacen('s', "\u{17f}", 1),
            3 => key.replacen('k', "\u{212a}", 1),
            4 => format!("{key}\0x"),
            _ => format!("{key} "),
        }
    }

    fn blank(&mut self) -> &'static str {
        if self.dice.one_in(12) { self.dice.pick(&[" ", "\n", "\t", "\r\n", "  "]) } else { "" }
    }

    fn map(&mut self, depth: usize) -> String {
        let count = self.dice.below(4);
        let mut keys: Vec<&str> = Vec::new();
        for _ in 0..count {
            let key = self.dice.pick(&WORDS);
            if !keys.contains(&key) || self.is_odd() {
                keys.push(key);
            }
        }
        let members = keys.into_iter().map(|key| (key, self.value(depth.saturating_sub(1)))).collect();
        self.object(members)
    }

    fn value(&mut self, depth: usize) -> String {
        match self.dice.below(if depth == 0 { 6 } else { 9 }) {
            0 | 1 => self.word(),
            2 | 3 if self.is_odd() => self.dice.pick(&BAD_NUMBERS).to_owned(),
            2 | 3 => self.dice.pick(&NUMBERS).to_owned(),
            4 => self.dice.pick(&["true", "false"]).to_owned(),
            5 => "null".to_owned(),
            6 | 7 => self.map(depth),
            _ => {
                let items: Vec<_> = (0..self.dice.below(4)).map(|_| self.value(depth - 1)).collect();
                format!("[{}]", items.join(","))
            }
        }
    }

    fn word(&mut self) -> String {
        if self.is_odd() {
            return self.dice.pick(&BAD_STRINGS).to_owned();
        }
        let word = self.dice.pick(&WORDS);
        self.string(word)
    }

    /// `text` as a string, at times in other spellings of the same.
    fn string(&mut self, text: &str) -> String {
        let every = self.dice.pick(&[0, 0, 0, 1, 3]);
        let mut out = String::from("\"");
        for (at, c) in text.chars().enumerate() {
            match c {
                _ if every > 0 && at % every == 0 => {
                    let upper = self.dice.one_in(2);
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
                    }
                }
                '"' | '\\' => out.extend(['\\', c]),
                '/' if self.dice.one_in(3) => out.push_str("\\/"),
                '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
                _ => out.push(c),
            }
        }
        out.push('"');
        out
    }

    /// What stands around a message, and what happens to it on the way.
    fn damaged(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if !self.is_odd() {
            return bytes;
        }
        match self.dice.below(8) {
            0 => bytes.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
            1 => bytes.extend_from_slice(self.dice.pick(&[&b" x"[..], b"{}", b",", b"\0", b"\n{}"])),
            2 => bytes = [b"[", &bytes[..], b"]"].concat(),
            3 => bytes.truncate(self.dice.below(bytes.len() + 1)),
            4 => bytes = bytes.iter().flat_map(|byte| [*byte, 0]).collect(),
            5 => {
                let at = self.dice.below(bytes.len());
                bytes.insert(at, self.dice.pick(&[0xff, 0xc0, 0x00, 0x7f, b',', b'"']));
            }
            6 => {
                let at = self.dice.below(bytes.len());
                bytes.remove(at);
            }
            _ => {
                let at = self.dice.below(bytes.len());
                bytes[at] ^= 1 << self.dice.below(8);
            }
        }
        bytes
    }
}
