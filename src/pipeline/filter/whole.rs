//! The answer by itself: found among events, and put as its caller takes it.

use super::{Answer, Filter, read};
use bytes::Bytes;
use portcullis_core::reject::{Era, Rejection};
use std::borrow::Cow;

impl Filter {
    /// The answer among events, for a caller who wants it alone.
    pub(super) fn collect(&mut self, body: &[u8]) -> Result<Cow<'static, [u8]>, Rejection> {
        let mut events = Vec::new();
        let parser = self.parser.as_mut().ok_or(Rejection::Internal)?;
        parser.push(body, &mut events).map_err(|_| Rejection::ResponseTooLarge)?;
        let mut messages = events.into_iter().filter_map(|event| event.data).map(String::into_bytes);
        let found = messages.find(|data| read(data).is_ok_and(|answer| self.is_ours(&answer, data)));
        found.map(Cow::Owned).ok_or(Rejection::ResponseUnreadable("no_answer"))
    }

    pub(super) fn finish(&self, message: Cow<'_, [u8]>) -> Result<(u16, Bytes), Rejection> {
        if self.is_rest() {
            return match read(&message)? {
                Answer::Result { result, .. } => Ok((200, result.span.of(&message).to_vec().into())),
                Answer::Error { error, .. } => {
                    Ok((502, [b"{\"error\":", error.span.of(&message), b"}"].concat().into()))
                }
                _ => Err(Rejection::ResponseUnreadable("no_answer")),
            };
        }
        // A legacy client takes a 404 for the end of its session, whoever meant it (MCP 2025-11-25 "Session Management").
        let status = if self.terms.eras.caller == Era::Legacy { 200 } else { self.upstream_status };
        Ok((status, message.into_owned().into()))
    }
}
