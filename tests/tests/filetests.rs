//! Runs the filetests as named tests.
fn main() {}
