//! Arguments against the schema that their tool declares (JSON Schema, 2020-12 unless the schema says otherwise).
//!
//! A schema comes from an upstream and is not trusted: it is bounded in size, may refer to nothing outside itself, and
//! the work that it can cause is bounded before it is done. What a violation says never holds the value that violates.

mod violation;
mod work;

#[cfg(test)]
mod tests;

pub use violation::Violation;

use jsonschema::PatternOptions;
use serde_json::Value;
use std::io::{self, Write};
use work::Work;

/// The largest schema, in bytes of its compact text.
pub const MAX_BYTES: usize = 256 * 1024;
/// The deepest schema, in containers open at once.
pub const MAX_DEPTH: usize = 64;

/// Why a schema is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaProblem {
    /// Its text is too long.
    #[error("the schema is larger than {MAX_BYTES} bytes; make it smaller")]
    TooLarge,
    /// It is nested too deeply.
    #[error("the schema is nested deeper than {MAX_DEPTH} levels; make it flatter")]
    TooDeep,
    /// It refers to something outside itself, or to nothing.
    #[error("the schema refers to `{0}`; only references into the schema itself (`#...`) are followed")]
    ForeignReference(String),
    /// It has references and an `$id` within, which changes what they mean.
    #[error("the schema has references and an inner `$id`; remove the inner `$id`")]
    InnerResource,
    /// A reference leads back to itself without a step into the value, so that checking would never end.
    #[error("a reference of the schema leads back to itself without a step into the value")]
    Circular,
    /// Checking against it could take too long.
    #[error("the schema combines or refers to too many subschemas; make it simpler")]
    TooComplex,
    /// It is no JSON Schema, or has a pattern that the linear regex engine does not take (look-around, references back).
    #[error("the schema is not valid at `{pointer}` (keyword `{keyword}`); patterns must do without look-around")]
    Invalid {
        /// JSON pointer into the schema.
        pointer: String,
        /// The keyword that refused it.
        keyword: String,
    },
}

/// A schema that arguments can be checked against.
#[derive(Debug)]
pub struct Validator {
    compiled: jsonschema::Validator,
    work: Work,
}

impl Validator {
    /// Compiles `schema`. Reads no network and no file.
    ///
    /// # Errors
    /// Why the schema can't be used, for an operator.
    pub fn compile(schema: &Value) -> Result<Self, SchemaProblem> {
        if depth(schema, MAX_DEPTH).is_none() {
            return Err(SchemaProblem::TooDeep);
        }
        if serde_json::to_writer(Room(MAX_BYTES), schema).is_err() {
            return Err(SchemaProblem::TooLarge);
        }
        let work = Work::bound(schema)?;
        let bytes = work::pattern_bytes(schema)?;
        let patterns = PatternOptions::regex().size_limit(bytes).dfa_size_limit(bytes);
        let compiled = jsonschema::options().offline().with_pattern_options(patterns).build(schema);
        match compiled {
            Ok(compiled) => Ok(Self { compiled, work }),
            Err(error) => Err(SchemaProblem::Invalid {
                pointer: violation::pointer(error.instance_path().as_str()),
                keyword: error.kind().keyword().to_owned(),
            }),
        }
    }

    /// Whether `arguments` fit the schema.
    ///
    /// # Errors
    /// The violation with the least pointer; of several there, that with the least text. The same arguments always give
    /// the same one. Of arguments that cost much to check it is only said that they do not fit.
    pub fn validate(&self, arguments: &Value) -> Result<(), Violation> {
        let Some(depth) = depth(arguments, work::MAX_INSTANCE_DEPTH) else {
            return Err(Violation::whole("is nested too deeply to be checked"));
        };
        let checks = self.work.checks(count(arguments), depth);
        if checks > work::MAX_CHECKS {
            return Err(Violation::whole("is too large to be checked against this tool's schema"));
        }
        if self.compiled.is_valid(arguments) {
            return Ok(());
        }
        if checks > work::MAX_TOLD_CHECKS {
            return Err(Violation::whole("does not fit the schema"));
        }
        let least = self.compiled.iter_errors(arguments).map(|error| Violation::of(&error)).min();
        Err(least.unwrap_or_else(|| Violation::whole("does not fit the schema")))
    }
}

/// How many containers are open at once at most in `value`; `None` where it is more than `limit`.
fn depth(value: &Value, limit: usize) -> Option<usize> {
    let mut deepest = 0;
    let mut due = vec![(value, 1)];
    while let Some((value, depth)) = due.pop() {
        let children: Vec<&Value> = match value {
            Value::Object(members) => members.values().collect(),
            Value::Array(items) => items.iter().collect(),
            _ => continue,
        };
        if depth > limit {
            return None;
        }
        deepest = deepest.max(depth);
        due.extend(children.into_iter().map(|child| (child, depth + 1)));
    }
    Some(deepest)
}

/// How many values `value` holds, itself too. For values whose depth is known to be bounded.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(count).sum(),
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

/// Takes so many bytes, keeps none.
struct Room(usize);

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::WriteZero)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
