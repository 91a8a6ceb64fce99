//! The state that a modern upstream gives out in the middle of a call, for its client to bring back with the same call
//! (MCP 2026-07-28 "Multi Round-Trip Requests"). A client holds a seal in its place: what one caller was given opens for
//! nobody else, at no other endpoint, and for nothing else that is called.
//!
//! The states of calls that wait in this process are those of `converse::parking`.

use crate::pipeline::route::Call;
use crate::pipeline::{Live, clock};
use crate::secrets::seal::Seal;
use portcullis_core::jsonrpc;
use portcullis_core::reject::{Era, Rejection};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the seal of a state is for.
const PURPOSE: &str = "state";
/// The same for the state of a call that people have agreed to.
const AGREED: &str = "agreed state";
/// How long a client may take to answer what such a call was asked, before people are asked anew.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest seal of a state, in bytes: well below what a request may have, which has to bring it back.
const LONGEST: usize = 256 << 10;

/// Seals the states that one thing gives out to one caller.
#[derive(Clone)]
pub struct StateSeal {
    seal: Seal,
    /// Who calls, where, and what.
    bound: Vec<Vec<u8>>,
    /// By what people have agreed to the call.
    under: Option<Asked>,
}

/// A call that people have agreed to, in the middle of which its upstream asks for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The approval.
    pub approval: String,
    /// The `call_id` of the call.
    pub call: String,
}

/// What is sealed of such a call.
#[derive(Serialize, Deserialize)]
struct Agreed {
    #[serde(flatten)]
    asked: Asked,
    /// Until when it may be answered, in milliseconds since 1970.
    until: i64,
    /// The raw state, where the upstream gave one.
    state: Option<String>,
}

/// What a client brings back.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// The raw state that the upstream gave out; `None` where it gave none.
    pub state: Option<Vec<u8>>,
    /// The call that was asked, where people have agreed to it, and it may still be answered.
    pub asked: Option<Asked>,
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
        Self { seal: seal.up_to(LONGEST), bound, under: None }
    }

    /// The same for a call that people have agreed to: who answers what it is asked goes on with it.
    pub fn under(self, asked: Option<Asked>) -> Self {
        Self { under: asked, ..self }
    }

    /// Whether it gives out a state where the upstream gives none.
    pub fn is_needed(&self) -> bool {
        self.under.is_some()
    }

    /// What the client gets for `state`, a raw JSON string, or in place of one; `None` where it is too long.
    pub fn seal(&self, state: Option<&[u8]>) -> Option<String> {
        let Some(asked) = &self.under else { return self.seal.seal(PURPOSE, &self.parts(), state?) };
        let state = state.map(|raw| String::from_utf8(raw.to_vec())).transpose().ok()?;
        let until = clock::now().plus(PATIENCE).millis();
        let text = serde_json::to_vec(&Agreed { asked: asked.clone(), until, state }).ok()?;
        self.seal.seal(AGREED, &self.parts(), &text)
    }

    /// What the upstream gave out, and to which call, for `sealed`, the raw JSON string that the client brings.
    ///
    /// # Errors
    /// [`Rejection::InvalidParams`] where it was not given out here, for this.
    pub fn open(&self, sealed: &[u8]) -> Result<Opened, Rejection> {
        let sealed = jsonrpc::string(sealed).ok_or_else(unknown)?;
        if let Some(state) = self.seal.open(PURPOSE, &self.parts(), &sealed) {
            return Ok(Opened { state: Some(state), asked: None });
        }
        let text = self.seal.open(AGREED, &self.parts(), &sealed).ok_or_else(unknown)?;
        let agreed: Agreed = serde_json::from_slice(&text).map_err(|_| unknown())?;
        let in_time = clock::now().millis() < agreed.until;
        Ok(Opened { state: agreed.state.map(String::into_bytes), asked: in_time.then_some(agreed.asked) })
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
        let sealed = format!("\"{}\"", seal(&ana).seal(Some(state)).unwrap());
        let opened = Opened { state: Some(state.to_vec()), asked: None };
        assert_eq!(seal(&ana).open(sealed.as_bytes()).unwrap(), opened);
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
        let sealed = ana.seal(Some(&vec![b'x'; 150 << 10])).unwrap();
        assert!(ana.open(format!("\"{sealed}\"").as_bytes()).is_ok());
        assert_eq!(ana.seal(Some(&vec![b'x'; LONGEST])), None);
    }

    #[test]
    fn the_state_of_an_agreed_call_names_it_and_is_not_that_of_another() {
        let asked = Asked { approval: "a".repeat(32), call: "c".into() };
        let (plain, agreed) = (seal(&["ana"]), seal(&["ana"]).under(Some(asked.clone())));
        assert!(agreed.is_needed() && !plain.is_needed() && plain.seal(None).is_none());
        for state in [None, Some(&b"\"s\""[..])] {
            let sealed = format!("\"{}\"", agreed.seal(state).unwrap());
            let opened = Opened { state: state.map(<[u8]>::to_vec), asked: Some(asked.clone()) };
            assert_eq!(plain.open(sealed.as_bytes()).unwrap(), opened);
            assert!(seal(&["bob"]).open(sealed.as_bytes()).is_err());
        }
        let forged = serde_json::to_vec(&Agreed { asked: asked.clone(), until: i64::MAX, state: None }).unwrap();
        let forged = format!("\"{}\"", plain.seal(Some(&forged)).unwrap());
        assert_eq!(plain.open(forged.as_bytes()).unwrap().asked, None, "an upstream can't say that people agreed");
        let late = serde_json::to_vec(&Agreed { asked, until: 1, state: None }).unwrap();
        let late = format!("\"{}\"", plain.seal.seal(AGREED, &plain.parts(), &late).unwrap());
        assert_eq!(plain.open(late.as_bytes()).unwrap(), Opened { state: None, asked: None });
    }
}
