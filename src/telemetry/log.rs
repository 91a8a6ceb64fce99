//! Log lines, to standard error. What is worth a line is each caller's business; none of them logs a payload, a token
//! or a secret.
//!
//! Fields have the same name wherever they are:
//!
//! | field | holds |
//! |---|---|
//! | `request_id` | `X-Request-ID` of the exchange |
//! | `trace_id` | its W3C trace id |
//! | `principal` | the caller's subject |
//! | `endpoint`, `upstream`, `tool` | as the configuration and the catalogue name them |
//! | `rule` | the rule of the policy that decided |
//! | `revision` | the revision of the configuration |
//! | `error`, `reason` | what went wrong, in words |
//!
//! Each exchange that went further than its header is one line, `request`, of level `info`, with the fields above that it
//! has and:
//!
//! | field | holds |
//! |---|---|
//! | `method` | the JSON-RPC method |
//! | `outcome` | how it ended, in the words of the journal |
//! | `error` | the label of the refusal, as in metrics |
//! | `status` | the HTTP status of the answer |
//! | `latency_us` | from the header to the end of the answer, in microseconds |
//!
//! In JSON they stand beside `timestamp`, `level`, `target` and `message`. What a client chose, such as a tool's name, is
//! escaped in both formats, so that no line can be forged and no terminal steered.

use crate::config::document::gateway::LogFormat;
use std::fmt::{Debug, Display, Write};
use std::io::{self, IsTerminal};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::{MakeWriter, format};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Why logs can't be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter makes no sense.
    #[error(
        "`{filter}` is not a log filter: {reason}; write error, warn, info, debug or trace, or such as \
         info,portcullis=debug"
    )]
    Filter {
        /// As written.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Logs were begun before.
    #[error("logs are already being written")]
    Begun,
}

/// Begins to write log lines as `format`, those that `filter` lets through. Once in a process.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let filter = parse(filter)?;
    let colours = io::stderr().is_terminal();
    // Lines of libraries that write through the `log` crate, pingora among them, come along.
    let begun = match format {
        LogFormat::Json => json(filter, io::stderr).try_init(),
        LogFormat::Text => text(filter, colours, io::stderr).try_init(),
    };
    begun.map_err(|_| LogError::Begun)
}

/// A word alone that is not a level would be taken for the name of a module, all of whose lines pass and nobody else's:
/// with `inof` the log would be empty. So it is refused.
fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    let refuse = |reason: String| LogError::Filter { filter: filter.to_owned(), reason };
    let parts: Vec<&str> = filter.split(',').map(str::trim).collect();
    for part in &parts {
        if part.is_empty() || !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err() {
            return Err(refuse(format!("`{part}` is not a level")));
        }
    }
    EnvFilter::try_new(parts.join(",")).map_err(|error| refuse(error.to_string()))
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt().with_writer(writer).with_env_filter(filter).with_ansi(false);
    lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish().with(Harmless)
}

fn text<W>(filter: EnvFilter, colours: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let fields = format::debug_fn(|out, field, value| match field.name() {
        "message" => write!(out, "{}", OneLine(value)),
        name => write!(out, "{name}={}", OneLine(value)),
    });
    let lines = fmt().with_writer(writer).with_env_filter(filter).with_ansi(colours);
    lines.fmt_fields(fields.delimited(" ")).finish().with(Harmless)
}

/// Leaves out what a library calls an error and is none: pingora (0.9.1) says so each time that it finds an idle connection
/// still watched by the task that keeps it, and then just opens another. No operator can do anything about it. Other lines
/// of the same module stay.
struct Harmless;

/// The line that [`Harmless`] leaves out.
const NOT_REUSED: &str = "failed to acquire reusable stream";

impl<S: Subscriber> Layer<S> for Harmless {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if *event.metadata().level() != Level::ERROR || event.metadata().target() != "log" {
            return true;
        }
        let mut said = NotReused(false);
        event.record(&mut said);
        !said.0
    }
}

/// Whether the message of an event is [`NOT_REUSED`].
struct NotReused(bool);

impl Visit for NotReused {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 |= field.name() == "message" && format!("{value:?}") == NOT_REUSED;
    }
}

/// A value of which nothing can end the line, steer a terminal or turn the direction of writing.
struct OneLine<'a>(&'a dyn Debug);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in format!("{:?}", self.0).chars() {
            match c {
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => write!(f, "{}", c.escape_unicode())?,
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn of(subscriber: impl FnOnce(Self) -> Box<dyn Subscriber + Send + Sync>) -> String {
            let lines = Self::default();
            tracing::subscriber::with_default(subscriber(lines.clone()), || {
                tracing::info!(principal = "alice", tool = "crm.get\n\u{1b}[2Jforged", rule = %"a\nb\u{1b}\u{202e}", "call ended");
                tracing::debug!("not this one");
            });
            String::from_utf8(lines.0.lock().clone()).unwrap()
        }
    }

    #[test]
    fn a_json_line_has_its_fields_and_stays_one_line() {
        let text = Lines::of(|lines| Box::new(json(parse("info").unwrap(), move || lines.clone())));
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "call ended");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["principal"], "alice");
        assert_eq!(line["tool"], "crm.get\n\u{1b}[2Jforged");
    }

    #[test]
    fn a_text_line_can_not_be_forged() {
        let text = Lines::of(|lines| Box::new(text(parse("info").unwrap(), false, move || lines.clone())));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("call ended principal=\"alice\" tool="), "{text}");
        assert!(text.ends_with("rule=a\\nb\\u{1b}\\u{202e}\n"), "{text}");
    }

    #[test]
    fn an_error_that_is_none_is_left_out_and_no_other() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = json(parse("info").unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            for (message, target) in [(NOT_REUSED, "log"), ("the disk is full", "log"), (NOT_REUSED, "portcullis")] {
                match target {
                    "log" => tracing::error!(target: "log", "{message}"),
                    _ => tracing::error!("{message}"),
                }
            }
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("the disk is full") && text.contains(NOT_REUSED), "{text}");
    }

    #[test]
    fn a_filter_without_sense_is_refused_with_an_example() {
        for filter in ["info", "warn,portcullis=debug", "info, sqlx=off", "OFF", "info,portcullis[call]=trace"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        for filter in ["", "inof", "info,portcullis", "portcullis=loud", "info,,warn", "info,[=debug"] {
            let error = parse(filter).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("info,portcullis=debug"), "{filter}: {error}");
        }
    }
}
