//! References to secrets in the configuration: `${env:NAME}` and `${file:/path}`, as a whole value or inside one.
//! `$${` stands for the characters `${`; any other `$` is itself. What a reference gives is not read again.

use std::path::Path;
use thiserror::Error;

/// A reference that gives nothing. No message holds a value; names and paths are shown only where they are well-formed,
/// because `${` may also be a part of a secret somebody pasted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unresolved {
    /// There is no `}`.
    #[error("`${{` is not closed")]
    Open,
    /// Neither `env:` nor `file:`.
    #[error("unknown reference")]
    Unknown,
    /// A scheme of other versions.
    #[error("`${{vault:…}}` is not supported in this version")]
    Vault,
    /// The name or path is none.
    #[error("the reference has no usable {0}")]
    Malformed(&'static str),
    /// No such variable.
    #[error("`${{env:{0}}}`: the environment variable {0} is not set")]
    Unset(String),
    /// The file can't be had.
    #[error("`${{file:{path}}}`: {why}")]
    File {
        /// The path as written.
        path: String,
        /// Why, in words.
        why: String,
    },
    /// The value is there and empty.
    #[error("`${{{0}}}` is empty")]
    Empty(String),
}

impl Unresolved {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Open | Self::Unknown => {
                "write ${env:NAME} or ${file:/path}; for the characters themselves write $${".into()
            }
            Self::Vault => "let its agent write the secret to a file, and use ${file:/path}".into(),
            Self::Malformed("name") => "names are letters, digits and `_`: ${env:NAME}".into(),
            Self::Malformed(_) => "write an absolute path: ${file:/run/secrets/name}".into(),
            Self::Unset(name) => format!("set {name} for the process, or write another reference"),
            Self::File { .. } => "create the file, or mend the path".into(),
            Self::Empty(_) => "give it a value: an empty secret is never meant".into(),
        }
    }
}

/// `text` with each reference replaced; `None` where it has none.
pub fn resolve(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    read: &mut dyn FnMut(&Path) -> Result<String, String>,
) -> Result<Option<String>, Unresolved> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut resolved = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            resolved.push_str(before);
            resolved.push_str("${");
            rest = after;
            continue;
        }
        resolved.push_str(before);
        let (reference, after) = after.split_once('}').ok_or(Unresolved::Open)?;
        resolved.push_str(&value(reference, environment, read)?);
        rest = after;
    }
    resolved.push_str(rest);
    Ok(Some(resolved))
}

fn value(
    reference: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    read: &mut dyn FnMut(&Path) -> Result<String, String>,
) -> Result<String, Unresolved> {
    let value = match reference.split_once(':') {
        Some(("env", name)) => {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || name.len() > 200 || !name.chars().all(word) {
                return Err(Unresolved::Malformed("name"));
            }
            environment(name).ok_or_else(|| Unresolved::Unset(name.into()))?
        }
        Some(("file", path)) => {
            let plain = |c: char| !c.is_control() && !"${}\"`".contains(c);
            if !Path::new(path).is_absolute() || !path.chars().all(plain) {
                return Err(Unresolved::Malformed("path"));
            }
            let text = read(Path::new(path)).map_err(|why| Unresolved::File { path: path.into(), why })?;
            // Editors and `echo` end a file with a line break that nobody means.
            let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
            text.to_owned()
        }
        Some(("vault", _)) => return Err(Unresolved::Vault),
        _ => return Err(Unresolved::Unknown),
    };
    if value.trim().is_empty() { Err(Unresolved::Empty(reference.into())) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Result<Option<String>, Unresolved> {
        let environment = |name: &str| match name {
            "A" => Some("alpha".to_owned()),
            "NESTED" => Some("${env:A}".to_owned()),
            "BLANK" => Some(" ".to_owned()),
            _ => None,
        };
        resolve(text, &environment, &mut |path| match path.to_str() {
            Some("/b") => Ok("beta\r\n".into()),
            _ => Err("there is no such file".into()),
        })
    }

    #[test]
    fn references_are_replaced_once() {
        for (text, expected) in [
            ("${env:A}", "alpha"),
            ("${file:/b}", "beta"),
            ("x${env:A}y${file:/b}z", "xalphaybetaz"),
            ("${env:NESTED}", "${env:A}"),
            ("$${env:A}", "${env:A}"),
            ("$5 ${env:A} $", "$5 alpha $"),
        ] {
            assert_eq!(ask(text), Ok(Some(expected.into())), "{text}");
        }
        for text in ["", "$", "$$", "plain", "$env:A", "{env:A}"] {
            assert_eq!(ask(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_reference_without_a_value_is_an_error_that_shows_no_value() {
        for (text, expected) in [
            ("${env:A", "`${` is not closed"),
            ("pass${word}", "unknown reference"),
            ("${ENV:A}", "unknown reference"),
            ("${env:}", "the reference has no usable name"),
            ("${env:A-B}", "the reference has no usable name"),
            ("${env:A${env:A}}", "the reference has no usable name"),
            ("${file:b}", "the reference has no usable path"),
            ("${vault:kv/a#b}", "`${vault:…}` is not supported in this version"),
            ("${env:NONE}", "`${env:NONE}`: the environment variable NONE is not set"),
            ("${env:BLANK}", "`${env:BLANK}` is empty"),
            ("${file:/none}", "`${file:/none}`: there is no such file"),
        ] {
            let error = ask(text).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
            assert!(!error.hint().is_empty());
        }
    }
}
