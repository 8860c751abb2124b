//! Where the demo prints: on a terminal a table that stays at the bottom and is drawn anew, with what happens rolling above it;
//! elsewhere lines, among them the table now and then.

use std::io::Write;
use std::time::Duration;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// On a terminal that can move its cursor.
    pub is_live: bool,
    /// In colour.
    pub colour: bool,
}

impl Look {
    /// How often the table is printed.
    pub fn every(self) -> Duration {
        if self.is_live { Duration::from_millis(500) } else { Duration::from_secs(5) }
    }
}

/// Whoever reads has gone: no failure, and an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderGone;

/// Where it is printed.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    look: Look,
    table: Vec<String>,
    /// Lines of the table that stand on the terminal.
    drawn: usize,
}

impl<W: Write> Screen<W> {
    /// An empty one.
    pub fn new(out: W, look: Look) -> Self {
        Screen { out, look, table: Vec::new(), drawn: 0 }
    }

    /// How it prints.
    pub fn look(&self) -> Look {
        self.look
    }

    /// Prints lines, above the table where there is one.
    pub fn say(&mut self, lines: &[String]) -> Result<(), ReaderGone> {
        let mut text = self.erased();
        lines.iter().for_each(|line| text = std::mem::take(&mut text) + line + "\n");
        if self.look.is_live {
            text += &self.drawing();
        }
        self.write(&text)
    }

    /// Shows the table of this moment.
    pub fn show(&mut self, table: Vec<String>) -> Result<(), ReaderGone> {
        self.table = table;
        let text = self.erased() + &self.drawing();
        self.write(&text)
    }

    /// The table stays where it is, and what follows is below.
    pub fn settle(&mut self) {
        self.table.clear();
        self.drawn = 0;
    }

    /// What takes the table off the terminal.
    fn erased(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            // Up so many lines, to their beginning, and everything below goes.
            lines => format!("\x1b[{lines}F\x1b[J"),
        }
    }

    /// What puts it there.
    fn drawing(&mut self) -> String {
        if self.look.is_live {
            self.drawn = self.table.len();
        }
        self.table.iter().map(|line| format!("{line}\n")).collect()
    }

    fn write(&mut self, text: &str) -> Result<(), ReaderGone> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(|_| ReaderGone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(is_live: bool) -> Screen<Vec<u8>> {
        Screen::new(Vec::new(), Look { is_live, colour: false })
    }

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn on_a_terminal_the_table_stays_below() {
        let mut screen = screen(true);
        screen.say(&lines(&["hello"])).unwrap();
        screen.show(lines(&["a 1", "b 2"])).unwrap();
        screen.say(&lines(&["a fails"])).unwrap();
        screen.show(lines(&["a 0"])).unwrap();
        screen.settle();
        screen.say(&lines(&["bye"])).unwrap();
        let up = "\x1b[2F\x1b[J";
        assert_eq!(
            String::from_utf8(screen.out).unwrap(),
            format!("hello\na 1\nb 2\n{up}a fails\na 1\nb 2\n{up}a 0\nbye\n")
        );
    }

    #[test]
    fn elsewhere_everything_is_a_line_after_the_other() {
        let mut screen = screen(false);
        screen.show(lines(&["a 1", "b 2"])).unwrap();
        screen.say(&lines(&["a fails"])).unwrap();
        screen.show(lines(&["a 0"])).unwrap();
        assert_eq!(String::from_utf8(screen.out).unwrap(), "a 1\nb 2\na fails\na 0\n");
    }
}
