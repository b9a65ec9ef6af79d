//! Where executables start: at a `main` as C has it, or in front of one that may throw or use up the stack.
//!
//! Objects know nothing of reports: a function that throws returns the number of a place, and one that may be called while it
//! runs asks the record of the stack that it is given. So what is in front of such a `main` is C, with the text for every place,
//! and compiled by whoever links. It says what `marq run` says, and ends with status 1 as that does.
//!
//! Where the stack of the first thread ends is asked of the system: of Linux, macOS and Windows. Nothing is handled by signals,
//! so a function of the host that uses up the stack ends the process as ever.

use super::BuildError;
use super::header::string;
use crate::engine::Thrown;
use marquetry_codegen::artifact::{Artifact, argument_block};
use marquetry_codegen::native::{CReturn, CSignature, Export, StackNeeds, may_recurse};
use marquetry_ir::print_format::{Conversion, Format, Part};
use marquetry_ir::types::{Scalar, Type};
use marquetry_lower::exceptions::places::ThrowPlace;
use marquetry_lower::job::{DebugLevel, EntryConvention};
use marquetry_lower::legal::Legal;
use std::fmt::Write;

/// What is needed to call a `main` that may throw or use up the stack.
pub(super) struct Start {
    /// What it is exported as, to be called with blocks.
    symbol: String,
    /// Whether it takes the command line.
    takes_arguments: bool,
    /// How many words of operands come before its result.
    operands: usize,
    /// Bytes of the block of results.
    results: u32,
}

/// Finds what an executable starts at. One that is not to be called directly gets another symbol, and what is needed to call it.
///
/// # Errors
/// There is no `main`, or not one of C.
pub(super) fn prepare(legal: &Legal, exports: &mut [Export]) -> Result<Option<Start>, BuildError> {
    let wrong = |message: &str| Err(BuildError::Plan(message.to_owned()));
    let Some(place) = exports.iter().position(|export| &*export.symbol == "main") else {
        return wrong(
            "an executable starts at 'main', and nothing of this name is exported: write 'method main() -> i32', or link an \
             object with a program of yours",
        );
    };
    let entry = exports[place].entry;
    let not_of_c = "'main' is not one of C: it returns i32, and takes nothing, or an i32 and a pointer";
    let abi = legal.entries().get(entry).filter(|abi| abi.convention == EntryConvention::Native);
    let Some((signature, abi)) = CSignature::of(legal, entry).zip(abi) else { return wrong(not_of_c) };
    let throws = match signature.returns {
        CReturn::Value(Type::I32) => false,
        CReturn::Status if signature.outs == [Type::I32] => true,
        _ => return wrong(not_of_c),
    };
    let takes_arguments = match signature.params.as_slice() {
        [] => false,
        [count, values] if count.ty == Type::I32 && values.ty.is_pointer() => true,
        _ => return wrong(not_of_c),
    };
    if !throws && !may_recurse(legal, entry) {
        return Ok(None);
    }
    let numbered = (1u32..).map(|n| format!("marq_main{n}"));
    let mut names = std::iter::once("marq_main".to_owned()).chain(numbered);
    let symbol = names.find(|name| exports.iter().all(|export| *export.symbol != **name)).unwrap_or_default();
    exports[place].symbol = symbol.as_str().into();
    exports[place].packed = true;
    let lowered =
        legal.unit().entries.get(entry).map(|&func| &legal.unit().funcs[func].signature.results[..]);
    let results = argument_block(lowered.and_then(|all| all.get(usize::from(throws)..)).unwrap_or(&[])).1;
    Ok(Some(Start { symbol, takes_arguments, operands: abi.operands, results }))
}

impl Start {
    /// The C code, with the texts for all places that throw, and for all functions that may use up the stack.
    pub(super) fn code(&self, artifact: &Artifact, level: DebugLevel) -> String {
        let Start { symbol, takes_arguments, operands, results } = self;
        let (needs, checked) = match &artifact.scheduling {
            Some(known) => (known.stack, &known.checked[..]),
            None => (StackNeeds::default(), &[][..]),
        };
        let mut out = format!("{STACK}{HELPERS}{EXHAUSTED}");
        cases(&mut out, 0, checked, level);
        let _ = write!(
            out,
            "{EXHAUSTED_END}\nuint32_t {symbol}(const void *args, void *results, const struct stack *stack);\n\nint main(int \
             count, char **values) {{\n    unsigned char args[16] = {{0}}, results[{}] = {{0}};\n    struct stack stack = \
             {{0, exhausted, 0}};\n    find_limit(&stack, {}, {});\n",
            results.next_multiple_of(8).max(8),
            needs.lowest(0),
            needs.bytes(0),
        );
        let given = match takes_arguments {
            true => {
                "    put(args, 4, (uint32_t)count);\n    put(args + 8, 8, (uint64_t)(uintptr_t)values);\n"
            }
            false => "    (void)put, (void)count, (void)values;\n",
        };
        let _ = write!(
            out,
            "{given}    (void)real, (void)half, (void)binary, (void)address, (void)letter;\n    uint32_t status = \
             {symbol}(args, results, &stack);\n    if (status == 0)\n        return (int32_t)take(results + {}, 4);\n    \
             fputs(\"error: threw \", stderr);\n    switch (status) {{\n",
            8 * operands
        );
        cases(&mut out, 1, &artifact.places, level);
        out.push_str("    }\n    fputs(\"\\n\", stderr);\n    return 1;\n}\n");
        out
    }
}

