//! Reading the outside of a token. The gateway's own files, and a way into them.

#[path = "../../../../src/identity/bearer.rs"]
mod bearer;
#[path = "../../../../src/identity/json.rs"]
mod json;
#[path = "../../../../src/identity/jwt.rs"]
mod jwt;
#[path = "../../../../src/identity/refusal.rs"]
mod refusal;

pub use bearer::bearer;

/// What a token says of itself: the algorithm's name, the key's id, and the claims.
pub type Said = (String, Option<String>, serde_json::Map<String, serde_json::Value>);

/// Takes a token apart; `None` where it is refused.
pub fn parse(token: &str) -> Option<Said> {
    let token = jwt::parse(token).ok()?;
    Some((format!("{:?}", token.algorithm), token.kid, token.claims))
}

/// The object that strict JSON is, no key twice.
pub fn strict(bytes: &[u8]) -> Option<serde_json::Map<String, serde_json::Value>> {
    json::object(bytes)
}
