//! Approvals outlive the process, in either database, and gateways that share one share them.

use super::{OLLI, POLICY, Scene, dana, erase, setup, text, upstream};
use crate::support::gateway::{Gateway, JOURNAL_DEADLINE, Setup};
use crate::support::http::{Request, fetch};
use crate::support::postgres::Postgres;
use crate::support::process::{PATIENCE, wait_until};
use serde_json::json;
use std::path::Path;
use tempfile::TempDir;

/// Which database.
pub enum Store {
    Sqlite(TempDir),
    Postgres(Postgres, TempDir),
}

impl Store {
    pub async fn both() -> [Self; 2] {
        [Self::Sqlite(TempDir::new().unwrap()), Self::Postgres(Postgres::start().await, TempDir::new().unwrap())]
    }

    fn folder(&self) -> &Path {
        match self {
            Self::Sqlite(folder) | Self::Postgres(_, folder) => folder.path(),
        }
    }

    /// `setup` with it, and with a journal that the next gateway finds.
    pub fn used_by(&self, setup: Setup, name: &str) -> Setup {
        let journal = self.folder().join(format!("{name}.db"));
        let store = match self {
            Self::Sqlite(folder) => folder.path().join("work.db").display().to_string(),
            Self::Postgres(postgres, _) => postgres.url("admin"),
        };
        let state = self.folder().join(format!("{name}-state.db"));
        setup
            .with("journal", json!({ "path": journal, "deadline": JOURNAL_DEADLINE }))
            .with("work", json!({ "store": store }))
            .with("state", json!({ "path": state }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_survives_the_end_of_the_process() {
    for store in Store::both().await {
        let upstream = upstream().await;
        let gateway = store.used_by(setup(&upstream, POLICY), "one").start().await;
        let mut scene = Scene { upstream, gateway };
        let call = erase(&dana(), &json!({"id": 1}));
        let id = scene.asks(&call).await;
        scene.gateway.process.signal("-KILL");
        assert!(!scene.gateway.process.end().await);
        scene.gateway = store.used_by(setup(&scene.upstream, POLICY), "one").start().await;
        assert_eq!(scene.asks(&call).await, id);
        scene.approve(&id).await;
        scene.gateway.process.signal("-KILL");
        assert!(!scene.gateway.process.end().await);
        scene.gateway = store.used_by(setup(&scene.upstream, POLICY), "one").start().await;
        assert_eq!(text(&scene.call(&call).await), "fine");
        assert_eq!(scene.upstream.calls().len(), 1);
    }
}

/// The id of the first approval that `gateway` lists.
async fn first_listed(gateway: &Gateway) -> Option<String> {
    let request = Request::get("/api/approvals").bearer(&OLLI.token(gateway));
    let listed = fetch(gateway.admin(), &request).await.message();
    Some(listed["approvals"][0]["id"].as_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_share_a_database_share_approvals_and_redeem_each_once() {
    let [_, store] = Store::both().await;
    let upstream = upstream().await;
    let policy = POLICY.replace("ttl: 10m", "ttl: 10m, wait: 1m");
    let other = store.used_by(setup(&upstream, &policy), "two").start().await;
    let gateway = store.used_by(setup(&upstream, &policy), "one").start().await;
    let scene = Scene { upstream, gateway };
    // A call waits at each, the second for what the first has asked; a person decides at one.
    let call = erase(&dana(), &json!({}));
    let second = async {
        wait_until("the approval is there", PATIENCE, async || first_listed(&scene.gateway).await).await;
        scene.gateway.send(&call).await
    };
    let approving = async {
        for gateway in [&other, &scene.gateway] {
            let reviewed = "portcullis_decisions_total{effect=\"review\"} 1\n";
            let decided = async || gateway.metrics().await.contains(reviewed).then_some(());
            wait_until("the call is to be reviewed", PATIENCE, decided).await;
        }
        // A call looks for its approval right after that decision, so before what the same store is asked here.
        let listed = [first_listed(&other).await, first_listed(&scene.gateway).await];
        assert_eq!(listed[0], listed[1]);
        scene.approve(listed[0].as_ref().unwrap()).await;
    };
    let (one, two, ()) = tokio::join!(second, other.send(&call), approving);
    let statuses = [one.status, two.status];
    assert!(statuses == [200, 409] || statuses == [409, 200], "{} {}", one.text(), two.text());
    assert_eq!(scene.upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_decisions_at_once_one_counts() {
    for store in Store::both().await {
        let upstream = upstream().await;
        let limit = json!({"pending": 1000});
        let one = store.used_by(setup(&upstream, POLICY), "one").with("approvals", limit).start().await;
        let other = match &store {
            Store::Postgres(..) => Some(store.used_by(setup(&upstream, POLICY), "two").start().await),
            Store::Sqlite(_) => None,
        };
        let scene = Scene { upstream, gateway: one };
        let second = other.as_ref().unwrap_or(&scene.gateway);
        for round in 0..40 {
            let id = scene.asks(&erase(&dana(), &json!({ "round": round }))).await;
            let verb = if round % 2 == 0 { "approve" } else { "deny" };
            let omar = super::Who("omar", &["oncall"]);
            let (first, other) =
                tokio::join!(scene.decide(&id, "approve", OLLI, ""), super::decide_at(second, &id, verb, omar, ""));
            let mut statuses = [first.status, other.status];
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 409], "{} {}", first.text(), other.text());
            let shown = scene.show(&id).await;
            assert_eq!(shown["votes"].as_array().unwrap().len(), 1, "{shown}");
        }
    }
}
