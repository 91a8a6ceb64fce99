//! How a sink is, for people. What it does is `shipper`'s business.

use std::fmt;

/// What is waited for so long is worth a word.
const LATE_SECS: i64 = 10;

/// How a sink is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Rows of the journal that it has not taken.
    pub(super) behind: i64,
    /// For how many seconds the oldest of them waits.
    pub(super) seconds: i64,
    /// Why it takes none now, where it does not.
    pub(super) trouble: Option<String>,
    /// Nothing is sent to it until it is configured anew.
    pub(super) is_disabled: bool,
    /// Rows that were set aside, ever.
    pub(super) set_aside: i64,
}

impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { behind, seconds, trouble, is_disabled, set_aside } = self;
        match trouble {
            Some(reason) if *is_disabled => write!(formatter, "disabled, {behind} entries behind: {reason}")?,
            Some(reason) => write!(formatter, "failing, {behind} entries and {seconds} s behind: {reason}")?,
            None if *seconds >= LATE_SECS => write!(formatter, "{behind} entries and {seconds} s behind")?,
            None => formatter.write_str("ok")?,
        }
        if *set_aside > 0 {
            write!(formatter, "; {set_aside} entries set aside")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_says_how_it_is() {
        let mut standing = Standing { behind: 3, seconds: 2, ..Standing::default() };
        assert_eq!(standing.to_string(), "ok");
        standing.seconds = 10;
        assert_eq!(standing.to_string(), "3 entries and 10 s behind");
        standing.trouble = Some("no answer".into());
        standing.set_aside = 1;
        assert_eq!(standing.to_string(), "failing, 3 entries and 10 s behind: no answer; 1 entries set aside");
        standing.is_disabled = true;
        assert_eq!(standing.to_string(), "disabled, 3 entries behind: no answer; 1 entries set aside");
    }
}
