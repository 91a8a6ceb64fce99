//! Whose a name or URI is on an endpoint, and what counts as a change.

use super::*;
use proptest::prelude::*;

fn endpoint(upstreams: &[&str]) -> Endpoint {
    let upstreams = upstreams.iter().map(|name| (*name).to_owned()).collect();
    Endpoint { name: "work".into(), upstreams, ..Endpoint::default() }
}

fn resources(upstream: &str, uris: &[&str]) -> Listed<Resource> {
    let one = |uri: &&str| {
        let definition = serde_json::json!({"uri": uri, "name": upstream}).to_string();
        ((*uri).to_owned(), Arc::new(Resource::read(upstream, definition.as_bytes()).unwrap()))
    };
    Listed::new(uris.iter().map(one).collect())
}

fn templates(upstream: &str, all: &[&str]) -> Listed<Template> {
    let one = |text: &&str| {
        let definition = serde_json::json!({"uriTemplate": text, "name": upstream}).to_string();
        ((*text).to_owned(), Arc::new(Template::read(upstream, definition.as_bytes()).unwrap()))
    };
    Listed::new(all.iter().map(one).collect())
}

fn tools(upstream: &str, all: &[(&str, &str)]) -> Listed<Tool> {
    let one = |(name, description): &(&str, &str)| {
        let definition =
            serde_json::json!({"name": name, "description": description, "inputSchema": {"type": "object"}});
        ((*name).to_owned(), Arc::new(Tool::read(upstream, definition.to_string().as_bytes()).unwrap()))
    };
    Listed::new(all.iter().map(one).collect())
}

fn catalog(upstreams: Vec<(&str, UpstreamCatalog)>) -> Catalog {
    Catalog { upstreams: upstreams.into_iter().map(|(name, one)| (name.to_owned(), Arc::new(one))).collect() }
}

fn sample() -> Catalog {
    let crm = UpstreamCatalog {
        resources: resources("crm", &["a://1", "a://2"]),
        templates: templates("crm", &["a://{x}", "c://{+rest}"]),
        ..UpstreamCatalog::new(Era::Modern)
    };
    let files = UpstreamCatalog {
        resources: resources("files", &["a://2", "a://3", "c://mine"]),
        templates: templates("files", &["a://{x}", "f://{x}"]),
        ..UpstreamCatalog::new(Era::Legacy)
    };
    catalog(vec![("crm", crm), ("files", files)])
}

#[test]
fn a_uri_belongs_to_the_first_that_lists_it_and_then_to_the_first_with_a_template() {
    let catalog = sample();
    let work = endpoint(&["crm", "files"]);
    for (uri, owner) in [
        ("a://1", Some("crm")),
        ("a://2", Some("crm")),
        ("a://3", Some("files")),
        ("a://4", Some("crm")),
        ("c://mine", Some("files")),
        ("c://other", Some("crm")),
        ("f://1", Some("files")),
        ("g://1", None),
        ("", None),
    ] {
        assert_eq!(catalog.resource_owner(&work, uri), owner, "{uri}");
    }
    let reversed = endpoint(&["files", "crm"]);
    assert_eq!(catalog.resource_owner(&reversed, "a://2"), Some("files"));
    assert_eq!(catalog.resource_owner(&endpoint(&["down"]), "g://1"), Some("down"));
    assert_eq!(catalog.resource_owner(&endpoint(&["down", "files"]), "a://1"), Some("files"));
}

#[test]
fn a_list_names_each_uri_once_by_its_owner() {
    let catalog = sample();
    let work = endpoint(&["files", "down", "crm"]);
    let listed: Vec<_> = catalog.resources(&work).map(|resource| resource.name.to_string()).collect();
    assert_eq!(listed, ["files.a://2", "files.a://3", "files.c://mine", "crm.a://1"]);
    let listed: Vec<_> = catalog.templates(&work).map(|template| template.name.to_string()).collect();
    assert_eq!(listed, ["files.a://{x}", "files.f://{x}", "crm.c://{+rest}"]);
    let clashes = catalog.clashes(&work);
    assert_eq!(clashes["a://2"], ["files", "crm"]);
    assert_eq!(clashes.len(), 2);
    assert!(catalog.clashes(&endpoint(&["crm"])).is_empty());
}

