//! The bearer token: where it comes from, and when it is asked for again. What it says is the server's business; of a JWT
//! only `exp` is read, to be in time.

use super::Options;
use crate::app;
use crate::secrets::Secret;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::HeaderValue;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::process::Command;
use tokio::sync::Mutex;

/// The variable that is looked at where no option names a source.
const DEFAULT_VARIABLE: &str = "PORTCULLIS_TOKEN";

/// How long a command may take: it may have a person log in.
const COMMAND: Duration = Duration::from_secs(120);

/// So long before its end a token is replaced.
const EARLY: Duration = Duration::from_secs(30);

/// A source is not asked again sooner, however short-lived its tokens are.
const PAUSE: Duration = Duration::from_secs(10);

/// Longer than any token.
const MAX_BYTES: usize = 64 << 10;

/// Where the token comes from.
pub enum Source {
    /// There is none.
    None,
    /// An option or a variable.
    Fixed(Secret<String>),
    /// A file.
    File(PathBuf),
    /// A shell command.
    Command(String),
}

impl Source {
    /// What the options say.
    ///
    /// # Errors
    /// The variable that they name is not set.
    pub fn of(options: &Options) -> anyhow::Result<Self> {
        let given = |value: &str| Self::Fixed(Secret::new(value.trim().to_owned()));
        if let Some(token) = &options.token {
            return Ok(given(token));
        }
        if let Some(path) = &options.token_file {
            return Ok(Self::File(path.clone()));
        }
        if let Some(command) = &options.token_command {
            return Ok(Self::Command(command.clone()));
        }
        if let Some(name) = &options.token_env {
            let value =
                app::environment(name).with_context(|| format!("the environment variable {name} is not set"))?;
            return Ok(given(&value));
        }
        let value = app::environment(DEFAULT_VARIABLE).filter(|value| !value.trim().is_empty());
        Ok(value.map_or(Self::None, |value| given(&value)))
    }

    async fn obtain(&self) -> Result<String, String> {
        match self {
            Self::None => Err("there is none".into()),
            Self::Fixed(token) => Ok(token.expose().clone()),
            Self::File(path) => {
                let text = tokio::fs::read_to_string(path).await;
                text.map_err(|error| format!("{} can't be read: {error}", path.display()))
            }
            Self::Command(command) => run(command).await,
        }
    }
}

