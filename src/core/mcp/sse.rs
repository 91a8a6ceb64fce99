//! Server-sent events (WHATWG HTML, "Server-sent events"): reading them however the bytes are split, writing them back.
//!
//! Events are delivered whole and at once when their blank line has come. What an event says is not looked at here.

/// A sign of life: an empty comment. It begins a stream whose events may take a while, and keeps one open that says nothing,
/// since intermediaries close what is silent (MCP 2026-07-28 "Streamable HTTP").
pub const SIGN_OF_LIFE: &[u8] = b":\n\n";

/// Part of a stream: an event, or what keeps the stream alive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// `event`, where it is given and not empty.
    pub event: Option<String>,
    /// `id`, where it is given; empty resets the client's last id.
    pub id: Option<String>,
    /// `retry`, in milliseconds.
    pub retry: Option<u64>,
    /// The lines of `data`, joined by line feeds; `None` where there is no `data` at all.
    pub data: Option<String>,
    /// Comments, without their colon.
    pub comments: Vec<String>,
}

impl Event {
    /// An event of the default type that says `data`.
    pub fn message(data: impl Into<String>) -> Self {
        Self { data: Some(data.into()), ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn is_comment(&self) -> bool {
        self.event.is_none() && self.id.is_none() && self.retry.is_none() && self.data.is_none()
    }

    /// Appends it as it goes over the wire. Line ends in a value never end its line, whatever put them there: in `data`
    /// and comments they begin a line of the same kind, in `event` and `id` they are left out.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        for line in self.comments.iter().flat_map(|comment| lines(comment)) {
            write_line(out, "", line);
        }
        if let Some(event) = &self.event {
            write_line(out, "event", &format!(" {}", one_line(event)));
        }
        if let Some(id) = &self.id {
            write_line(out, "id", &format!(" {}", one_line(id)));
        }
        if let Some(retry) = self.retry {
            write_line(out, "retry", &format!(" {retry}"));
        }
        for line in self.data.iter().flat_map(|data| lines(data)) {
            write_line(out, "data", &format!(" {line}"));
        }
        out.push(b'\n');
    }

    /// Takes one line of the stream, without its end.
    fn take(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = if field.is_empty() { value } else { value.strip_prefix(' ').unwrap_or(value) };
        match field {
            "" => self.comments.push(value.to_owned()),
            "event" => self.event = Some(value.to_owned()).filter(|event| !event.is_empty()),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().or(self.retry);
            }
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}

/// An event is larger than it may be. The stream can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {0} bytes")]
pub struct TooLarge(
    /// The limit, in bytes.
    pub usize,
);

/// Reads a stream piece by piece.
#[derive(Debug, Clone)]
pub struct Parser {
    max_event_bytes: usize,
    /// The line that has not ended.
    line: Vec<u8>,
    /// The event that has not ended.
    event: Event,
    /// Bytes of the event's whole lines.
    taken: usize,
    /// Whether a line feed that comes next belongs to a carriage return before it.
    after_return: bool,
    /// Whether no line has ended, so that the next may begin with a byte order mark.
    at_start: bool,
    refused: bool,
}

impl Parser {
    /// A parser at the start of a stream whose events take at most `max_event_bytes` each, line ends not counted.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            line: Vec::new(),
            event: Event::default(),
            taken: 0,
            after_return: false,
            at_start: true,
            refused: false,
        }
    }

    /// Reads `chunk` and appends what it completes to `out`. A comment outside an event comes as an event of its own, so
    /// that signs of life flow.
    ///
    /// # Errors
    /// [`TooLarge`], now and ever after: events before it are in `out`, nothing of it is.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<(), TooLarge> {
        let mut rest = chunk;
        while !self.refused {
            if self.after_return && !rest.is_empty() {
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
                self.after_return = false;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.hold(rest);
                break;
            };
            self.hold(rest.get(..end).unwrap_or_default());
            self.after_return = rest.get(end) == Some(&b'\r');
            rest = rest.get(end + 1..).unwrap_or_default();
            if !self.refused {
                self.end_line(out);
            }
        }
        if self.refused { Err(TooLarge(self.max_event_bytes)) } else { Ok(()) }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let held = self.taken.saturating_add(self.line.len()).saturating_add(bytes.len());
        if held > self.max_event_bytes {
            self.refused = true;
            self.line = Vec::new();
            self.event = Event::default();
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self, out: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.line);
        let bytes = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| self.at_start).unwrap_or(&line);
        self.at_start = false;
        self.taken = self.taken.saturating_add(line.len());
        if !bytes.is_empty() {
            // Decoded by line, so that a character split over chunks is whole; what is no UTF-8 is replaced as the
            // standard has it.
            self.event.take(&String::from_utf8_lossy(bytes));
        }
        if bytes.is_empty() || self.event.is_comment() {
            self.taken = 0;
            let event = std::mem::take(&mut self.event);
            if !event.is_empty() {
                out.push(event);
            }
        }
    }
}

fn write_line(out: &mut Vec<u8>, field: &str, value: &str) {
    out.extend_from_slice(field.as_bytes());
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// The lines of `text`, whichever of the three line ends parts them; the empty text is one line.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')).collect()
}

#[cfg(test)]
mod tests;
