//! What is printed, where, and in which colour.
//!
//! Results go to standard output and everything else to standard error. A reader that goes away, such as `head`, is no
//! failure of ours: what it does not take is dropped.

use std::io::IsTerminal;
use std::io::Write;
use std::sync::OnceLock;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What the command line said; one command line for each process.
static WISH: OnceLock<Colour> = OnceLock::new();

/// Remembers what `--color` said.
pub fn wish(colour: Colour) {
    // Said once, before anything is printed; a second time would be a mistake of ours that harms nobody.
    let _ = WISH.set(colour);
}

/// Whether to colour what goes to this stream: what `--color` says, else on a terminal unless `NO_COLOR` is set
/// (no-color.org).
pub fn colour(stream: &impl IsTerminal) -> bool {
    match WISH.get().copied().unwrap_or_default() {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Prints a result; false when nobody reads any more.
pub fn print(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Prints something as JSON, for programs.
pub fn print_json(value: &impl serde::Serialize) -> bool {
    let text = serde_json::to_string_pretty(value).expect("the shapes hold only text, numbers and lists");
    print(&(text + "\n"))
}

/// Prints something as one line of JSON, where one follows another.
pub fn print_json_line(value: &impl serde::Serialize) -> bool {
    let text = serde_json::to_string(value).expect("the shapes hold only text, numbers and lists");
    print(&(text + "\n"))
}

/// How many columns a screen has when nobody knows.
const WIDTH: usize = 80;

/// How many columns there are: the terminal's, else what `COLUMNS` says, else 80.
pub fn width() -> usize {
    let terminal = rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col));
    let told = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    terminal.filter(|columns| *columns > 0).or_else(told).unwrap_or(WIDTH).max(WIDTH_MIN)
}

/// Narrower than this nothing is broken into lines any more.
const WIDTH_MIN: usize = 40;

/// Says a line on standard error.
pub fn tell(line: impl std::fmt::Display) {
    // Nobody is left to tell when this fails.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Says what came to nothing, and the way out.
pub fn fail(fact: impl std::fmt::Display, help: impl std::fmt::Display) {
    tell(format!("error: {fact}\nhelp: {help}"));
}
