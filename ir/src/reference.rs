//! The language reference, generated from the tables that the code itself reads.
//!
//! `LANGUAGE.md` next to this crate's manifest is this text; a test compares them.

use crate::diag::Code;
use crate::inst::{Order, Scope};
use crate::limits;
use crate::op::{Effects, Op, Rule, Shape};
use crate::query::{Answer, KEYS};
use crate::types::{Scalar, Space};
use std::fmt::{self, Write};

const QUERIES: &str = "## What code can ask its target

`target_query` is answered before anything is optimised, and branches that are decided by the answer are decided then, at
every optimisation level; so are assertions checked, into which constants, decided branches and `inline` methods go. Every target
answers all keys, so that one text compiles for all; the interpreter is neither native nor a GPU and has every op. Hosts can
add keys of their own.

| key | type | answer |
|---|---|---|
";

/// The reference of the language, in Markdown.
pub fn language_reference() -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_reference(&mut out);
    out
}

fn write_reference(out: &mut String) -> fmt::Result {
    out.push_str(INTRODUCTION);
    write_types(out)?;
    out.push_str(GENERICS);
    out.push_str(LITERALS);
    out.push_str("## Instructions\n\n");
    out.push_str(INSTRUCTIONS);
    for (first, next) in SECTIONS.iter().zip(SECTIONS.iter().skip(1).map(Some).chain([None])) {
        let end = next.map_or(Op::ALL.len(), |next| next.0 as usize);
        writeln!(out, "### {}\n", first.1)?;
        for &op in Op::ALL.get(first.0 as usize..end).unwrap_or(&[]) {
            write_op(out, op)?;
        }
    }
    out.push_str(QUERIES);
    for (key, kind, what) in KEYS {
        let ty = match kind {
            Answer::Truth(_) => "i1",
            Answer::Number(_) => "an integer",
        };
        writeln!(out, "| `{key}` | {ty} | {what} |")?;
    }
    out.push_str(
        "| `has_OP.TYPE` | i1 | whether the target has an op on a scalar type itself: `has_fma.f32` |\n\n",
    );
    out.push_str(
        "## Mistakes\n\nEvery message carries the code of its kind.\n\n| code | meaning |\n|---|---|\n",
    );
    for code in Code::ALL {
        writeln!(out, "| {code} | {} |", code.description())?;
    }
    out.push_str(
        "\n## Limits\n\nPassing a limit is an error that names it; inlining stops at one.\n\n| most | value |\n|---|---|\n",
    );
    limits::ALL.iter().try_for_each(|(what, value)| writeln!(out, "| {what} | {value} |"))
}

const INTRODUCTION: &str = "\
# The Marquetry language

<!-- Generated from the op table; change the table, then bless this file. -->

A text is a list of items. A newline ends an instruction; in the header of an item, in a struct and in initial
contents it means nothing. A comment goes from `;` to the end of its line. A name is a letter or `_`, then letters,
digits and `_`; where a method, a global, a function of the host, a table, a struct, a field or an exception is named,
any text in double quotes will do as well. Texts are UTF-8. A carriage return in front of a newline and a byte order mark
at the very beginning are skipped, and the formatter drops them.

```
struct point { x: f32, y: f32 }
global table: array<i32, 2> in constant = [i32 1, i32 2]
global tile: array<f32, 256> in shared
global entry: array<i64, 3> in constant align 64 = [i64 7, i64 0, i64 0] with [8: symbol \"puts\" from \"libc.so.6\", 16: value \"config\"]
extern func sin(f64) -> f64 as \"sin\"

method norm(x: f32, y: f32) -> f32 inline {
entry:
    xx = mul x, x
    yy = fma y, y, xx
    r = sqrt yy
    return r
}

overlay fast_gpu method norm(x: f32, y: f32) -> f32 inline {
entry:
    r = call fast_norm(x, y)
    return r
}

kernel fill(n: i32, p: ptr<global>) {
entry:
    i = local_id 0
    inside = lt.s i, n
    branch inside, body(i), done
body(at: i32):
    q = index p, at, i32
    store q, at
    jump done
done:
    return
}
```

