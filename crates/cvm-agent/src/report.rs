//! Who is told what is going on.

/// Is told what is going on, one line at a time; nothing told is secret.
pub trait Reporter {
    /// A step was done, or is waited for.
    fn step(&self, text: &str);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn step(&self, _: &str) {}
}
