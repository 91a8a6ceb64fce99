//! An answer in the words of its caller's revision: what one era says otherwise than the other, and what only one of them
//! knows. Nothing is redacted here.

use super::{Asker, Filter, Tasks, Terms};
use crate::pipeline::session::line::Renaming;
use crate::pipeline::state::Asked;
use portcullis_core::jsonrpc::{self, Answer, Object, Span};
use portcullis_core::mcp::rewrite::{change, set_text, splice};
use portcullis_core::reject::{Era, Rejection};
use std::borrow::Cow;

impl Filter {
    /// The message as the caller must see it: under the id of its own request, and in the words of its revision.
    pub(super) fn translate<'a>(
        &self,
        message: &'a [u8],
        answer: &Answer,
        renaming: Option<Renaming>,
    ) -> Result<Cow<'a, [u8]>, Rejection> {
        let Terms { id: ours, asker, .. } = &self.terms;
        let mut edits: Vec<_> = renaming.into_iter().collect();
        if let (Answer::Result { id, .. } | Answer::Error { id: Some(id), .. }, Asker::Rpc(Some(own))) = (answer, asker)
            && own != ours
        {
            edits.push((*id, own.to_vec()));
        }
        match answer {
            Answer::Result { result, .. } => edits.extend(self.result(result, message)?),
            Answer::Error { error, .. } => edits.extend(self.code(error, message)?),
            _ => {}
        }
        Ok(if edits.is_empty() { Cow::Borrowed(message) } else { Cow::Owned(splice(message, edits)) })
    }

    /// What must be different in a result.
    ///
    /// What redaction leaves as it is must be what it is taken for: a state stands in a result that asks for it to be
    /// brought back, and a task's id, which the caller gets sealed, in one that speaks of a task. Anywhere else it goes.
    fn result(&self, result: &Object, message: &[u8]) -> Result<Vec<(Span, Vec<u8>)>, Rejection> {
        let kind = result.value("resultType").and_then(|kind| jsonrpc::string(kind.of(message)));
        let text = |span: Span| jsonrpc::string(span.of(message)).ok_or(Rejection::ResponseUnreadable("state"));
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        match self.terms.eras.caller {
            Era::Modern => set.extend(self.modern_members(result, kind.as_deref())),
            // Older revisions know no other than an object; what it says stands in `content` too (MCP 2026-07-28 "Tools",
            // "Structured Content").
            Era::Legacy => {
                let structured = result.value("structuredContent").map(|span| span.of(message));
                if structured.is_some_and(|content| !content.starts_with(b"{")) && !self.is_rest() {
                    remove.push("structuredContent");
                }
            }
        }
        let (mut edits, mut made) = (Vec::new(), None);
        match result.value("requestState") {
            Some(state) if kind.as_deref() == Some("input_required") => {
                text(state)?;
                edits.extend(self.state(state, message)?);
            }
            Some(_) => remove.push("requestState"),
            None if kind.as_deref() == Some("input_required") => made = self.own_state()?,
            None => {}
        }
        set.extend(made.as_deref().map(|state| ("requestState", state)));
        match (result.value("taskId"), &self.terms.tasks) {
            (Some(id), Tasks::Begun(seal) | Tasks::About(seal)) => {
                let sealed = seal.seal(&text(id)?).ok_or(Rejection::ResponseUnreadable("task_id"))?;
                edits.push(set_text(id, &sealed));
            }
            (Some(_), Tasks::None) => remove.push("taskId"),
            (None, _) => {}
        }
        edits.extend(change(result, &set, &remove));
        Ok(edits)
    }

    /// The filter of the answer to a call that people have agreed to.
    pub fn under(mut self, asked: Option<Asked>) -> Self {
        self.terms.states = self.terms.states.map(|states| states.under(asked));
        self
    }

    /// A modern client gets the state sealed. For an older one the gateway keeps it (`converse::rounds`), as it is.
    fn state(&self, state: Span, message: &[u8]) -> Result<Option<(Span, Vec<u8>)>, Rejection> {
        if self.terms.eras.caller == Era::Legacy {
            return Ok(None);
        }
        // Where nothing could take it back, it is not given out.
        let states = self.terms.states.as_ref().ok_or(Rejection::ResponseUnreadable("state"))?;
        let Some(sealed) = states.seal(Some(state.of(message))) else {
            let bytes = state.of(message).len();
            tracing::warn!(tool = %self.terms.name, bytes, "the upstream gives out a state that is too long to be sealed");
            return Err(Rejection::UpstreamIncompatible("the state that it gives out for the next step is too long"));
        };
        Ok(Some(set_text(state, &sealed)))
    }

    /// The state that a modern client gets where its upstream gives none: by it the client goes on with a call that people have
    /// agreed to.
    fn own_state(&self) -> Result<Option<Vec<u8>>, Rejection> {
        let states = self.terms.states.as_ref().filter(|states| states.is_needed());
        let sealed = states.map(|states| states.seal(None).ok_or(Rejection::Internal)).transpose()?;
        Ok(sealed.map(|sealed| jsonrpc::quote(&sealed)))
    }

    /// What a modern client must find in a result (MCP 2026-07-28 "ResultType", "Caching"): what an upstream, an older one
    /// above all, does not say, and that what was redacted for one caller is kept for no other.
    fn modern_members(&self, result: &Object, kind: Option<&str>) -> Vec<(&'static str, &'static [u8])> {
        let mut set: Vec<(&str, &[u8])> = Vec::new();
        if kind.is_none() {
            set.push(("resultType", b"\"complete\""));
        }
        if self.terms.reads && matches!(kind, None | Some("complete")) {
            set.push(("cacheScope", b"\"private\""));
            if result.value("ttlMs").is_none() {
                set.push(("ttlMs", b"0"));
            }
        }
        set
    }

    /// MCP 2026-07-28 "Custom Headers".
    pub(super) fn is_outdated_by(&self, error: &Object, message: &[u8]) -> bool {
        let code = error.value("code").map(|code| code.of(message));
        self.terms.eras.upstream == Era::Modern && code == Some(b"-32020")
    }

    /// What must be different in an error: the code, where the caller's revision has another for it or none.
    ///
    /// # Errors
    /// Where the upstream speaks of what only the gateway can be blamed for, or of what the caller can't be told.
    fn code(&self, error: &Object, message: &[u8]) -> Result<Option<(Span, Vec<u8>)>, Rejection> {
        let Terms { eras, reads, name, .. } = &self.terms;
        let Some(code) = error.value("code") else { return Ok(None) };
        let other: &[u8] = match (code.of(message), eras.caller, eras.upstream) {
            // It has not run the call. What its tool is by now is being asked (`Filter::is_outdated`).
            (b"-32020", _, Era::Modern) => return Err(Rejection::UpstreamChanged),
            (b"-32022", _, Era::Modern) => {
                let said = String::from_utf8_lossy(code.of(message));
                tracing::error!(tool = %name, code = %said, "the upstream does not accept how the call was sent");
                return Err(Rejection::Internal);
            }
            (b"-32021", Era::Legacy, Era::Modern) => {
                return Err(Rejection::UpstreamIncompatible("it needs a capability that you do not declare"));
            }
            (b"-32002", Era::Modern, _) if *reads => b"-32602",
            // These are of older revisions alone (MCP 2026-07-28 "Error Codes").
            (b"-32002" | b"-32042", Era::Modern, _) => b"-32603",
            (b"-32602", Era::Legacy, Era::Modern) if *reads => b"-32002",
            _ => return Ok(None),
        };
        Ok(Some((code, other.to_vec())))
    }
}
