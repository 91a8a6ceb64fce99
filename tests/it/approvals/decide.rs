//! Who may decide, who may see, and what the agent is told.

use super::{OLLI, POLICY, Scene, Who, asked, dana, erase, scene, text};
use crate::support::http::{Request, fetch};
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens::Claims;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_until_a_person_approves_and_then_runs_once() {
    let scene = scene(POLICY).await;
    let call = erase(&dana(), &json!({"id": 7, "why": "old"}));
    let id = scene.asks(&call).await;
    let again = erase(&dana(), &json!({"why": "old", "id": 7}));
    assert_eq!(scene.asks(&again).await, id, "the same call in another spelling finds the same approval");
    assert!(scene.upstream.calls().is_empty());

    let listed = scene.api("GET", "/api/approvals?state=pending", &OLLI.token(&scene.gateway), json!(null)).await;
    assert_eq!(listed.message()["approvals"][0]["id"], id.as_str(), "{}", listed.text());
    scene.approve(&id).await;
    assert_eq!(text(&scene.call(&call).await), "fine");
    assert_ne!(scene.asks(&call).await, id, "it was good for one call");
    assert_eq!(scene.upstream.calls().len(), 1);

    let rows = scene.rows(&id).await;
    let said: Vec<_> = rows
        .iter()
        .map(|row| [&row["method"], &row["subject"], &row["outcome"]].map(|it| it.as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ["tools/call", "dana", "refused"],
            ["tools/call", "dana", "refused"],
            ["approvals/approve", "olli", "ok"],
            ["tools/call", "dana", "ok"],
        ]
    );
    assert_eq!(rows[2]["client"], "127.0.0.1", "from where it was decided");
    let shown = scene.show(&id).await;
    assert_eq!((&shown["state"], &shown["call"]), (&json!("redeemed"), &rows[3]["call_id"]), "{shown}");
    let metrics = scene.gateway.metrics().await;
    for series in ["opened\"} 2", "approved\"} 1", "redeemed\"} 1"] {
        assert!(metrics.contains(&format!("portcullis_approvals_total{{event=\"{series}")), "{series} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_decides_who_may_not() {
    let scene = scene(POLICY).await;
    let id = scene.asks(&erase(&dana(), &json!({}))).await;
    let path = format!("/api/approvals/{id}");
    let status = async |who: Who, verb: &str| scene.decide(&id, verb, who, "").await.status;
    // 149: the same human, whichever client acts for them.
    let own =
        Claims::new("dana", &["oncall"]).with("azp", json!("another")).with("aud", json!(scene.gateway.ready.admin));
    for verb in ["approve", "deny"] {
        let response = scene.api("POST", &format!("{path}/{verb}"), &own.sign(), json!({})).await;
        assert_eq!(response.status, 403, "{}", response.text());
        assert_eq!(status(Who("vio", &["developer"]), verb).await, 404);
        assert_eq!(status(Who("aude", &["auditor"]), verb).await, 403, "may see, not decide");
    }
    // 152: another tenant's are not there.
    let foreign = Claims::new("olli", &["oncall", "auditor"]).with("tid", json!("other"));
    let foreign = foreign.with("aud", json!(scene.gateway.ready.admin)).sign();
    for (method, path) in
        [("GET", path.clone()), ("POST", format!("{path}/approve")), ("POST", format!("{path}/withdraw"))]
    {
        assert_eq!(scene.api(method, &path, &foreign, json!({})).await.status, 404);
    }
    let listed = scene.api("GET", "/api/approvals", &foreign, json!(null)).await;
    assert_eq!(listed.message()["approvals"], json!([]));
    // What an agent has for the gateway, and nothing, are no keys.
    assert_eq!(scene.api("POST", &format!("{path}/approve"), &dana(), json!({})).await.status, 401);
    let bare = Request::post(&format!("{path}/approve"), "{}");
    assert_eq!(fetch(scene.gateway.admin(), &bare).await.status, 401);
    // 157: who looks decides nothing.
    let looked = scene.api("GET", &format!("{path}/approve"), &OLLI.token(&scene.gateway), json!(null)).await;
    assert_eq!(looked.status, 405);
    // 156: ids are not guessed.
    let guessed = format!("/api/approvals/{}", "0".repeat(32));
    assert_eq!(scene.api("GET", &guessed, &OLLI.token(&scene.gateway), json!(null)).await.status, 404);
    assert_eq!(scene.show(&id).await["state"], "pending");
    assert!(scene.upstream.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_with_its_reason_and_stands() {
    let scene = scene(POLICY).await;
    let call = erase(&dana(), &json!({"id": 1}));
    let id = scene.asks(&call).await;
    assert_eq!(scene.decide(&id, "deny", OLLI, "not on a Friday").await.status, 200);
    for _ in 0..2 {
        let said = scene.call(&call).await;
        assert!(text(&said).contains("not on a Friday"), "{said}");
    }
    assert_eq!(scene.decide(&id, "approve", OLLI, "").await.status, 409);
    assert!(scene.upstream.calls().is_empty());
    let row = scene.gateway.ended_call(|row| row["error"] == "approval_denied").await;
    assert_eq!((&row["approval_id"], &row["outcome"]), (&json!(id), &json!("refused")));
    let said = scene.gateway.ended_call(|row| row["method"] == "approvals/deny").await;
    assert_eq!(said["detail"], "not on a Friday");
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_rule_names_no_more_can_neither_refuse_nor_look() {
    let scene = scene(POLICY).await;
    let id = scene.asks(&erase(&dana(), &json!({"id": 1}))).await;
    let seen = async || {
        let path = format!("/api/approvals/{id}");
        scene.api("GET", &path, &OLLI.token(&scene.gateway), json!(null)).await.status
    };
    assert_eq!(seen().await, 200);
    let changed = POLICY.replace("approvers: [oncall]", "approvers: [security]");
    scene.policy(&changed, async || seen().await == 404).await;
    for verb in ["deny", "approve"] {
        assert_eq!(scene.decide(&id, verb, OLLI, "").await.status, 404, "{verb}");
        assert_eq!(scene.decide(&id, verb, Who("sue", &["security"]), "").await.status, 404, "nor whom it names since");
    }
    let auditor = Who("aude", &["auditor", "oncall"]);
    assert_eq!(scene.decide(&id, "deny", auditor, "").await.status, 403, "who may see it still can't decide");
    let shown = scene.api("GET", &format!("/api/approvals/{id}"), &auditor.token(&scene.gateway), json!(null)).await;
    assert_eq!((&shown.message()["state"], &shown.message()["may_decide"]), (&json!("pending"), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_needs_different_people_and_a_withdrawn_one_is_gone() {
    let scene = scene(&POLICY.replace("ttl: 10m", "ttl: 10m, quorum: 2")).await;
    let call = erase(&dana(), &json!({}));
    let id = scene.asks(&call).await;
    scene.approve(&id).await;
    assert_eq!(scene.decide(&id, "approve", OLLI, "").await.status, 409, "one person, one vote");
    assert_eq!(scene.asks(&call).await, id);
    assert_eq!(scene.decide(&id, "approve", Who("omar", &["oncall"]), "").await.status, 200);
    assert_eq!(text(&scene.call(&call).await), "fine");

    let id = scene.asks(&call).await;
    assert_eq!(scene.decide(&id, "withdraw", Who("dana", &["developer"]), "").await.status, 200);
    assert_eq!(scene.decide(&id, "approve", OLLI, "").await.status, 409);
    assert_ne!(scene.asks(&call).await, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_rules_that_want_a_review_each_is_asked_and_renaming_one_changes_nothing() {
    for id in ["a-large", "z-large"] {
        let large = format!(
            "  - {{ id: {id}, effect: review, tools: [crm.erase], when: \"args.n > 10\", approvers: [security], quorum: 2 }}\n"
        );
        let scene = scene(&POLICY.replace("redaction:", &format!("{large}redaction:"))).await;
        let call = erase(&dana(), &json!({"n": 11}));
        let id = scene.asks(&call).await;
        assert_eq!(scene.show(&id).await["terms"]["demands"].as_array().unwrap().len(), 2);
        scene.approve(&id).await;
        assert_eq!(scene.asks(&call).await, id, "those of one rule do not speak for the other");
        for name in ["sam", "sue"] {
            assert_eq!(scene.asks(&call).await, id);
            assert_eq!(scene.decide(&id, "approve", Who(name, &["security"]), "").await.status, 200);
        }
        assert_eq!(text(&scene.call(&call).await), "fine");
        let small = erase(&dana(), &json!({"n": 10}));
        let id = scene.asks(&small).await;
        scene.approve(&id).await;
        assert_eq!(text(&scene.call(&small).await), "fine");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_may_wait_is_answered_as_soon_as_it_is_approved() {
    let scene = scene(&POLICY.replace("ttl: 10m", "ttl: 10m, wait: 1m")).await;
    let call = erase(&dana(), &json!({}));
    let approving = async {
        let id = wait_until("the approval is there", PATIENCE, async || {
            let listed = scene.api("GET", "/api/approvals", &OLLI.token(&scene.gateway), json!(null)).await.message();
            Some(listed["approvals"][0]["id"].as_str()?.to_owned())
        });
        scene.approve(&id.await).await;
    };
    let (said, ()) = tokio::join!(scene.call(&call), approving);
    assert_eq!(text(&said), "fine");
    assert_eq!(scene.upstream.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_what_is_really_sent_and_no_more_than_they_may() {
    let scene = scene(POLICY).await;
    let id = scene
        .asks(&erase(&dana(), &json!({"to": "ana@example.com", "file": "a\u{202e}txt.exe", "p\u{430}y": "x\u{200b}y"})))
        .await;
    let shown = scene.show(&id).await;
    let arguments = shown["matter"]["arguments"].as_str().unwrap();
    assert!(!arguments.contains("ana@example.com"), "{arguments}");
    for spelled in ["\\u{202e}", "\\u{200b}", "\\u{430}"] {
        assert!(arguments.contains(spelled), "{spelled} in {arguments}");
    }
    assert!(!arguments.contains(['\u{202e}', '\u{200b}']), "{arguments}");
    assert_eq!(shown["terms"]["demands"][0]["why"], "It can't be undone.");
    assert_eq!((&shown["matter"]["class"], &shown["may_decide"]), (&json!("destructive"), &json!(true)));
    assert!(shown["digest"].is_null(), "it is nobody's business: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_of_the_own_tenant_page_by_page_whatever_others_ask_for() {
    let scene = scene(POLICY).await;
    let call = |who: &str, tenant: &str, id: u32| {
        let claims = Claims::new(who, &["developer"]).with("tid", json!(tenant));
        erase(&claims.sign(), &json!({ "id": id }))
    };
    let mut wanted = Vec::new();
    for id in 0..3 {
        wanted.insert(0, scene.asks(&call("dana", "one", id)).await);
        scene.asks(&call("dora", "one", id)).await;
        scene.asks(&call("dana", "other", id)).await;
    }
    let listed = async |who: &str, query: &str| {
        let roles: &[&str] = if who == "olli" { &["oncall"] } else { &["developer"] };
        let claims = Claims::new(who, roles).with("tid", json!("one")).with("aud", json!(scene.gateway.ready.admin));
        scene.api("GET", &format!("/api/approvals?{query}"), &claims.sign(), json!(null)).await.message()
    };
    let all = listed("olli", "state=pending").await;
    assert_eq!((all["approvals"].as_array().unwrap().len(), &all["next"]), (6, &json!(null)), "{all}");
    assert_eq!(listed("olli", "state=expired").await["approvals"], json!([]));
    let (mut found, mut query) = (Vec::new(), "limit=1".to_owned());
    loop {
        let page = listed("dana", &query).await;
        found.extend(page["approvals"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("limit=1&before={next}");
    }
    assert_eq!(found, wanted, "her own, newest first, each once");
    let foreign = listed("olli", &format!("before={}", scene.asks(&call("dana", "other", 9)).await)).await;
    assert_eq!(foreign["status"], 404, "{foreign}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_can_t_fill_the_inbox() {
    let upstream = super::upstream().await;
    let gateway = super::setup(&upstream, POLICY).with("approvals", json!({"pending": 2})).start().await;
    let scene = Scene { upstream, gateway };
    for id in 0..2 {
        scene.asks(&erase(&dana(), &json!({ "id": id }))).await;
    }
    let refused = scene.gateway.send(&erase(&dana(), &json!({"id": 2}))).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")), "{}", refused.text());
    asked(&scene.call(&erase(&dana(), &json!({"id": 1}))).await);
    let other = crate::support::tokens::token("dora", &["developer"]);
    scene.asks(&erase(&other, &json!({"id": 2}))).await;
}
