//! The same values, hidden: the abuse cases 134 to 142 of redaction, and the ways around detectors that were open once.
//! Each is a whole message; what a client can read of it afterwards must not hold the value.

use super::corpus::{Kind, kinds};
use super::random::Random;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A message with a hidden value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hidden {
    /// The abuse case and what is done.
    pub case: String,
    /// What is hidden.
    pub kind: String,
    pub message: String,
    /// The value as a client reads it.
    pub value: String,
}

/// Each trick on this many values of each kind.
const EACH: usize = 3;

type Trick = fn(&mut Random, &str, &dyn Fn(&str) -> String) -> (String, String);

const TRICKS: [(&str, Trick); 16] = [
    ("134 digits and signs in full width", |_, value, said| hidden(said, value.chars().map(full_width).collect())),
    ("134 digits of another script", |random, value, said| {
        let zero = [0x660, 0x6f0, 0x966, 0x1d7ce][random.below(4)];
        hidden(said, value.chars().map(|sign| script(sign, zero)).collect())
    }),
    ("135 signs without width inside", |random, value, said| {
        let sign = ["\u{200b}", "\u{ad}", "\u{2060}", "\u{feff}", "\u{202c}"][random.below(5)];
        hidden(said, scattered(random, value, sign))
    }),
    ("135 odd spaces and dashes", |_, value, said| hidden(said, value.replace(' ', "\u{a0}").replace('-', "\u{2011}"))),
    ("135 turned around by bidi controls", |_, value, said| hidden(said, format!("\u{202e}{value}\u{202c}"))),
    ("136 escapes of JSON", |random, value, said| {
        let every = random.between(1, 4);
        (result(&json!("TEXT")).replace("TEXT", &escaped(&said(value), every)), value.to_owned())
    }),
    ("137 in text, structured, and JSON in text", |_, value, said| {
        let text = said(value);
        let nested = json!({ "a": { "b": text } }).to_string();
        let deeper = json!({ "inner": nested }).to_string();
        let structured = json!({ "note": text, "list": [text, nested] });
        let content = json!([{ "type": "text", "text": deeper }]);
        let message =
            json!({ "jsonrpc": "2.0", "id": 1, "result": { "content": content, "structuredContent": structured } });
        (message.to_string(), value.to_owned())
    }),
    ("138 in an error", |_, value, said| {
        let error = json!({ "code": -32000, "message": said(value), "data": { "cause": [said(value)] } });
        (json!({ "jsonrpc": "2.0", "id": 1, "error": error }).to_string(), value.to_owned())
    }),
    ("138 in news and descriptions", |_, value, said| {
        let params = json!({ "level": "info", "data": said(value), "message": said(value) });
        let message = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params });
        (message.to_string(), value.to_owned())
    }),
    ("139 as a key", |_, value, said| (result(&json!({ said(value): { said(value): true } })), value.to_owned())),
    ("140 in base64 that says text", |_, value, said| {
        let blob = STANDARD.encode(format!("id,note\n1,{}\n", said(value)));
        (result(&json!([{ "uri": "x:1", "mimeType": "text/csv", "blob": blob }])), value.to_owned())
    }),
    ("140 in base64 with stray bytes", |random, value, said| {
        let mut bytes = said(value).into_bytes();
        bytes.extend_from_slice(&[b' ', 0xff, 0xe9]);
        if random.once_in(2) {
            bytes.splice(0..0, [0xfc, b' ']);
        }
        (result(&json!([{ "uri": "x:1", "mimeType": "text/plain", "blob": STANDARD.encode(bytes) }])), value.to_owned())
    }),
    ("140 in a data: URI", |random, value, said| {
        let kind = ["text/plain;charset=utf-8", "text/csv", "application/json", ""][random.below(4)];
        let uri = format!("data:{kind};base64,{}", STANDARD.encode(said(value)));
        (result(&json!({ "text": format!("attached: {uri} (1 kB)"), "uri": uri })), value.to_owned())
    }),
    ("142 in URL codes", |_, value, said| {
        let coded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let text = said("VALUE").replace("VALUE", &coded(value));
        (result(&json!(text)), coded(value))
    }),
    ("142 in HTML codes", |_, value, said| {
        let coded = |text: &str| text.chars().map(|sign| format!("&#{};", u32::from(sign))).collect::<String>();
        let text = said("VALUE").replace("VALUE", &coded(value));
        (result(&json!(text)), coded(value))
    }),
    ("in text that is almost JSON", |random, value, said| {
        let escaped = escaped(&said(value), random.between(1, 3));
        let tail = ["\"n\": NaN}", "}", "\"x\": Infinity}", "'y': None}"][random.below(4)];
        let text = format!("{{\"note\": \"{escaped}\", {tail}");
        (result(&json!([{ "type": "text", "text": text }])), value.to_owned())
    }),
];

