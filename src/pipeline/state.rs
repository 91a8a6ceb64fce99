//! The state that a modern upstream gives out in the middle of a call, for its client to bring back with the same call
//! (MCP 2026-07-28 "Multi Round-Trip Requests"). A client holds a seal in its place: what one caller was given opens for
//! nobody else, at no other endpoint, and for nothing else that is called.
//!
//! The states of calls that wait in this process are those of `converse::parking`.

use crate::pipeline::Live;
use crate::pipeline::route::Call;
use crate::secrets::seal::Seal;
use portcullis_core::jsonrpc;
use portcullis_core::reject::{Era, Rejection};

/// What the seal of a state is for.
const PURPOSE: &str = "state";
/// The longest seal of a state, in bytes: well below what a request may have, which has to bring it back.
const LONGEST: usize = 256 << 10;

/// Seals the states that one thing gives out to one caller.
#[derive(Clone)]
pub struct StateSeal {
    seal: Seal,
    /// Who calls, where, and what.
    bound: Vec<Vec<u8>>,
}

impl StateSeal {
    /// For the states of `call`; `None` where its caller, or its upstream of the era `upstream`, has none.
    pub fn new(live: &Live, call: &Call, upstream: Era) -> Option<Self> {
        let request = &call.request;
        if (request.message.era, upstream) != (Era::Modern, Era::Modern) || !call.is_use() {
            return None;
        }
        let bound = [
            request.caller.principal.identity(),
            request.target.name().into(),
            request.frame.method.clone().into(),
            call.tool.upstream.clone().into(),
            call.tool.tool.clone().into(),
        ];
        Some(Self::of(live.seal.clone(), bound.into()))
    }

    /// The same, with what it is made from.
    pub fn of(seal: Seal, bound: Vec<Vec<u8>>) -> Self {
        Self { seal: seal.up_to(LONGEST), bound }
    }

    /// What the client gets for `state`, a raw JSON string; `None` where it is too long.
    pub fn seal(&self, state: &[u8]) -> Option<String> {
        self.seal.seal(PURPOSE, &self.parts(), state)
    }

    /// The raw JSON string that the upstream gave out, for `sealed`, the raw one that the client brings.
    ///
    /// # Errors
    /// [`Rejection::InvalidParams`] where it was not given out here, for this.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Rejection> {
        let sealed = jsonrpc::string(sealed).ok_or_else(unknown)?;
        self.seal.open(PURPOSE, &self.parts(), &sealed).ok_or_else(unknown)
    }

    fn parts(&self) -> Vec<&[u8]> {
        self.bound.iter().map(Vec::as_slice).collect()
    }
}

/// How a state is refused that was not given to this caller for this call.
fn unknown() -> Rejection {
    Rejection::InvalidParams("requestState was not given to you for this call; call again without it".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(parts: &[&str]) -> StateSeal {
        let bound = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        StateSeal::of(Seal::new(b"a key").unwrap(), bound)
    }

    #[test]
    fn a_state_comes_back_byte_by_byte_to_what_gave_it_out() {
        let ana = ["ana", "work", "tools/call", "crm", "ask"];
        let state = r#""\u00e9é\/""#.as_bytes();
        let sealed = format!("\"{}\"", seal(&ana).seal(state).unwrap());
        assert_eq!(seal(&ana).open(sealed.as_bytes()).unwrap(), state);
        for at in 0..ana.len() {
            let mut other = ana;
            other[at] = "other";
            assert!(seal(&other).open(sealed.as_bytes()).is_err(), "{other:?}");
        }
        for odd in ["\"\"", "\"s\"", "7", r#""\ud800""#, &sealed.to_lowercase()] {
            assert!(seal(&ana).open(odd.as_bytes()).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_long_state_is_sealed_and_one_without_end_is_not() {
        let ana = seal(&["ana"]);
        let sealed = ana.seal(&vec![b'x'; 150 << 10]).unwrap();
        assert!(ana.open(format!("\"{sealed}\"").as_bytes()).is_ok());
        assert_eq!(ana.seal(&vec![b'x'; LONGEST]), None);
    }
}