- Structs and abstract types are defined before their use; everything else may stand in any order, in any number of files.
- A method without `overlay` lives in the table `base`, one with it in the table of that name. Attributes: `inline`,
  `noinline`, `consistent` (an overlay with the same observable result as what it replaces).
- The tables `device` and `standard` are the library's own, and nobody else adds to them. Its device functions (`global_id`,
  `malloc`, ...) are listed in `DEVICE.md`: on the host they give a `sentinel`, on devices they call what the back-end's
  runtime provider supplies as a method `gpu_NAME` in a table of its own. `device func NAME(...) -> ...` declares both halves;
  only the library's text may. Other programs write a method that gives a `sentinel`, and overlay it. A call of such a
  `gpu_NAME` means what the provider supplies and nothing else, so no method of `base` may have that name: a program
  supplies one with `overlay TABLE method gpu_NAME`, in a table that the job names as its provider's.
- Every program starts with the library's methods in `base` as well: mathematical functions (`math_exp`, `math_sin`, `math_pow`,
  ...) for all float types, with the same bits on every engine but shading languages, which may rearrange sums, and atomic
  accesses as methods (`atomic_add`, ...), listed with their errors in `LIBRARY.md`. Tables of back-ends may overlay them.
- A body is a list of blocks. The first is the entry; the method's parameters are its own. Other blocks may have
  parameters, for which every edge to them brings values. Blocks may stand in any order; every use of a value
  must be reached only through its definition.
- Names of values and of blocks are local to a body, and apart from each other. A value's name must not be a type
  or one of `fn type const zero null true false nan inf`.
- A global is aligned as its type is, or to what `align N` says, if that is more.
- Initial contents are a constant, `zero`, `bytes \"...\"` for an array of `i8`, or a list in brackets with one entry
  per element, field or lane.
- `with [OFFSET: REFERENCE, ...]` names the words of a global that stand for something outside of it, each an `i64` or a
  pointer at a byte offset where first contents are zero. `value \"NAME\"` is a value of the host, an opaque word that is the
  same for the same value; `symbol \"NAME\"`, with or without `from \"LIBRARY\"`, the address of a symbol of the host; `word
  \"NAME\"` a word of its runtime; `address GLOBAL`, with or without `at OFFSET`, the
  address of another global or of a byte of it; `function NAME(TYPES)` the address of the method that dispatch finds for
  arguments of these types, as `function_address` gives it. The host supplies its words before code
  that uses the global runs, now or when the code is loaded; until then a slot is nothing that anybody reads or folds.
  Targets without addresses of functions, or without addresses in first contents, compile code that loads such a slot of
  constant memory at a place that is known, as if the address stood there; what is left of such slots is an error.
  Functions of the host are called by `extern func`, not through such an address. A symbol that the object exports itself,
  ahead of time, is the address by which C calls the export: what to hand over as a callback. An address that
  `function_address` gives is none: what it leads to is called as methods call each other.
- A loop may run for ever. Where it has no effect and an exit, the driver of a device may go on as if it had ended.
- Recursion may go as deep as the stack allows, which is for the engine to say. Using the stack up is an error of the
  call or launch, not an exception: nothing in the program sees it, memory stays as it was left, and the host learns
  which function did not fit any more. Targets without a stack refuse recursion.
- Quoted texts know the escapes `\\n \\t \\r \\\" \\\\ \\xHH`.

";

fn write_types(out: &mut String) -> fmt::Result {
    out.push_str("## Types\n\n| type | what it is | bytes |\n|---|---|---|\n");
    for scalar in Scalar::ALL {
        let what = match scalar {
            Scalar::I1 => "truth value: 0 or 1".into(),
            Scalar::F16 => "IEEE 754 binary16".into(),
            Scalar::BF16 => "the upper half of a binary32".into(),
            Scalar::F32 => "IEEE 754 binary32".into(),
            Scalar::F64 => "IEEE 754 binary64".into(),
            _ => format!("integer of {} bits, without sign of its own", scalar.bits()),
        };
        writeln!(out, "| `{}` | {what} | {} |", scalar.name(), scalar.bytes())?;
    }
    let lanes = limits::MAX_LANES;
    writeln!(out, "| `vec<S, N>` | `N` lanes of a scalar; a power of two from 2 to {lanes} | `N` lanes |")?;
    out.push_str("| `ptr<SPACE>` | address in an address space | 8 |\n");
    out.push_str("| `array<T, N>` | `N` elements of any type | `N` elements |\n");
    out.push_str("| a struct's name, `name<T, ...>` | fields in order, laid out as in C | padded to its alignment |\n\n");
    out.push_str("Singleton types (below) take no room. Scalars are aligned to their size, vectors to theirs but at most to 16.\n\n");
    let names: Vec<String> = Space::ALL.iter().map(|space| format!("`{}`", space.name())).collect();
    writeln!(out, "Address spaces: {}.\n", names.join(", "))
}