fn result(value: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "result": { "value": value } }).to_string()
}

fn hidden(said: &dyn Fn(&str) -> String, value: String) -> (String, String) {
    (result(&json!({ "text": said(&value) })), value)
}

fn full_width(sign: char) -> char {
    match sign {
        '!'..='~' => char::from_u32(u32::from(sign) - 0x21 + 0xff01).unwrap(),
        other => other,
    }
}

fn script(sign: char, zero: u32) -> char {
    sign.to_digit(10).map_or(sign, |digit| char::from_u32(zero + digit).unwrap())
}

fn scattered(random: &mut Random, value: &str, sign: &str) -> String {
    let count = value.chars().count();
    let at = random.between(1, count - 1);
    value
        .chars()
        .enumerate()
        .map(|(place, own)| if place == at || place % 5 == 4 { format!("{sign}{own}") } else { own.into() })
        .collect()
}

fn escaped(text: &str, every: usize) -> String {
    let sign = |(place, sign): (usize, char)| match place % every {
        0 => sign.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        _ => Value::from(sign.to_string()).as_str().map(|sign| sign.replace(['"', '\\'], "'")).unwrap(),
    };
    text.chars().enumerate().map(sign).collect()
}

/// All of them.
pub fn messages() -> Vec<Hidden> {
    kinds().flat_map(of).collect()
}

fn of(kind: &Kind) -> Vec<Hidden> {
    let mut random = Random::named(&format!("{} hidden", kind.name));
    let mut made = Vec::new();
    for (case, trick) in TRICKS {
        let mut count = 0;
        while count < EACH {
            let value = (kind.value)(&mut random);
            if value.whole || value.text.contains(['\n', '"']) {
                continue;
            }
            let said = random.pick(kind.names.said);
            let (message, value) = trick(&mut random, &value.text, &|value| said.replace("{}", value));
            made.push(Hidden { case: case.into(), kind: kind.name.into(), message, value });
            count += 1;
        }
    }
    made
}

/// As they are kept. Of secrets the beginning stands as an escape, like in the corpus.
pub fn written() -> String {
    let mut lines = String::new();
    for hidden in messages() {
        let line = serde_json::to_string(&hidden).unwrap();
        let start: String = hidden.value.chars().take(4).collect();
        let plain = hidden.kind == "secret"
            && start.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        let escape = || format!("\\u{:04x}{}", u32::from(start.as_bytes()[0]), &start[1..]);
        lines.push_str(&if plain { line.replace(&start, &escape()) } else { line });
        lines.push('\n');
    }
    lines
}

/// Every text that a client can read in a message: strings and keys, what JSON or base64 in them says.
pub fn readable(text: &str, found: &mut Vec<String>) {
    found.push(text.to_owned());
    if let Ok(value) = serde_json::from_str(text) {
        leaves(&value, found);
    }
    let base64 = |sign: char| !(sign.is_ascii_alphanumeric() || matches!(sign, '+' | '/' | '='));
    for token in text.split(base64).filter(|token| token.len() >= 16) {
        found.extend(STANDARD.decode(token).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    }
}

fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => readable(text, found),
        Value::Array(members) => members.iter().for_each(|member| leaves(member, found)),
        Value::Object(members) => members.iter().for_each(|(key, member)| {
            readable(key, found);
            leaves(member, found);
        }),
        other => found.push(other.to_string()),
    }
}
