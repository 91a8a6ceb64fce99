//! One list of an upstream: what is on it, and what of that is held back.

use super::{Prompt, Resource, Template, Tool};
use crate::reject::Era;
use crate::tool::ToolName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What lists are made of.
pub trait Item: Sized {
    /// The method by which the list is asked for.
    const METHOD: &'static str;
    /// The member of the result that holds it.
    const KEY: &'static str;

    /// Reads one member of the list of `upstream`.
    ///
    /// # Errors
    /// The reason why it can't be offered.
    fn read(upstream: &str, definition: &[u8]) -> Result<Self, String>;

    /// Its upstream, and the name or URI by which it is listed.
    fn name(&self) -> &ToolName;

    /// The definition, as its upstream wrote it but for what nobody is shown.
    fn written(&self) -> &[u8];
}

impl Item for Tool {
    const METHOD: &'static str = "tools/list";
    const KEY: &'static str = "tools";

    fn read(upstream: &str, definition: &[u8]) -> Result<Self, String> {
        Self::read(upstream, definition)
    }

    fn name(&self) -> &ToolName {
        &self.name
    }

    fn written(&self) -> &[u8] {
        self.definition(false, Era::Modern)
    }
}

impl Item for Prompt {
    const METHOD: &'static str = "prompts/list";
    const KEY: &'static str = "prompts";

    fn read(upstream: &str, definition: &[u8]) -> Result<Self, String> {
        Self::read(upstream, definition)
    }

    fn name(&self) -> &ToolName {
        &self.name
    }

    fn written(&self) -> &[u8] {
        self.definition(false)
    }
}

impl Item for Resource {
    const METHOD: &'static str = "resources/list";
    const KEY: &'static str = "resources";

    fn read(upstream: &str, definition: &[u8]) -> Result<Self, String> {
        Self::read(upstream, definition)
    }

    fn name(&self) -> &ToolName {
        &self.name
    }

    fn written(&self) -> &[u8] {
        &self.definition
    }
}

impl Item for Template {
    const METHOD: &'static str = "resources/templates/list";
    const KEY: &'static str = "resourceTemplates";

    fn read(upstream: &str, definition: &[u8]) -> Result<Self, String> {
        Self::read(upstream, definition)
    }

    fn name(&self) -> &ToolName {
        &self.name
    }

    fn written(&self) -> &[u8] {
        &self.definition
    }
}

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

    /// Keeps what `keeps` says of, by name, and forgets the rest.
    pub fn retain(&mut self, keeps: impl Fn(&str) -> bool) {
        if let Some(items) = &mut self.items {
            items.retain(|name, _| keeps(name));
        }
    }

    /// Holds these back, and no others.
    pub fn hold(&mut self, names: BTreeSet<String>) {
        self.held = names;
    }
}

impl<T: Item> Listed<T> {
    /// Whether it offers the same as `other`.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&Arc<T>, &Arc<T>)| Arc::ptr_eq(one, other) || one.written() == other.written();
        self.is_known() == other.is_known()
            && self.count() == other.count()
            && self.offered().zip(other.offered()).all(same)
    }
}
