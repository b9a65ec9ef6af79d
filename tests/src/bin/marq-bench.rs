//! The bench's command line.

#[global_allocator]
static ALLOCATOR: marquetry_tests::bench::alloc::Counting = marquetry_tests::bench::alloc::Counting;

fn main() -> std::process::ExitCode {
    marquetry_tests::bench::main()
}
