//! `portcullis policy test`: what a policy must decide, held against what it decides.

use super::FOUND;
use crate::app::{self, ReportError};
use crate::cli::question::check_upstream;
use crate::cli::{ConfigFile, nobody, say, warn_of_unknown};
use crate::config::document::policy_test::{PrincipalDocument, TestDocument};
use crate::config::premises::{PolicyTests, Premises};
use crate::config::report::Report;
use crate::pipeline::clock;
use anyhow::{Context as _, ensure};
use chrono::DateTime;
use portcullis_core::mcp::version::Version;
use portcullis_core::policy::document::Effect;
use portcullis_core::policy::question::{self, Question};
use portcullis_core::policy::{Explanation, PolicySet};
use portcullis_core::principal::Principal;
use portcullis_core::problem::{Path as Place, Problem};
use portcullis_core::time::Timestamp;
use portcullis_core::tool::{Kind, ToolName};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What such files are called.
const SUFFIX: &str = ".policy-test.yaml";

/// Which tests to run.
#[derive(clap::Args)]
pub struct Options {
    /// Files, or folders in which to look for `*.policy-test.yaml`, with all that is in them. Without it, the files beside
    /// the policy.
    paths: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// Say which rules decided no test.
    #[arg(long)]
    coverage: bool,
    /// Fail where less than this part of the rules decided a test.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: Option<u8>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What came of all tests.
#[derive(Serialize)]
struct Results {
    passed: usize,
    failed: usize,
    tests: Vec<Outcome>,
    coverage: Vec<Coverage>,
}

/// What came of one test.
#[derive(Serialize)]
struct Outcome {
    /// The file and its line.
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    passed: bool,
    effect: Effect,
    rule: String,
    /// What is not as expected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<Difference>,
    /// Why it is so, where it is not as expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

/// What is not as expected.
#[derive(Serialize)]
struct Difference {
    expected: String,
    found: String,
}

/// Which rules of a policy decided a test.
#[derive(Serialize)]
struct Coverage {
    policy: String,
    rules: usize,
    decided: usize,
    percent: usize,
    /// Those that decided none.
    unreached: Vec<String>,
}

/// A compiled policy, and the rules of it that decided a test.
struct Tested {
    policy: PolicySet,
    reached: BTreeSet<String>,
}

/// Runs the tests.
///
/// # Errors
/// Tests or a policy that can't be read, or that make no sense.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let premises = Premises::of(options.config.path(), &app::environment).map_err(ReportError)?;
    let files = files(&options.paths, &premises.policy)?;
    let mut policies = BTreeMap::new();
    let mut tests = Vec::new();
    for file in &files {
        tests.extend(run_file(file, &premises, &mut policies)?);
    }
    let failed = tests.iter().filter(|test| !test.passed).count();
    let coverage = policies.iter().map(|(file, tested)| coverage(file, tested)).collect();
    let results = Results { passed: tests.len() - failed, failed, tests, coverage };
    let short =
        results.coverage.iter().any(|policy| options.min_coverage.is_some_and(|min| policy.percent < min.into()));
    let text =
        if options.json { serde_json::to_string_pretty(&results)? } else { told(&results, options, files.len()) };
    say(&mut io::stdout(), text.trim_end());
    Ok(if failed > 0 || short { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

/// The files that `paths` mean.
fn files(paths: &[PathBuf], policy: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    if paths.is_empty() {
        let beside = policy.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        look(beside, false, &mut found)?;
        ensure!(!found.is_empty(), "there is no *{SUFFIX} in {}; name a file or a folder", beside.display());
    }
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            look(path, true, &mut found)?;
            ensure!(found.len() > before, "there is no *{SUFFIX} in {}", path.display());
        } else {
            found.insert(path.clone());
        }
    }
    Ok(found.into_iter().collect())
}

fn look(folder: &Path, deep: bool, found: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
    let unreadable = || format!("the folder {} can't be read", folder.display());
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Links to folders are not followed: they may lead around in a circle.
        if deep && !name.starts_with('.') && entry.file_type().with_context(unreadable)?.is_dir() {
            look(&entry.path(), deep, found)?;
        } else if name.ends_with(SUFFIX) {
            found.insert(entry.path());
        }
    }
    Ok(())
}

fn run_file(
    file: &Path,
    premises: &Premises,
    policies: &mut BTreeMap<PathBuf, Tested>,
) -> anyhow::Result<Vec<Outcome>> {
    let tests = PolicyTests::read(file).map_err(ReportError)?;
    let policy = tests.policy(premises);
    if !policies.contains_key(&policy) {
        let compiled = premises.compile(&policy).map_err(ReportError)?;
        policies.insert(policy.clone(), Tested { policy: compiled, reached: BTreeSet::new() });
    }
    let tested = policies.get_mut(&policy).context("the policy was compiled just now")?;
    let mut questions = Vec::new();
    let mut problems = Vec::new();
    for (index, test) in tests.document.tests.iter().enumerate() {
        match question(test, premises, &tested.policy, &Place::root().then("tests").then(index)) {
            Ok(question) => questions.push(question),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(ReportError(Report::new(tests.findings(problems))).into());
    }
    let run = |(index, question): (usize, &Question)| {
        let test = tests.document.tests.get(index)?;
        Some(judge(tests.place(index), test, question, tested))
    };
    Ok(questions.iter().enumerate().filter_map(run).collect())
}

/// The call that `test` describes, which stands at `place`.
fn question(test: &TestDocument, premises: &Premises, policy: &PolicySet, place: &Place) -> Result<Question, Problem> {
    let wrong = |key: &'static str| {
        let place = place.then(key);
        move |message: String| Problem::new(place, message)
    };
    let (kind, tool) = asked(test, place)?;
    check_upstream(&tool, premises).map_err(wrong(kind.as_str()))?;
    let endpoint =
        question::endpoint(test.endpoint.as_deref(), &premises.endpoints, &tool.upstream).map_err(wrong("endpoint"))?;
    let protocol = test.protocol.as_deref().map_or(Some(Version::LATEST), Version::parse);
    let known = Version::ALL.map(Version::as_str).join(", ");
    let protocol =
        protocol.ok_or_else(|| wrong("protocol")(format!("there is no such revision; there are: {known}")))?;
    let client = test.client.as_deref().map(str::parse).transpose();
    let time = test.time.as_deref().map(DateTime::parse_from_rfc3339).transpose();
    let time = time.map_err(|_| wrong("time")("this is no time; write it like 2026-11-20T08:00:00Z".into()))?;
    if let Some(rule) = test.rule.as_ref().filter(|rule| *rule != "default" && !policy.rule_ids().any(|id| id == *rule))
    {
        let known = policy.rule_ids().collect::<Vec<_>>().join(", ");
        return Err(wrong("rule")(format!("the policy has no rule `{rule}`")).hint(format!("it has: {known}")));
    }
    warn_of_unknown(&test.principal.roles, policy);
    Ok(Question {
        principal: principal(&test.principal),
        kind,
        tool,
        arguments: Some(serde_json::Value::Object(test.args.clone()).to_string()),
        endpoint: endpoint.to_owned(),
        protocol: protocol.as_str().to_owned(),
        client: client.map_err(|_| wrong("client")("this is no IP address".into()))?,
        now: time.map_or_else(clock::now, |time| Timestamp::from_millis(time.timestamp_millis())),
    })
}

/// What the test is about.
fn asked(test: &TestDocument, place: &Place) -> Result<(Kind, ToolName), Problem> {
    let named = [(Kind::Tool, &test.tool), (Kind::Prompt, &test.prompt), (Kind::Resource, &test.resource)];
    let mut named = named.into_iter().filter_map(|(kind, name)| Some((kind, name.as_deref()?)));
    let (Some((kind, name)), None) = (named.next(), named.next()) else {
        let message = "a test is about one `tool`, `prompt` or `resource`";
        return Err(Problem::new(place.clone(), message).hint("name exactly one of them"));
    };
    let wrong = |wrong| Problem::new(place.then(kind.as_str()), format!("`{name}` {wrong}"));
    question::name(kind, name).map(|name| (kind, name)).map_err(wrong)
}

fn principal(document: &PrincipalDocument) -> Principal {
    Principal {
        issuer: document.issuer.clone(),
        subject: document.user.clone(),
        tenant: document.tenant.clone(),
        agent: document.agent.clone(),
        roles: document.roles.iter().cloned().collect(),
        scopes: document.scopes.iter().cloned().collect(),
        claims: document.claims.clone(),
        ..nobody()
    }
}

fn judge(at: String, test: &TestDocument, question: &Question, tested: &mut Tested) -> Outcome {
    let explanation = question.explain(&tested.policy);
    tested.reached.insert(explanation.rule.clone());
    let mut differences = Vec::new();
    let mut compare = |expected: String, found: String| {
        if expected != found {
            differences.push(Difference { expected, found });
        }
    };
    let decision = |effect: &str, rule: Option<&str>| match rule {
        Some(rule) => format!("{effect} by {rule}"),
        None => effect.to_owned(),
    };
    let found = test.rule.as_ref().map(|_| explanation.rule.as_str());
    compare(decision(test.expect.as_str(), test.rule.as_deref()), decision(explanation.effect.as_str(), found));
    let lacks = |scopes: &[String]| match scopes.iter().cloned().collect::<BTreeSet<_>>() {
        scopes if scopes.is_empty() => "no scope is lacking".to_owned(),
        scopes => format!("lacks {}", scopes.into_iter().collect::<Vec<_>>().join(", ")),
    };
    compare(lacks(&test.lacks), lacks(&explanation.lacking));
    let listed = |listed: bool| if listed { "listed".to_owned() } else { "not listed".to_owned() };
    if let Some(expected) = test.listed {
        compare(listed(expected), listed(question.is_listed(&tested.policy)));
    }
    let passed = differences.is_empty();
    let (effect, rule) = (explanation.effect, explanation.rule.clone());
    let explanation = Some(explanation).filter(|_| !passed);
    Outcome { at, name: test.name.clone(), passed, effect, rule, differences, explanation }
}

fn coverage(file: &Path, tested: &Tested) -> Coverage {
    let rules: Vec<&str> = tested.policy.rule_ids().collect();
    let unreached = rules.iter().filter(|id| !tested.reached.contains(**id)).map(|id| (*id).to_owned());
    let unreached: Vec<String> = unreached.collect();
    let decided = rules.len() - unreached.len();
    let percent = (decided * 100).checked_div(rules.len()).unwrap_or(100);
    Coverage { policy: file.display().to_string(), rules: rules.len(), decided, percent, unreached }
}

/// The results, for people.
fn told(results: &Results, options: &Options, files: usize) -> String {
    let mut text = String::new();
    for Outcome { at, name, differences, explanation, .. } in &results.tests {
        let Some(explanation) = explanation else { continue };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{at}: {}", name.as_deref().unwrap_or(&explanation.tool));
        for Difference { expected, found } in differences {
            let _ = writeln!(text, "  - {expected}\n  + {found}");
        }
        for line in explanation.to_string().lines() {
            let _ = writeln!(text, "      {line}");
        }
    }
    if options.coverage || options.min_coverage.is_some() {
        results.coverage.iter().for_each(|coverage| tell_coverage(coverage, options.min_coverage, &mut text));
    }
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let all = format!("{} in {}", count(results.tests.len(), "test"), count(files, "file"));
    let _ = match results.failed {
        0 => writeln!(text, "ok: {all}"),
        failed => writeln!(text, "{failed} of {all} failed"),
    };
    text
}

fn tell_coverage(coverage: &Coverage, min: Option<u8>, text: &mut String) {
    let Coverage { policy, rules, decided, percent, unreached } = coverage;
    let _ = write!(text, "{policy}: {decided} of {rules} rules decided a test ({percent} %)");
    let _ = match min.filter(|min| usize::from(*min) > *percent) {
        Some(min) => writeln!(text, ", less than {min} %"),
        None => writeln!(text),
    };
    for rule in unreached {
        let _ = writeln!(text, "  not reached: {rule}");
    }
}
