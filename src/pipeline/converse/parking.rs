//! The places of calls that wait for their clients, and the states by which clients find them again.
//!
//! A state is a seal: it opens for its principal at its endpoint, for the same request alone, until it is used or late. The
//! place is in this process; where that has ended, so has the call, and the client is told to call again.

use crate::pipeline::clock;
use crate::pipeline::converse::exchange::{Resumed, Waiting};
use crate::pipeline::converse::unheard::Unheard;
use crate::pipeline::route::Call;
use crate::secrets::seal::Seal;
use parking_lot::Mutex;
use portcullis_core::mcp::capabilities::Capabilities;
use portcullis_core::reject::Rejection;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// How long a call waits for its client.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// Calls that may wait at once.
const PLACES: usize = 1_000;
/// The same for the calls of one principal.
const PLACES_EACH: usize = 16;

/// What the seal of a state is for.
const PURPOSE: &str = "parked";

/// What a state is bound to: who asked, where, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    principal: Vec<u8>,
    endpoint: String,
    method: String,
    /// A digest of the tool, prompt or resource and the raw arguments.
    asked: [u8; 32],
    /// What the client can be asked for.
    capabilities: u8,
}

impl Binding {
    /// Of `call`.
    pub fn of(call: &Call) -> Self {
        let mut digest = Sha256::new();
        for part in [call.tool.upstream.as_bytes(), call.tool.tool.as_bytes(), call.arguments()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let request = &call.request;
        Self {
            principal: request.caller.principal.identity(),
            endpoint: request.target.name().to_owned(),
            method: request.frame.method.clone(),
            asked: digest.finalize().into(),
            capabilities: Capabilities::read(request.capabilities()).bits(),
        }
    }

    fn parts(&self) -> [&[u8]; 5] {
        let capabilities = std::slice::from_ref(&self.capabilities);
        [&self.principal, self.endpoint.as_bytes(), self.method.as_bytes(), &self.asked, capabilities]
    }
}

/// The places of calls that wait.
pub struct Parking {
    places: Mutex<HashMap<Uuid, Place>>,
    /// Calls that may have to wait, whether they do or not.
    calls: watch::Sender<usize>,
    closing: watch::Sender<bool>,
    /// Calls that go on without their clients.
    pub unheard: Unheard,
}

/// A call that may have to wait, until it is dropped.
pub struct Held(Arc<Parking>);

struct Place {
    principal: Vec<u8>,
    call: Uuid,
    resume: mpsc::Sender<Resumed>,
}

/// The place of a call that waits, until it is dropped.
pub struct Parked {
    parking: Arc<Parking>,
    number: Uuid,
    resumed: mpsc::Receiver<Resumed>,
    /// When it is too late.
    until: Instant,
}

impl Parking {
    /// No call waits.
    pub fn new() -> Arc<Self> {
        let (calls, closing) = (watch::Sender::new(0), watch::Sender::new(false));
        Arc::new(Self { places: Mutex::default(), calls, closing, unheard: Unheard::default() })
    }

    /// A place for `call`, the number of its intent in the record, and the state by which its client finds it.
    ///
    /// # Errors
    /// [`Rejection::TooManyWaiting`] where there is no place left, [`Rejection::ShuttingDown`].
    pub fn enter(self: &Arc<Self>, seal: &Seal, binding: &Binding, call: Uuid) -> Result<(Parked, String), Rejection> {
        let (resume, resumed) = mpsc::channel(1);
        // A number is used once, and with it the state.
        let number = Uuid::new_v4();
        let late = clock::now().plus(PATIENCE).millis();
        let text = [&number.as_bytes()[..], &late.to_be_bytes()].concat();
        let state = seal.seal(PURPOSE, &binding.parts(), &text).ok_or(Rejection::Internal)?;
        let mut places = self.places.lock();
        let of_principal = places.values().filter(|place| place.principal == binding.principal).count();
        if *self.closing.borrow() {
            return Err(Rejection::ShuttingDown);
        }
        if places.len() >= PLACES || of_principal >= PLACES_EACH {
            return Err(Rejection::TooManyWaiting);
        }
        places.insert(number, Place { principal: binding.principal.clone(), call, resume });
        drop(places);
        Ok((Parked { parking: Arc::clone(self), number, resumed, until: Instant::now() + PATIENCE }, state))
    }

    /// The call that waits for who brings `state`, which is used up by that.
    ///
    /// # Errors
    /// [`Rejection::InvalidParams`] for any other state.
    pub fn take(&self, seal: &Seal, binding: &Binding, state: &str) -> Result<Waiting, Rejection> {
        let text = seal.open(PURPOSE, &binding.parts(), state).ok_or_else(unknown)?;
        let (number, late) = text.split_first_chunk().ok_or_else(unknown)?;
        let late = late.try_into().map(i64::from_be_bytes).map_err(|_| unknown())?;
        if clock::now().millis() >= late {
            return Err(unknown());
        }
        let place = self.places.lock().remove(&Uuid::from_bytes(*number)).ok_or_else(unknown)?;
        Ok(Waiting { call: place.call, resume: place.resume })
    }

