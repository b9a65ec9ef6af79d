//! Choices: where a generator's decisions come from.
//!
//! Every decision reads bytes of the fuzzer's input; when they run out, the first alternative is taken, so generators
//! put the simplest alternative first and always end.

use arbitrary::Unstructured;

/// Decisions, read from the fuzzer's input.
pub struct Choices<'a, 'b> {
    input: &'a mut Unstructured<'b>,
}

impl<'a, 'b> Choices<'a, 'b> {
    /// Decisions from this input.
    pub fn new(input: &'a mut Unstructured<'b>) -> Self {
        Choices { input }
    }

    /// A number below `limit`, 0 if the input is used up or the limit is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        if limit < 2 {
            return 0;
        }
        let wide = limit > 256;
        let number = match wide {
            true => self.input.arbitrary::<u16>().map_or(0, usize::from),
            false => self.input.arbitrary::<u8>().map_or(0, usize::from),
        };
        number % limit
    }

    /// A number in a range, its start if the input is used up.
    pub fn range(&mut self, range: std::ops::Range<usize>) -> usize {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// True `numerator` times out of `denominator`; false if the input is used up.
    pub fn chance(&mut self, numerator: usize, denominator: usize) -> bool {
        self.below(denominator) >= denominator.saturating_sub(numerator).max(1)
    }

    /// One of these.
    pub fn pick<'t, T>(&mut self, list: &'t [T]) -> Option<&'t T> {
        list.get(self.below(list.len()))
    }

    /// Any bits.
    pub fn bits(&mut self) -> u128 {
        self.input.arbitrary::<u128>().unwrap_or(0)
    }

    /// Whether the input is used up.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Any bytes, at most this many.
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.input.len());
        self.input.bytes(count).map_or_else(|_| Vec::new(), <[u8]>::to_vec)
    }
}
