//! Lines of JSON, as an export has them: in a file, or on standard output.
//!
//! A batch is forced to the disk (fdatasync) before the sink's place moves on. A file that was renamed or removed is noticed
//! at the next batch, and another is made. What a broken-off write left is found when the file is opened: a half line is cut
//! off, and rows that are there are not written again.

use super::sink::{Batch, Failure};
use portcullis_core::audit::row::{LONGEST_LINE, Stored};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncWriteExt, Stdout, stdout};

/// How much of a file's end is read for its last row.
const TAIL: u64 = LONGEST_LINE as u64;

/// What each line of ours begins with.
const BEGINNINGS: [&[u8]; 2] = [b"{\"seq\":", b"{\"checkpoint\":"];

/// A file that lines are appended to.
pub(super) struct LinesFile {
    path: PathBuf,
    opened: Option<Opened>,
}

/// An open file.
struct Opened {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    /// The last row of the journal that it holds; 0 where it holds none.
    last: i64,
}

impl LinesFile {
    /// The file at `path`; not opened yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, opened: None }
    }

    /// Appends the batch.
    pub(super) async fn deliver(&mut self, batch: Batch<'_>) -> Result<(), Failure> {
        let (path, opened) = (self.path.clone(), self.opened.take());
        let instance = batch.instance.to_owned();
        let rows: Vec<(i64, String)> = batch.rows.iter().map(|row| (row.seq, row.json_line())).collect();
        let others: Vec<String> = batch.checkpoints.iter().map(|checkpoint| checkpoint.line.clone()).collect();
        let write = move || append(&path, opened, &instance, rows, others);
        let written = tokio::task::spawn_blocking(write).await.map_err(|error| Failure::later(error.to_string()))?;
        let opened = written.map_err(|error| Failure::later(format!("{}: {error}", self.path.display())))?;
        self.opened = Some(opened);
        Ok(())
    }
}

fn append(
    path: &Path,
    opened: Option<Opened>,
    instance: &str,
    rows: Vec<(i64, String)>,
    others: Vec<String>,
) -> io::Result<Opened> {
    let mut opened = match opened {
        Some(opened) if opened.is_at(path) => opened,
        _ => Opened::open(path, instance)?,
    };
    let last = rows.last().map_or(0, |(seq, _)| *seq);
    let new = rows.into_iter().filter(|(seq, _)| *seq > opened.last).map(|(_, line)| line);
    let text = new.chain(others).fold(String::new(), |text, line| text + &line + "\n");
    opened.file.write_all(text.as_bytes())?;
    opened.file.sync_data()?;
    opened.last = opened.last.max(last);
    Ok(opened)
}

impl Opened {
    fn open(path: &Path, instance: &str) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("this is no file; for standard output write `-`"));
        }
        let last = mend(&mut file, metadata.len(), instance)?;
        Ok(Self { file, identity: (metadata.dev(), metadata.ino()), last })
    }

    fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity)
    }
}

/// Cuts a half line off the end; the last row of the journal `instance` that is there.
fn mend(file: &mut File, length: u64, instance: &str) -> io::Result<i64> {
    let from = length.saturating_sub(TAIL);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (lines, half) = tail.split_at(whole);
    if !half.is_empty() {
        let is_ours = |start: &&[u8]| half.starts_with(start) || start.starts_with(half);
        // A file that begins within what was read has no other start of a line to show.
        if !BEGINNINGS.iter().any(is_ours) || (whole == 0 && from > 0) {
            return Err(io::Error::other("it ends within a line that no sink wrote; move it away"));
        }
        file.set_len(from + u64::try_from(whole).unwrap_or(u64::MAX))?;
    }
    let rows = lines.rsplit(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let ours = |row: &Stored| row.text("instance") == Some(instance);
    Ok(rows.filter_map(|line| Stored::parse_line(line).ok()).find(ours).map_or(0, |row| row.seq))
}

/// Standard output.
pub(super) struct Output(Stdout);

impl Output {
    /// That of the process.
    pub(super) fn new() -> Self {
        Self(stdout())
    }

    /// Writes the batch.
    pub(super) async fn deliver(&mut self, batch: Batch<'_>) -> Result<(), Failure> {
        let text = batch.lines().fold(String::new(), |text, line| text + &line + "\n");
        let failed = |error: io::Error| Failure::later(format!("standard output: {error}"));
        self.0.write_all(text.as_bytes()).await.map_err(failed)?;
        self.0.flush().await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::audit::chain::Hash;
    use portcullis_core::audit::row::{COLUMNS, Cell};

    fn row(seq: i64) -> Stored {
        let mut cells = Box::new([const { Cell::Null }; COLUMNS.len()]);
        (cells[0], cells[2]) = (Cell::Int(seq), Cell::Text("here".into()));
        Stored::new(cells, Hash::of(&[b"x"])).unwrap()
    }

    async fn deliver(file: &mut LinesFile, rows: &[Stored]) -> Result<(), Failure> {
        file.deliver(Batch { instance: "here", rows, checkpoints: &[] }).await
    }

    fn seqs(path: &Path) -> Vec<i64> {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines().map(|line| Stored::parse_line(line).unwrap().seq).collect()
    }

    #[tokio::test]
    async fn a_half_line_is_written_anew_and_a_whole_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        deliver(&mut LinesFile::new(path.clone()), &[row(1), row(2)]).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        // Wherever a write breaks off, the next process ends with each row once.
        for kept in 0..=whole.len() {
            std::fs::write(&path, &whole[..kept]).unwrap();
            deliver(&mut LinesFile::new(path.clone()), &[row(1), row(2), row(3)]).await.unwrap();
            assert_eq!(seqs(&path), [1, 2, 3], "after {kept} bytes");
        }
    }

    #[tokio::test]
    async fn a_file_that_was_renamed_is_followed_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
        let mut file = LinesFile::new(path.clone());
        deliver(&mut file, &[row(1)]).await.unwrap();
        std::fs::rename(&path, &old).unwrap();
        deliver(&mut file, &[row(2)]).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        deliver(&mut file, &[row(3)]).await.unwrap();
        assert_eq!((seqs(&old), seqs(&path)), (vec![1], vec![3]));
    }

    #[tokio::test]
    async fn what_no_sink_wrote_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("letter.txt");
        std::fs::write(&path, "Dear Ana").unwrap();
        let Err(Failure::Later { reason, .. }) = deliver(&mut LinesFile::new(path.clone()), &[row(1)]).await else {
            panic!("it is written to");
        };
        assert!(reason.contains("move it away"), "{reason}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "Dear Ana");
    }

    #[tokio::test]
    async fn rows_of_another_journal_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let other = Batch { instance: "other", rows: &[row(5)], checkpoints: &[] };
        LinesFile::new(path.clone()).deliver(other).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replace("here", "other");
        std::fs::write(&path, text).unwrap();
        deliver(&mut LinesFile::new(path.clone()), &[row(1)]).await.unwrap();
        assert_eq!(seqs(&path), [5, 1]);
    }
}
