//! Values that must never be shown.

pub mod resolve;
pub mod seal;

/// A value without Debug, Display and Serialize: it can't reach a log, an error or an answer by accident.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Takes the value in.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}
