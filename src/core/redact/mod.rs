//! What must not be seen in answers: found, and masked, hashed, dropped or a reason to refuse.
//!
//! | step | file |
//! |---|---|
//! | the policy's entries are checked and made ready | `compile` |
//! | the entries that are for this caller and tool become one action per kind of finding | `plan` |
//! | the document is walked, its bytes checked, fields followed | `walk`, `scan`, `fields` |
//! | each text is read as a person would: escapes resolved, look-alikes folded, codes and base64 resolved | `view`, `media` |
//! | it is searched, and what is found is replaced until nothing is left | `leaf`, `detect`, `replace` |
//! | values that may be in no answer at all are looked for by themselves | `unseen` |
//!
//! Invariants: bytes outside of a finding never change; a text without findings is not copied; redacting twice is
//! redacting once; work is linear in the document, whatever it holds; a document that can't be read is never passed on.
//!
//! What it does not see: a finding that is split over two events or two strings, text in pictures and sound, names and
//! addresses of people, and texts that were encoded twice. Fields are followed in JSON alone: the whole of a result, or
//! the whole of a text in it.

mod compile;
mod detect;
mod fields;
mod kind;
mod leaf;
mod media;
mod plan;
mod replace;
mod scan;
#[cfg(test)]
mod tests;
mod traits;
mod unseen;
mod view;
mod walk;

pub use self::kind::Counts;
pub use self::plan::{Failure, Plan, Redacted, RedactedText, Redactor};
pub use self::unseen::Unseen;
