//! Facts about jobs, configs, caches, worlds, deferred jobs and questions to the target, each named by its number in the
//! catalogue of what such compilers must do. Those of the same sections that have no test here:
//!
//! | facts | why |
//! |---|---|
//! | T001 - T007 | there is one kind of view, a unit in the language itself, at any stage: see `T004` and `marq compile --stage` |
//! | T008, T010, T025 | host objects are no values of the language |
//! | T023 | the library is methods of the program: a redefinition of one is an ordinary change, see `T023` |
//! | T026, T029 | filetests `dispatch/structs.mq` and every function that returns something |
//! | T028 | code coverage of the host language |
//! | T034 | arrays of the host are pointers |
//! | T037 | the packed entry ABI: see `prior_art_abi.rs` |
//! | T038 | no safepoints |
//! | T043 | convergence is a property of ops, not an attribute that can be lost |
//! | T044 | symbols are looked up when code is made; those that are missing are all named at once |
//! | T046 | see `T035` |
//! | T173 | what an earlier process compiled: `tests/tests/images/words.rs` and its neighbours, whose processes share files |
//! | T176 | what another process loads and calls: `runtime/tests/shared_truth.rs` by `dlopen`, `tests/tests/images/words.rs` by images |
//! | T095 | no target has a stack space that pointers are cast from |

mod determinism;
mod jobs;
mod late;
mod mistakes;
mod parts;
mod support;
mod worlds;