/// Cases that write what is known of places, by number.
fn cases(out: &mut String, first: usize, places: &[ThrowPlace], level: DebugLevel) {
    for (place, n) in places.iter().zip(first..) {
        let _ = writeln!(out, "    case {n}:");
        report(out, place, level);
        out.push_str("        break;\n");
    }
}

/// Where the stack ends: the lowest address that may be used, or 0 if nobody knows. At the top of a process on Linux lie the name
/// of the executable and eight bytes (`fs/exec.c`), and below that what the limit of the stack allows.
const STACK: &str = r#"#if defined __linux__
#include <sys/auxv.h>
#include <sys/resource.h>
#elif defined __APPLE__
#include <pthread.h>
#elif defined _WIN32
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0602
#include <windows.h>
#endif
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uintptr_t stack_end(void) {
#if defined __linux__
    const char *name = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    struct rlimit limit;
    if (!name || getrlimit(RLIMIT_STACK, &limit) != 0)
        return 0;
    uintptr_t top = ((uintptr_t)name + strlen(name) + 9 + 4095) & ~(uintptr_t)4095, most = (uintptr_t)1 << 30;
    return top - (limit.rlim_cur < most ? (uintptr_t)limit.rlim_cur : most);
#elif defined __APPLE__
    return (uintptr_t)pthread_get_stackaddr_np(pthread_self()) - pthread_get_stacksize_np(pthread_self());
#elif defined _WIN32
    ULONG_PTR low, high;
    GetCurrentThreadStackLimits(&low, &high);
    return low;
#else
    return 0;
#endif
}

"#;

/// What is done where the stack is used up, up to what says so of each function. `struct stack` is
/// `marquetry_codegen::native::StackLimit`.
const EXHAUSTED: &str = r#"
struct stack {
    uintptr_t lowest;
    void (*exhausted)(const struct stack *stack, uint64_t function);
    const void *data;
};

static void exhausted(const struct stack *stack, uint64_t function) {
    (void)stack;
    fputs("error: ", stderr);
    switch (function) {
    default:
        fputs("stack overflow", stderr);
        break;
"#;

/// The end of it, and the limit: so many bytes are kept free, and so many are needed at once. The last pages are guards.
const EXHAUSTED_END: &str = r#"    }
    fputs("\n", stderr);
    exit(1);
}

static void find_limit(struct stack *stack, uintptr_t reserve, uintptr_t needed) {
    uintptr_t end = stack_end(), here = (uintptr_t)stack;
    if (end == 0)
        return;
    end += 65536;
    stack->lowest = end + reserve;
    if (here < end || here - end < needed)
        exhausted(stack, UINT64_MAX);
}
"#;

/// Blocks are little-endian on every machine.
const HELPERS: &str = r#"#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void put(unsigned char *place, int bytes, uint64_t value) {
    for (int n = 0; n < bytes; n++)
        place[n] = (unsigned char)(value >> 8 * n);
}

static uint64_t take(const unsigned char *place, int bytes) {
    uint64_t value = 0;
    for (int n = 0; n < bytes; n++)
        value |= (uint64_t)place[n] << 8 * n;
    return value;
}

static double real(const unsigned char *place, int bytes) {
    if (bytes == 2) { /* the upper half of a float: bf16 */
        uint32_t bits = (uint32_t)take(place, 2) << 16;
        float value;
        memcpy(&value, &bits, 4);
        return value;
    }
    if (bytes == 4) {
        uint32_t bits = (uint32_t)take(place, 4);
        float value;
        memcpy(&value, &bits, 4);
        return value;
    }
    uint64_t bits = take(place, 8);
    double value;
    memcpy(&value, &bits, 8);
    return value;
}

static double half(const unsigned char *place) { /* f16: five bits of exponent, ten of the fraction */
    uint64_t bits = take(place, 2), exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value = exponent == 0    ? ldexp((double)fraction, -24)
                   : exponent == 31 ? (fraction == 0 ? HUGE_VAL : HUGE_VAL - HUGE_VAL)
                                    : ldexp((double)(fraction + 1024), (int)exponent - 25);
    return bits >> 15 ? -value : value;
}

