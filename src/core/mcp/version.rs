//! The revisions of MCP that Portcullis speaks.

use crate::reject::Era;

/// A revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// 2025-03-26, the first with Streamable HTTP.
    V2025_03_26,
    /// 2025-06-18.
    V2025_06_18,
    /// 2025-11-25, the last with a handshake.
    V2025_11_25,
    /// 2026-07-28, the first without.
    V2026_07_28,
}

impl Version {
    /// Every revision, newest first: `data.supported` of an unsupported-version error.
    pub const ALL: [Self; 4] = [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26];
    /// What we speak where nothing else is asked for.
    pub const LATEST: Self = Self::V2026_07_28;
    /// The newest that begins with `initialize`.
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;
    /// What a request speaks that says nothing (MCP 2025-06-18 "Protocol Version Header").
    pub const ASSUMED: Self = Self::V2025_03_26;

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// From the wire, exactly.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Its family.
    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => Era::Legacy,
        }
    }
}

/// The answer to an `initialize` that asks for `requested`. Never modern: a modern revision has no handshake, so a client
/// that shakes hands does not speak it, whatever it asks for.
pub fn negotiate(requested: &str) -> Version {
    Version::parse(requested).filter(|version| version.era() == Era::Legacy).unwrap_or(Version::LATEST_LEGACY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_never_ends_in_a_modern_revision() {
        for (requested, answer) in [
            ("2025-03-26", "2025-03-26"),
            ("2025-06-18", "2025-06-18"),
            ("2025-11-25", "2025-11-25"),
            ("2026-07-28", "2025-11-25"),
            ("2024-11-05", "2025-11-25"),
            ("2099-01-01", "2025-11-25"),
            ("", "2025-11-25"),
        ] {
            assert_eq!(negotiate(requested).as_str(), answer, "{requested}");
        }
    }

    #[test]
    fn a_revision_is_read_exactly() {
        for version in Version::ALL {
            assert_eq!(Version::parse(version.as_str()), Some(version));
        }
        for text in ["", "2025-11-25 ", "2025-11-2", "DRAFT-2026-v1", "2026-07-28\0"] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
    }
}
