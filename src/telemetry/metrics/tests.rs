//! What a scrape shows, and how much at most.

use super::record::METHODS;
use super::*;
use portcullis_core::audit::Outcome;
use portcullis_core::reject::Rejection;
use portcullis_core::time::Timestamp;
use portcullis_core::tool::ToolName;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const EXCHANGE: Exchange<'_> = Exchange {
    endpoint: Some("work"),
    upstream: Some("crm"),
    method: Some("tools/call"),
    tool: None,
    outcome: Outcome::Ok,
    latency: Some(Duration::from_millis(120)),
    upstream_time: Some(Duration::from_millis(119)),
    bytes_in: 100,
    bytes_out: 2000,
};

fn exercised() -> Metrics {
    let metrics = Metrics::new().unwrap();
    let tool = ToolName::new("crm", "get");
    metrics.ended(&Exchange { tool: Some(&tool), ..EXCHANGE });
    metrics.refused(&Rejection::TooManyAtOnce);
    metrics.decided(Effect::Allow);
    metrics.question("elicitation/create", "asked");
    metrics.client_sessions(3);
    metrics.jobs(&BTreeMap::from([("queued", 2)]));
    metrics.job_became("done");
    metrics.redacted(&BTreeMap::from([("email".to_owned(), 3)]));
    metrics.bad_token("expired");
    metrics.jwks_fetched("https://idp.example.com/", false);
    metrics.upstream_health("crm", "crm-1:8091", true);
    metrics.upstream_failed("crm", "timeout");
    metrics.catalogued("crm", 12);
    metrics.quarantined("crm", 2);
    metrics.catalogue_failed("crm");
    metrics.listening("crm", true);
    metrics.process_started("crm");
    metrics.process_started("crm");
    metrics.process_ended("crm", true);
    metrics.process_crashed("crm");
    metrics.reloaded("0123456789ab", Timestamp::from_secs(1_700_000_000));
    metrics.sink_up("archive", true);
    metrics.sink_behind("archive", 12, 34);
    metrics.sink_shipped("archive", 56);
    metrics.sink_failed("archive");
    metrics.sink_set_aside("archive", 1);
    metrics.watch_journal(|| JournalSample {
        entries: 7,
        backlog: 2,
        backlog_bytes: 900,
        failing: true,
        ..JournalSample::default()
    });
    metrics
}

fn assert_has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "no line `{line}` in\n{text}");
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn a_scrape_shows_what_happened() {
    let metrics = exercised();
    let under_way = metrics.begun();
    let text = metrics.render();
    for line in [
        r#"portcullis_requests_total{endpoint="work",method="tools/call",outcome="ok"} 1"#,
        r#"portcullis_tool_calls_total{outcome="ok",tool="get",upstream="crm"} 1"#,
        r#"portcullis_refusals_total{blame="client",reason="too_many_at_once"} 1"#,
        r#"portcullis_call_duration_seconds_bucket{endpoint="work",upstream="crm",le="0.25"} 1"#,
        r#"portcullis_gateway_overhead_seconds_bucket{le="0.001"} 1"#,
        "portcullis_requests_in_flight 1",
        "portcullis_client_sessions 3",
        r#"portcullis_questions_total{method="elicitation/create",outcome="asked"} 1"#,
        "portcullis_received_bytes_total 100",
        "portcullis_sent_bytes_total 2000",
        r#"portcullis_decisions_total{effect="allow"} 1"#,
        r#"portcullis_decisions_total{effect="deny"} 0"#,
        r#"portcullis_redactions_total{kind="email"} 3"#,
        r#"portcullis_bad_tokens_total{reason="expired"} 1"#,
        r#"portcullis_jwks_fetches_total{issuer="https://idp.example.com/",result="failure"} 1"#,
        r#"portcullis_upstream_up{replica="crm-1:8091",upstream="crm"} 1"#,
        r#"portcullis_upstream_failures_total{kind="timeout",upstream="crm"} 1"#,
        r#"portcullis_catalogue_tools{upstream="crm"} 12"#,
        r#"portcullis_catalogue_quarantined{upstream="crm"} 2"#,
        r#"portcullis_catalogue_refresh_failures_total{upstream="crm"} 1"#,
        r#"portcullis_stdio_processes{upstream="crm"} 1"#,
        r#"portcullis_stdio_restarts_total{upstream="crm"} 1"#,
        "portcullis_audit_entries_total 7",
        "portcullis_audit_backlog_entries 2",
        "portcullis_audit_backlog_bytes 900",
        "portcullis_audit_failing 1",
        "portcullis_audit_dropped_total 0",
        r#"portcullis_sink_up{sink="archive"} 1"#,
        r#"portcullis_sink_behind_entries{sink="archive"} 12"#,
        r#"portcullis_sink_behind_seconds{sink="archive"} 34"#,
        r#"portcullis_sink_shipped_total{sink="archive"} 56"#,
        r#"portcullis_sink_failures_total{sink="archive"} 1"#,
        r#"portcullis_sink_set_aside_total{sink="archive"} 1"#,
        r#"portcullis_config_reloads_total{result="success"} 1"#,
        r#"portcullis_config_revision_info{revision="0123456789ab"} 1"#,
        "portcullis_config_last_reload_success_timestamp_seconds 1700000000",
        "portcullis_config_last_reload_successful 1",
    ] {
        assert_has(&text, line);
    }
    drop(under_way);
    let text = metrics.render();
    assert_has(&text, "portcullis_requests_in_flight 0");
    assert_has(&text, "portcullis_audit_entries_total 7");
}