#[test]
fn what_is_held_back_is_in_no_list_and_can_t_be_found() {
    let mut one = UpstreamCatalog { tools: tools("crm", &[("a", ""), ("b", "")]), ..UpstreamCatalog::new(Era::Modern) };
    one.tools.hold(["b".to_owned()].into());
    let catalog = catalog(vec![("crm", one)]);
    let crm = endpoint(&["crm"]);
    let shown: Vec<_> = catalog.tools(&crm).map(|tool| tool.name.tool.as_str()).collect();
    assert_eq!(shown, ["a"]);
    let absent = |upstream: &str, name: &str| catalog.tool(&ToolName::new(upstream, name)).err();
    assert_eq!(absent("crm", "a"), None);
    assert_eq!(absent("crm", "b"), Some(Absent::Quarantined));
    assert_eq!(absent("crm", "c"), Some(Absent::Unknown));
    assert_eq!(absent("down", "a"), Some(Absent::NeverListed));
    assert_eq!(catalog.prompt(&ToolName::new("crm", "a")).err(), Some(Absent::NeverListed));
    assert_eq!(catalog.upstreams["crm"].held(), 1);
    assert!(catalog.is_whole(&endpoint(&["crm"]), |one| &one.tools));
    assert!(!catalog.is_whole(&endpoint(&["crm"]), |one| &one.prompts));
    assert!(!catalog.is_whole(&endpoint(&["crm", "down"]), |one| &one.tools));
}

#[test]
fn a_generation_says_which_list_changed() {
    let with = |all: &[(&str, &str)]| UpstreamCatalog { tools: tools("crm", all), ..UpstreamCatalog::new(Era::Modern) };
    let first = with(&[("a", "x")]).after(None, 3);
    assert_eq!(first.generation, Generation { tools: 3, prompts: 3, resources: 3 });
    let same = with(&[("a", "x")]).after(Some(&first), 4);
    assert_eq!(same.generation, first.generation);
    let reworded = with(&[("a", "y")]).after(Some(&first), 4);
    assert_eq!(reworded.generation, Generation { tools: 4, ..first.generation });
    let mut held = with(&[("a", "x")]);
    held.tools.hold(["a".to_owned()].into());
    assert_eq!(held.after(Some(&first), 5).generation.tools, 5);
    let other = UpstreamCatalog { resources: resources("crm", &["a://1"]), ..with(&[("a", "x")]) };
    assert_eq!(other.after(Some(&first), 6).generation, Generation { resources: 6, ..first.generation });
}

#[test]
fn members_that_say_nothing_of_freshness_are_never_fresh() {
    let at = |fresh_until| UpstreamCatalog { fresh_until, ..UpstreamCatalog::new(Era::Modern) };
    let time = |secs| Some(Timestamp::from_secs(secs));
    let catalog = catalog(vec![("a", at(time(5))), ("b", at(time(3))), ("c", at(None))]);
    assert_eq!(catalog.fresh_until(&endpoint(&["a", "b"])), time(3));
    assert_eq!(catalog.fresh_until(&endpoint(&["a", "c"])), None);
    assert_eq!(catalog.fresh_until(&endpoint(&["a", "down"])), None);
}

#[test]
fn an_endpoint_can_do_what_its_members_can() {
    let about = |value: serde_json::Value| UpstreamCatalog {
        about: About::read(&serde_json::json!({"capabilities": value})),
        ..UpstreamCatalog::new(Era::Modern)
    };
    let catalog = catalog(vec![
        ("a", about(serde_json::json!({"tools": {}, "logging": {}}))),
        ("b", about(serde_json::json!({"prompts": {}, "completions": {}}))),
    ]);
    let offers = catalog.offers(&endpoint(&["a", "b"]));
    assert_eq!(offers, Offers { tools: true, prompts: true, completions: true, logging: true, ..Offers::default() });
    assert!(catalog.offers(&endpoint(&["a", "down"])).resources);
    assert!(!catalog.offers(&endpoint(&["a"])).prompts);
}

proptest! {
    /// Of the simplest templates, every expansion is matched (RFC 6570 sections 3.2.2 and 3.2.3).
    #[test]
    fn a_template_stands_for_all_that_it_expands_to(
        before in "[a-z]{1,5}://[a-z./]{0,5}",
        after in "[a-z./?=]{0,5}",
        simple in "[A-Za-z0-9._~-]{1,8}",
        reserved in "[A-Za-z0-9._~:/?#@!$&'()*+,;=-]{1,8}",
    ) {
        let pattern = Pattern::compile(&format!("{before}{{x}}{after}")).unwrap();
        let uri = format!("{}{}{}", before, simple, after);
        prop_assert!(pattern.matches(&uri));
        let pattern = Pattern::compile(&format!("{before}{{+x}}{after}")).unwrap();
        let uri = format!("{}{}{}", before, reserved, after);
        prop_assert!(pattern.matches(&uri));
    }

    /// Whatever an upstream says, reading it ends well.
    #[test]
    fn any_template_is_compiled_or_refused(text in "[{}a-z/?#+*:,.%]{0,40}", uri in ".{0,40}") {
        if let Ok(pattern) = Pattern::compile(&text) {
            pattern.matches(&uri);
        }
    }
}
