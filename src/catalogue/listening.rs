//! Listens to an upstream for as long as it says that its lists change, so that they are asked for when they do and not
//! only when they run out.

use crate::catalogue::Catalogue;
use crate::telemetry::metrics::Metrics;
use crate::upstream::client::Client;
use crate::upstream::listen::{EVENT, Ear, Heard};
use crate::upstream::pool::Pool;
use portcullis_core::mcp::news::{Interests, News};
use portcullis_core::reject::Era;
use std::sync::Arc;
use tokio::sync::mpsc;

/// News that wait to be looked at.
const AHEAD: usize = 16;

/// What it takes to listen to an upstream.
pub struct Listening {
    /// Sends.
    pub client: Arc<Client>,
    /// Says what the upstream says of itself.
    pub catalogue: Arc<Catalogue>,
    /// Are told whether it is heard.
    pub metrics: Arc<Metrics>,
    /// The upstream.
    pub pool: Arc<Pool>,
}

impl Listening {
    /// Listens until it is stopped.
    pub async fn run(self) {
        let upstream = &self.pool.upstream.name;
        let mut changes = self.catalogue.changes();
        loop {
            changes.mark_unchanged();
            match self.wanted() {
                Some(wanted) => self.listen(&wanted).await,
                None => {
                    self.metrics.not_listening(upstream);
                    // The catalogue is ours and lives, so this can't fail.
                    let _ = changes.changed().await;
                }
            }
        }
    }

    /// What there is to hear of it: the lists that it says change, in the era that it speaks.
    fn wanted(&self) -> Option<(Era, Interests)> {
        let catalog = self.catalogue.current.load();
        let upstream = catalog.upstreams.get(&self.pool.upstream.name)?;
        let changes = |list: &str| upstream.about.says(list, "listChanged");
        let (tools, prompts, resources) = (changes("tools"), changes("prompts"), changes("resources"));
        let wanted = Interests { tools, prompts, resources, ..Interests::default() };
        (!wanted.is_empty()).then_some((upstream.era, wanted))
    }

    /// Listens for as long as this is what there is to hear.
    async fn listen(&self, wanted: &(Era, Interests)) {
        let upstream = &self.pool.upstream.name;
        let (sender, mut heard) = mpsc::channel(AHEAD);
        let (client, pool) = (Arc::clone(&self.client), Arc::clone(&self.pool));
        let (era, interests) = wanted.clone();
        let ear = Ear { client, pool, era, interests, caller: None, headers: Vec::new(), event: EVENT };
        self.metrics.listening(upstream, false);
        let listen = ear.listen(0, sender);
        tokio::pin!(listen);
        loop {
            let told = tokio::select! {
                told = heard.recv() => told,
                () = &mut listen => return,
            };
            match told {
                // What happened before is not known.
                Some((_, Heard::Begun(_))) => {
                    self.metrics.listening(upstream, true);
                    self.pool.ask_again();
                }
                Some((_, Heard::News(News::Tools | News::Prompts | News::Resources))) => self.pool.ask_again(),
                // Of the gateway itself, in nobody's name.
                Some((_, Heard::Asked(method))) => {
                    self.metrics.question(&method, "refused");
                    tracing::debug!(upstream, "an upstream asks something on its stream of news, and is refused");
                }
                Some((_, Heard::News(News::Updated(_) | News::Task(_)) | Heard::Task { .. })) => {}
                Some((_, Heard::Lost)) => {
                    self.metrics.listening(upstream, false);
                    if self.wanted().as_ref() != Some(wanted) {
                        return;
                    }
                }
                None => return,
            }
        }
    }
}
