//! The device runtime: how code for devices gets what it calls but does not define.
//!
//! # Data
//! - [`library::intrinsics`](marquetry_ir::library::intrinsics) is the one table: name, signature, documentation, supplier. Its
//!   text also makes the pairs: a host body of sentinels in base, an overlay in the device table that calls `gpu_NAME`.
//! - A *provider* is data: the tables that a [`View`](crate::dispatch::view::View) names besides those that calls are looked up
//!   in. A method `gpu_NAME` there is what the intrinsic is made of; the standard one's live in `Table::STANDARD`.
//! - A [`Library`] keeps what providers' methods became, specialised and optimised, for all jobs of one program.
//! - [`Input`] is a value that the host passes besides the arguments: the mailbox, the print buffer, the arena, or
//!   whatever a back-end's own functions name.
//!
//! # Seams
//! Specialisation leaves calls of link names as they are, checked against the declaration and recorded as look-ups;
//! [`link`] resolves them, once after specialisation and again whenever a later stage made new ones ([`mod@print`] does, and
//! so do exceptions where the provider wants to be told). What is linked may call link names in turn: the linker goes on
//! until there are none. Then [`inputs`] threads hidden parameters, last, because everything before may need more of them.
//!
//! # Hard cases
//! 1. *Who may a device artifact call?* A sentinel in a device job is an error in [`host`], before anything is emitted,
//!    so that no host body gets into device code whichever way it was reached.
//! 2. *One library for jobs that differ.* A kept function is valid for a job if its methods are the same objects, alive in
//!    the job's world, all its look-ups still have the same answers, and the types that it mentions mean the same in the job's
//!    program, which may be an earlier state than the one that it was made for: no clock and no identity has to be trusted.
//!    Functions that make types of their own are not kept, because types are numbered per unit: they are made over the
//!    types of the unit that they go to.
//! 3. *Function values.* An indirect call cannot know which of the addressed functions needs hidden parameters, so all
//!    addressed functions take what any of them needs, and every indirect call passes it.
//!
//! Boxes are expressible, and part of the library: tag and payload in memory of the arena. There is no collector, so no
//! mark bits, write barriers or safepoints; tags are numbers of the library, not addresses of the session, and need no
//! relocation. Signed and unsigned kinds have the same IR type and differ by tag alone.

pub mod host;
pub mod provider;
mod cache;
pub mod link;
pub mod print;
pub mod inputs;
pub mod reports;

pub use cache::Library;
pub use inputs::Input;

#[cfg(test)]
mod tests;
