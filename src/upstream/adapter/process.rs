//! A program that speaks MCP on its standard input and output: started, carried messages to and from, and ended with
//! everything that it started itself.

use crate::config::snapshot::Stdio;
use crate::upstream::adapter::conversation::{Conversation, Outgoing};
use bytes::{Buf, BytesMut};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio as Pipe};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;

/// The longest line that is a message, in bytes.
pub const LINE: usize = 32 << 20;
/// The longest line of standard error, in bytes; the rest of it is left out.
const REMARK: usize = 4 << 10;
/// Remarks of a process that are logged within a minute.
const REMARKS: u32 = 60;
/// How long a process may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what it wrote last is read after its end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// What a program gets of the gateway's environment. `LANG` has a value in any case, so that text is UTF-8.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];
const LANG: &str = "C.UTF-8";

/// A process that was started.
pub struct Process {
    child: Child,
    group: Group,
    name: Arc<str>,
    remarks: Remarks,
    started: Instant,
}

/// How a process ended.
pub enum End {
    /// By itself, or by another's hand.
    ByItself(ExitStatus),
    /// Because it was asked to.
    Asked,
}

impl Process {
    /// Starts the program of the upstream `name`.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start(stdio: &Stdio, name: Arc<str>) -> std::io::Result<Self> {
        let mut command = Command::new(&stdio.program);
        command.args(&stdio.arguments).env_clear().envs(environment(stdio));
        if let Some(cwd) = &stdio.cwd {
            command.current_dir(cwd);
        }
        command.stdin(Pipe::piped()).stdout(Pipe::piped()).stderr(Pipe::piped());
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let remarks = Remarks::new(stdio);
        tracing::info!(upstream = %name, pid = child.id(), "a process of the upstream was started");
        Ok(Self { child, group, name, remarks, started: Instant::now() })
    }

    /// Carries messages until the process or the conversation ends, and leaves nothing of it behind: how it ended, and
    /// how long it lived.
    pub async fn attend(mut self, conversation: &Arc<Conversation>, outgoing: Receiver<Outgoing>) -> (End, Duration) {
        let (stdin, stdout, stderr) = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let mut others = JoinSet::new();
        stdin.map(|stdin| others.spawn(write(stdin, outgoing)));
        stderr.map(|stderr| others.spawn(remark(stderr, self.remarks.clone(), Arc::clone(&self.name))));
        let name = Arc::clone(&self.name);
        let reader = read(stdout, conversation, self.remarks.clone(), &name);
        tokio::pin!(reader);
        let ended = tokio::select! {
            status = self.child.wait() => {
                let _ = tokio::time::timeout(LAST_WORDS, &mut reader).await;
                status.ok()
            }
            () = &mut reader => None,
            () = conversation.over() => None,
        };
        let asked = conversation.is_over();
        conversation.end();
        let status = match ended {
            Some(status) => Some(status),
            None => self.stop(&mut others, asked).await,
        };
        // What it has started itself, and what ignored it. The number of the group is free once nobody is in it, but the
        // system gives numbers out in turn and not again at once.
        self.group.signal(Signal::KILL);
        self.group.0 = None;
        let end = status.filter(|_| !asked).map_or(End::Asked, End::ByItself);
        (end, self.started.elapsed())
    }

    /// Ends the process: its input is closed, it is asked to, and made to. One that closed its output is given the time
    /// to end by itself first.
    async fn stop(&mut self, others: &mut JoinSet<()>, asked: bool) -> Option<ExitStatus> {
        others.abort_all();
        while others.join_next().await.is_some() {}
        if !asked && let Ok(status) = tokio::time::timeout(LAST_WORDS, self.child.wait()).await {
            return status.ok();
        }
        self.group.signal(Signal::TERM);
        if let Ok(status) = tokio::time::timeout(PATIENCE, self.child.wait()).await {
            return status.ok();
        }
        tracing::warn!(upstream = %self.name, pid = self.child.id(), "the process does not end and is killed");
        self.group.signal(Signal::KILL);
        self.child.wait().await.ok()
    }
}

/// The processes that a program and whatever it starts are. They end with this value.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // There may be none left.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn environment(stdio: &Stdio) -> BTreeMap<OsString, OsString> {
    let inherited = INHERITED.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    let own = stdio.env.iter().map(|(name, variable)| (name.into(), variable.value.expose().into()));
    std::iter::once(("LANG".into(), LANG.into())).chain(inherited).chain(own).collect()
}

