//! The demo's data directory: an ordinary configuration, and secrets that only this user can read.

use crate::cli::demo::Ports;
use anyhow::{Context, bail};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The policy that the repository shows as its example.
const POLICY: &str = include_str!("../../../policy.yaml");

/// The files of a data directory.
pub struct Files {
    folder: PathBuf,
    gateway_secret: String,
    /// Held as long as the demo runs: a second one would rewrite the files under the first.
    _lock: File,
}

impl Files {
    /// Makes the directory and its secrets where they are missing. They stay, so that tokens outlive a restart.
    ///
    /// # Errors
    /// The directory can't be written, or another demo uses it.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("the folder {} can't be made; choose another --data", folder.display()))?;
        let folder = folder.canonicalize()?;
        let _lock = lock(&folder)?;
        for name in ["issuer.secret", "digest.secret"] {
            secret(&folder.join(name))?;
        }
        let gateway_secret = secret(&folder.join("gateway.secret"))?;
        Ok(Self { folder, gateway_secret, _lock })
    }

    /// What the backends must find in `X-Gateway-Auth`.
    pub fn gateway_secret(&self) -> &str {
        &self.gateway_secret
    }

    /// `gateway.yaml`.
    pub fn gateway(&self) -> PathBuf {
        self.folder.join("gateway.yaml")
    }

    /// What holds the token of `role`.
    pub fn token(&self, role: &str) -> PathBuf {
        self.folder.join(format!("{role}.token"))
    }

    /// What holds the token of the one who decides on calls.
    pub fn deciding(&self) -> PathBuf {
        self.folder.join("console.token")
    }

    /// What most MCP clients read of servers.
    pub fn client(&self) -> PathBuf {
        self.folder.join("mcp.json")
    }

    /// `policy.yaml`.
    pub fn policy(&self) -> PathBuf {
        self.folder.join("policy.yaml")
    }

    /// Writes the configuration. The policy is left as it is where there is one: it is there to be edited.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn write(&self, ports: &Ports) -> anyhow::Result<()> {
        // A JSON string is one in YAML too.
        let quoted = |text: String| serde_json::Value::from(text).to_string();
        let secret = |name| quoted(format!("${{file:{}/{name}.secret}}", self.folder.display()));
        let gateway = format!(
            "# Written anew at each start of `portcullis demo`.\n\
             version: 1\n\
             listen: {{ ingress: \"127.0.0.1:{}\", admin: \"127.0.0.1:{}\" }}\n\
             upstreams: upstreams.yaml\n\
             policy: policy.yaml\n\
             identity:\n\
             \x20 issuers:\n\
             \x20   - {{ issuer: portcullis-demo, algorithms: [HS256], secret: {}, max_token_age: 7d }}\n\
             gateway_secret: {}\n\
             digest_key: {}\n\
             journal: {{ path: {} }}\n\
             telemetry: {{ log: text, level: warn }}\n",
            ports.gateway,
            ports.admin,
            secret("issuer"),
            secret("gateway"),
            secret("digest"),
            quoted(self.folder.join("journal.db").display().to_string()),
        );
        let upstreams = format!(
            "# Written anew at each start of `portcullis demo`.\n\
             version: 1\n\
             upstreams:\n\
             \x20 calculator: {{ url: \"http://127.0.0.1:{}/mcp\", health: /health, timeout: 30s }}\n\
             \x20 ops: {{ url: \"http://127.0.0.1:{}/mcp\", health: /health, timeout: 90s }}\n\
             endpoints:\n\
             \x20 calculator: {{ upstreams: [calculator] }}\n\
             \x20 ops: {{ upstreams: [ops] }}\n\
             \x20 all: {{ upstreams: [calculator, ops] }}\n",
            ports.calculator, ports.ops
        );
        self.put("gateway.yaml", &gateway)?;
        self.put("upstreams.yaml", &upstreams)?;
        if self.policy().exists() { Ok(()) } else { self.put("policy.yaml", POLICY) }
    }

    fn put(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("{} can't be written", path.display()))
    }
}

fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("demo.lock");
    let file = File::create(&path).with_context(|| format!("{} can't be written", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another demo keeps its files in {}; stop it, or give this one a folder of its own with --data",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} can't be locked", path.display())),
    }
}

/// Writes what only this user may read.
///
/// # Errors
/// The file can't be written.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let problem = || format!("{} can't be written", path.display());
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).with_context(problem)?;
    file.write_all(text.as_bytes()).with_context(problem)
}

/// The secret in the file at `path`, made where there is none.
fn secret(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if text.len() >= 32 => return Ok(text),
        _ => {}
    }
    let text: String = hex::encode(rand::random::<[u8; 32]>());
    write_private(path, &text)?;
    Ok(text)
}
