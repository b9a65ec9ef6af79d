//! What became of the cases of a check, so that a generator that makes nothing of interest is noticed.

use std::fmt;

/// What one case turned out to be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It ran and everything agreed.
    Agreed,
    /// It threw, everywhere alike.
    Threw,
    /// The oracle ran out of fuel, so nothing can be compared.
    TimedOut,
    /// It was refused with an error, as it may be.
    Refused,
}

/// Counts of verdicts.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Cases in all.
    pub cases: u64,
    /// [`Verdict::Agreed`].
    pub agreed: u64,
    /// [`Verdict::Threw`].
    pub threw: u64,
    /// [`Verdict::TimedOut`].
    pub timed_out: u64,
    /// [`Verdict::Refused`].
    pub refused: u64,
}

impl Stats {
    /// Counts one case.
    pub fn add(&mut self, verdict: Verdict) {
        self.cases += 1;
        *match verdict {
            Verdict::Agreed => &mut self.agreed,
            Verdict::Threw => &mut self.threw,
            Verdict::TimedOut => &mut self.timed_out,
            Verdict::Refused => &mut self.refused,
        } += 1;
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { cases, agreed, threw, timed_out, refused } = self;
        write!(f, "{cases} cases: {agreed} agreed, {threw} threw, {timed_out} timed out, {refused} refused")
    }
}
