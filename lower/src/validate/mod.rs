//! Validation: what authors did wrong that only shows once a job is known, found all at once and said in their terms.
//!
//! There is no one pass for all rules, because each is checked where what it needs is known, and as early as that:
//! entries when a job starts, calls while bodies are typed, what the target lacks when nothing dead is left. Here is
//! what belongs to no other stage, and the list of all. Rules of one stage are reported together, each problem once, with
//! the calls that lead there and the tables that decided; what follows from another problem is counted in its note.
//! Problems of a target and assertions that fail come together as well. None of it is left to the verifier, whose
//! messages are about malformed code: what an author can write is refused before.
//!
//! # Rules
//! The numbers are those of the field's best list. A code is what [`Code`] says, `job` a
//! [`Failure::Job`], `internal` a [`Failure::Internal`], `option` an error where an option is read. A test has an example of every
//! row that has a code and checks the example's message against this table.
//!
//! | rule | what is wrong | code | message |
//! |---|---|---|---|
//! | V1 | what is called is no generic function | D0001 | 'add' is an instruction, not a generic function |
//! | V2 | a type variable that nothing determines | P0016 | type variable 'T' is in no parameter |
//! | V3 | a kernel returns something | V0302 | a kernel cannot have results |
//! | V4 | an entry for types that are not concrete | job | has type variables: as an entry it needs the types of its arguments |
//! | V5 | an opaque closure as an argument | - | there are no closures: functions as values have no size, and are not passed |
//! | V6 | an argument that is not plain data | D0004 | kernel argument 1 is of type tile, which is not plain data |
//! | V7 | a method that is newer than the job's world | job | was defined in world |
//! | V8 | a call of a runtime function that there is not | D0001 | the device library's, and it has no 'gpu_maloc' |
//! | V9 | a call of a function of the host, for a target that has none | L0001 | cannot call 'abs': it has no functions of the host |
//! | V10 | a call through a literal address | D0005 | call through the literal address 0x1000 |
//! | V11 | a function of the host that is looked up while code runs | - | code never looks symbols up: `extern func` is bound by the linker or the session, and refused as V9 is |
//! | V12 | a call through a slot that is bound lazily | - | there are no lazy slots, for the same reason |
//! | V13 | a name of a global that there is not | D0001 | no global 'nosuch' |
//! | V14 | a call that is left to run time | D0001 | call of half(i32) is left unresolved |
//! | V15 | a static assertion that does not hold | L0002 | static assertion failed: too small |
//! | V16 | a type that the target lacks (the targets here expand every type) | L0001 | target narrow has no type f64 |
//! | V17 | the same for Metal | - | Metal code is made from SPIR-V, whose own environment lacks the type or has it expanded |
//! | V18 | integers of 128 bits that the target lacks | - | they are split where the target has none: no program is refused |
//! | V19 | a broken invariant of this library | internal | while compiling 'k' for |
//! | V20 | a runtime function with a signature that does not fit | D0001 | does not fit gpu_malloc(i64) |
//! | V21 | a use of a hidden input without a parameter for it | D0001 | hidden input 'x' has type i64 here |
//! | V22 | a use of a hidden input that cannot be rewritten | - | inputs are values of an op of their own, whose uses are ordinary operands |
//! | V23 | a tool that is missing or fails | - | no tool is run: code is emitted in this process |
//! | V24 | an unknown target, stage or level | option | unknown target 'ptx:sm_11', expected ptx |

mod arguments;
mod literal;
mod trace;

pub use arguments::check as arguments;
pub use trace::{in_context, traced};

use crate::failure::Failure;
use marquetry_ir::diag::{Code, Diagnostic};
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::Program;
use marquetry_ir::unit::Unit;
use rustc_hash::FxHashSet;

/// What is wrong with a unit whatever the target is. Nothing dead is in it any more.
pub fn unit(unit: &Unit) -> Vec<Diagnostic> {
    literal::calls(unit)
}

/// Joins problems that were found before a step with those of the step, each once.
///
/// # Errors
/// There are any, or the step failed for another reason.
pub fn joined<T>(mut problems: Vec<Diagnostic>, step: Result<T, Failure>) -> Result<T, Failure> {
    match step {
        Ok(made) if problems.is_empty() => return Ok(made),
        Ok(_) => {}
        Err(Failure::Program(more)) => problems.extend(more),
        Err(other) if problems.is_empty() => return Err(other),
        Err(_) => {}
    }
    let place = |problem: &Diagnostic| (problem.file, problem.span.start, problem.span.end);
    // That the target has no calls through addresses is no news of a call that no target could make.
    let wild = problems.iter().filter(|problem| problem.code == Code::Pointer && problem.span.is_somewhere());
    let wild: FxHashSet<_> = wild.map(place).collect();
    let mut seen = FxHashSet::default();
    problems.retain(|problem| {
        let place = place(problem);
        if problem.code == Code::Unsupported && wild.contains(&place) {
            return false;
        }
        !problem.span.is_somewhere() || seen.insert((problem.code, place, problem.message.clone()))
    });
    Err(Failure::Program(problems))
}

/// Which table a method is an overlay of, as the end of a note that names it; nothing for methods of base.
pub fn overlay_of(program: &Program, method: Method) -> String {
    match program.method(method).table() {
        Table::BASE => String::new(),
        table => format!(" (overlay of table '{}')", program.table_name(table)),
    }
}
