//! Native code through Cranelift.
