//! Streams of older revisions that we ask for: the one that a session has for what the server says by itself, and those
//! of requests that broke off and are taken up again (MCP 2025-11-25 "Resumability and Redelivery").

use super::bridge::Bridge;
use super::exchange::{Events, Kind, Place, kind};
use super::http::Failure;
use super::refusal::Refusal;
use super::session::{Session, over};
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName};
use std::sync::Arc;
use std::time::Duration;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The pause before the first new attempt; each in vain doubles it.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// How often in a row the stream of a request is taken up in vain.
const ATTEMPTS: u32 = 6;

/// How a stream that was asked for ended.
enum Ended {
    /// With what was waited for.
    Answered(Bytes),
    /// It broke off, or there was none for now.
    Broken {
        /// Whether anything came of it.
        alive: bool,
    },
    /// The server has none.
    Refused(Refusal),
}

/// Passes on what the server says by itself, for as long as the session lasts.
pub async fn listen(bridge: Arc<Bridge>, session: Arc<Session>) {
    let over = session.over.clone();
    tokio::select! {
        () = over.cancelled() => {}
        () = keep_listening(&bridge, &session) => {}
    }
}

async fn keep_listening(bridge: &Arc<Bridge>, session: &Arc<Session>) {
    let mut place = None;
    let mut in_vain = 0;
    loop {
        match once(bridge, session, &mut place, None, None).await {
            Ended::Answered(_) => return,
            Ended::Broken { alive: true } => in_vain = 0,
            Ended::Broken { alive: false } => in_vain += 1,
            Ended::Refused(refusal) => {
                match (session.is_lost(&refusal), refusal.status) {
                    // No request is at stake.
                    (Some(_), _) => bridge.renew_for_nobody(session),
                    // MCP 2025-11-25 "Listening for Messages from the Server".
                    (_, 405) => tracing::debug!("the server says nothing by itself"),
                    _ => tracing::warn!(error = %refusal.logged(), "what the server says by itself can't be had"),
                }
                return;
            }
        }
        tokio::time::sleep(pause(place.as_ref(), in_vain)).await;
    }
}

/// Takes up the stream of the request with the raw id `id`; gives its response.
///
/// # Errors
/// Why there is none. The request may have run.
pub async fn resume(bridge: &Arc<Bridge>, session: &Arc<Session>, id: &[u8], place: Place) -> Result<Bytes, Refusal> {
    let mut place = Some(place);
    let mut in_vain = 0;
    while in_vain < ATTEMPTS {
        tokio::time::sleep(pause(place.as_ref(), in_vain)).await;
        match once(bridge, session, &mut place, Some(id), Some(bridge.channel.timeout)).await {
            Ended::Answered(line) => return Ok(line),
            Ended::Broken { alive: true } => in_vain = 0,
            Ended::Broken { alive: false } => in_vain += 1,
            Ended::Refused(refusal) if session.is_lost(&refusal).is_some() => {
                bridge.renew_for_nobody(session);
                return Err(over("before the answer came. The request may have run, so it was not sent again"));
            }
            Ended::Refused(_) => break,
        }
    }
    let failure = Failure::Broken("its stream could not be taken up again".into());
    Err(Refusal::of(&failure, &bridge.channel.http))
}

async fn once(
    bridge: &Bridge,
    session: &Session,
    place: &mut Option<Place>,
    id: Option<&[u8]>,
    silence: Option<Duration>,
) -> Ended {
    let mut headers: HeaderMap = session.headers();
    if let Some(place) = place {
        headers.insert(LAST_EVENT_ID, place.id.clone());
    }
    let Ok(response) = bridge.channel.http.get(&headers).await else { return Ended::Broken { alive: false } };
    if kind(&response) != Some(Kind::Events) {
        let status = response.status().as_u16();
        let refusal = Refusal::read(response, &bridge.channel.http).await;
        // 409: the server has not noticed yet that the last one ended. 429 and 5xx pass.
        let passes = matches!(status, 409 | 429 | 500..=599) && status != 501;
        return if passes { Ended::Broken { alive: false } } else { Ended::Refused(refusal) };
    }
    let mut events = Events::new(response, silence);
    let followed = bridge.channel.follow(&mut events, id).await;
    *place = events.place().or(place.take());
    match followed {
        Ok(Some(line)) => Ended::Answered(line),
        _ => Ended::Broken { alive: events.count > 0 },
    }
}

/// The server's wish is followed, but not so closely that a server which ends each stream at once is asked all the time.
fn pause(place: Option<&Place>, in_vain: u32) -> Duration {
    let wish = place.and_then(|place| place.retry);
    let own = PAUSE.saturating_mul(1 << in_vain.min(10));
    let pause = if in_vain == 0 { wish.unwrap_or(own) } else { own.max(wish.unwrap_or_default()) };
    pause.clamp(Duration::from_millis(50), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn pauses_grow_within_bounds_and_follow_the_server() {
        let millis = |retry: Option<u64>, in_vain| {
            let place = Place { id: HeaderValue::from_static("1"), retry: retry.map(Duration::from_millis) };
            pause(Some(&place), in_vain).as_millis()
        };
        assert_eq!([0, 1, 2, 9, 99].map(|in_vain| millis(None, in_vain)), [500, 1000, 2000, 30_000, 30_000]);
        assert_eq!([0, 1, 2].map(|in_vain| millis(Some(1500), in_vain)), [1500, 1500, 2000]);
        assert_eq!([millis(Some(0), 0), millis(Some(u64::MAX), 0)], [50, 30_000]);
    }
}
