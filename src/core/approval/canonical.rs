//! Arguments in one spelling, so that the same call made again is known again: members in order, no blanks, texts escaped in
//! one way. Numbers stay as they were written: what two readers may read differently is not the same.

use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// `arguments`, a JSON text without duplicate keys, in one spelling; those of a call without any are `{}`. `None` where it
/// can't be read.
pub fn canonical(arguments: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(arguments.len());
    if arguments.is_empty() {
        return Some("{}".to_owned());
    }
    write(std::str::from_utf8(arguments).ok()?.trim(), &mut out)?;
    Some(out)
}

fn write(raw: &str, out: &mut String) -> Option<()> {
    match raw.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(raw).ok()?;
            out.push('{');
            for (position, (name, value)) in members.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name).to_string());
                out.push(':');
                write(value.get(), out)?;
            }
            out.push('}');
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
            out.push('[');
            for (position, item) in items.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write(item.get(), out)?;
            }
            out.push(']');
        }
        b'"' => out.push_str(&Value::from(serde_json::from_str::<String>(raw).ok()?).to_string()),
        _ => out.push_str(serde_json::from_str::<&RawValue>(raw).ok()?.get()),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn the_same_arguments_have_one_spelling() {
        let one = canonical(r#" { "b" : [1, {"y":2,"x":null}], "a":"\u0041\/é" } "#.as_bytes()).unwrap();
        assert_eq!(one, r#"{"a":"A/é","b":[1,{"x":null,"y":2}]}"#);
        assert_eq!(canonical(r#"{"a":"A/é","b":[1,{"x":null,"y":2}]}"#.as_bytes()).unwrap(), one);
        assert_eq!(canonical(b"").as_deref(), Some("{}"));
    }

    #[test]
    fn numbers_that_a_reader_may_confuse_stay_apart() {
        let large = canonical(br#"{"n":12345678901234567890123}"#);
        assert_ne!(large, canonical(br#"{"n":12345678901234567890124}"#));
        assert_ne!(canonical(br#"{"n":1}"#), canonical(br#"{"n":1.0}"#));
    }
}
