//! The `rhumb` program; everything is in the library, `rhumb::cmd` reads the command line.

/// The program's alone, so that whoever uses the library keeps their own; `Cargo.toml` says what it is for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rhumb::cmd::main()
}