const GENERICS: &str = "\
## Methods with type variables

```
abstract Real
abstract Float : Real
impl f32, f64 : Float

struct pair<A, B> { first: A, second: B }
newtype celsius : Float = f32

method axpy<T: Real>(a: T, x: T, y: T) -> T inline {
entry:
    p = mul a, x
    r = add p, y
    return r
}

method fold<T, N>(op: Function, start: T, list: array<T, N>, more: Any...) -> T {
entry:
    x = get list, 0
    y = call op(start, x)
    z = call op(y, T 1)
    return z
}

method use(x: f32) -> f32 {
entry:
    list = make.array<f32, 1> x
    r = call fold(fn plus, x, list)
    return r
}

method plus<T: Real>(a: T, b: T) -> T {
entry:
    r = add a, b
    return r
}
```

- Abstract types form a tree below `Any`. A struct says behind its name what it is; scalars, vectors and pointers are
  declared with `impl`, once each. `Function` is what the singleton types of functions are.
- `newtype meters : Length = f32` and `newtype tagged<T, U> = T` are types of their own for dispatch and for the operands of
  ops; everywhere else they are what stands behind `=`: in memory, in calls of hosts, in initial contents of globals, at no
  cost. `make.meters x` wraps, `get m, 0` unwraps.
- A parameter's type is a pattern. A type variable stands for one type below its bound, the same wherever it stands; an
  abstract type stands for a variable of its own at each place. Variables may stand in `vec<T, N>`, `array<T, N>`,
  `ptr<S>`, `type T`, `const N` and structs with parameters; `N` is then a number, `S` an address space. Every variable must
  be in a parameter. Results, suffixes and block parameters may mention variables.
- The last parameter may be a pack `xs: T...`, any number of arguments. `xs...` as an argument of a call passes them on;
  nothing else can be done with a pack.
- `T 1` is the number in the type that `T` stands for, `i64 N` the number that `N` stands for. A number that the type
  cannot hold is an error of the instance. `T zero` always works.
- Singleton types have one value, of no size, that is spelled like the type: `fn name` is a generic function, `type f32` a
  type, `const i64 4` a constant, `const N` any constant as a parameter's type and the one that `N` stands for elsewhere.
  Nothing is passed for values of no size.
- `call f(x)` calls the generic function of `f`'s singleton type if `f` is a parameter of the method whose type is a
  variable, `Any`, `Function` or `fn name`. `call value v(x)` does so for any value, `call \"f\"(x)` always means the
  method `f`.
- Which method a call means: the tables of the job are asked in order, and the first with an applicable method decides.
  Inside a table a method that takes less than all other applicable ones wins; if there is none, the call is ambiguous
  and refused. The types of what a method with variables computes are known, and checked, once it is specialised for the
  arguments of a call.
- A call that no method fits is refused with the nearest misses and the calls that lead to it, unless control cannot get to
  it: questions to the target are answered, `inline` methods inlined, constants folded and branches on them taken before. The
  same goes for what else a job cannot have: an address of nothing, a function that only devices have where they are refused,
  its host half in code for devices, a link name that no provider supplies. A job may ask for an exception,
  `UnresolvedError`, or for a call of the host instead of a call that no method fits.
- An overlay returns the types that base returns for the same arguments: it is refused where it is defined if it cannot, for
  all that it takes or all that a method of base takes, and else where a call shows it. A pure call with constant arguments may be computed
  during compilation if nothing that it reaches is an overlay without `consistent`, or a body that the device table replaces.

