//! How grave a log message is (RFC 5424 section 6.2.1, as MCP "Logging" names the levels).

/// A level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

const NAMES: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

impl Level {
    /// The least grave: from it on, all messages are meant.
    pub const ALL: Self = Self(0);

    /// From the wire, exactly.
    pub fn parse(text: &str) -> Option<Self> {
        let position = NAMES.iter().position(|name| *name == text)?;
        u8::try_from(position).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_in_order_and_read_exactly() {
        let all: Vec<_> = NAMES.iter().map(|name| Level::parse(name).unwrap()).collect();
        assert!(all.is_sorted() && all[0] == Level::ALL);
        assert!(["", "Debug", "warn", "info "].iter().all(|odd| Level::parse(odd).is_none()));
    }
}
