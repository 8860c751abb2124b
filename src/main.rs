//! The `rhumb` program; everything is in the library, `rhumb::cmd` reads the command line.

fn main() -> std::process::ExitCode {
    rhumb::cmd::main()
}
