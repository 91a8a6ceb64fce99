//! What a case sends, made from what it says. Sends nothing itself.

use super::case::{Send, Signed, Token};
use super::frames::Written;
use super::words::Words;
use crate::support::gateway::MODERN;
use crate::support::http::Request;
use crate::support::tokens::{AUDIENCE, ISSUER, SECRET};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// A request, ready to be sent.
#[derive(Debug)]
pub enum Ready {
    /// Exact bytes over HTTP/1.1.
    Raw(Vec<u8>),
    /// A well-formed request over either.
    Made(Request),
    /// Frames of HTTP/2.
    Frames(Written),
}

impl Send {
    /// What this sends.
    ///
    /// # Errors
    /// It says something wrong.
    pub fn ready(&self, words: &Words) -> Result<Ready, String> {
        match (&self.raw, &self.h2) {
            (Some(raw), _) => words.speak(&raw.replace('\n', "\r\n")).map(Ready::Raw),
            (_, Some(frames)) => frames.written(words).map(Ready::Frames),
            _ => self.made(words).map(Ready::Made),
        }
    }

    fn made(&self, words: &Words) -> Result<Request, String> {
        let path = words.text(self.path.as_deref().unwrap_or("/crm/mcp"))?;
        let mut request = Request::post(&path, self.body(words)?);
        if let Some(verb) = &self.verb {
            request.method.clone_from(verb);
        }
        request = request.header("accept", "application/json, text/event-stream");
        if !self.legacy {
            request = request.header("mcp-protocol-version", MODERN).header("mcp-method", self.method());
            if self.method() == "tools/call" {
                request = request.header("mcp-name", &words.text(self.tool())?);
            }
        }
        if let Some(token) = self.token(words)? {
            request = request.bearer(&token);
        }
        for (name, value) in &self.headers {
            request = match value {
                Some(value) => request.header(name, &words.text(value)?),
                None => request.without(name),
            };
        }
        for line in &self.lines {
            let line = words.text(line)?;
            let (name, value) = line.split_once(": ").ok_or_else(|| format!("{line:?} is no field"))?;
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        Ok(request)
    }

    fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("tools/call")
    }

    fn tool(&self) -> &str {
        self.tool.as_deref().unwrap_or("get_customer")
    }

    fn body(&self, words: &Words) -> Result<Vec<u8>, String> {
        if let Some(body) = &self.body {
            return words.speak(body);
        }
        let usual = || {
            let arguments = self.arguments.as_deref().unwrap_or(r#"{"id":"c-1"}"#);
            format!(r#""name":"{}","arguments":{arguments}"#, self.tool())
        };
        let mut params = match &self.params {
            Some(params) => params.clone(),
            None if self.method() == "tools/call" => usual(),
            None => String::new(),
        };
        if !self.legacy && !params.contains("\"_meta\"") {
            params.push_str(if params.is_empty() { r#""_meta":{meta}"# } else { r#","_meta":{meta}"# });
        }
        let members = self.members.clone().unwrap_or_else(|| format!(r#""params":{{{params}}}"#));
        let method = self.method();
        words.speak(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}",{members}}}"#))
    }

    fn token(&self, words: &Words) -> Result<Option<String>, String> {
        let caller = self.caller.as_deref().unwrap_or("dora");
        match &self.token {
            Some(token) => token.make(caller, words).map(Some),
            None if caller == "nobody" => Ok(None),
            None => words.token(caller).map(Some),
        }
    }
}

impl Token {
    fn make(&self, caller: &str, words: &Words) -> Result<String, String> {
        let person = words.people.get(caller).ok_or_else(|| format!("nobody is called {caller}"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut claims = json!({
            "iss": ISSUER, "sub": caller, "aud": AUDIENCE, "roles": person.roles, "iat": now, "exp": now + 300,
        });
        for (claim, value) in self.claims.iter().chain(&person.claims) {
            match value {
                Value::Null => drop(claims.as_object_mut().and_then(|claims| claims.remove(claim))),
                value => claims[claim] = filled(value, words, now)?,
            }
        }
        let header = self.header.clone().unwrap_or_else(|| json!({"alg": "HS256", "typ": "JWT"}));
        let header = filled(&header, words, now)?;
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let secret = match self.signed {
            Signed::Well => SECRET,
            Signed::Otherwise => "a key of the caller's own, long enough for HS256",
            Signed::Not => "",
        };
        let key = EncodingKey::from_secret(secret.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
        let signature = if self.signed == Signed::Not { String::new() } else { signature.unwrap() };
        let good = format!("{message}.{signature}");
        self.text
            .as_ref()
            .map_or(Ok(good.clone()), |text| words.text(&text.replace("{each}", words.each).replace("{good}", &good)))
    }
}

/// `value` with the words in its texts replaced, and `{now+60}` by a number of seconds.
fn filled(value: &Value, words: &Words, now: u64) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => match text.strip_prefix("{now").and_then(|rest| rest.strip_suffix('}')) {
            Some("") => now.into(),
            Some(offset) => {
                let offset: i64 = offset.parse().map_err(|_| format!("{text} is no time"))?;
                now.saturating_add_signed(offset).into()
            }
            None => words.text(text)?.into(),
        },
        Value::Array(all) => all.iter().map(|one| filled(one, words, now)).collect::<Result<_, _>>()?,
        Value::Object(all) => {
            let members = all.iter().map(|(name, one)| Ok((name.clone(), filled(one, words, now)?)));
            members.collect::<Result<Map<_, _>, String>>()?.into()
        }
        other => other.clone(),
    })
}
