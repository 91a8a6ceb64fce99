//! Paths in their one form: absolute, no empty, `.` or `..` segment, nothing that another layer may decode.

use std::fmt;

/// What a server may decode before it opens a file: NUL, `%`, `.`, `/` and `\`.
const ENCODED: [&str; 5] = ["%00", "%25", "%2e", "%2f", "%5c"];

/// The one form of an absolute POSIX path: `//`, `/./` and a slash at the end are removed.
///
/// A `..` is refused and not resolved: behind a symbolic link it means another place than its text says. What is a link
/// can't be seen from here, so a path that holds only plain names may still lead elsewhere on the upstream's disk.
pub(super) fn canonical(text: &str) -> Result<String, &'static str> {
    if !text.starts_with('/') {
        return Err("is not an absolute path");
    }
    if text.contains(|c: char| c.is_control() || c == '\\') {
        return Err("holds a control character or a backslash");
    }
    let lower = text.to_ascii_lowercase();
    if ENCODED.iter().any(|encoded| lower.contains(encoded)) {
        return Err("holds a percent-encoded dot, slash, backslash, percent or NUL");
    }
    let mut path = String::with_capacity(text.len());
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => return Err("holds `..`"),
            name => {
                path.push('/');
                path.push_str(name);
            }
        }
    }
    Ok(if path.is_empty() { "/".to_owned() } else { path })
}

/// A path and what is below it; or, written with a slash at the end, only what is below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathPrefix {
    /// Canonical, without a slash at the end: empty for the root.
    directory: String,
    itself: bool,
}

impl PathPrefix {
    pub fn new(prefix: &str) -> Result<Self, &'static str> {
        let directory = canonical(prefix)?.trim_end_matches('/').to_owned();
        Ok(Self { directory, itself: !prefix.ends_with('/') })
    }

    /// Whether it covers a canonical path.
    pub fn covers(&self, path: &str) -> bool {
        match path.strip_prefix(&self.directory) {
            Some("") => self.itself,
            Some(rest) => rest.starts_with('/') && (self.itself || rest.len() > 1),
            None => false,
        }
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.itself {
            write!(f, "`{}` or below it", self.directory)
        } else {
            write!(f, "below `{}/`", self.directory)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form_or_none() {
        for (text, expected) in [
            ("/srv/docs/a.txt", Some("/srv/docs/a.txt")),
            ("//srv///docs/./a/", Some("/srv/docs/a")),
            ("/", Some("/")),
            ("/./", Some("/")),
            ("/srv/...", Some("/srv/...")),
            ("/srv/100% sure", Some("/srv/100% sure")),
            ("/srv/é", Some("/srv/é")),
            ("", None),
            ("srv/docs", None),
            ("./a", None),
            ("~/a", None),
            ("C:\\a", None),
            ("/srv/../etc", None),
            ("/srv/docs/..", None),
            ("/..", None),
            ("/srv\\..\\etc", None),
            ("/srv/%2e%2e/etc", None),
            ("/srv/%2E./etc", None),
            ("/srv%2fetc", None),
            ("/srv%5Cetc", None),
            ("/srv/%252e", None),
            ("/srv/a%00.txt", None),
            ("/srv/a\0.txt", None),
            ("/srv/a\n", None),
            ("file:///a", None),
        ] {
            assert_eq!(canonical(text).ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        for (prefix, path, expected) in [
            ("/srv/docs", "/srv/docs", true),
            ("/srv/docs", "/srv/docs/a", true),
            ("/srv/docs", "/srv/docs-secret", false),
            ("/srv/docs", "/srv", false),
            ("/srv/docs/", "/srv/docs/a", true),
            ("/srv/docs/", "/srv/docs", false),
            ("/srv/docs/", "/srv/docs-secret/a", false),
            ("/srv//docs/./", "/srv/docs/a", true),
            ("/", "/a", true),
            ("/", "/", false),
        ] {
            assert_eq!(PathPrefix::new(prefix).unwrap().covers(path), expected, "{prefix} on {path}");
        }
        assert!(PathPrefix::new("srv").is_err());
        assert!(PathPrefix::new("/srv/../etc").is_err());
    }
}
