//! The words that stand for something in a case's text, and what they become. `mod` lists them for those who write cases.

use crate::support::tokens::Claims;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Who may call, by name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Person {
    pub roles: Vec<String>,
    /// Claims that are set, or left out where null.
    pub claims: Map<String, Value>,
}

/// What the words of a case stand for.
pub struct Words<'a> {
    /// The gateway's host and port.
    pub host: &'a str,
    pub people: &'a BTreeMap<String, Person>,
    /// The body of the call that is in order.
    pub call: &'a [u8],
    /// The fields of its header, besides those that say where it goes and how long it is.
    pub fields: &'a str,
    /// What `{each}` stands for.
    pub each: &'a str,
}

impl Words<'_> {
    /// `text` as bytes, with every word replaced. `{each}` goes first, so that words may stand in it.
    ///
    /// # Errors
    /// A word that says something wrong.
    pub fn speak(&self, text: &str) -> Result<Vec<u8>, String> {
        let text = text.replace("{each}", self.each);
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(start) = rest.find('{') {
            let (before, from) = rest.split_at(start);
            bytes.extend_from_slice(before.as_bytes());
            let word = from.find('}').map(|end| &from[1..end]);
            match word.map(|word| self.word(word)).transpose()?.flatten() {
                Some(meant) => {
                    bytes.extend(meant);
                    rest = &from[from.find('}').unwrap_or_default() + 1..];
                }
                None => {
                    bytes.push(b'{');
                    rest = &from[1..];
                }
            }
        }
        bytes.extend_from_slice(rest.as_bytes());
        Ok(measured(bytes))
    }

    /// `text` where it must come out as text.
    ///
    /// # Errors
    /// As `speak`, or bytes that are none.
    pub fn text(&self, text: &str) -> Result<String, String> {
        String::from_utf8(self.speak(text)?).map_err(|_| format!("{text:?} is no text"))
    }

    /// The token of the person of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn token(&self, name: &str) -> Result<String, String> {
        let person = self.people.get(name).ok_or_else(|| format!("nobody is called {name}"))?;
        let roles: Vec<_> = person.roles.iter().map(String::as_str).collect();
        let claims = Claims::new(name, &roles);
        let claims = person.claims.iter().fold(claims, |claims, (claim, value)| claims.with(claim, value.clone()));
        Ok(claims.sign())
    }

    /// What `word` stands for; `None` where it is none of ours.
    fn word(&self, word: &str) -> Result<Option<Vec<u8>>, String> {
        let (name, rest) = word.split_once(':').map_or((word, ""), |(name, rest)| (name, rest.trim_start()));
        Ok(Some(match name {
            "token" => self.token(rest)?.into_bytes(),
            "host" => self.host.into(),
            "meta" => super::stage::meta().into(),
            "call" => self.call.to_vec(),
            "fields" => self.fields.into(),
            "count" => self.call.len().to_string().into(),
            "size" => format!("{:x}", self.call.len()).into(),
            "hex" => hex(rest)?,
            "utf16" => rest.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "base64" => STANDARD.encode(rest).into(),
            "repeat" => repeat(rest)?,
            _ => return Ok(None),
        }))
    }
}

fn hex(digits: &str) -> Result<Vec<u8>, String> {
    let digits: String = digits.split_whitespace().collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    let bytes = pairs.map(|pair| u8::from_str_radix(pair, 16).ok().filter(|_| pair.len() == 2));
    bytes.collect::<Option<_>>().ok_or_else(|| format!("{digits:?} is not hexadecimal"))
}

/// `what, times`; `what` may hold commas.
fn repeat(rest: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{{repeat: {rest}}} is not `what, times`");
    let (what, times) = rest.rsplit_once(", ").ok_or_else(wrong)?;
    Ok(what.repeat(times.parse().map_err(|_| wrong())?).into_bytes())
}

/// `bytes` with `{length}` replaced by the number of bytes behind the first empty line.
fn measured(bytes: Vec<u8>) -> Vec<u8> {
    const LENGTH: &[u8] = b"{length}";
    let body = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |head| head + 4);
    let length = (bytes.len() - body).to_string();
    let (mut head, body) = (bytes[..body].to_vec(), &bytes[body..]);
    while let Some(at) = head.windows(LENGTH.len()).position(|window| window == LENGTH) {
        head.splice(at..at + LENGTH.len(), length.bytes());
    }
    [&head, body].concat()
}

#[test]
fn words_become_bytes_and_braces_of_json_stay() {
    let people = BTreeMap::new();
    let words = Words { host: "h:1", people: &people, call: b"0123456789abcdef", fields: "A: b\r\n", each: "[1]" };
    let said = |text: &str| words.text(text).unwrap();
    assert_eq!(said(r#"{"a":{each}} {host} {size}"#), r#"{"a":[1]} h:1 10"#);
    assert_eq!(said("{repeat: a,b, 2}|{base64:a}|{other: x}|{"), "a,ba,b|YQ==|{other: x}|{");
    assert_eq!(words.speak("{hex: ff 0a}{utf16:a}").unwrap(), b"\xff\x0aa\0");
    assert_eq!(said("L: {length}\r\n\r\n{call}{length}"), "L: 24\r\n\r\n0123456789abcdef{length}");
    for wrong in ["{token:nobody}", "{hex:f}", "{hex:zz}", "{repeat:a}", "{repeat: a, b}"] {
        assert!(words.speak(wrong).is_err(), "{wrong}");
    }
    assert!(words.text("{hex:ff}").is_err());
}
