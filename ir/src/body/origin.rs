//! Where instructions come from: a place in a text, and the calls through which the code got into the body.
//!
//! A [`Origin`] is a span and, for code that was inlined, the call that it replaced. Inlined calls form a tree in a
//! table of the body: each knows its callee and the location of the call itself, so that a chain of calls is followed
//! from the inside to the outside. Spans are in the file of the callee of the innermost call; without one, in the
//! file of the function.
//!
//! An instruction pays for its span, and four bytes more in bodies that something was inlined into.

use super::Body;
use crate::entity::{Inlined, Inst};
use crate::limits::MAX_INLINE_CHAIN;
use crate::span::Span;
use crate::unit::Function;
use cranelift_entity::EntityRef;
use cranelift_entity::packed_option::PackedOption;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Where an instruction comes from.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Origin {
    /// Where the text spelled it.
    pub span: Span,
    /// The innermost inlined call whose code it is part of.
    pub inlined: PackedOption<Inlined>,
}

/// A call that was replaced by the code of its callee.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InlinedCall {
    /// The callee.
    pub function: Arc<str>,
    /// The callee's file.
    pub file: Option<u32>,
    /// Where the text spelled the callee's name.
    pub span: Span,
    /// Where the call was.
    pub call: Origin,
    /// How many calls its code is inside of, itself included.
    depth: u32,
}

impl Body {
    /// Where the text spelled an instruction.
    #[inline]
    pub fn span(&self, inst: Inst) -> Span {
        self.spans.get(inst).copied().unwrap_or(Span::NOWHERE)
    }

    /// Says where the text spelled an instruction.
    #[inline]
    pub fn set_span(&mut self, inst: Inst, span: Span) {
        if !span.is_somewhere() {
            return;
        }
        if self.spans.len() <= inst.index() {
            if self.spans.is_empty() {
                self.spans.reserve_exact(self.insts.len() + self.inst_room);
            }
            while self.spans.len() <= inst.index() {
                self.spans.push(Span::NOWHERE);
            }
        }
        self.spans[inst] = span;
    }

    /// Where an instruction comes from.
    #[inline]
    pub fn origin(&self, inst: Inst) -> Origin {
        Origin { span: self.span(inst), inlined: self.inlined_from[inst] }
    }

    /// Says where an instruction comes from.
    #[inline]
    pub fn set_origin(&mut self, inst: Inst, origin: Origin) {
        self.set_span(inst, origin.span);
        if origin.inlined.is_some() || self.inlined_from.get(inst).is_some() {
            if self.inlined_from.get(inst).is_none() {
                // Where one is, others follow.
                self.inlined_from.resize(self.insts.len() + self.inst_room);
            }
            self.inlined_from[inst] = origin.inlined;
        }
    }

    /// Notes that the call at `call` is replaced by the code of a function. Gives the location of code of that
    /// function whose span is not known, to be refined by [`Origin::at`].
    pub fn add_inlined_call(&mut self, callee: &Function, call: Origin) -> Origin {
        let (function, file, span) = (callee.name.clone(), callee.file, callee.span);
        self.push_inlined(InlinedCall { function, file, span, call, depth: 0 })
    }

    fn push_inlined(&mut self, mut call: InlinedCall) -> Origin {
        let outer = call.call.inlined.expand().and_then(|outer| self.inlined.get(outer));
        call.depth = outer.map_or(0, |outer| outer.depth) + 1;
        if call.depth > MAX_INLINE_CHAIN {
            return call.call;
        }
        Origin { span: Span::NOWHERE, inlined: self.inlined.push(call).into() }
    }

    /// An inlined call; none if there is no such.
    #[inline]
    pub fn inlined_call(&self, inlined: Inlined) -> Option<&InlinedCall> {
        self.inlined.get(inlined)
    }

    /// Takes the table of inlined calls of a body that this one is made from; locations stay what they are.
    pub fn take_inlined_calls(&mut self, other: &mut Body) {
        self.inlined = std::mem::take(&mut other.inlined);
    }

    /// Where a location is as seen by people: the code's own function first, then the functions that it was inlined
    /// into, each with the place of the call. The name and file of the outermost are the caller's to say.
    pub fn frames<'b>(&'b self, name: &'b Arc<str>, file: Option<u32>, origin: Origin) -> Frames<'b> {
        Frames { body: self, name, file, next: Some(origin) }
    }
}

impl Origin {
    /// This location with another span, where that is somewhere; code beyond the chain that is kept stays at its call.
    #[must_use]
    pub fn at(self, span: Span) -> Origin {
        if self.span.is_somewhere() || !span.is_somewhere() { self } else { Origin { span, ..self } }
    }
}

/// A function on the way to a place, and where in it the way goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The function.
    pub function: Arc<str>,
    /// Its source file.
    pub file: Option<u32>,
    /// Where in it.
    pub span: Span,
}

/// The chain of a origin, from the inside to the outside: name, file and span.
#[derive(Clone, Debug)]
pub struct Frames<'b> {
    body: &'b Body,
    name: &'b Arc<str>,
    file: Option<u32>,
    next: Option<Origin>,
}

