//! Where the key of the checkpoints comes from: the configuration, or a file beside the journal that is made once. The
//! public key is left beside the journal in either case, for whoever checks.
//!
//! Who can read a key beside the journal can rewrite both; a key that is kept elsewhere, and checkpoints that go
//! elsewhere, are what makes the record hold against the machine's own people.

use super::JournalError;
use crate::secrets::Secret;
use portcullis_core::audit::key::{PublicKey, SigningKey, private_pem};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file beside the journal with the public keys that its checkpoints were ever signed with.
pub fn public_path(journal: &Path) -> PathBuf {
    beside(journal, ".pub")
}

fn beside(journal: &Path, ending: &str) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The key to sign the journal's checkpoints with: the one of the configuration, as PEM, or the one beside the journal.
pub(super) fn load(journal: &Path, configured: Option<&Secret<String>>) -> Result<SigningKey, JournalError> {
    let key = match configured {
        Some(pem) => parse(pem.expose(), "`journal.checkpoints.key`")?,
        None => beside_journal(journal)?,
    };
    publish(&public_path(journal), key.public())?;
    Ok(key)
}

fn parse(pem: &str, name: &str) -> Result<SigningKey, JournalError> {
    SigningKey::from_pem(pem).map_err(|reason| JournalError::Key { name: name.to_owned(), reason })
}

fn beside_journal(journal: &Path) -> Result<SigningKey, JournalError> {
    let path = beside(journal, ".key");
    let file = |source| JournalError::File { path: path.clone(), source };
    match std::fs::read_to_string(&path) {
        Ok(pem) => return parse(&pem, &path.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(file(error)),
    }
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| file(io::Error::other("the system gives no random bytes")))?;
    // Whole or not at all: half a key would stop every later start.
    let unfinished = beside(journal, ".key.new");
    write(&unfinished, &private_pem(&seed), OpenOptions::new().write(true).create(true).truncate(true).mode(0o600))
        .and_then(|()| std::fs::rename(&unfinished, &path))
        .map_err(file)?;
    tracing::warn!(
        path = %path.display(),
        "a key for the journal's checkpoints was made beside it; keep one elsewhere and name it in `journal.checkpoints.key` to be safe from whoever can write here"
    );
    SigningKey::from_seed(&seed).map_err(|reason| JournalError::Key { name: path.display().to_string(), reason })
}

fn publish(path: &Path, key: PublicKey) -> Result<(), JournalError> {
    let file = |source| JournalError::File { path: path.to_owned(), source };
    let known = match std::fs::read_to_string(path) {
        Ok(text) => PublicKey::all_from_pem(&text).contains(&key),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(file(error)),
    };
    if known {
        return Ok(());
    }
    write(path, &key.to_pem(), OpenOptions::new().append(true).create(true).mode(0o644)).map_err(file)
}

fn write(path: &Path, text: &str, options: &OpenOptions) -> io::Result<()> {
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