";

const LITERALS: &str = "\
## Constants

A constant is an operand: its type, then its value.

| constant | examples |
|---|---|
| integer | `i32 -5`, `i8 255`, `i64 0xff`: signed or unsigned range |
| truth value | `i1 true`, `i1 false` |
| float | `f32 1.5`, `f32 1e-7`, `f32 -0.0`, `f32 inf`, `f32 -inf`, rounded to nearest, ties to even |
| NaN | `f32 nan` (quiet, positive, no payload), `f32 nan:0x7fc00001` (these bits) |
| pointer | `ptr<global> null`, `ptr<global> 0x10` |
| vector | `vec<f32, 4> [1.0, 2.0, 3.0, 4.0]` |
| all bits zero, of any type | `point zero`, `array<i32, 4> zero`, `vec<f32, 4> zero` |

";

const INSTRUCTIONS: &str = "\
An instruction is `results = mnemonic operands`, with as many names as it has results. Integers have no sign of their
own: where it matters, the mnemonic says `.s` or `.u`. \"Number\" is an integer (not `i1`) or a float; lane-wise ops
take vectors wherever they take scalars.

Effects: *throws* may end the method with an exception instead of giving a result; *reads* and *writes* memory;
*convergent* must be reached by work-items together; *calls* runs a method that may do anything; *terminator* ends its
block. An op without effects always has a result, the same for the same operands.

";

/// Headings, each from its first op on.
const SECTIONS: [(Op, &str); 12] = [
    (Op::Add, "Arithmetic"),
    (Op::And, "Bits"),
    (Op::Eq, "Comparison and choice"),
    (Op::Trunc, "Conversion"),
    (Op::Splat, "Vectors"),
    (Op::Make, "Arrays and structs"),
    (Op::PtrAdd, "Addresses"),
    (Op::Load, "Memory"),
    (Op::AtomicLoad, "Atomics"),
    (Op::LocalId, "Work-items"),
    (Op::Call, "Calls"),
    (Op::Jump, "Control"),
];

fn write_op(out: &mut String, op: Op) -> fmt::Result {
    let info = op.info();
    writeln!(out, "- `{}`: {}  ", spelling(op), info.doc)?;
    write!(out, "  *{}*", rule_in_words(op))?;
    let effects: Vec<&str> =
        EFFECTS.iter().filter(|(effect, _)| info.effects.has(*effect)).map(|(_, word)| *word).collect();
    if effects.is_empty() {
        out.push_str("\n\n")
    } else {
        write!(out, " [{}]\n\n", effects.join(", "))?
    }
    Ok(())
}

const EFFECTS: [(Effects, &str); 6] = [
    (Effects::TERMINATOR, "terminator"),
    (Effects::THROW, "throws"),
    (Effects::READ, "reads"),
    (Effects::WRITE, "writes"),
    (Effects::CONVERGENT, "convergent"),
    (Effects::CALL, "calls"),
];

