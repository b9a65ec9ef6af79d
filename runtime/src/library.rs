//! The device library: methods that every program starts with. It lives in the language's crate, where nobody else can add
//! to its tables; see [`marquetry_ir::library`].

pub use marquetry_ir::library::{
    FILES, Intrinsic, LibraryFunction, Supplier, document, functions, functions_document, intrinsic,
    intrinsics, program,
};
