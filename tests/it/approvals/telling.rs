//! How people and scripts hear of approvals: the webhook and the command line.

use super::{OLLI, POLICY, Scene, dana, erase, scene, setup, text, upstream};
use crate::support::gateway::BINARY;
use crate::support::process::{PATIENCE, Process, wait_until};
use crate::support::upstream::{Answer, Speaks, Upstream};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr";

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_each_new_approval_signed_and_again_where_it_failed() {
    for slack in [false, true] {
        let (upstream, receiver) = (upstream().await, Upstream::start(Speaks::Modern, Vec::new()).await);
        let tries = AtomicUsize::new(0);
        receiver
            .behave(move |_| Some(Answer::nothing(if tries.fetch_add(1, Ordering::SeqCst) == 0 { 503 } else { 204 })));
        let webhook = json!({"url": receiver.url(), "secret": SECRET, "slack": slack});
        let gateway = setup(&upstream, POLICY).with("approvals", json!({ "webhook": webhook })).start().await;
        let scene = Scene { upstream, gateway };
        let call = erase(&dana(), &json!({"secret": "hush"}));
        let id = scene.asks(&call).await;
        scene.asks(&call).await;
        wait_until("it is told", PATIENCE, async || (receiver.seen().len() >= 2).then_some(())).await;
        let told = receiver.seen().pop().unwrap();
        let body = String::from_utf8(told.body.clone()).unwrap();
        assert!(body.contains(&format!("/approvals/{id}")) && !body.contains("hush"), "{body}");
        let said: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(said["text"].is_string(), slack, "{said}");
        let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.{}.{body}", told.header("webhook-timestamp").unwrap()).as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(told.header("webhook-signature"), Some(signature.as_str()));
        assert_eq!(told.header("webhook-id"), Some(id.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_decides_as_the_api_does() {
    let scene = scene(POLICY).await;
    let call = erase(&dana(), &json!({"id": 1}));
    let id = scene.asks(&call).await;
    let run = async |token: String, words: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg("approvals").args(words).args(["--url", &scene.gateway.ready.admin, "--token", &token]);
        let mut process = Process::spawn(&mut command);
        (process.end().await, process.lines().join("\n"))
    };
    let (olli, own) = (OLLI.token(&scene.gateway), super::Who("dana", &["developer", "oncall"]).token(&scene.gateway));
    let (well, said) = run(olli.clone(), &["list", "--state", "pending"]).await;
    assert!(well && said.contains(&id) && said.contains("crm.erase"), "{said}");
    let (well, said) = run(own, &["approve", &id]).await;
    assert!(!well && said.contains("403"), "{said}");
    let (well, said) = run(olli.clone(), &["show", &id]).await;
    assert!(well && said.contains("It can't be undone."), "{said}");
    let (well, said) = run(olli.clone(), &["approve", &id, "--reason", "go"]).await;
    assert!(well && said.contains("approved"), "{said}");
    assert_eq!(text(&scene.call(&call).await), "fine");
    let (well, said) = run(olli, &["deny", &id]).await;
    assert!(!well && said.contains("redeemed"), "{said}");
}