/// How the op is written.
fn spelling(op: Op) -> String {
    let name = op.mnemonic();
    let results = match op.info().rule {
        Rule::Overflow | Rule::CompareExchange => "r, b = ",
        Rule::Call => "r, ... = ",
        Rule::CallIndirect => "r, ... = ",
        Rule::Store
        | Rule::MemoryCopy
        | Rule::MemorySet
        | Rule::Nothing
        | Rule::Terminator
        | Rule::Throw
        | Rule::Print
        | Rule::StaticAssert
        | Rule::Assert => "",
        Rule::AtomicAny if op == Op::AtomicStore => "",
        _ => "r = ",
    };
    let operands = match op.info().shape {
        Shape::Unary => " a",
        Shape::Binary => " a, b",
        Shape::Ternary => " a, b, c",
        Shape::Convert => ".TYPE a",
        Shape::Nullary => "",
        Shape::Dimension => " 0",
        Shape::Shuffle => " a, b, [0, 5, 2, 7]",
        Shape::Make => ".TYPE a, b, ...",
        Shape::Field if op == Op::SetField => " a, b, 3",
        Shape::Field => " a, 3",
        Shape::Index => " a, b, TYPE",
        Shape::FieldAddress => " a, TYPE, 3",
        Shape::GlobalAddress => ".SPACE name",
        Shape::Slot => ".TYPE",
        Shape::Load => ".TYPE a [align N] [volatile]",
        Shape::Store => " a, b [align N] [volatile]",
        Shape::Memory => " a, b, c [align N] [volatile]",
        Shape::AtomicLoad => ".TYPE a ORDER SCOPE",
        Shape::Atomic if op == Op::CompareExchange => " a, b, c ORDER SCOPE",
        Shape::Atomic => " a, b ORDER SCOPE",
        Shape::Fence => " ORDER SCOPE",
        Shape::Call => " name(a, b)",
        Shape::CallIndirect => " a(b, c) -> (TYPE, ...)",
        Shape::FunctionAddress => " name(TYPE, ...)",
        Shape::Jump => " block(a)",
        Shape::Branch => " a, block(b), block",
        Shape::Switch => " a, block(b), [0: block(c), -5: block]",
        Shape::Return => " a, b",
        Shape::Throw => " Kind, \"reason\", a, b",
        Shape::Assert => " a, \"message\", b, c",
        Shape::StaticAssert => " a, \"message\"",
        Shape::Query => ".TYPE \"key\"",
        Shape::Scratch => ".SPACE TYPE",
        Shape::Input => ".TYPE name",
        Shape::Print => " \"format\", a, b",
    };
    format!("{results}{name}{operands}")
}

