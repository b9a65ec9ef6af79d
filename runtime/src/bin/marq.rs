//! The command line of Marquetry.

fn main() -> std::process::ExitCode {
    marquetry::cli::main()
}
