//! Lines in from standard input, lines out to standard output. What they say is not looked at here.
//!
//! Both are threads of their own: a read of a terminal or pipe can't be called off, and must not keep the process from
//! ending.

use bytes::Bytes;
use std::io::{self, BufRead, Read, Write};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The largest message that is carried, in bytes, either way.
pub const MAX_MESSAGE: usize = 64 << 20;

/// Lines that wait to be written. More of them, and the answers wait.
const WAITING: usize = 64;

/// A line of standard input.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line that is not blank, without its end.
    Text(Bytes),
    /// A line over [`MAX_MESSAGE`], which was passed over.
    TooLong,
}

/// Begins to read standard input. The lines end with it.
///
/// # Errors
/// The system has no thread to give.
pub fn lines() -> io::Result<mpsc::Receiver<Line>> {
    let (sender, lines) = mpsc::channel(WAITING);
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(line) = read(&mut input) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    })?;
    Ok(lines)
}

/// The next line; `None` at the end, and where nothing can be read any more.
fn read(input: &mut impl BufRead) -> Option<Line> {
    loop {
        let mut line = Vec::new();
        let most = u64::try_from(MAX_MESSAGE + 1).unwrap_or(u64::MAX);
        input.take(most).read_until(b'\n', &mut line).ok().filter(|read| *read > 0)?;
        if line.len() > MAX_MESSAGE && !line.ends_with(b"\n") {
            input.skip_until(b'\n').ok()?;
            return Some(Line::TooLong);
        }
        let line = line.trim_ascii();
        if !line.is_empty() {
            return Some(Line::Text(Bytes::copy_from_slice(line)));
        }
    }
}

/// Standard output.
pub struct Output {
    sender: mpsc::Sender<Option<Bytes>>,
    /// Cancelled when nobody reads it any more.
    pub closed: CancellationToken,
}

impl Output {
    /// Begins to write.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start() -> io::Result<Self> {
        let (sender, mut lines) = mpsc::channel(WAITING);
        let output = Self { sender, closed: CancellationToken::new() };
        let closed = output.closed.clone().drop_guard();
        std::thread::Builder::new().name("stdout".into()).spawn(move || {
            let _closed = closed;
            // Whoever closed the pipe wants nothing more.
            let _ = write(&mut io::stdout().lock(), &mut lines);
        })?;
        Ok(output)
    }

    /// Writes a line, as soon as there is room for it.
    pub async fn say(&self, line: Bytes) {
        // It fails where nobody reads, which `closed` says.
        let _ = self.sender.send(Some(line)).await;
    }

    /// Waits until everything said so far is written, for at most `limit`. What is said later is not.
    pub async fn finish(&self, limit: Duration) {
        let written = async {
            let _ = self.sender.send(None).await;
            self.closed.cancelled().await;
        };
        let _ = tokio::time::timeout(limit, written).await;
    }
}

fn write(output: &mut impl Write, lines: &mut mpsc::Receiver<Option<Bytes>>) -> io::Result<()> {
    while let Some(Some(line)) = lines.blocking_recv() {
        output.write_all(&line)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_without_their_ends_and_blank_ones_not_at_all() {
        let mut input = &b"{\"a\":1}\r\n\n  \n [2] \n3"[..];
        for expected in ["{\"a\":1}", "[2]", "3"] {
            assert_eq!(read(&mut input), Some(Line::Text(expected.into())));
        }
        assert_eq!(read(&mut input), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let long = vec![b'x'; MAX_MESSAGE + 10];
        let mut input = io::BufReader::new(io::Cursor::new([&long[..], b"\nnext\n"].concat()));
        assert_eq!(read(&mut input), Some(Line::TooLong));
        assert_eq!(read(&mut input), Some(Line::Text("next".into())));
        let mut input = &[&long[..MAX_MESSAGE], b"\nnext"].concat()[..];
        assert!(matches!(read(&mut input), Some(Line::Text(line)) if line.len() == MAX_MESSAGE));
    }
}