    /// A call begins that may have to wait.
    pub fn hold(self: &Arc<Self>) -> Held {
        self.calls.send_modify(|count| *count += 1);
        Held(Arc::clone(self))
    }

    /// Waits until no call is left that may have to wait, but no longer than `patience`.
    pub async fn ended(&self, patience: Duration) {
        let mut calls = self.calls.subscribe();
        let none_left = calls.wait_for(|count| *count == 0);
        if tokio::time::timeout(patience, none_left).await.is_err() {
            tracing::warn!("calls that wait for their clients are dropped");
        }
    }

    /// How many calls wait.
    pub fn count(&self) -> usize {
        self.places.lock().len()
    }

    /// No call waits any longer.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until no call may wait any longer.
    pub async fn closed(&self) {
        // An error would mean that nobody can close it any more, which `self` could.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

impl Parked {
    /// Waits for the client; `None` where it does not come back. To wait again goes on with the same wait.
    pub async fn resumed(&mut self) -> Option<Resumed> {
        tokio::select! {
            biased;
            resumed = self.resumed.recv() => return resumed,
            () = tokio::time::sleep_until(self.until.into()) => {}
            () = self.parking.closed() => {}
        }
        self.leave().await
    }

    /// Gives the place up. Whoever has found it by now has come in time, or is told that they have not.
    pub async fn leave(&mut self) -> Option<Resumed> {
        self.resumed.close();
        self.resumed.recv().await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.calls.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.parking.places.lock().remove(&self.number);
    }
}

/// How a state is refused that no call waits for.
pub fn unknown() -> Rejection {
    Rejection::InvalidParams("requestState is of no call that waits for this; call again without it".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(principal: &[u8]) -> Binding {
        let (endpoint, method) = ("work".to_owned(), "tools/call".to_owned());
        Binding { principal: principal.to_vec(), endpoint, method, asked: [0; 32], capabilities: 1 }
    }

    fn seal() -> Seal {
        Seal::new(b"a key").unwrap()
    }

    #[tokio::test]
    async fn a_place_is_found_once_and_by_its_own_state() {
        let (parking, seal, ana) = (Parking::new(), seal(), binding(b"ana"));
        let call = Uuid::from_u128(7);
        let (mut place, state) = parking.enter(&seal, &ana, call).unwrap();
        let mut odd = vec![binding(b"bob")];
        odd.push(Binding { endpoint: "docs".into(), ..ana.clone() });
        odd.push(Binding { method: "prompts/get".into(), ..ana.clone() });
        odd.push(Binding { asked: [1; 32], ..ana.clone() });
        odd.push(Binding { capabilities: 3, ..ana.clone() });
        assert!(odd.iter().all(|binding| parking.take(&seal, binding, &state).is_err()));
        assert_eq!(parking.count(), 1);
        let waiting = parking.take(&seal, &ana, &state).unwrap();
        assert_eq!(waiting.call, call);
        assert!(parking.take(&seal, &ana, &state).is_err(), "it is used up");
        drop(waiting);
        assert!(place.resumed().await.is_none(), "whoever took it does not come");
    }

    #[test]
    fn a_state_is_late_or_of_another_process_and_finds_nothing() {
        let (parking, seal, ana) = (Parking::new(), seal(), binding(b"ana"));
        let (place, state) = parking.enter(&seal, &ana, Uuid::nil()).unwrap();
        let late = [&place.number.as_bytes()[..], &0_i64.to_be_bytes()].concat();
        let late = seal.seal(PURPOSE, &ana.parts(), &late).unwrap();
        assert!(parking.take(&seal, &ana, &late).is_err());
        assert!(Parking::new().take(&seal, &ana, &state).is_err());
        drop(place);
        assert!(parking.take(&seal, &ana, &state).is_err() && parking.count() == 0);
    }

    #[tokio::test]
    async fn places_are_bounded_and_none_is_given_at_the_end() {
        let (parking, seal) = (Parking::new(), seal());
        let enter = |who: &[u8]| parking.enter(&seal, &binding(who), Uuid::nil());
        let mut taken: Vec<_> = (0..PLACES_EACH).map(|_| enter(b"ana").unwrap()).collect();
        assert_eq!(enter(b"ana").err(), Some(Rejection::TooManyWaiting));
        assert!(enter(b"bob").is_ok());
        taken.pop();
        let (mut place, _) = enter(b"ana").unwrap();
        let found = parking.places.lock()[&place.number].resume.clone();
        parking.close();
        assert_eq!(enter(b"cyd").err(), Some(Rejection::ShuttingDown));
        assert!(place.resumed().await.is_none());
        assert!(found.is_closed(), "who has found it before learns that it is too late");
        let held = parking.hold();
        drop(held);
        parking.ended(Duration::from_secs(60)).await;
    }
}
