//! The whole of `config` over real files in a temporary folder.

mod broken;
mod examples;
mod reload;
mod secrets;

use crate::config::report::Report;
use crate::config::{Loaded, load};
use std::path::{Path, PathBuf};

/// A configuration without fault.
pub const GATEWAY: &str = "\
version: 1
identity:
  issuers:
    - { issuer: dev, algorithms: [HS256], secret: \"${env:JWT_SECRET}\" }
";

/// A configuration without fault.
pub const UPSTREAMS: &str = "\
version: 1
upstreams:
  calculator: { url: http://127.0.0.1:8091/mcp }
  ops: { url: http://127.0.0.1:8092/mcp }
endpoints:
  all: { upstreams: [calculator, ops] }
";

/// A configuration without fault.
pub const POLICY: &str = "\
version: 1
roles:
  viewer: {}
access:
  - { roles: [viewer], upstreams: [\"*\"], level: read }
";

/// The three files in a temporary folder, laid out as in the repository.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// Those files.
    pub fn of(gateway: &str, upstreams: &str, policy: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path("conf")).unwrap();
        folder.write("conf/gateway.yaml", gateway);
        folder.write("upstreams.yaml", upstreams);
        folder.write("policy.yaml", policy);
        folder
    }

    /// A configuration without fault.
    pub fn good() -> Self {
        Self::of(GATEWAY, UPSTREAMS, POLICY)
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in place.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Loads it.
    pub fn load(&self) -> Result<Loaded, Report> {
        load(&self.path("conf/gateway.yaml"), &environment)
    }

    /// Loads what can't be loaded, and gives what is said about it, with paths inside the folder.
    pub fn refused(&self) -> String {
        let report = self.load().err().expect("the configuration is refused");
        self.inside(&report.to_string())
    }

    /// `text` with the folder's own path left out.
    pub fn inside(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// An environment with the variables that the examples name.
pub fn environment(name: &str) -> Option<String> {
    match name {
        "JWT_SECRET" => Some("0123456789abcdef0123456789abcdef".into()),
        "TOOL_GATEWAY_SHARED_SECRET" => Some("a-secret-between-gateway-and-tools".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
