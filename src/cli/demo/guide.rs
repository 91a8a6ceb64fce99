//! What the demo tells: a token for each role, and what to try. The same tokens are in files, so that a line to paste
//! stays short.

use crate::cli::demo::files::{Files, write_private};
use crate::cli::ready::Ready;
use crate::cli::token;
use crate::config::snapshot::{Console, Issuer};
use crate::identity::mint::MintRequest;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// One of the demo's people.
struct Person {
    name: &'static str,
    role: &'static str,
    /// What the role may, and what to look for in the answer.
    may: &'static str,
    /// A call to try.
    tool: &'static str,
    arguments: &'static str,
}

const PEOPLE: [Person; 3] = [
    Person {
        name: "viola",
        role: "viewer",
        may: "reads. The answer comes back with the e-mail address masked",
        tool: "ops.get_service",
        arguments: r#"{"name":"booking-api"}"#,
    },
    Person {
        name: "dana",
        role: "developer",
        may: "also changes things. With 12 replicas somebody else has to agree",
        tool: "ops.scale_service",
        arguments: r#"{"service":"booking-api","replicas":4}"#,
    },
    Person {
        name: "olli",
        role: "oncall",
        may: "also restarts services, and sees e-mail addresses; the rest stays masked",
        tool: "ops.get_employee_profile",
        arguments: r#"{"employee_id":"E-1001"}"#,
    },
];

/// Whose token MCP clients are shown with.
const CLIENT_ROLE: &str = "developer";

/// How long the tokens are good for.
pub const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long the way into the console by a link is good: a working day.
const LINK_LIFETIME: Duration = Duration::from_secs(8 * 3600);

/// A token for each role.
///
/// # Errors
/// The issuer's secret is gone.
pub fn tokens(issuer: &Issuer) -> anyhow::Result<BTreeMap<String, String>> {
    let sign = |Person { name, role, .. }: &Person| {
        let request = MintRequest {
            roles: vec![(*role).to_owned()],
            tenant: Some("demo".into()),
            ..MintRequest::new(issuer, *name, LIFETIME)
        };
        Ok(((*role).to_owned(), token::sign(issuer, &request)?))
    };
    PEOPLE.iter().map(sign).collect()
}

/// The token by which the one on call decides on calls: good at the operators' side alone, for `lifetime`.
///
/// # Errors
/// The issuer's secret is gone.
pub fn deciding_token(issuer: &Issuer, console: &Console, lifetime: Duration) -> anyhow::Result<String> {
    let [.., Person { name, role, .. }] = &PEOPLE;
    let request = MintRequest {
        roles: vec![(*role).to_owned()],
        tenant: Some("demo".into()),
        ..MintRequest::new(issuer, *name, lifetime)
    };
    token::sign(issuer, &request.at_console(console))
}

/// Where the one on call finds the console, and is let in: the page takes the token out of the link, which the browser sends to
/// nobody, and asks before it shows it.
///
/// # Errors
/// The issuer's secret is gone.
pub fn console_link(issuer: &Issuer, console: &Console) -> anyhow::Result<String> {
    let token = deciding_token(issuer, console, LINK_LIFETIME)?;
    Ok(format!("{}/login?next=/approvals#token={token}", console.public_url))
}

/// Writes the tokens, and the configuration of an MCP client.
///
/// # Errors
/// A file can't be written.
pub fn write_files(ready: &Ready, files: &Files) -> anyhow::Result<()> {
    for (role, token) in &ready.tokens {
        write_private(&files.token(role), token)?;
    }
    let (url, token) = (ready.endpoints.get("all"), ready.tokens.get(CLIENT_ROLE));
    let authorization = format!("Bearer {}", token.map_or("", String::as_str));
    let server = json!({ "type": "http", "url": url, "headers": { "Authorization": authorization } });
    write_private(&files.client(), &format!("{:#}\n", json!({ "mcpServers": { "portcullis": server } })))
}

/// The guide.
pub fn text(ready: &Ready, files: &Files, console: &str) -> String {
    let mut out = String::new();
    let endpoints: Vec<_> = ready.endpoints.keys().map(|name| format!("/{name}/mcp")).collect();
    let _ = writeln!(out, "\nPortcullis is up, in front of two sample MCP servers.\n");
    let _ = writeln!(out, "  gateway  {}  with {}", ready.gateway, endpoints.join(", "));
    let _ = writeln!(out, "  admin    {}  with the console, /metrics, /readyz", ready.admin);
    let _ = writeln!(out, "  policy   {}  edit it: it is live when saved", files.policy().display());
    let _ = writeln!(out, "  journal  {}  SQLite; read the view `calls`\n", ready.journal.display());
    let _ = writeln!(out, "Three people, each with a token for a week and a call to paste:\n");
    for person in &PEOPLE {
        introduce(person, ready, files, &mut out);
    }
    let _ = writeln!(
        out,
        "Where dana wants 12 replicas, the call waits until olli agrees; then she makes it again. Olli opens"
    );
    let _ = writeln!(out, "the console, with a way in that is good for 8 hours:");
    let _ = writeln!(out, "  {console}");
    let _ = writeln!(out, "or stays at the command line:");
    let _ = writeln!(
        out,
        "  portcullis approvals list --url {} --token \"$(cat {})\"",
        ready.admin,
        word(&files.deciding())
    );
    let _ = writeln!(out, "  and `approve ID` or `deny ID --reason WHY` in place of `list`\n");
    if let Some(url) = ready.endpoints.get("all") {
        let _ = writeln!(out, "An MCP client is given the URL (Streamable HTTP)");
        let _ = writeln!(out, "  {url}");
        let _ = writeln!(out, "and a header `Authorization: Bearer TOKEN`. In the form that many clients read:");
        let _ = writeln!(out, "  {}\n", files.client().display());
    }
    let _ = write!(out, "Ctrl-C ends it.");
    out
}

fn introduce(person: &Person, ready: &Ready, files: &Files, out: &mut String) {
    let Person { name, role, may, tool, arguments } = person;
    let token = ready.tokens.get(*role).map_or("", String::as_str);
    let (gateway, file) = (&ready.gateway, word(&files.token(role)));
    let _ = writeln!(out, "{name}, {role}: {may}.");
    let _ = writeln!(out, "  {token}");
    let _ = writeln!(
        out,
        r#"  curl -s {gateway}/mcp/invoke -H "Authorization: Bearer $(cat {file})" -H 'Content-Type: application/json' -d '{{"tool_name":"{tool}","arguments":{arguments}}}'"#
    );
    out.push('\n');
}

/// A path as one word of a shell.
fn word(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%".contains(&byte);
    if path.bytes().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::word;
    use std::path::Path;

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        assert_eq!(word(Path::new("/srv/demo-1/viewer.token")), "/srv/demo-1/viewer.token");
        assert_eq!(word(Path::new("/a b/$(id)")), "'/a b/$(id)'");
        assert_eq!(word(Path::new("/it's")), r"'/it'\''s'");
    }
}
