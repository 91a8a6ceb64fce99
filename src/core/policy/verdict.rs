//! What one rule says of one request, small enough to be thrown away on the request path and exact enough for
//! `explain`.

use std::fmt;

/// Whether a rule matches.
#[derive(Debug)]
pub(super) enum Verdict {
    Match(Grounds),
    Miss(Cause),
}

/// What one part of a rule says.
pub(super) enum Truth {
    True,
    False(Cause),
    /// It depends on arguments, which are not known.
    Unknown,
    /// It can't be judged.
    Fault(Cause),
}

/// Why a rule matches.
#[derive(Debug)]
pub(super) enum Grounds {
    /// All that it states is true.
    Stated,
    /// All that it states may be true: the arguments are not known.
    Possible,
    /// What it states can't be judged, and nothing it states is false.
    Fault(Cause),
}

/// The first thing that did not match, or could not be judged.
#[derive(Debug)]
pub(super) enum Cause {
    /// It speaks of other kinds of things.
    Kind,
    /// It speaks of others of this kind.
    Name,
    /// Whether it speaks of this resource depends on how the URI is read.
    Uri(Fault),
    Upstream,
    Class,
    Severity,
    Endpoint,
    Roles,
    User,
    Tenant,
    Agent,
    /// It depends on arguments, which are not known; a deny rule does not match on a guess.
    UnknownArguments,
    /// The test of this position in the constraint of that position.
    Argument(usize, usize),
    /// The constraint of this position can't be judged.
    ArgumentFault(usize, Fault),
    Condition,
    ConditionFault(Fault),
}

/// Why something can't be judged. Never holds a value that the caller sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    Missing,
    NotAnObject,
    OddType(&'static str),
    InexactNumber,
    Unreadable,
    /// A path, URL or URI that does not mean the same to everyone.
    Ambiguous(&'static str),
    /// The resource's URI is so.
    AmbiguousName(&'static str),
    TooLarge,
    NotBool,
    Failed(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::NotAnObject => f.write_str("is inside something that is not an object"),
            Self::OddType(wanted) => write!(f, "is not {wanted}"),
            Self::InexactNumber => f.write_str("holds a number that not every reader reads alike"),
            Self::Unreadable => {
                f.write_str("can't be read: the arguments are not a JSON object without duplicate keys")
            }
            Self::AmbiguousName(reason) => write!(f, "the URI {reason}"),
            Self::Ambiguous(reason) => f.write_str(reason),
            Self::TooLarge => f.write_str("is about arguments too large for an expression that loops over them"),
            Self::NotBool => f.write_str("is neither true nor false"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}