impl Frames<'_> {
    /// The chain, to keep.
    pub fn owned(self) -> impl Iterator<Item = Frame> {
        self.map(|(function, file, span)| Frame { function: function.clone(), file, span })
    }
}

impl<'b> Iterator for Frames<'b> {
    type Item = (&'b Arc<str>, Option<u32>, Span);

    fn next(&mut self) -> Option<Self::Item> {
        let origin = self.next.take()?;
        match origin.inlined.expand().and_then(|inlined| self.body.inlined_call(inlined)) {
            Some(call) => {
                self.next = Some(call.call);
                Some((&call.function, call.file, origin.span))
            }
            None => Some((self.name, self.file, origin.span)),
        }
    }
}

/// Locations of a callee's code, as it is copied into a caller.
#[derive(Debug)]
pub struct InlineMap {
    /// The location of the callee's code as such.
    top: Origin,
    map: FxHashMap<Inlined, Inlined>,
    chain: Vec<Inlined>,
}

impl InlineMap {
    /// For a callee whose call, in `caller`, is at `call`.
    pub fn new(caller: &mut Body, callee: &Function, call: Origin) -> Self {
        let top = caller.add_inlined_call(callee, call);
        InlineMap { top, map: FxHashMap::default(), chain: Vec::new() }
    }

    /// The caller's location for one of the callee. Only what is in use is copied: what folded away costs nothing.
    pub fn get(&mut self, caller: &mut Body, callee: &Body, origin: Origin) -> Origin {
        let Some(mut inlined) = origin.inlined.expand() else { return self.top.at(origin.span) };
        // From the outermost call that is not copied yet to the innermost.
        let mut outer = self.top;
        self.chain.clear();
        loop {
            if let Some(&copied) = self.map.get(&inlined) {
                outer = Origin { span: Span::NOWHERE, inlined: copied.into() };
                break;
            }
            self.chain.push(inlined);
            match callee.inlined_call(inlined).and_then(|call| call.call.inlined.expand()) {
                Some(next) => inlined = next,
                None => break,
            }
        }
        while let Some(inlined) = self.chain.pop() {
            let Some(call) = callee.inlined_call(inlined) else { continue };
            let call = InlinedCall { call: outer.at(call.call.span), ..call.clone() };
            outer = caller.push_inlined(call);
            if outer.span.is_somewhere() {
                // Beyond the limit: this and all inside of it stay at the call.
                return outer;
            }
            if let Some(copied) = outer.inlined.expand() {
                self.map.insert(inlined, copied);
            }
        }
        outer.at(origin.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Inlining, MethodKind};
    use crate::signature::Signature;

    fn function(name: &str, body: Body) -> Function {
        Function {
            name: name.into(),
            kind: MethodKind::Function,
            signature: Signature::default(),
            body,
            inlining: Inlining::Auto,
            file: Some(7),
            span: Span::new(1, 2),
        }
    }

    fn chain(body: &Body, origin: Origin) -> Vec<(String, u32)> {
        let name = "outer".into();
        body.frames(&name, None, origin).map(|(name, _, span)| (name.to_string(), span.start)).collect()
    }

    #[test]
    fn chains_grow_at_their_outer_end() {
        let at = |start: usize| Origin { span: Span::new(start, start + 1), ..Origin::default() };
        let leaf = function("leaf", Body::new());
        let mut middle = function("middle", Body::new());
        let mut map = InlineMap::new(&mut middle.body, &leaf, at(10));
        let inner = map.get(&mut middle.body, &leaf.body, at(20));
        let mut outer = Body::new();
        let mut map = InlineMap::new(&mut outer, &middle, at(30));
        let copied = map.get(&mut outer, &middle.body, inner);
        let expected = [("leaf", 20), ("middle", 10), ("outer", 30)].map(|(name, at)| (name.to_owned(), at));
        assert_eq!(chain(&outer, copied), expected);
        assert_eq!(map.get(&mut outer, &middle.body, inner), copied);
        assert_eq!(outer.inlined.len(), 2);
    }

    #[test]
    fn chains_are_limited() {
        let at = |start: usize| Origin { span: Span::new(start, start + 1), ..Origin::default() };
        let mut inner = function("f0", Body::new());
        let mut origin = at(1);
        for n in 1..100 {
            let mut body = Body::new();
            let mut map = InlineMap::new(&mut body, &inner, at(n * 10));
            origin = map.get(&mut body, &inner.body, origin);
            assert!(body.inlined.len() <= MAX_INLINE_CHAIN as usize);
            inner = function(&format!("f{n}"), body);
        }
        let chain = chain(&inner.body, origin);
        assert_eq!(chain.len(), MAX_INLINE_CHAIN as usize + 1);
        // The outer end is exact, the inner end says which call the code is part of.
        assert_eq!(chain[MAX_INLINE_CHAIN as usize], ("outer".to_owned(), 990));
        assert_eq!(chain[0], (format!("f{}", 99 - MAX_INLINE_CHAIN), 10 * (99 - MAX_INLINE_CHAIN)));
    }
}
