//! The stream of news that a client of 2026-07-28 asks for (MCP 2026-07-28 "Subscriptions").

use crate::pipeline::arrival::{Arrival, Target};
use crate::pipeline::feed::{Feed, Left, Nature, Voice, Word};
use crate::pipeline::news::{Listener, Wanted, Watch};
use crate::pipeline::parse::Request;
use crate::pipeline::record::{Ending, Record};
use crate::pipeline::streams::{Place, StreamEnd};
use crate::pipeline::{Gateway, Live, Verdict, forward, limit, task};
use bytes::Bytes;
use portcullis_core::audit::Outcome;
use portcullis_core::mcp::news::{Interests, acknowledgement, completion};
use portcullis_core::mcp::sse::Event;
use portcullis_core::redact::Counts;
use portcullis_core::reject::Rejection;
use std::sync::Arc;

/// Opens the stream that `request` asks for.
///
/// # Errors
/// Why it is refused. Nothing has left for an upstream then.
pub async fn subscribe(
    gateway: &Arc<Gateway>,
    live: &Live,
    arrival: &Arrival,
    request: Request,
    record: &mut Record,
) -> Result<Verdict, Rejection> {
    let Target::Endpoint(endpoint) = &request.target else { return Err(Rejection::Internal) };
    let caller = &request.caller;
    drop(limit::admit(gateway, live, caller, None, &endpoint.name)?);
    let params = request.frame.params.as_ref();
    let asked = params.and_then(|params| params.value("notifications")).map(|span| span.of(&request.body));
    record.arguments(&live.snapshot, asked.unwrap_or_default());
    let wanted = Interests::read(&request.body, params)?;
    if !wanted.tasks.is_empty() {
        task::check_declared(request.capabilities())?;
    }
    let place = gateway.streams.open(&caller.principal, live.snapshot.gateway.edge.streams)?;
    let listener = Listener::new(arrival, caller, request.protocol(), record.aside());
    let catalog = listener.catalog(gateway, live).await?;
    let readable = |uri: &String| listener.readable(live, &catalog, endpoint, uri).is_some();
    let updates = wanted.updates.into_iter().filter(readable).collect();
    // One of somebody else is as unknown as one that never was: it is not among what is acknowledged.
    let known = |id: String| Some((task::open(live, &caller.principal, &endpoint.name, &id).ok()?, id));
    let tasks = wanted.tasks.into_iter().filter_map(known);
    let tasks = tasks.filter(|(task, _)| listener.may_follow(live, &task.tool)).map(|(task, id)| (id, task)).collect();
    let tasks = Wanted { tasks, capabilities: Bytes::copy_from_slice(request.capabilities()) };
    let wanted = Interests { updates, tasks: Default::default(), ..wanted };
    if !wanted.updates.is_empty() || !tasks.tasks.is_empty() {
        record.intend().await?;
    }
    let id = request.id().ok_or(Rejection::Internal)?;
    let until = forward::expiry(live, &caller.principal);
    let gateway = Arc::clone(gateway);
    Ok(Verdict::Speak(Box::new(move |record| {
        let (feed, voice) = Feed::new(Nature::Standing, until);
        let subscription = Subscription { id, voice, said: 0, redacted: Counts::default(), acknowledged: false };
        tokio::spawn(run(gateway, (listener, wanted, tasks), subscription, place, record));
        feed
    })))
}

/// Speaks to the end, and closes the record.
async fn run(
    gateway: Arc<Gateway>,
    (listener, wanted, tasks): (Listener, Interests, Wanted),
    mut subscription: Subscription,
    _place: Place,
    mut record: Record,
) {
    let voice = subscription.voice.clone();
    let ended = tokio::select! {
        ended = subscription.speak(&gateway, listener, &wanted, tasks) => ended,
        why = voice.stopped() => subscription.end(why).await,
        () = voice.left() => Err(Left),
    };
    let outcome = if ended.is_ok() { Outcome::Ok } else { Outcome::Cancelled };
    record.standing(ended.unwrap_or(StreamEnd::ClientLeft));
    let (bytes_out, redactions) = (subscription.said, Some(&subscription.redacted));
    record.close(&Ending { bytes_out, redactions, ..Ending::plain(outcome, 200, 0) });
}

/// The gateway's part of a stream.
struct Subscription {
    /// The raw id of the request, which is that of the subscription.
    id: Bytes,
    voice: Voice,
    /// Bytes that were said.
    said: u64,
    /// What was redacted of it.
    redacted: Counts,
    /// Whether the first message was said.
    acknowledged: bool,
}

/// How a stream ended; or the client left.
type Ended = Result<StreamEnd, Left>;

impl Subscription {
    async fn speak(&mut self, gateway: &Arc<Gateway>, listener: Listener, wanted: &Interests, tasks: Wanted) -> Ended {
        let mut watch = match Watch::begin(gateway, listener, wanted, tasks).await {
            Ok(watch) => watch,
            Err(why) => return self.end(why).await,
        };
        self.acknowledge(watch.interests()).await?;
        if watch.interests().is_empty() {
            return self.complete(StreamEnd::NothingHonoured).await;
        }
        loop {
            let news = watch.next().await;
            self.redacted = watch.redactions().clone();
            match news {
                Ok(news) => self.say(news.iter().map(|news| news.write(Some(&self.id))).collect()).await?,
                Err(why) => return self.end(why).await,
            }
        }
    }

    /// The first message, which says what the stream is of.
    async fn acknowledge(&mut self, honoured: &Interests) -> Result<(), Left> {
        self.acknowledged = true;
        self.say(vec![acknowledgement(honoured, &self.id)]).await
    }

    /// Ends because of `why`.
    async fn end(&mut self, why: Rejection) -> Ended {
        self.complete(StreamEnd::because(&why)).await
    }

    /// The last message: the client knows that the stream ended, and did not break.
    async fn complete(&mut self, how: StreamEnd) -> Ended {
        if !self.acknowledged {
            self.acknowledge(&Interests::default()).await?;
        }
        self.say(vec![completion(&self.id)]).await?;
        Ok(how)
    }

    async fn say(&mut self, messages: Vec<Vec<u8>>) -> Result<(), Left> {
        let mut events = Vec::new();
        messages.iter().for_each(|message| Event::message(String::from_utf8_lossy(message)).write(&mut events));
        self.said += events.len() as u64;
        self.voice.say(Word::Events(events.into())).await
    }
}
