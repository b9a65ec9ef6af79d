//! The types that a text defines, for messages about those that are not known where they are used.
//!
//! A type is defined before its use, so that none is above or inside of itself. What a message says about one that is
//! not known is found by reading the text once more, when there is such a message, and only then.

use crate::span::Span;
use crate::text::lexer::{Kind, Lexer};
use crate::text::parser::ITEM_WORDS;
use rustc_hash::{FxHashMap, FxHashSet};

/// Most types of a circle that a message names.
const SHOWN: usize = 8;

struct Definition<'t> {
    name: &'t str,
    /// The name where it is defined.
    span: Span,
    /// Where the item ends.
    end: u32,
    /// The names in it, types among them.
    mentions: Vec<&'t str>,
}

/// The definitions of types of one text.
pub(crate) struct Definitions<'t> {
    list: Vec<Definition<'t>>,
    by_name: FxHashMap<&'t str, usize>,
}

/// Why a type is not known where it is used.
pub(crate) enum Unknown<'t> {
    /// The text does not define it.
    Undefined,
    /// It is defined there, above, by an item that has a mistake.
    Broken(Span),
    /// It is defined there, below.
    Below(Span),
    /// It is defined there, and leads back to the type that is being defined, through these.
    Circle(Span, Vec<&'t str>),
}

impl<'t> Definitions<'t> {
    /// Those of a text.
    pub(crate) fn of(text: &'t str) -> Self {
        let mut found = Definitions { list: Vec::new(), by_name: FxHashMap::default() };
        let mut lexer = Lexer::new(text);
        let mut token = lexer.next();
        let mut open = false;
        while token.kind() != Kind::End {
            let span = token.span();
            let at_line = span.start == 0 || text.as_bytes().get(span.start as usize - 1) == Some(&b'\n');
            let word = if token.kind() == Kind::Name { lexer.text(span) } else { "" };
            let next = lexer.next();
            if at_line && ITEM_WORDS.contains(&word) {
                open = matches!(word, "abstract" | "struct" | "newtype") && next.kind() == Kind::Name;
                if open {
                    let (name, span) = (lexer.text(next.span()), next.span());
                    found.by_name.entry(name).or_insert(found.list.len());
                    found.list.push(Definition { name, span, end: span.end, mentions: Vec::new() });
                    token = lexer.next();
                    continue;
                }
            } else if open && let Some(last) = found.list.last_mut() {
                last.end = span.end;
                if !word.is_empty() {
                    last.mentions.push(word);
                }
            }
            token = next;
        }
        found
    }

    fn get(&self, name: &str) -> Option<&Definition<'t>> {
        self.by_name.get(name).and_then(|&at| self.list.get(at))
    }

    /// Why a type is not known at a place.
    pub(crate) fn why(&self, name: &str, at: Span) -> Unknown<'t> {
        let Some(defined) = self.get(name) else { return Unknown::Undefined };
        let place = self.list.partition_point(|definition| definition.span.start <= at.start);
        let own = place.checked_sub(1).and_then(|n| self.list.get(n)).filter(|own| at.start < own.end);
        match own {
            Some(own) if own.span.start <= defined.span.start => match self.way(defined, own.name) {
                Some(way) => Unknown::Circle(defined.span, std::iter::once(own.name).chain(way).collect()),
                None => Unknown::Below(defined.span),
            },
            _ if defined.span.start < at.start => Unknown::Broken(defined.span),
            _ => Unknown::Below(defined.span),
        }
    }

    /// The shortest way from a definition to a name, both included.
    fn way(&self, from: &Definition<'t>, to: &str) -> Option<Vec<&'t str>> {
        let mut before: FxHashMap<&str, &'t str> = FxHashMap::default();
        let mut seen: FxHashSet<&str> = FxHashSet::default();
        let mut queue = std::collections::VecDeque::from([from.name]);
        seen.insert(from.name);
        while let Some(name) = queue.pop_front() {
            if name == to {
                let mut way = vec![name];
                while let Some(&previous) = before.get(way.last()?) {
                    way.push(previous);
                }
                way.reverse();
                return Some(way);
            }
            for &mention in self.get(name).map_or(&[][..], |definition| &definition.mentions) {
                if self.by_name.contains_key(mention) && seen.insert(mention) {
                    before.insert(mention, name);
                    queue.push_back(mention);
                }
            }
        }
        None
    }
}

/// The names of a circle, the first again at its end.
pub(crate) fn circle(names: &[&str]) -> String {
    let quoted = |name: &&str| format!("'{name}'");
    if names.len() <= SHOWN {
        return names.iter().map(quoted).collect::<Vec<_>>().join(" by ");
    }
    let (first, last) =
        (names.get(..SHOWN - 2).unwrap_or(names), names.get(names.len() - 2..).unwrap_or(&[]));
    let list = |names: &[&str]| names.iter().map(quoted).collect::<Vec<_>>().join(" by ");
    format!("{} by {} more by {}", list(first), names.len() - SHOWN, list(last))
}