#[test]
fn a_reload_leaves_one_revision_and_a_bad_one_shows() {
    let metrics = exercised();
    metrics.reload_failed();
    assert_has(&metrics.render(), r#"portcullis_config_revision_info{revision="0123456789ab"} 1"#);
    assert_has(&metrics.render(), "portcullis_config_last_reload_successful 0");
    metrics.reloaded("ba9876543210", Timestamp::from_secs(1_700_000_001));
    let text = metrics.render();
    assert!(!text.contains("0123456789ab"));
    assert_has(&text, r#"portcullis_config_revision_info{revision="ba9876543210"} 1"#);
}

#[test]
fn what_is_no_longer_configured_is_no_longer_shown() {
    let metrics = exercised();
    metrics.forget_replica("crm", "crm-1:8091");
    metrics.forget_replica("crm", "crm-2:8091");
    metrics.forget_upstream("crm");
    metrics.process_ended("crm", true);
    metrics.forget_sink("archive");
    let text = metrics.render();
    assert!(!text.contains("portcullis_sink_up{") && !text.contains("portcullis_sink_behind"), "{text}");
    assert!(!text.contains("portcullis_upstream_up{") && !text.contains("portcullis_catalogue_tools{"), "{text}");
    assert!(!text.contains("portcullis_stdio_processes{"), "{text}");
}

#[test]
fn a_hundred_thousand_names_stay_below_five_thousand_series() {
    let metrics = exercised();
    let outcomes =
        [Outcome::Ok, Outcome::ToolError, Outcome::Refused, Outcome::Failed, Outcome::Cancelled, Outcome::Unknown];
    for number in 0..100_000_usize {
        let name = format!("name-{number}");
        let method = METHODS.get(number % 40).copied().unwrap_or(&name);
        // Each tool comes back with each outcome.
        let tool = ToolName::new("crm", format!("tool-{}", number % 20_000));
        let outcome = outcomes[number / 20_000];
        metrics.ended(&Exchange {
            endpoint: Some(&name),
            upstream: Some(&name),
            method: Some(method),
            tool: Some(&tool),
            outcome,
            ..EXCHANGE
        });
        metrics.redacted(&BTreeMap::from([(name.clone(), 1)]));
        metrics.jwks_fetched(&name, true);
        metrics.jwks_fetched(&name, false);
        metrics.upstream_health(&name, &name, true);
        metrics.upstream_failed(&name, "timeout");
        metrics.catalogued(&name, 1);
        metrics.quarantined(&name, 1);
        metrics.catalogue_failed(&name);
        metrics.listening(&name, true);
        metrics.sink_up(&name, true);
        metrics.sink_behind(&name, 1, 1);
        metrics.sink_shipped(&name, 1);
        metrics.sink_failed(&name);
        metrics.sink_set_aside(&name, 1);
        metrics.process_started(&name);
        metrics.process_crashed(&name);
    }
    metrics.ended(&Exchange { tool: Some(&ToolName::new("crm", "tool-0")), outcome: outcomes[5], ..EXCHANGE });
    let text = metrics.render();
    assert!(series(&text) < 5_000, "{} series", series(&text));
    assert!(text.contains(r#"method="other""#) && !text.contains(r#"method="name-"#), "methods are a fixed list");
    let other = text.lines().filter(|line| line.contains(r#"tool="other",upstream="other""#));
    let counted: usize = other.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(counted, 5 * (20_000 - 499), "beyond the bound tools are counted together");
}

#[test]
fn promtool_finds_nothing_to_say() {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = spawned.expect("this test needs promtool: install Prometheus (Debian: apt install prometheus)");
    promtool.stdin.take().unwrap().write_all(exercised().render().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// What stands before the table of `docs/metrics.md`.
const REFERENCE: &str = "\
# Metrics

`GET /metrics` on the admin listener, in the Prometheus text format. This file is made from the metrics themselves
(`UPDATE=1 cargo test --bin portcullis metrics::`), so it can't be out of date.

No label holds what a client sent: endpoints, upstreams, replicas, issuers and sinks are those of the configuration, tools those
of the catalogue, the rest fixed lists. All series together stay below 5,000; beyond a metric's own bound, names become
`other`, and gauges leave them out. `none` stands where there is no such thing.

- `outcome` is `ok`, `tool_error` (the tool itself says that it failed), `refused` (nothing was sent to an upstream), `failed`
  (it was, and no good answer came), `cancelled` (the client left) or `unknown` (the process or the request broke off).
- `reason` of a refusal, and `kind` of an upstream's failure, are the labels of `src/core/reject.rs`; `blame` is `client`,
  `upstream` or `gateway`.

| metric | type | labels | meaning |
|---|---|---|---|
";

/// The metrics as a table, with the labels that they really have.
fn reference() -> String {
    let row = |family: &prometheus::proto::MetricFamily| {
        let labels = family.get_metric().first().map(|metric| metric.get_label());
        let labels: Vec<_> =
            labels.iter().flat_map(|labels| labels.iter()).map(|l| format!("`{}`", l.name())).collect();
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        format!("| `{}` | {kind} | {} | {} |\n", family.name(), labels.join(", "), family.help())
    };
    let families = exercised().registry.gather();
    families.iter().map(row).fold(REFERENCE.to_owned(), |text, row| text + &row)
}

#[test]
fn each_metric_stands_in_the_reference() {
    let reference = reference();
    for name in include_str!("../metrics.rs").split('"').filter(|text| text.starts_with("portcullis_")) {
        assert!(reference.contains(&format!("| `{name}` |")), "`exercised` does not exercise {name}");
    }
    crate::config::golden::compare("docs/metrics.md", &reference);
}
