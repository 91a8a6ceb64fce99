//! The results of list methods.

use crate::jsonrpc::quote;
use crate::reject::Era;
use std::time::Duration;

/// How many items a page of a list has at most.
pub const PAGE: usize = 1000;

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// The member that holds the items.
    pub key: &'a str,
    /// What the caller speaks.
    pub era: Era,
    /// How long it is as good as new.
    pub ttl: Duration,
    /// Where to go on.
    pub next: Option<&'a str>,
}

impl Listing<'_> {
    /// Writes the result with `items`, each a JSON text.
    ///
    /// It is for one caller alone, because it was filtered for one (MCP 2026-07-28 "Caching": `cacheScope` private).
    pub fn write<'a>(&self, items: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut out = [b"{", &quote(self.key)[..], b":["].concat();
        for (position, item) in items.enumerate() {
            if position > 0 {
                out.push(b',');
            }
            out.extend_from_slice(item);
        }
        out.push(b']');
        if let Some(next) = self.next {
            out.extend_from_slice(br#","nextCursor":"#);
            out.extend_from_slice(&quote(next));
        }
        if self.era == Era::Modern {
            let hints = format!(r#","resultType":"complete","ttlMs":{},"cacheScope":"private""#, self.ttl.as_millis());
            out.extend_from_slice(hints.as_bytes());
        }
        out.push(b'}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_list_says_that_it_is_private() {
        let listing = Listing { key: "tools", era: Era::Modern, ttl: Duration::from_secs(2), next: Some("a\"b") };
        let items = [&br#"{"name":"a"}"#[..], br#"{"name":"b"}"#];
        let list: Value = serde_json::from_slice(&listing.write(items.into_iter())).unwrap();
        assert_eq!(
            list,
            json!({
                "tools": [{"name": "a"}, {"name": "b"}], "nextCursor": "a\"b",
                "resultType": "complete", "ttlMs": 2000, "cacheScope": "private",
            })
        );
        let listing = Listing { key: "resourceTemplates", era: Era::Legacy, next: None, ..listing };
        assert_eq!(listing.write([].into_iter()), br#"{"resourceTemplates":[]}"#);
    }
}
