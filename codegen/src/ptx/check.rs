//! Reads PTX text again and says what is wrong with it, without knowing how it was made.
//!
//! For tests and fuzzing, where no ptxas is at hand: every register that is used is declared, has the class that
//! the instruction wants and is written somewhere; every label, parameter and variable that is mentioned exists; braces
//! are balanced. What it does not know about an instruction, it does not check.

use rustc_hash::{FxHashMap, FxHashSet};

/// Classes of registers, by the letter in their names.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Want {
    Pred,
    /// A register of exactly so many bits.
    Bits(u32),
    /// A register of at least so many bits: loads, stores and conversions may use wider ones.
    AtLeast(u32),
    /// Anything.
    Any,
}

/// What one function declares and mentions.
#[derive(Default)]
struct Scope<'a> {
    counts: FxHashMap<&'a str, u32>,
    labels: FxHashSet<&'a str>,
    mentioned: Vec<(usize, &'a str)>,
    written: FxHashSet<&'a str>,
    read: Vec<(usize, &'a str)>,
    names: FxHashSet<&'a str>,
}

/// Checks a module; the messages start with line numbers.
///
/// # Errors
/// Everything that is wrong, in order of discovery.
pub fn check(text: &str) -> Result<(), Vec<String>> {
    let mut checker = Checker {
        errors: Vec::new(),
        module: FxHashSet::default(),
        scope: None,
        depth: 0,
        in_section: false,
    };
    for (n, line) in text.lines().enumerate() {
        checker.line(n + 1, line.trim());
    }
    if checker.depth != 0 {
        checker.errors.push(format!("end: {} braces are not closed", checker.depth));
    }
    if checker.errors.is_empty() { Ok(()) } else { Err(checker.errors) }
}

struct Checker<'a> {
    errors: Vec<String>,
    module: FxHashSet<&'a str>,
    scope: Option<Scope<'a>>,
    depth: i32,
    /// Inside a section for debuggers.
    in_section: bool,
}

impl<'a> Checker<'a> {
    fn error(&mut self, line: usize, message: String) {
        self.errors.push(format!("{line}: {message}"));
    }