/// What `command` prints. Its standard error is ours, as it may have to tell a person where to log in.
async fn run(command: &str) -> Result<String, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND, shell.output()).await;
    let output = output.map_err(|_| format!("the token command did not end within {} s", COMMAND.as_secs()))?;
    let output = output.map_err(|error| format!("the token command can't be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("the token command failed ({})", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| "the token command printed no text".into())
}

/// A token, ready for the wire.
#[derive(Clone)]
pub struct Token {
    /// The value of `Authorization`; marked as sensitive, so that it is not shown where headers are.
    pub header: HeaderValue,
    /// Which of the tokens that there were.
    pub serial: u64,
}

struct Held {
    token: Token,
    /// When it has to be replaced.
    due: Option<SystemTime>,
}

/// The token as it is now.
pub struct Tokens {
    source: Source,
    /// Held while the source is asked, so that it is asked once and not by all who wait.
    held: Mutex<Option<Held>>,
}

impl Tokens {
    /// Nothing is asked for yet.
    pub fn new(source: Source) -> Self {
        Self { source, held: Mutex::default() }
    }

    /// Whether there is a token at all.
    pub fn expected(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    /// The token for the next request; `None` where there is no source.
    ///
    /// # Errors
    /// Why the source gives none, without what it gave.
    pub async fn current(&self) -> Result<Option<Token>, String> {
        if !self.expected() {
            return Ok(None);
        }
        let mut held = self.held.lock().await;
        let now = SystemTime::now();
        if let Some(old) = held.as_mut() {
            if old.due.is_none_or(|due| now < due) {
                return Ok(Some(old.token.clone()));
            }
            match self.ask(old.token.serial + 1, now).await {
                Ok(new) => *old = new,
                // It may be good for a while yet; the server will say.
                Err(reason) => {
                    tracing::warn!(reason, "the token is about to expire and there is no new one");
                    old.due = Some(now + PAUSE);
                }
            }
            return Ok(Some(old.token.clone()));
        }
        let new = self.ask(0, now).await?;
        Ok(Some(held.insert(new).token.clone()))
    }

    /// A token instead of the one with `serial`, which was refused; `None` where there is no other.
    pub async fn instead_of(&self, serial: u64) -> Option<Token> {
        let mut held = self.held.lock().await;
        let old = held.as_mut()?;
        if old.token.serial != serial {
            return Some(old.token.clone());
        }
        if !matches!(self.source, Source::File(_) | Source::Command(_)) {
            return None;
        }
        match self.ask(serial + 1, SystemTime::now()).await {
            Ok(new) if new.token.header == old.token.header => None,
            Ok(new) => {
                *old = new;
                Some(old.token.clone())
            }
            Err(reason) => {
                tracing::warn!(reason, "the token was refused and there is no other");
                None
            }
        }
    }

    async fn ask(&self, serial: u64, now: SystemTime) -> Result<Held, String> {
        let text = self.source.obtain().await?;
        let token = text.trim();
        let fits = !token.is_empty() && token.len() <= MAX_BYTES && token.bytes().all(|byte| byte.is_ascii_graphic());
        let header = fits.then(|| HeaderValue::from_str(&format!("Bearer {token}")).ok()).flatten();
        let mut header = header.ok_or("what should be a token is not one word of ASCII")?;
        header.set_sensitive(true);
        tracing::debug!(serial, "a token was read");
        Ok(Held { token: Token { header, serial }, due: expiry(token).map(|end| due(end, now)) })
    }
}

/// When a token that ends at `end`, and was read `now`, is replaced.
fn due(end: SystemTime, now: SystemTime) -> SystemTime {
    let early = end.checked_sub(EARLY).unwrap_or(end);
    early.max(now.checked_add(PAUSE).unwrap_or(now))
}

/// `exp` of a JWT (RFC 7519 section 4.1.4). Nobody trusts it: it says when to ask for another.
fn expiry(token: &str) -> Option<SystemTime> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let seconds = claims.get("exp")?.as_f64().filter(|seconds| (1e6..1e11).contains(seconds))?;
    UNIX_EPOCH.checked_add(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        format!("e30.{}.x", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn the_end_of_a_jwt_is_known_and_that_of_anything_else_is_not() {
        let end = |token: &str| expiry(token).map(|at| at.duration_since(UNIX_EPOCH).unwrap().as_secs());
        assert_eq!(end(&jwt(r#"{"exp":1700000000}"#)), Some(1_700_000_000));
        assert_eq!(end(&jwt(r#"{"exp":1700000000.5}"#)), Some(1_700_000_000));
        for payload in [r#"{"exp":"1700000000"}"#, r#"{"exp":-1}"#, r#"{"exp":1e300}"#, "{}", "[]", ""] {
            assert_eq!(end(&jwt(payload)), None, "{payload}");
        }
        for token in ["opaque", "a.b", "..", ""] {
            assert_eq!(end(token), None, "{token}");
        }
    }

    #[test]
    fn a_token_is_replaced_before_its_end_but_not_all_the_time() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(due(at(1300), at(1000)), at(1270));
        for end in [0, 10, 999, 1020, 1040] {
            assert_eq!(due(at(end), at(1000)), at(1010), "{end}");
        }
    }

    fn counting(folder: &tempfile::TempDir) -> Tokens {
        let file = folder.path().join("count");
        let file = file.display();
        Tokens::new(Source::Command(format!("echo x >> {file}; sleep 0.1; printf 'token-%s\\n' $(wc -l < {file})")))
    }

    #[tokio::test]
    async fn a_command_runs_once_for_all_who_wait() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = counting(&folder);
        let all = futures::future::join_all((0..5).map(|_| tokens.current())).await;
        assert!(all.iter().all(|token| token.as_ref().unwrap().as_ref().unwrap().header == "Bearer token-1"));
        let all = futures::future::join_all((0..5).map(|_| tokens.instead_of(0))).await;
        assert!(all.iter().all(|token| token.as_ref().unwrap().header == "Bearer token-2"));
        assert_eq!(format!("{:?}", all[0].as_ref().unwrap().header), "Sensitive");
    }

    #[tokio::test]
    async fn what_is_no_token_is_not_repeated() {
        for (command, expected) in [
            ("printf 'two words'", "what should be a token is not one word of ASCII"),
            ("printf ''", "what should be a token is not one word of ASCII"),
            ("printf secret; exit 3", "the token command failed (exit status: 3)"),
        ] {
            let tokens = Tokens::new(Source::Command(command.into()));
            assert_eq!(tokens.current().await.err().as_deref(), Some(expected), "{command}");
        }
        assert!(Tokens::new(Source::None).current().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_source_that_can_not_change_is_not_asked_again() {
        let tokens = Tokens::new(Source::Fixed(Secret::new("a".into())));
        let token = tokens.current().await.unwrap().unwrap();
        assert!(tokens.instead_of(token.serial).await.is_none());
    }
}
