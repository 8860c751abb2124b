//! Tables without borders: columns that line up, a heading, and a last column that may be a sentence.
//!
//! A cell never breaks a row: control characters, which a reason may hold, are shown as `�`. Nothing is cut off; where
//! the width is known the last column goes on in the next line.

use unicode_width::UnicodeWidthStr;

/// How a word looks. Colour is never the only sign: the word itself says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Something is wrong.
    Bad,
    /// Somebody ordered it, or it needs a look.
    Warning,
    /// A heading, or what is old.
    Faint,
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// A word in its colour.
    pub fn word(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Warning => "33",
            Tone::Faint => "2",
            Tone::Plain => "",
        };
        if !self.0 || code.is_empty() || text.is_empty() {
            text.to_owned()
        } else {
            format!("\x1b[{code}m{text}\x1b[0m")
        }
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in its colour.
    pub fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        let text = plain(text.as_ref());
        Cell { text: if text.is_empty() { "-".to_owned() } else { text }, tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell::toned(text, Tone::Plain)
    }
}

/// A text that moves no cursor.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Rows under headings; a heading that begins with `>` stands right.
#[derive(Debug, Clone)]
pub struct Table {
    headings: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

/// Between columns.
const GAP: &str = "  ";
/// A last column narrower than this is not broken into lines.
const LAST_MIN: usize = 16;

impl Table {
    /// A table without rows.
    pub fn new(headings: &'static [&'static str]) -> Self {
        Table { headings, rows: Vec::new() }
    }

    /// Adds a row, a cell for each heading.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.headings.len());
        self.rows.push(cells.into());
    }

    /// The table as text; the last column is broken into lines where it would not fit `width`.
    pub fn show(&self, paint: Paint, width: Option<usize>) -> String {
        let headings = self.headings.iter().map(|h| Cell::toned(h.trim_start_matches('>'), Tone::Faint)).collect();
        let rows: Vec<&Vec<Cell>> = std::iter::once(&headings).chain(&self.rows).collect();
        let widths: Vec<usize> =
            (0..self.headings.len()).map(|at| rows.iter().map(|row| row[at].text.width()).max().unwrap_or(0)).collect();
        rows.iter().map(|row| self.line(row, &widths, paint, width)).collect()
    }

    /// Its rows turned upright: a heading and a cell in each line.
    pub fn upright(&self, paint: Paint) -> String {
        let headings: Vec<&str> = self.headings.iter().map(|h| h.trim_start_matches('>')).collect();
        let widest = headings.iter().map(|h| h.width()).max().unwrap_or(0);
        let line = |(heading, cell): (&&str, &Cell)| {
            let padding = " ".repeat(widest - heading.width());
            format!("{}{padding}{GAP}{}\n", paint.word(Tone::Faint, heading), paint.word(cell.tone, &cell.text))
        };
        self.rows.iter().map(|row| headings.iter().zip(row).map(line).collect::<String>()).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], paint: Paint, width: Option<usize>) -> String {
        let last = row.len() - 1;
        let mut out = String::new();
        for (at, cell) in row[..last].iter().enumerate() {
            let padding = " ".repeat(widths[at] - cell.text.width());
            let word = paint.word(cell.tone, &cell.text);
            let right = self.headings[at].starts_with('>');
            out += &if right { format!("{padding}{word}{GAP}") } else { format!("{word}{padding}{GAP}") };
        }
        let indent: usize = widths[..last].iter().map(|w| w + GAP.len()).sum();
        let room = width.map(|width| width.saturating_sub(indent)).filter(|room| *room >= LAST_MIN);
        if self.headings[last].starts_with('>') {
            out += &" ".repeat(widths[last] - row[last].text.width());
        }
        let lines = broken(&row[last].text, room.unwrap_or(usize::MAX));
        let lines: Vec<String> = lines.iter().map(|line| paint.word(row[last].tone, line)).collect();
        out += &lines.join(&format!("\n{}", " ".repeat(indent)));
        out.push('\n');
        out
    }
}

/// A text in lines of at most `room` columns, broken between words where that is possible.
pub fn broken(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", ">N", "WHY"]);
        table.row(["eu-west".into(), "2".into(), Cell::toned("connection refused by every endpoint", Tone::Bad)]);
        table.row(["東京".into(), "10".into(), "".into()]);
        table
    }

    #[test]
    fn columns_line_up_and_the_last_one_goes_on_below() {
        let wide = "NAME      N  WHY\neu-west   2  connection refused by every endpoint\n東京     10  -\n";
        assert_eq!(table().show(Paint(false), None), wide);
        let narrow =
            "NAME      N  WHY\neu-west   2  connection refused\n             by every endpoint\n東京     10  -\n";
        assert_eq!(table().show(Paint(false), Some(32)), narrow);
        assert_eq!(table().show(Paint(false), Some(10)), wide, "too narrow to be of use");
        assert!(table().show(Paint(true), None).contains("\x1b[1;31mconnection refused by every endpoint\x1b[0m"));
    }

    #[test]
    fn no_cell_moves_the_cursor() {
        let mut table = Table::new(&["WHY"]);
        table.row([Cell::from("\x1b[2J\nhello\r")]);
        assert_eq!(table.show(Paint(false), None), "WHY\n\u{fffd}[2J\u{fffd}hello\u{fffd}\n");
    }

    proptest! {
        #[test]
        fn every_word_is_kept(text in "[a-z ]{0,60}", room in 1..40usize) {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&broken(&text, room).join(" ")), words(&text));
        }
    }
}
