//! Which comments are directives, and which were meant to be.

use marquetry_ir::near;

/// The names of all directives, and of the lines that may stand below `compile:`.
pub(super) const NAMES: [&str; 14] = [
    "run", "throws", "launch", "prints", "which", "compile", "refused", "error", "contains", "lacks",
    "count", "rejected", "fails", "resolve",
];

/// The comment of a line.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Comment<'a> {
    /// What stands before it.
    pub code: &'a str,
    /// What follows the `;`.
    pub text: &'a str,
}

/// A comment that starts as `NAME:` or `NAME[ENGINES]:`, the name being a directive's.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Head<'a> {
    pub name: &'a str,
    /// What stands in brackets; empty without them.
    pub engines: &'a str,
    pub rest: &'a str,
}

/// The comment of a line, if it has one: a `;` in a quoted text starts none.
pub(super) fn split(line: &str) -> Option<Comment<'_>> {
    let mut quoted = false;
    let mut escaped = false;
    let mut first = None;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if std::mem::take(&mut escaped) => {}
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => return comment_at(line, at),
            b';' => first = first.or(Some(at)),
            _ => {}
        }
    }
    // A quoted text that does not end on its line is a mistake, which the comment may be about.
    first.filter(|_| quoted).and_then(|at| comment_at(line, at))
}

fn comment_at(line: &str, at: usize) -> Option<Comment<'_>> {
    Some(Comment { code: line.get(..at)?, text: line.get(at + 1..)? })
}

impl<'a> Comment<'a> {
    /// Whether nothing else stands on the line.
    pub(super) fn is_alone(&self) -> bool {
        self.code.trim().is_empty()
    }

    /// White space before a comment that stands alone.
    pub(super) fn indent(&self) -> &'a str {
        if self.is_alone() { self.code } else { "" }
    }

    /// The comment as a directive, if it is one.
    pub(super) fn head(&self) -> Option<Head<'a>> {
        let (name, after) = word(self.text.trim_start());
        let (engines, after) = bracketed(after)?;
        let rest = after.strip_prefix(':')?;
        NAMES.contains(&name).then_some(Head { name, engines, rest })
    }
}

/// The letters at the start, and what follows.
fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len()))
}

/// What stands in brackets at the start, and what follows; none if they are not closed.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('[') {
        Some(inside) => inside.split_once(']'),
        None => Some(("", text)),
    }
}

/// What to say about a comment that is no directive but looks as if it was meant to be one. Prose does not: what
/// gives a directive away is the function or the arrow that it speaks of, or that it stands below `compile:`.
pub(super) fn misspelt(text: &str, below_compile: bool) -> Option<String> {
    let text = text.trim();
    let (name, after) = word(text);
    if name.is_empty() {
        return None;
    }
    let (after, closed) = match bracketed(after.trim_start()) {
        Some((_, after)) => (after.trim_start(), true),
        None => (after, false),
    };
    let after_colon = after.strip_prefix([':', '=']);
    let body = after_colon.unwrap_or(after).trim_start();
    let nearest = nearest(name);
    let function = body
        .strip_prefix('@')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '"'));
    let arrow = body
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(" on "))
        .is_some_and(|(_, rest)| rest.contains("->"));
    let suspicious = match nearest {
        Some("which") => arrow,
        Some("contains" | "lacks" | "count" | "rejected") => below_compile && after_colon.is_some(),
        Some(_) => function || (!closed && text.contains('@')),
        None => function && after_colon.is_some(),
    };
    suspicious.then(|| match nearest {
        Some(nearest) => format!("'{name}' starts no directive like this: did you mean '{nearest}:'?"),
        None => format!("'{name}:' is not a directive: expected one of {}", NAMES.join(", ")),
    })
}

/// The directive that a word looks like.
fn nearest(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let distances = NAMES.iter().map(|name| (distance(&word, name), *name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= if name.len() > 4 { 2 } else { 1 }).then_some(name)
}

/// How many letters must be added, dropped or changed to make one word of another; far too many where lengths tell already.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    near::distance(a, b).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, wanted) in [
            ("run", "run", 0),
            ("runn", "run", 1),
            ("launches", "launch", 2),
            ("lanuch", "launch", 2),
            ("", "run", usize::MAX),
        ] {
            assert_eq!(distance(a, b), wanted, "{a} {b}");
        }
    }

    #[test]
    fn a_semicolon_in_quotes_starts_no_comment() {
        let comment = split("throw E, \"a; \\\" run: @f\" ; run: @g()").expect("a comment");
        assert_eq!(comment.text, " run: @g()");
        assert_eq!(split("throw E, \"a; b\""), None);
        assert_eq!(split("throw E, \"a ; error: text").expect("a comment").text, " error: text");
    }

    #[test]
    fn misspelt_directives_are_found_out() {
        for text in [
            "run @f(i32 1) == i32 2",
            "runn: @f(i32 1) == i32 2",
            "Run: @f(i32 1)",
            "run : @f()",
            "run= @f()",
            "launches: @k grid=1 block=1 ()",
            "lauch[cpu]: @k grid=1 block=1 ()",
            "launch[cpu: @k grid=1 block=1 ()",
            "expect: @f() == i32 1",
            "throw: @\"odd name\"() DivideError",
            "compiles: @f ptx",
            "refuse: @f text",
            "whcih: f(i32) on ptx -> base",
            "which f(i32) on ptx -> base",
        ] {
            assert!(misspelt(text, false).is_some(), "{text}");
        }
        for text in ["contain: ret", "Lacks: call", "counts: 1 fma", "reject: too large"] {
            assert!(misspelt(text, true).is_some(), "{text}");
            assert!(misspelt(text, false).is_none(), "{text}");
        }
    }

    #[test]
    fn prose_is_not_suspicious() {
        for text in [
            "run twice, to see that nothing stays behind",
            "runs on every engine: @f is called by others",
            "see @f",
            "Floats: sums of whole numbers",
            "errors: none",
            "Which of them is taken depends on the view.",
            "which means that x -> y",
            "counts: how often each byte occurs",
            "launch[cpu]",
            "",
            "@f is called below",
            "count the ones (on all lanes)",
        ] {
            assert_eq!(misspelt(text, false), None, "{text}");
        }
    }
}
