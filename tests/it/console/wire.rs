//! The operators' side on the wire: abuse cases 195 and 196, who may do what, and what is left in the record.

use super::{AUDIENCE, World, claims, form, logged_in, token};
use crate::support::events::Events;
use crate::support::gateway::{BINARY, modern_call};
use crate::support::http::Request;
use crate::support::peers::repository;
use crate::support::process::{PATIENCE, wait_until};
use crate::support::tokens;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_api_knows_people_by_tokens_that_are_meant_for_it() {
    let world = World::plain().await;
    let nobody = world.ask(&Request::get("/api/whoami")).await;
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, Some("Bearer")));
    for bad in
        [tokens::token("ana", &["oncall"]), claims("ana", &["oncall"]).sign_with("another secret of thirty-two bytes")]
    {
        let refused = world.ask(&Request::get("/api/whoami").bearer(&bad)).await;
        assert_eq!(refused.status, 401, "a client's token is no key to this side: {}", refused.text());
    }
    let call = world.gateway.modern_call("crm", &token("ana", &["oncall"]), "get", &json!({})).await;
    assert_eq!(call.status, 401, "nor the other way round");
    let ana = world.api(&token("ana", &["oncall"]), "/api/whoami").await;
    assert_eq!((&ana["subject"], &ana["may_manage"]), (&json!("ana"), &json!(true)));
    assert_eq!(ana["roles"], json!(["developer", "oncall"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_says_who_may_look_and_who_may_change() {
    let world = World::plain().await;
    let digest = world.change_a_definition().await;
    let accept = json!({"upstream": "crm", "kind": "tool", "name": "get", "digest": digest}).to_string();
    let explain = json!({"name": "crm.delete", "roles": ["developer"], "arguments": {"id": "7"}}).to_string();
    for (roles, read, manage) in [(&["guest"][..], 403, 403), (&["developer"], 200, 403), (&["oncall"], 200, 200)] {
        let token = token("somebody", roles);
        for path in ["/api/audit", "/api/catalogue"] {
            assert_eq!(world.ask(&Request::get(path).bearer(&token)).await.status, read, "{roles:?} {path}");
        }
        let explained = world.ask(&Request::post("/api/explain", explain.clone()).bearer(&token)).await;
        assert_eq!(explained.status, read, "{roles:?}: {}", explained.text());
        if read == 200 {
            assert_eq!(explained.message()["rule"], "destroy", "{}", explained.text());
        }
        let accepted = world.ask(&Request::post("/api/catalogue/accept", accept.clone()).bearer(&token)).await;
        assert_eq!(accepted.status, manage, "{roles:?}: {}", accepted.text());
    }
    let ended = async |outcome: &str| {
        world.gateway.ended_call(|row| row["method"] == "operator/catalogue.accept" && row["outcome"] == outcome).await
    };
    let row = ended("ok").await;
    assert_eq!((&row["subject"], &row["tool"]), (&json!("somebody"), &json!("crm.get")));
    let row = ended("refused").await;
    assert_eq!(
        (&row["subject"], &row["error"]),
        (&json!("somebody"), &json!("not_operator")),
        "the attempt counts too"
    );
    let again = world.ask(&Request::post("/api/catalogue/accept", accept).bearer(&token("ana", &["oncall"]))).await;
    assert_eq!(again.status, 409, "what is not held back any more can't be accepted: {}", again.text());
}

/// The request as clients write it that escape whatever is not ASCII.
fn escaped(request: Request) -> Request {
    let body = String::from_utf8(request.body).unwrap();
    let body: String =
        body.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect();
    Request { body: body.replace("\"BIG\"", "12345678901234567890123").into_bytes(), ..request }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_the_arguments_hides_anything_from_who_decides() {
    let world = World::plain().await;
    let arguments = json!({"to": "p\u{430}ypal", "file": "a\u{202e}txt.exe", "n": "BIG", "path": "C:\\u{41}"});
    let call = modern_call("crm", "delete", &arguments).bearer(&tokens::token("dan", &["developer"]));
    let told = world.gateway.send(&escaped(call)).await;
    let id = told.message()["result"]["_meta"]["portcullis/approval"]["id"].as_str().unwrap().to_owned();
    let ana = token("ana", &["oncall"]);
    let shown = world.api(&ana, &format!("/api/approvals/{id}")).await;
    let read = shown["matter"]["arguments"].as_str().unwrap();
    let cookie = logged_in(&world, &ana).await;
    let page = world.ask(&Request::get(&format!("/approvals/{id}")).header("cookie", &cookie)).await.text();
    let mut command = std::process::Command::new(BINARY);
    command.args(["approvals", "show", &id, "--url", &format!("http://{}", world.gateway.admin())]);
    let printed = command.env("PORTCULLIS_ADMIN_TOKEN", &ana).output().unwrap().stdout;
    let printed = String::from_utf8(printed).unwrap();
    for (text, points) in
        [(read, ["\\u{430}", "\\u{202e}"]), (&page, ["U+430<", "U+202E<"]), (&printed, ["\\u{430}", "\\u{202e}"])]
    {
        for point in points {
            assert!(text.contains(point), "{point} in {text}");
        }
        assert!(!text.contains('\u{202e}') && !text.contains("\\u202e") && !text.contains("\\u0430"), "{text}");
        assert!(text.contains("12345678901234567890123"), "{text}");
        assert!(!text.contains("U+41<"), "what only looks spelled out is not: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_is_asked_about_the_arguments_as_they_are_written() {
    let world = World::plain().await;
    let ask = |arguments: &str| {
        let body = format!("{{\"name\": \"crm.delete\", \"roles\": [\"developer\"], \"arguments\": {arguments}}}");
        Request::post("/api/explain", body).bearer(&token("ana", &["oncall"]))
    };
    let twice = world.ask(&ask(r#"{"id": 1, "id": 2}"#)).await;
    assert_eq!(twice.status, 400, "the gateway would refuse it too: {}", twice.text());
    for none in ["7", "[]", "\"{}\""] {
        assert_eq!(world.ask(&ask(none)).await.status, 400, "{none}");
    }
    for good in ["null", "{}", r#"{"id": 12345678901234567890123}"#] {
        assert_eq!(world.ask(&ask(good)).await.message()["rule"], "destroy", "{good}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_can_do_nothing() {
    let world = World::plain().await;
    let token = token("ana", &["oncall"]);
    let body = json!({"name": "crm.get"}).to_string();
    for (request, status) in [
        (Request::get("/api/whoami").bearer(&token).header("host", "evil.example"), 403),
        (Request::get("/metrics").header("host", "evil.example"), 403),
        (Request::get("/api/whoami").bearer(&token).header("origin", "https://evil.example"), 403),
        (Request::post("/api/explain", body.clone()).bearer(&token).header("origin", "null"), 403),
        (Request::post("/api/explain", body.clone()).bearer(&token).header("sec-fetch-site", "cross-site"), 403),
        (form("/login/token", "token=x").header("origin", "https://evil.example"), 403),
        (form("/api/explain", "name=crm.get").bearer(&token), 415),
        (Request::post("/api/explain", body.clone()), 401),
        (Request::post("/api/explain", body).bearer(&token), 200),
    ] {
        let response = world.ask(&request).await;
        assert_eq!(response.status, status, "{request:?}: {}", response.text());
        for (header, value) in
            [("x-frame-options", "DENY"), ("x-content-type-options", "nosniff"), ("cache-control", "no-store")]
        {
            assert_eq!(response.header(header), Some(value), "{request:?}");
        }
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_by_token_holds_until_logout_and_its_forms_need_their_own_token() {
    let world = World::plain().await;
    let digest = world.change_a_definition().await;
    let away = world.ask(&Request::get("/audit?text=x")).await;
    assert_eq!((away.status, away.header("location")), (303, Some("/login?next=%2Faudit%3Ftext%3Dx")));
    let wrong = world.ask(&form("/login/token", &format!("token={}", tokens::token("ana", &["oncall"])))).await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None), "a client's token");
    let login = form("/login/token", &format!("token={}&next=//evil.example", token("ana", &["oncall"])));
    let response = world.ask(&login).await;
    assert_eq!((response.status, response.header("location")), (303, Some("/")), "{}", response.text());
    let kept = response.header("set-cookie").unwrap();
    assert!(kept.contains("HttpOnly") && kept.contains("SameSite=Lax") && kept.contains("Path=/"), "{kept}");
    let cookie = kept.split(';').next().unwrap().to_owned();
    let page = world.ask(&Request::get("/catalogue").header("cookie", &cookie)).await;
    assert_eq!(page.status, 200);
    let text = page.text();
    let csrf = text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let accept = |csrf: &str| {
        let body = format!("csrf={csrf}&upstream=crm&kind=tool&name=get&digest={digest}");
        form("/catalogue/accept", &body).header("cookie", &cookie)
    };
    assert_eq!(world.ask(&accept("")).await.status, 403);
    assert_eq!(world.ask(&accept("guess")).await.status, 403);
    let api = Request::post("/api/explain", json!({"name": "crm.get"}).to_string()).header("cookie", &cookie);
    assert_eq!(world.ask(&api).await.status, 403, "a cookie alone changes nothing");
    assert_eq!(world.ask(&api.header("x-csrf-token", &csrf)).await.status, 200);
    assert_eq!(world.ask(&accept(&csrf)).await.status, 303);
    assert_eq!(world.ask(&form("/logout", &format!("csrf={csrf}")).header("cookie", &cookie)).await.status, 303);
    assert_eq!(world.ask(&Request::get("/catalogue").header("cookie", &cookie)).await.status, 303, "logged out");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_counted_and_recorded_good_or_bad_and_strangers_can_not_fill_the_record() {
    let world =
        World::start(json!({"audiences": [AUDIENCE]}), &[], |setup| setup.with("edge", json!({"refusal_rows": "2/h"})))
            .await;
    let log_in = async |token: &str| world.ask(&form("/login/token", &format!("token={token}"))).await.status;
    assert_eq!(log_in(&token("ana", &["oncall"])).await, 303);
    for _ in 0..4 {
        assert_eq!(log_in(&tokens::token("ana", &["oncall"])).await, 401, "a client's token");
    }
    let row = world.gateway.ended_call(|row| row["method"] == "operator/login" && row["outcome"] == "ok").await;
    assert_eq!([&row["subject"], &row["tenant"], &row["client"]], ["ana", "acme", "127.0.0.1"]);
    let refused =
        world.gateway.ended_calls(2, |row| row["method"] == "operator/login" && row["outcome"] == "refused").await;
    assert_eq!(refused.len(), 2, "the rest is counted: {refused:?}");
    assert!(refused.iter().all(|row| row["subject"].is_null() && row["client"] == "127.0.0.1"), "{refused:?}");
    assert_eq!(refused[0]["error"], "unauthenticated");
    let metrics = world.gateway.metrics().await;
    for series in [r#"{result="ok"} 1"#, r#"{result="refused"} 4"#, r#"{result="unavailable"} 0"#] {
        assert!(metrics.contains(&format!("portcullis_logins_total{series}\n")), "{series} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_any_more_is_shown_nothing_more_of_the_record() {
    let world = World::plain().await;
    let reader = token("eve", &["developer"]);
    let tail = Request::get("/api/audit/tail?user=dan").bearer(&reader);
    let mut rows = Events::open(world.gateway.admin(), &tail).await;
    assert_eq!(rows.status, 200);
    let call = async || {
        let caller = tokens::token("dan", &["developer"]);
        assert_eq!(world.gateway.modern_call("crm", &caller, "get", &json!({})).await.status, 200);
    };
    call().await;
    let row = rows.next().await.unwrap();
    assert_eq!((&row["subject"], &row["tool"]), (&json!("dan"), &json!("crm.get")), "{row}");
    let (new, file) = (world.gateway.dir().join("policy.new"), world.gateway.dir().join("policy.yaml"));
    std::fs::write(&new, super::POLICY.replace("read: [developer]", "read: [oncall]")).unwrap();
    std::fs::rename(new, file).unwrap();
    wait_until("she may not look", PATIENCE, async || {
        (world.ask(&Request::get("/api/audit").bearer(&reader)).await.status == 403).then_some(())
    })
    .await;
    // What is recorded from here on is not shown, and what came before may be.
    let late = world.gateway.calls().await.len();
    call().await;
    world.gateway.ended_calls(late + 1, |_| true).await;
    let mut shown = 1;
    while let Some(row) = rows.next().await {
        assert_eq!(row["subject"], "dan");
        shown += 1;
    }
    assert!(shown <= 2, "the intent and the outcome of the first call, and no row of the second: {shown}");
    assert_eq!(world.ask(&tail).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_is_read_within_the_own_tenant_and_the_reading_is_in_it() {
    let world = World::plain().await;
    let caller = tokens::token("dan", &["developer"]);
    assert_eq!(world.gateway.modern_call("crm", &caller, "get", &json!({})).await.status, 200);
    world.gateway.ended_call(|row| row["subject"] == "dan").await;
    let ana = token("ana", &["oncall"]);
    let found = world.api(&ana, "/api/audit?user=dan&tool=crm.*").await;
    assert_eq!(found["rows"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["rows"][0]["tool"], "crm.get");
    let mallory = claims("mallory", &["oncall"]).with("tid", json!("other")).sign();
    let foreign = world.api(&mallory, "/api/audit").await;
    let subjects: Vec<_> = foreign["rows"].as_array().unwrap().iter().map(|row| &row["subject"]).collect();
    assert!(subjects.iter().all(|subject| **subject == "mallory"), "{subjects:?}");
    let look = world.gateway.ended_call(|row| row["method"] == "operator/audit.read" && row["subject"] == "ana").await;
    assert_eq!(look["detail"], "tool=crm.* user=dan");
    let pages = world.api(&ana, "/api/audit?limit=1").await;
    let next = pages["next"].as_i64().unwrap();
    let older = world.api(&ana, &format!("/api/audit?limit=1&before={next}")).await;
    assert!(older["rows"][0]["seq"].as_i64().unwrap() < next);
    for bad in ["since=yesterday", "limit=many", "tenant=other"] {
        let refused = world.ask(&Request::get(&format!("/api/audit?{bad}")).bearer(&ana)).await;
        assert_eq!(refused.status, 400, "{bad}: {}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_their_description_agree() {
    let world = World::plain().await;
    let document: Value = serde_json::from_slice(&world.ask(&Request::get("/openapi.json")).await.body).unwrap();
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            let path = path.replace("{id}", "0123");
            let request = if method == "get" { Request::get(&path) } else { Request::post(&path, "{}") };
            assert_eq!(world.ask(&request).await.status, 401, "{method} {path} needs a token, and is there");
        }
    }
    let source = std::fs::read_to_string(repository().join("src/admin/api/mod.rs")).unwrap();
    for path in source.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(path == "/openapi.json" || paths.contains_key(path), "{path} is not described");
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is described nowhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_can_not_log_people_in_does_not_start() {
    use crate::support::gateway::Setup;
    for (console, said) in [
        (json!({"issuer": "https://idp.example", "client_id": "x"}), "none of identity.issuers"),
        (json!({"issuer": "dev", "client_id": "x"}), "metadata is not asked for"),
        (json!({"issuer": "dev"}), "`client_id`"),
        (json!({"client_secret": "x"}), "nobody logs in with this secret"),
        (json!({"public_url": "https://console.example/path"}), "has a path"),
        (json!({"audiences": []}), "no audience is accepted"),
    ] {
        let setup =
            Setup::new(&[("crm", "http://127.0.0.1:1/mcp".into())], super::POLICY).with("console", console.clone());
        let printed = setup.refused().await;
        assert!(printed.contains(said), "{console} of {AUDIENCE}: {printed}");
    }
}