    fn line(&mut self, n: usize, line: &'a str) {
        match line {
            "" => {}
            _ if line.starts_with("//") || line.starts_with(".file") => {}
            _ if line.starts_with(".section") => self.in_section = true,
            _ if self.in_section => self.in_section = line != "}",
            _ if line.starts_with(".loc\t") => self.location(n, line),
            "{" => {
                self.depth += 1;
                self.scope.get_or_insert_default();
            }
            "}" => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.end_function(n);
                }
            }
            _ if line.starts_with(".version")
                || line.starts_with(".target")
                || line.starts_with(".address") => {}
            // Between the head of a kernel and its body.
            _ if self.depth == 0 && self.scope.is_some() => self.bound(n, line),
            _ if self.depth == 0 => self.module_line(n, line),
            _ if line.starts_with('.') => self.declaration(n, line),
            _ => self.code(n, line),
        }
    }

    /// A bound of launches: a directive and numbers.
    fn bound(&mut self, n: usize, line: &'a str) {
        let (directive, numbers) = line.split_once(' ').unwrap_or((line, ""));
        let wanted = match directive {
            ".maxntid" | ".reqntid" => 3,
            ".minnctapersm" | ".maxnreg" => 1,
            _ => return self.error(n, format!("no bound of launches: {line}")),
        };
        if numbers.split(", ").filter(|number| number.parse::<u32>().is_ok_and(|n| n > 0)).count() != wanted {
            self.error(n, format!("{directive} has {wanted} numbers: {line}"));
        }
    }

    /// `.loc file line column`, and perhaps where that is inlined.
    fn location(&mut self, n: usize, line: &'a str) {
        let numbers = |text: &str| text.split(' ').filter(|word| word.parse::<u32>().is_ok()).count();
        let own = line.trim_start_matches(".loc\t");
        let (own, call) =
            own.split_once(", function_name $i").map_or((own, None), |(own, call)| (own, Some(call)));
        let called =
            call.is_none_or(|call| call.split_once(", inlined_at ").is_some_and(|(_, at)| numbers(at) == 3));
        if numbers(own) != 3 || !called || self.depth == 0 {
            self.error(n, format!("no place in a function: {line}"));
        }
    }

    /// A global, or the head of a function: its name stands before `[` or `(`.
    fn module_line(&mut self, n: usize, line: &'a str) {
        let is_function = line.contains(".entry ") || line.contains(".func ");
        let mut line = line;
        let mut scope = Scope::default();
        if is_function {
            if let Some(rest) = line.split_once(".func (") {
                let (result, rest) = rest.1.split_once(") ").unwrap_or(("", ""));
                scope.names.extend(declared_name(result));
                line = rest;
            }
            let (head, params) = line.split_once('(').unwrap_or((line, ""));
            self.module.extend(head.split_whitespace().last());
            let params = params.trim_end_matches([';', ')']);
            scope.names.extend(params.split(", ").filter_map(declared_name));
            if !line.ends_with(';') {
                self.scope = Some(scope);
            }
        } else {
            let Some(name) = declared_name(line.split(" = ").next().unwrap_or("")) else {
                return self.error(n, format!("no declaration: {line}"));
            };
            if !self.module.insert(name) {
                self.error(n, format!("{name} is declared twice"));
            }
        }
    }

    fn declaration(&mut self, n: usize, line: &'a str) {
        let Some(scope) = &mut self.scope else { return };
        let line = line.trim_end_matches(';');
        match line.strip_prefix(".reg ").and_then(|rest| rest.split_once(' ')) {
            Some((class, range)) => {
                let parts = range.trim_end_matches('>').split_once('<');
                let (prefix, count) = parts.unwrap_or((range, "0"));
                let wanted = match class {
                    ".pred" => "%p",
                    ".b16" => "%h",
                    ".b32" => "%r",
                    _ => "%d",
                };
                scope.counts.insert(prefix, count.parse().unwrap_or(0));
                if prefix != wanted {
                    self.error(n, format!("{prefix} is declared as {class}"));
                }
            }
            None => scope.names.extend(declared_name(line)),
        }
    }

    fn code(&mut self, n: usize, line: &'a str) {
        if let Some((label, rest)) = line.split_once(':') {
            let scope = self.scope.get_or_insert_default();
            if !scope.labels.insert(label) {
                self.error(n, format!("label {label} is bound twice"));
            }
            if let Some(targets) = rest.trim().strip_prefix(".branchtargets ") {
                let targets = targets.trim_end_matches(';').split(", ").map(|target| (n, target));
                self.scope.get_or_insert_default().mentioned.extend(targets);
            }
            return;
        }
        let Some(line) = line.strip_suffix(';') else {
            return self.error(n, format!("no semicolon: {line}"));
        };
        let mut line = line;
        if let Some(rest) = line.strip_prefix('@') {
            let (guard, rest) = rest.split_once('\t').unwrap_or((rest, ""));
            self.register(n, guard.trim_start_matches('!'), Want::Pred, false);
            line = rest;
        }
        let (op, operands) = line.split_once('\t').unwrap_or((line, ""));
        let wants = wanted(op);
        let stores = ["st", "bra", "barrier", "bar", "brx", "call", "fence"];
        let writes = !stores.contains(&op.split('.').next().unwrap_or(""));
        for (at, operand) in split_operands(operands).into_iter().enumerate() {
            let want = wants.get(at).or(wants.last()).copied().unwrap_or(Want::Any);
            self.operand(n, op, operand, want, writes && at == 0);
        }
    }

    fn operand(&mut self, n: usize, op: &str, operand: &'a str, want: Want, is_result: bool) {
        if let Some(inner) = operand.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let base = inner.split('+').next().unwrap_or("");
            return match base.strip_prefix('%') {
                Some(_) => self.register(n, base, Want::Bits(64), false),
                None => self.variable(n, base),
            };
        }
        if let Some(inner) = operand.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            inner.split(", ").for_each(|part| self.register(n, part, Want::Bits(32), is_result));
            return;
        }
        if let Some(inner) = operand.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            inner.split(", ").filter(|part| !part.is_empty()).for_each(|part| self.variable(n, part));
            return;
        }
        let first = operand.as_bytes().first().copied().unwrap_or(b' ');
        match first {
            b'%' if operand.starts_with("%tid") || operand.starts_with("%ntid") => {}
            b'%' if operand.starts_with("%ctaid") || operand.starts_with("%nctaid") => {}
            b'%' if matches!(operand, "%laneid" | "%clock64") => {}
            b'%' => self.register(n, operand, want, is_result),
            b'0'..=b'9' | b'-' => {}
            _ if op.starts_with("br") || (op == "call" && operand.starts_with("$P")) => {
                self.scope.get_or_insert_default().mentioned.push((n, operand));
            }
            _ => self.variable(n, operand.split('+').next().unwrap_or("")),
        }
    }

    fn register(&mut self, n: usize, name: &'a str, want: Want, is_result: bool) {
        let scope = self.scope.get_or_insert_default();
        let (prefix, number) = name.split_at(name.len().min(2));
        let bits = match prefix {
            "%p" => 1,
            "%h" => 16,
            "%r" => 32,
            "%d" => 64,
            _ => return self.error(n, format!("{name} is no register")),
        };
        let declared = scope.counts.get(prefix).copied().unwrap_or(0);
        if is_result {
            scope.written.insert(name);
        } else {
            scope.read.push((n, name));
        }
        if number.parse::<u32>().map_or(true, |number| number >= declared) {
            return self.error(n, format!("{name} is not declared"));
        }
        let fits = match want {
            Want::Pred => bits == 1,
            Want::Bits(wanted) => bits == wanted,
            Want::AtLeast(wanted) => bits >= wanted.max(16),
            Want::Any => true,
        };
        if !fits {
            self.error(n, format!("{name} is used as {want:?}"));
        }
    }

    fn variable(&mut self, n: usize, name: &str) {
        let local = self.scope.as_ref().is_some_and(|scope| scope.names.contains(name));
        if !local && !self.module.contains(name) {
            self.error(n, format!("{name} is not declared"));
        }
    }

    fn end_function(&mut self, _: usize) {
        let Some(scope) = self.scope.take() else { return };
        for (n, label) in scope.mentioned {
            if !scope.labels.contains(label) {
                self.error(n, format!("label {label} is not bound"));
            }
        }
        for (n, register) in scope.read {
            if !scope.written.contains(register) {
                self.error(n, format!("{register} is never written"));
            }
        }
    }
}

