//! The command line of Marquetry.
fn main() {}
