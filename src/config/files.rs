//! The files of one load: each is read once, so that what is compared, hashed and compiled is the same text.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file that is read.
const LARGEST: u64 = 4 << 20;

/// What a set of files held. Equal for equal contents of equal paths.
pub type Fingerprint = [u8; 32];

/// A file's bytes, or why there are none, in words.
type Content = Result<Arc<[u8]>, String>;

/// Files as they were when they were first asked for, the missing ones too.
#[derive(Default)]
pub struct Files {
    read: BTreeMap<PathBuf, Content>,
    known: BTreeMap<PathBuf, Content>,
}

impl Files {
    /// These files as they are now.
    pub fn now<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let read = paths.into_iter().map(|path| (path.clone(), read(path))).collect();
        Self { read, known: BTreeMap::new() }
    }

    /// No files yet; those of `known` will be as they were there.
    pub fn reusing(known: Self) -> Self {
        Self { read: BTreeMap::new(), known: known.read }
    }

    /// The bytes of a file, or why there are none, in words.
    pub fn read(&mut self, path: &Path) -> Result<Arc<[u8]>, String> {
        let known = &self.known;
        let content = || known.get(path).cloned().unwrap_or_else(|| read(path));
        self.read.entry(path.to_owned()).or_insert_with(content).clone()
    }

    /// Every path that was asked for.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.read.keys()
    }

    /// What they held.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut all = Sha256::new();
        for (path, content) in &self.read {
            let (kind, bytes): (u8, &[u8]) = match content {
                Ok(bytes) => (1, bytes),
                Err(why) => (0, why.as_bytes()),
            };
            for part in [path.as_os_str().as_encoded_bytes(), &[kind], bytes] {
                all.update((part.len() as u64).to_le_bytes());
                all.update(part);
            }
        }
        all.finalize().into()
    }
}

fn read(path: &Path) -> Content {
    let in_words = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "the file may not be read".to_owned(),
        _ => format!("the file can't be read: {error}"),
    };
    // Asked before it is opened, because opening a FIFO waits for its writer.
    if !std::fs::metadata(path).map_err(in_words)?.is_file() {
        return Err("this is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(in_words)?;
    if bytes.len() as u64 > LARGEST {
        return Err("the file is larger than 4 MiB".to_owned());
    }
    Ok(bytes.into())
}