/// The last word of a declaration, without its array length.
fn declared_name(declaration: &str) -> Option<&str> {
    let word = declaration.trim_end_matches(';').split_whitespace().last()?;
    Some(word.split('[').next().unwrap_or(word))
}

/// Operands, split at commas outside of brackets.
pub(super) fn split_operands(text: &str) -> Vec<&str> {
    let (mut operands, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth -= 1,
            b',' if depth == 0 => {
                operands.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if start < text.len() {
        operands.push(text[start..].trim());
    }
    operands
}

fn width(suffix: &str) -> Want {
    if suffix == "pred" {
        return Want::Pred;
    }
    let digits = suffix.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.parse().map_or(Want::Any, Want::Bits)
}

fn at_least(want: Want) -> Want {
    match want {
        Want::Bits(bits) => Want::AtLeast(bits),
        want => want,
    }
}

/// What each operand of an instruction should be; the last holds for all that follow.
fn wanted(op: &str) -> Vec<Want> {
    let parts: Vec<&str> = op.split('.').collect();
    let last = width(parts.last().copied().unwrap_or(""));
    let word = Want::Bits(32);
    match parts[0] {
        "setp" => vec![Want::Pred, last],
        "selp" => vec![last, last, last, Want::Pred],
        "cvt" => {
            let from = last;
            let to = width(parts.get(parts.len().wrapping_sub(2)).copied().unwrap_or(""));
            vec![at_least(to), at_least(from)]
        }
        "cvta" => vec![Want::Bits(64)],
        "ld" | "st" => vec![at_least(last)],
        "shl" | "shr" => vec![last, last, word],
        "mul" if parts.get(1) == Some(&"wide") => vec![Want::Bits(64), word],
        "clz" | "popc" | "bfind" => vec![word, last],
        "shfl" | "redux" | "activemask" => vec![word],
        "vote" if parts.last() == Some(&"pred") => vec![Want::Pred, Want::Pred, word],
        "vote" => vec![word, Want::Pred, word],
        "bar" | "barrier" | "bra" | "brx" => vec![word],
        "call" | "ret" | "fence" => vec![Want::Any],
        _ => vec![last],
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    const GOOD: &str = "\
.version 7.0
.target sm_80
.address_size 64

.visible .global .align 4 .b8 table[8] = {1,2};
.visible .entry k(.param .b64 $p0)
{
\t.reg .pred %p<1>;
\t.reg .b32 %r<2>;
\t.reg .b64 %d<1>;
\tld.param.b64\t%d0, [$p0];
$L0:
\tld.global.b32\t%r0, [table+4];
\tadd.s32\t%r1, %r0, 1;
\tsetp.lt.s32\t%p0, %r1, 5;
\tst.global.b32\t[%d0+-4], %r1;
@%p0\tbra\t$L0;
\tret;
}
";

    #[test]
    fn good_text_passes() {
        assert_eq!(check(GOOD), Ok(()));
    }

    #[test]
    fn each_mistake_is_found() {
        for (from, to, message) in [
            ("%r<2>", "%r<1>", "%r1 is not declared"),
            ("add.s32", "add.s64", "%r1 is used as Bits(64)"),
            ("@%p0\tbra\t$L0", "@%p0\tbra\t$L1", "label $L1 is not bound"),
            ("[$p0]", "[$p1]", "$p1 is not declared"),
            ("[table+4]", "[tables]", "tables is not declared"),
            ("}\n", "", "braces are not closed"),
            ("\tld.global.b32\t%r0, [table+4];\n", "", "%r0 is never written"),
            ("%p0, %r1", "%r0, %r1", "%r0 is used as Pred"),
            ("[%d0+-4]", "[%r0]", "%r0 is used as Bits(64)"),
            ("\tret;", "\tret", "no semicolon"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            let errors = check(&text).expect_err(message);
            assert!(
                errors.iter().any(|error| error.contains(message)),
                "{errors:?} should contain {message}"
            );
        }
    }
}
