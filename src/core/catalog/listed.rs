//! One list of an upstream: what is on it, and what of that is held back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why something is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Its upstream never gave such a list.
    NeverListed,
    /// It is not on the list.
    Unknown,
    /// It is on the list, and its definition is not the one that was pinned.
    Quarantined,
}

/// A list, by name or URI.
#[derive(Debug)]
pub struct Listed<T> {
    items: Option<BTreeMap<String, Arc<T>>>,
    held: BTreeSet<String>,
}

impl<T> Default for Listed<T> {
    /// A list that was never given.
    fn default() -> Self {
        Self { items: None, held: BTreeSet::new() }
    }
}

impl<T> Clone for Listed<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), held: self.held.clone() }
    }
}

impl<T> Listed<T> {
    /// A list that was given, with nothing held back.
    pub fn new(items: BTreeMap<String, Arc<T>>) -> Self {
        Self { items: Some(items), held: BTreeSet::new() }
    }

    /// Whether it was ever given.
    pub fn is_known(&self) -> bool {
        self.items.is_some()
    }

    /// All that is on it, held back or not.
    pub fn all(&self) -> impl Iterator<Item = (&String, &Arc<T>)> {
        self.items.iter().flatten()
    }

    /// What is offered, by name.
    pub fn offered(&self) -> impl Iterator<Item = &Arc<T>> {
        self.all().filter(|(name, _)| !self.held.contains(*name)).map(|(_, item)| item)
    }

    /// How many are offered.
    pub fn count(&self) -> usize {
        self.offered().count()
    }

    /// What is called `name`.
    ///
    /// # Errors
    /// Why it is not offered.
    pub fn get(&self, name: &str) -> Result<&Arc<T>, Absent> {
        let item = self.items.as_ref().ok_or(Absent::NeverListed)?.get(name).ok_or(Absent::Unknown)?;
        if self.held.contains(name) { Err(Absent::Quarantined) } else { Ok(item) }
    }

    /// The names of what is held back.
    pub fn held(&self) -> &BTreeSet<String> {
        &self.held
    }

    /// Holds these back, and no others.
    pub fn hold(&mut self, names: BTreeSet<String>) {
        self.held = names;
    }

    /// Whether it offers the same as `other`, by what `written` gives of each.
    pub(super) fn shows_what<'a>(&'a self, other: &'a Self, written: impl Fn(&'a T) -> &'a [u8]) -> bool {
        self.is_known() == other.is_known()
            && self.offered().map(|item| written(item)).eq(other.offered().map(|item| written(item)))
    }
}
