//! A person in Chromium: from the link of an approval through the login at a real identity provider to the decision, and
//! through the rest of the console. Pictures are left in the target folder.

use super::{AUDIENCE, World, token};
use crate::support::peers::{Idp, person_at_the_console, repository};
use crate::support::tokens;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_follows_the_link_logs_in_and_decides() {
    let idp = Idp::start().await;
    let issuer = json!({"issuer": idp.issuer(), "algorithms": ["RS256"]});
    let console = json!({
        "audiences": [AUDIENCE], "issuer": idp.issuer(), "client_id": "console", "client_secret": "s3cret",
    });
    let world = World::start(console, &[issuer], |setup| setup).await;
    world.change_a_definition().await;
    let caller = tokens::token("dan", &["developer"]);
    let arguments = json!({"id": "p\u{430}ypal", "note": "a\u{202e}b"});
    let waits = world.gateway.modern_call("crm", &caller, "delete", &arguments).await;
    assert_eq!(waits.status, 200, "{}", waits.text());
    let oncall = token("ana", &["oncall"]);
    let asked = world.api(&oncall, "/api/approvals").await;
    let id = asked["approvals"][0]["id"].as_str().unwrap_or_else(|| panic!("{asked}: {}", waits.text())).to_owned();

    let folder = repository().join("target/console");
    std::fs::create_dir_all(&folder).unwrap();
    let url = format!("http://{}", world.gateway.admin());
    let seen = person_at_the_console(&url, "oncall", &id, &folder).await;

    assert_eq!(seen["marked"], json!(["U+430", "U+202E"]), "{seen}");
    assert_eq!(seen["before"], json!(["\"Reads a customer\""]), "{seen}");
    assert_eq!(seen["after"], json!(["\"Reads a customer, and sends it on\""]), "{seen}");
    assert!(seen["explained"].as_str().unwrap().contains("destroy"), "{seen}");
    assert!(seen["found"].as_u64() > Some(0) && seen["plain"].as_u64() > Some(0), "{seen}");
    assert_eq!(seen["cookies"][0]["httpOnly"], true, "{seen}");
    assert_eq!(seen["loggedOut"], true, "{seen}");
    let decided = world.api(&oncall, &format!("/api/approvals/{id}")).await;
    assert_eq!(
        (&decided["state"], &decided["votes"][0]["subject"]),
        (&json!("approved"), &json!("oncall")),
        "{decided}"
    );
    let accepted = world.gateway.ended_call(|row| row["method"] == "operator/catalogue.accept").await;
    assert_eq!((&accepted["subject"], &accepted["issuer"]), (&json!("oncall"), &json!(idp.issuer())));

    assert!(world.upstream.calls().is_empty(), "nothing ran before the caller came back");
    let answer = world.gateway.modern_call("crm", &caller, "delete", &arguments).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(world.upstream.calls().len(), 1, "{}", answer.text());
}
