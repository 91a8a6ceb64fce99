//! Many calls that want to redeem the same approval at the same instant, through one gateway and through two that share a
//! Postgres: each approval lets one call through, and the upstream counts.

use super::stores::Store;
use super::{POLICY, Scene, dana, erase, setup, upstream};
use crate::support::http::{Connection, Version};
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Calls at the same time.
const AT_ONCE: usize = 20;

/// How often an approval is wanted in all: `make soak` sets more than everyday tests have time for.
fn attempts() -> usize {
    std::env::var("PORTCULLIS_REDEEMS").map_or(1000, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_calls_at_once_one_redeems_each_approval() {
    for store in Store::both().await {
        let upstream = upstream().await;
        let start = async |name| {
            let setup = store.used_by(setup(&upstream, POLICY), name);
            setup.with("approvals", json!({"pending": 1_000_000})).start().await
        };
        let gateway = start("one").await;
        let other = match &store {
            Store::Postgres(..) => Some(start("two").await),
            Store::Sqlite(_) => None,
        };
        let scene = Scene { upstream, gateway };
        let gateways = [&scene.gateway, other.as_ref().unwrap_or(&scene.gateway)];
        let authority = |number: usize| gateways[number % 2].authority();
        let open = (0..AT_ONCE).map(|number| Connection::open(authority(number), Version::Http1));
        let mut connections = join_all(open).await;
        let rounds = attempts() / AT_ONCE;
        for round in 0..rounds {
            let call = erase(&dana(), &json!({ "round": round }));
            let id = scene.asks(&call).await;
            scene.approve(&id).await;
            let answers = join_all(connections.iter_mut().map(|connection| connection.exchange(&call))).await;
            let messages: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().message()).collect();
            let ran = |message: &&Value| message["result"]["content"][0]["text"] == "fine";
            assert_eq!(messages.iter().filter(ran).count(), 1, "round {round}: {messages:?}");
        }
        let mut runs: BTreeMap<String, usize> = BTreeMap::new();
        for call in scene.upstream.calls() {
            *runs.entry(call.json()["params"]["arguments"].to_string()).or_default() += 1;
        }
        assert_eq!((runs.len(), runs.values().max()), (rounds, Some(&1)), "{runs:?}");
    }
}
