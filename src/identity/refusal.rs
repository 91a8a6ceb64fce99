//! Why a token is refused, as labels for metrics and audit. Not what the caller reads: that is one text for all of
//! them, and it lives in `core::reject`.

use portcullis_core::reject::Rejection;

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is none, and one is needed.
    NoToken,
    /// It is not a compact JWS of at most 8 KiB with strict JSON inside (RFC 7515 section 3.1), a claim that must be a
    /// date is none, or the `Authorization` field does not carry exactly one bearer token.
    Malformed,
    /// It is meant for something else: an ID, refresh or logout token, or another `typ`.
    Type,
    /// Its header demands an extension (`crit`, RFC 7515 section 4.1.11); none is understood.
    Critical,
    /// Its algorithm is not one of the issuer's, or does not fit the key.
    Algorithm,
    /// Nobody we know issued it.
    UnknownIssuer,
    /// No key, or no single one, fits it.
    UnknownKey,
    /// Its signature is wrong.
    Signature,
    /// It never ends.
    NoExpiry,
    /// It has ended.
    Expired,
    /// It has not begun, or was issued in the future.
    NotYetValid,
    /// It does not say when it was issued, and its age matters.
    NoIssueTime,
    /// It was issued too long ago.
    TooOld,
    /// It is meant for another server.
    Audience,
    /// It does not say who calls in a form that can be passed on.
    Subject,
    /// It is bound to a key whose possession a bearer does not prove (claim `cnf`, RFC 7800 section 3).
    Bound,
}

impl Refusal {
    /// The metric and audit label. Stable.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Malformed => "malformed",
            Self::Type => "type",
            Self::Critical => "critical",
            Self::Algorithm => "algorithm",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::NoExpiry => "no_exp",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NoIssueTime => "no_iat",
            Self::TooOld => "too_old",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::Bound => "bound",
        }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Unauthenticated { reason: refusal.label() }
    }
}