/// The type rule in words.
fn rule_in_words(op: Op) -> String {
    let orders = || Order::ALL.map(Order::name).join(", ");
    let scopes = || Scope::ALL.map(Scope::name).join(", ");
    let atomic = |what: &str| format!("{what}; orders: {}; scopes: {}", orders(), scopes());
    let words = match op.info().rule {
        Rule::SameNumber => "operands and result: numbers of one type",
        Rule::SameInt => "operands and result: integers of one type, not i1",
        Rule::SameBits => "operands and result: integers of one type, i1 included",
        Rule::SameFloat => "operands and result: floats of one type",
        Rule::Overflow => {
            "operands and first result: integers of one type, not i1; second result: an i1 per lane"
        }
        Rule::CompareAny => "operands: numbers, truth values or pointers of one type; result: an i1 per lane",
        Rule::CompareInt => "operands: integers of one type, not i1; result: an i1 per lane",
        Rule::CompareFloat => "operands: floats of one type; result: an i1 per lane",
        Rule::Select => {
            "i1 and two values of any one type, or an i1 per lane and two vectors; result: their type"
        }
        Rule::Truncate => "integer to a narrower integer of as many lanes",
        Rule::Extend => "integer to a wider integer of as many lanes",
        Rule::FloatConvert => "float to another float of as many lanes",
        Rule::FloatToInt => "float to an integer of as many lanes, not i1",
        Rule::IntToFloat => "integer, not i1, to a float of as many lanes",
        Rule::Bitcast => "numbers, and vectors of them, of as many bits",
        Rule::PointerToInt => "pointer to i64",
        Rule::IntToPointer => "i64 to pointer",
        Rule::SpaceCast => "pointer to a pointer in another space, one of the two generic",
        Rule::Splat => "scalar to a vector of it",
        Rule::Extract => "vector and integer index; result: a lane",
        Rule::Insert => "vector, lane and integer index; result: the vector",
        Rule::Shuffle => "two vectors of one type; result: as many of their lanes as the mask has numbers",
        Rule::ReduceNumber => "vector of numbers; result: a lane",
        Rule::ReduceInt => "vector of integers, not i1; result: a lane",
        Rule::ReduceBits => "vector of integers, i1 included; result: a lane",
        Rule::ReduceFloat => "vector of floats; result: a lane",
        Rule::Make => "the fields in order; result: the aggregate",
        Rule::GetField => "aggregate; result: its field",
        Rule::SetField => "aggregate and a value of its field; result: the aggregate",
        Rule::PointerAdd => "pointer and i64; result: the pointer's type",
        Rule::Index => "pointer and integer; result: the pointer's type",
        Rule::FieldAddress => "pointer; result: the pointer's type",
        Rule::GlobalAddress => "result: a pointer in that space",
        Rule::Slot => "result: ptr<local>",
        Rule::BoundsCheck => "two integers of one type, not i1; result: that type",
        Rule::Load => "pointer; result: a value of the suffix's type",
        Rule::Store => "pointer and a value of any type",
        Rule::MemoryCopy => "two pointers and i64",
        Rule::MemorySet => "pointer, i8 and i64",
        Rule::AtomicAny if op == Op::AtomicLoad => return atomic("pointer; result: i32, i64, f32 or f64"),
        Rule::AtomicAny if op == Op::AtomicStore => return atomic("pointer and i32, i64, f32 or f64"),
        Rule::AtomicAny | Rule::AtomicNumber => {
            return atomic("pointer and i32, i64, f32 or f64; result: that type");
        }
        Rule::AtomicInt => return atomic("pointer and i32 or i64; result: that type"),
        Rule::AtomicFloat => return atomic("pointer and f32 or f64; result: that type"),
        Rule::CompareExchange => return atomic("pointer and two of i32 or i64; results: that type and i1"),
        Rule::Nothing if op == Op::Fence => return atomic("no operands, no result"),
        Rule::Nothing => "no operands, no result",
        Rule::WorkItem => "result: i32",
        Rule::Clock => "result: i64",
        Rule::SubgroupShuffle => "i32, i64, f32 or f64, and an i32; result: the first operand's type",
        Rule::SubgroupVote => "i1; result: i1",
        Rule::SubgroupBallot => "i1; result: i64",
        Rule::SubgroupInt => "i32 or i64; result: that type",
        Rule::Call => "what the method takes and returns",
        Rule::CallIndirect => "pointer and what the function takes; results: what it returns",
        Rule::FunctionAddress => "result: ptr<generic>",
        Rule::Terminator => match op {
            Op::Branch => "i1, and values for the parameters of the blocks",
            Op::Switch => "integer other than i1, and values for the parameters of the blocks",
            Op::Jump => "values for the parameters of the block",
            Op::Return => "the results of the method",
            _ => "no operands",
        },
        Rule::Throw => {
            return format!(
                "none, or one operand per conversion of the reason: integers of at most 64 bits, floats, pointers; at \
                 most {}",
                limits::MAX_THROW_OPERANDS
            );
        }
        Rule::Assert => {
            return format!(
                "i1, and one operand per conversion of the message, as those of `throw`: at most {}",
                limits::MAX_THROW_OPERANDS
            );
        }
        Rule::StaticAssert => "i1",
        Rule::Query => "result: i1 or an integer",
        Rule::Scratch => "result: a pointer in that space: local, generic or shared",
        Rule::Input => "result: the suffix's type, one that memory can hold",
        Rule::Sentinel => "result: a scalar, vector or pointer of the suffix's type",
        Rule::Print => {
            "one operand per conversion of the format: integers of at most 64 bits, floats, pointers"
        }
    };
    words.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_generated_text() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/LANGUAGE.md");
        let want = language_reference();
        if std::env::var_os("MARQ_BLESS").is_some_and(|value| value == "1") {
            std::fs::write(path, &want).expect("LANGUAGE.md can be written");
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(found == want, "LANGUAGE.md is out of date; run with MARQ_BLESS=1 to update");
    }

    #[test]
    fn every_op_is_in_one_section() {
        assert!(SECTIONS.is_sorted_by_key(|section| section.0));
        assert_eq!(SECTIONS[0].0, Op::ALL[0]);
        let text = language_reference();
        for &op in Op::ALL {
            assert_eq!(text.matches(&format!("- `{}`: ", spelling(op))).count(), 1, "{op}");
        }
    }

    #[test]
    fn the_examples_read() {
        let text = language_reference();
        for example in text.split("```").skip(1).step_by(2) {
            let mut program = crate::program::Program::new();
            let diagnostics = crate::text::parse(&mut program, "reference", example);
            assert!(diagnostics.is_empty(), "{}", crate::diag::render(&diagnostics, &program.files));
        }
    }
}