async fn write(mut stdin: ChildStdin, mut outgoing: Receiver<Outgoing>) {
    while let Some(Outgoing { mut text, .. }) = outgoing.recv().await {
        text.push(b'\n');
        // It does not read any more: what becomes of it is seen at its other end.
        if stdin.write_all(&text).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

async fn read(stdout: Option<ChildStdout>, conversation: &Conversation, mut remarks: Remarks, name: &str) {
    let Some(stdout) = stdout else { return };
    let mut lines = Lines::new(stdout, LINE);
    while let Some(line) = lines.next().await {
        let taken = match &line {
            Line::Whole(text) if text.is_empty() => continue,
            Line::Whole(text) => conversation.take(text).map_err(|_| "no message: it is skipped"),
            Line::TooLong(_) => Err("longer than 32 MiB: it is skipped"),
        };
        let Err(problem) = taken else { continue };
        if matches!(line, Line::TooLong(_)) {
            conversation.lost();
        }
        // What looks like a message may hold what only its caller may see.
        let text = line.text();
        let shown = if text.trim_ascii_start().starts_with(b"{") { None } else { remarks.shown(text) };
        if remarks.may_log() {
            let length = text.len();
            tracing::warn!(upstream = name, length, line = shown, "a line on standard output is {problem}");
        }
    }
}

async fn remark(stderr: ChildStderr, mut remarks: Remarks, name: Arc<str>) {
    let mut lines = Lines::new(stderr, REMARK);
    while let Some(line) = lines.next().await {
        if let Some(line) = remarks.shown(line.text()).filter(|_| remarks.may_log()) {
            tracing::info!(upstream = %name, line, "a process says");
        }
    }
}

/// A line of a program's output.
enum Line {
    Whole(BytesMut),
    /// Only its beginning.
    TooLong(BytesMut),
}

impl Line {
    fn text(&self) -> &[u8] {
        let (Self::Whole(text) | Self::TooLong(text)) = self;
        text
    }
}

/// Reads lines of at most so many bytes.
struct Lines<R> {
    pipe: R,
    buffer: BytesMut,
    longest: usize,
    /// How much of the buffer is known to hold no line end.
    searched: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(pipe: R, longest: usize) -> Self {
        Self { pipe, buffer: BytesMut::new(), longest, searched: 0 }
    }

    /// The next line, without its end; `None` when there is none. What has no end is no line.
    async fn next(&mut self) -> Option<Line> {
        let mut beginning = None;
        loop {
            let found = self.buffer.get(self.searched..)?.iter().position(|byte| *byte == b'\n');
            if let Some(position) = found {
                let mut line = self.buffer.split_to(self.searched + position);
                self.buffer.advance(1);
                self.searched = 0;
                line.truncate(line.strip_suffix(b"\r").map_or(line.len(), <[u8]>::len));
                return Some(beginning.map_or(Line::Whole(line), Line::TooLong));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > self.longest {
                let mut all = std::mem::take(&mut self.buffer);
                all.truncate(REMARK);
                beginning.get_or_insert(all);
                self.searched = 0;
            }
            self.buffer.reserve(64 << 10);
            if self.pipe.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// What of a process's own words is logged: some, and nothing secret.
#[derive(Clone)]
struct Remarks {
    hidden: Arc<[String]>,
    left: u32,
    since: Instant,
}

impl Remarks {
    fn new(stdio: &Stdio) -> Self {
        // A key in PEM is written line by line.
        let lines = stdio.hidden().flat_map(|value| std::iter::once(value).chain(value.lines()));
        let mut hidden: Vec<_> = lines.filter(|line| line.len() >= 12).map(str::to_owned).collect();
        hidden.sort_by_key(|value| std::cmp::Reverse(value.len()));
        hidden.dedup();
        Self { hidden: hidden.into(), left: REMARKS, since: Instant::now() }
    }

    /// A line as it may be shown; `None` where there is nothing to show.
    fn shown(&self, line: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(line);
        let shown = self.hidden.iter().fold(text.into_owned(), |text, secret| text.replace(secret, "***"));
        let shown = shown.trim_end();
        (!shown.is_empty()).then(|| shown.chars().take(400).collect())
    }

    fn may_log(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(60) {
            (self.left, self.since) = (REMARKS, Instant::now());
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::upstreams::Sharing;
    use crate::config::snapshot::Variable;
    use crate::secrets::Secret;

    #[tokio::test]
    async fn lines_are_read_whole_and_long_ones_are_passed_over() {
        let long = "y".repeat(2_000_000);
        let text = format!("a\r\n\n{long}\nlast\nno end");
        let mut lines = Lines::new(text.as_bytes(), 100_000);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await {
            match line {
                Line::Whole(text) => seen.push(String::from_utf8(text.to_vec()).unwrap()),
                Line::TooLong(text) => seen.push(format!("too long: {}", text.len())),
            }
        }
        assert_eq!(seen, ["a", "", "too long: 4096", "last"]);
    }

    fn stdio(secret: &str) -> Stdio {
        let variable = |value: &str, hidden| Variable { value: Secret::new(value.to_owned()), hidden };
        Stdio {
            program: "true".into(),
            arguments: Vec::new(),
            env: BTreeMap::from([
                ("TOKEN".to_owned(), variable(secret, true)),
                ("LANG".to_owned(), variable("de", false)),
            ]),
            cwd: None,
            per: Sharing::Principal,
            idle: Duration::from_secs(1),
            max_processes: 1,
        }
    }

    #[test]
    fn a_program_gets_no_more_of_the_environment_than_it_needs() {
        let environment = environment(&stdio("a very secret value"));
        let names: Vec<_> = environment.keys().map(|name| name.to_str().unwrap()).collect();
        assert!(names.iter().all(|name| ["HOME", "LANG", "PATH", "TOKEN"].contains(name)), "{names:?}");
        assert_eq!(environment[&OsString::from("LANG")], "de");
    }

    #[test]
    fn no_remark_shows_a_secret() {
        let mut remarks = Remarks::new(&stdio("-----BEGIN-----\nline-of-a-secret-key\nshort"));
        assert_eq!(remarks.shown(b"key: line-of-a-secret-key!\n").unwrap(), "key: ***!");
        assert_eq!(remarks.shown(b" \r\n"), None);
        assert_eq!(remarks.shown("x".repeat(1000).as_bytes()).unwrap().len(), 400);
        assert_eq!((0..1000).filter(|_| remarks.may_log()).count(), 60);
    }
}
