//! Filetests: `.mq` files whose comments say what must happen.
//!
//! | directive | meaning |
//! |---|---|
//! | `; run: @f(i32 1) == i32 2` | calling gives this; several results in parentheses |
//! | `; run: @sort(buf i32[9]=9-iota, i64 9) => [0] == i32[9]=1+iota` | calling leaves this in an argument's buffer |
//! | `; throws: @div(i32 1, i32 0) DivideError` | calling throws this; `... DivideError in div, caller`: from `div`, called by `caller`; `... MyError "index 7"`: for this reason |
//! | `; launch: @k grid=4 block=64 (i64 256, buf f32[256]=iota) => [1] == f32[256]=2*iota` | launching leaves this |
//! | `; launch: ... throws BoundsError` | launching throws this |
//! | `; prints: item 3` | the `launch` above prints this line; one directive per line, in any order unless it has one work-item; without a text, nothing is printed |
//! | `; fails: @f(i32 1) "stack overflow"` | calling ends with an error that contains this |
//! | `; launch: ... fails "stack overflow"` | launching does |
//! | `; which: f(f32) on ptx -> base` | a call means a method of this table, or is `ambiguous`, or means `nothing` |
//! | `; which: f(f32) on ptx with fast, exact -> fast` | the same with these tables before the library's |
//! | `; compile: @f @g ptx:sm_80 -O2 stage=legal table=fast` | this compiles; all but names and target may be left out |
//! | `; refused: @f text` | compiling this, a function for the host or a kernel for devices, gives a diagnostic that contains the text |
//! | `; error: text` | a diagnostic on this line (or, alone on a line, on the one above) contains the text |
//!
//! `run`, `throws`, `fails` and `launch` are carried out on every engine that the machine has; `launch[cpu,vulkan]:` names
//! the engines to use. Buffers are described by an [expression] over `iota`, a list `[1, 2]` or a string; what
//! they hold afterwards is compared bit for bit (`==`), within a relative error (`~1e-6`), or with what another
//! method leaves when it is called with the same arguments, the launch's sizes not among them (`== @reference`).
//!
//! Comments directly below `compile:` speak of the text that `marq compile` prints:
//!
//! | line | meaning |
//! |---|---|
//! | `; contains: TEXT` | it contains this, after what the last such line found |
//! | `; lacks: TEXT` | it contains this nowhere |
//! | `; count: N TEXT` | it contains this so many times |
//! | `; resolve: value "NAME" = WORD` | what the host supplies, to everything that runs in the file; `symbol "NAME" [from "LIBRARY"]` and `word "NAME"` as well |
//! | `; rejected: TEXT` | there is no code, and the reason contains this |
//! | `;| LINE` | golden text: all lines together are the text; `marq test --bless` writes them, an empty `;|` is enough to ask for it |
//!
//! Texts are matched as whole words, white space is one space, `...` is anything on a line: [`pattern`]. Names that are
//! no identifiers stand in quotes: `@"odd name"`. A comment that looks like a misspelt directive is an error.

pub mod corpus;
mod lexer;
pub mod expression;
pub mod argument;
pub mod call;
mod comment;
mod pattern;
pub mod golden;
pub mod compiled;
pub mod directive;
pub mod coverage;
mod dispatch;
pub mod codes;
pub mod runner;
pub mod report;
pub mod watchdog;