static void padded(const char *prefix, const char *text, int length, int width, int left, int zeros) {
    int missing = width - length - (int)strlen(prefix);
    for (; !left && !zeros && missing > 0; missing--)
        fputc(' ', stderr);
    fputs(prefix, stderr);
    for (; !left && zeros && missing > 0; missing--)
        fputc('0', stderr);
    fputs(text, stderr);
    for (; missing > 0 && left; missing--)
        fputc(' ', stderr);
}

static void binary(uint64_t value, int alternate, int precision, int width, int left, int zeros) {
    char text[2048];
    char *place = text + sizeof text - 1;
    const char *prefix = alternate && value ? "0b" : "";
    *place = 0;
    for (int n = 0; value || n < precision; n++, value >>= 1)
        *--place = (char)('0' + (value & 1));
    padded(prefix, place, (int)strlen(place), width, left, zeros);
}

static void address(uint64_t value, int width, int left) {
    char text[24];
    sprintf(text, "0x%llx", (unsigned long long)value);
    padded("", text, (int)strlen(text), width, left, 0);
}

static void letter(uint64_t code, int width, int left) { /* as UTF-8 */
    char text[8] = {0};
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        code = 0xfffd;
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    text[0] = (char)(more == 0 ? code : (0xff00 >> (more + 1) & 0xff) | code >> 6 * more);
    for (int n = 1; n <= more; n++)
        text[n] = (char)(0x80 | (code >> 6 * (more - n) & 0x3f));
    if (code == 0)
        fputc(0, stderr);
    padded("", text, 1, width, left, 0);
}
"#;

/// Stands where the reason goes.
const REASON: &str = "\0";

/// Statements that write what is known of a place.
fn report(out: &mut String, place: &ThrowPlace, level: DebugLevel) {
    let mut thrown = Thrown::at(place, &[]);
    let format = match (&place.reason, place.operands.is_empty()) {
        (Some(reason), false) => Format::parse(reason).ok(),
        _ => None,
    };
    if format.is_some() {
        thrown.reason = Some(REASON.to_owned());
    }
    let text = thrown.report(level);
    let mut rest = &text[..];
    if let (Some(format), Some((before, after))) = (&format, text.split_once(REASON)) {
        literal(out, before);
        let mut operands = place.operands.iter().enumerate();
        for part in format.parts() {
            match part {
                Part::Text(text) => literal(out, text),
                Part::Operand(conversion) => {
                    if let Some((n, &ty)) = operands.next() {
                        operand(out, n, ty, conversion);
                    }
                }
            }
        }
        rest = after;
    }
    literal(out, rest);
}

/// A statement that writes an operand.
fn operand(out: &mut String, n: usize, ty: Type, conversion: &Conversion) {
    let scalar = ty.as_scalar().unwrap_or(Scalar::I64);
    let (at, bytes, mask) = (8 * n, scalar.bytes(), scalar.mask() as u64);
    let &Conversion { left, alternate, zero, width, precision, kind, .. } = conversion;
    let (how, left) = (conversion.how(), i32::from(left));
    let bits = format!("take(results + {at}, {bytes})");
    let unsigned = format!("({bits} & {mask}u)");
    let printf = |kind: &str, value: String| format!("fprintf(stderr, \"%{how}{kind}\", {value})");
    let statement = match kind {
        'd' | 'i' if scalar == Scalar::I1 => printf("lld", format!("(long long){unsigned}")),
        'd' | 'i' => printf("lld", format!("(long long)(int{}_t){bits}", scalar.bits())),
        'f' | 'F' | 'e' | 'E' | 'g' | 'G' if scalar == Scalar::F16 => {
            printf(&kind.to_string(), format!("half(results + {at})"))
        }
        'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
            printf(&kind.to_string(), format!("real(results + {at}, {bytes})"))
        }
        'p' => format!("address({bits}, {width}, {left})"),
        'b' => {
            let (alternate, zeros) = (i32::from(alternate), i32::from(zero && precision.is_none()));
            let precision = precision.unwrap_or(1);
            format!("binary({unsigned}, {alternate}, {precision}, {width}, {left}, {zeros})")
        }
        'c' => format!("letter({unsigned}, {width}, {left})"),
        _ => printf(&format!("ll{kind}"), format!("(unsigned long long){unsigned}")),
    };
    let _ = writeln!(out, "        {statement};");
}

/// Statements that write a text.
fn literal(out: &mut String, text: &str) {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.floor_char_boundary(PIECE));
        let _ = writeln!(out, "        fputs({}, stderr);", string(piece));
        rest = more;
    }
}

/// Most bytes of a text in one statement: all are escaped, if need be, within what C has room for.
const PIECE: usize = 900;
