//! Parameters that carry one value, which are dropped at the end, all together.

use super::{Phi, Variables};
use crate::entity::Value;
use cranelift_entity::SecondaryMap;
use std::collections::VecDeque;

impl Variables {
    /// Goes on through the arguments of a parameter: to the one value that it carries besides itself, or to the first
    /// argument that differs, which is watched from then on.
    fn only_argument(&mut self, phi: usize, watched: &mut Watched) -> Option<Value> {
        let Phi { value, args: (start, end), .. } = self.phis[phi];
        let Scan { mut only, mut next, mut is_registered, .. } = watched.scans[phi];
        only = only.map(|only| self.resolve(only)).filter(|&only| only != value);
        is_registered &= only.is_some();
        let mut differs = false;
        while start + next < end {
            self.steps += 1;
            let arg = self.resolve(self.args[start + next]);
            if arg != value {
                if let Some(only) = only
                    && only != arg
                {
                    differs = true;
                    break;
                }
                only = Some(arg);
            }
            next += 1;
        }
        let scan = &mut watched.scans[phi];
        (scan.only, scan.next, scan.is_registered) = (only, next, is_registered);
        if !differs {
            return only;
        }
        if let Some(only) = only
            && !std::mem::replace(&mut scan.is_registered, true)
        {
            watched.register(only, phi);
        }
        if watched.scans[phi].stopped != Some(next) {
            watched.scans[phi].stopped = Some(next);
            watched.register(self.resolve(self.args[start + next]), phi);
        }
        None
    }

    /// Whether the two arguments that tell that a parameter is needed have become one.
    fn has_met(&mut self, phi: usize, watched: &Watched) -> bool {
        let Scan { only, next, .. } = watched.scans[phi];
        let arg = self.args[self.phis[phi].args.0 + next];
        only.is_none_or(|only| self.resolve(only) == self.resolve(arg))
    }

    /// Drops parameters that carry one value. One that is dropped may make others superfluous: those that tell it from
    /// the value that it stands for. Every parameter is kept by two different arguments, and is looked at again when
    /// what either of them stands for changes; the shorter of two lists of such parameters is gone through, so each is
    /// looked at as often as the logarithm of their number, and each argument once.
    pub(super) fn simplify(&mut self) {
        let mut watched = Watched { scans: vec![Scan::default(); self.phis.len()], ..Watched::default() };
        let mut queue: VecDeque<usize> = (0..self.phis.len()).collect();
        while let Some(phi) = queue.pop_front() {
            let value = self.phis[phi].value;
            if self.alias[value].is_some() {
                continue;
            }
            self.steps += 1;
            let Some(only) = self.only_argument(phi, &mut watched) else { continue };
            self.alias[value] = only.into();
            let mut moved = watched.merge(value, only);
            while let Some(n) = moved.checked_sub(1) {
                self.steps += 1;
                let Watch { phi, next } = watched.entries[n as usize];
                moved = next;
                if self.alias[self.phis[phi].value].is_none() {
                    watched.link(only, n);
                    if self.has_met(phi, &watched) {
                        queue.push_back(phi);
                    }
                }
            }
            // What a parameter carries may turn out to be itself.
            if let Some(itself) = (self.phi_of[only] as usize).checked_sub(1) {
                queue.push_back(itself);
            }
        }
    }
}

/// How far the arguments of a parameter were gone through.
#[derive(Clone, Debug, Default)]
struct Scan {
    /// All before `next` are this value or the parameter itself.
    only: Option<Value>,
    next: usize,
    /// Whether `only` is watched, and which argument is.
    is_registered: bool,
    stopped: Option<usize>,
}

/// Which parameters are kept by which values.
#[derive(Debug, Default)]
struct Watched {
    scans: Vec<Scan>,
    /// First entry of a value's list, plus one, and how many entries it has.
    lists: SecondaryMap<Value, (u32, u32)>,
    entries: Vec<Watch>,
}

#[derive(Copy, Clone, Debug)]
struct Watch {
    phi: usize,
    /// The next of the list, plus one.
    next: u32,
}

impl Watched {
    fn register(&mut self, value: Value, phi: usize) {
        self.entries.push(Watch { phi, next: 0 });
        self.link(value, self.entries.len() as u32 - 1);
    }

    fn link(&mut self, value: Value, entry: u32) {
        let (first, count) = &mut self.lists[value];
        self.entries[entry as usize].next = std::mem::replace(first, entry + 1);
        *count += 1;
    }

    /// Gives the longer of the lists of two values to the second; gives the first entry of the other one, plus one.
    fn merge(&mut self, from: Value, to: Value) -> u32 {
        let (one, other) = (self.lists[from], self.lists[to]);
        let (long, short) = if one.1 > other.1 { (one, other) } else { (other, one) };
        self.lists[from] = (0, 0);
        self.lists[to] = long;
        short.0
    }
}
