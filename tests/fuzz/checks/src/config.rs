//! Reading configuration: YAML to a tree, a tree against its schema, and what is wrong in words. The gateway's own files.

#[path = "../../../../src/config/check.rs"]
pub mod check;
#[path = "../../../../src/config/document/mod.rs"]
pub mod document;
#[path = "../../../../src/config/files.rs"]
pub mod files;
#[path = "../../../../src/config/nearest.rs"]
pub mod nearest;
#[path = "../../../../src/config/node.rs"]
pub mod node;
#[path = "../../../../src/config/parse.rs"]
pub mod parse;
#[path = "../../../../src/config/report.rs"]
pub mod report;
#[path = "../../../../src/config/schema.rs"]
pub mod schema;
#[path = "../../../../src/config/source.rs"]
pub mod source;
