//! The library: methods that every program starts with, written in the language itself.

use marquetry_ir::program::{LibraryKey, Program};
use marquetry_ir::text;
use std::sync::OnceLock;

/// The library's files: name and text.
pub const FILES: [(&str, &str); 2] = [
    ("library/base.mq", include_str!("../library/base.mq")),
    ("library/device.mq", include_str!("../library/device.mq")),
];

/// A program that holds the library and nothing else.
pub fn program() -> Program {
    static LIBRARY: OnceLock<Program> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let mut program = Program::new();
        for (name, source) in FILES {
            // Checked by a test: the library has no mistakes.
            let _ = text::parse_library(&mut program, name, source, LibraryKey::of_the_loader());
        }
        program
    });
    library.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_has_no_mistakes() {
        let mut program = Program::new();
        for (name, source) in FILES {
            let diagnostics = text::parse_library(&mut program, name, source, LibraryKey::of_the_loader());
            assert_eq!(diagnostics, [], "{name}");
        }
    }
}
