//! Where does one entry of a master file end? (RFC 1035 section 5.1)
//!
//! Cuts bytes into entries and entries into tokens: quotes, parentheses, comments, line ends. A token is a range of the
//! text as it stands there; nothing here undoes escapes or knows what a token means. A broken entry is reported and
//! skipped, so that one mistake hides none of the next.

/// How often a parenthesis that never closes is reported before the rest of the file is given up: each restart reads
/// the rest again.
const UNCLOSED_MAX: u8 = 4;

/// A word or a quoted string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// Where its text starts; behind the opening quote when quoted.
    pub start: usize,
    /// Where its text ends.
    pub end: usize,
    /// The line it stands on.
    pub line: u32,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// One entry: a record or a directive.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// At least one, when it was found.
    pub tokens: Vec<Token>,
    /// Whether its line began with a blank, which stands for the last owner.
    pub indented: bool,
}

/// What is wrong with how an entry is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// A quote not closed on its line.
    Quote,
    /// A parenthesis never closed.
    Unclosed,
    /// A parenthesis never opened.
    Unopened,
}

/// Walks over a text.
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
    unclosed: u8,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        let at = if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Scanner { text, at, line: 1, unclosed: 0 }
    }

    /// Finds the next entry; false at the end.
    ///
    /// # Errors
    /// What is broken and the token it begins at. The scanner stands on the line after it.
    pub(super) fn next(&mut self, entry: &mut Entry) -> Result<bool, (Broken, Token)> {
        entry.tokens.clear();
        let mut open: Option<Token> = None;
        let mut depth = 0_u32;
        let mut line_start = true;
        while let Some(&byte) = self.text.get(self.at) {
            if line_start && entry.tokens.is_empty() && depth == 0 {
                entry.indented = matches!(byte, b' ' | b'\t');
            }
            line_start = false;
            match byte {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    line_start = true;
                    if depth == 0 && !entry.tokens.is_empty() {
                        return Ok(true);
                    }
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => self.at = self.line_end(),
                b'(' => {
                    if depth == 0 {
                        open = Some(self.mark());
                    }
                    depth += 1;
                    self.at += 1;
                }
                b')' if depth == 0 => {
                    let token = self.mark();
                    self.skip_line();
                    return Err((Broken::Unopened, token));
                }
                b')' => {
                    depth -= 1;
                    self.at += 1;
                }
                b'"' => {
                    let token = self.quoted()?;
                    entry.tokens.push(token);
                }
                _ => {
                    let token = self.word()?;
                    entry.tokens.push(token);
                }
            }
        }
        match open {
            Some(token) if depth > 0 => Err((Broken::Unclosed, self.restart_after(token))),
            _ => Ok(!entry.tokens.is_empty()),
        }
    }

    /// One character as a token.
    fn mark(&self) -> Token {
        Token { start: self.at, end: self.at + 1, line: self.line, quoted: false }
    }

    fn line_end(&self) -> usize {
        let rest = &self.text[self.at..];
        rest.iter().position(|&b| b == b'\n').map_or(self.text.len(), |n| self.at + n)
    }

    fn skip_line(&mut self) {
        self.at = self.line_end();
        if self.at < self.text.len() {
            self.at += 1;
            self.line += 1;
        }
    }

    /// Goes back to the line after an open parenthesis, so that what follows is still checked.
    fn restart_after(&mut self, open: Token) -> Token {
        self.unclosed += 1;
        if self.unclosed < UNCLOSED_MAX {
            self.at = open.start;
            self.line = open.line;
            self.skip_line();
        }
        open
    }

    fn quoted(&mut self) -> Result<Token, (Broken, Token)> {
        let opening = self.mark();
        let end = self.closing_quote(opening)?;
        self.at = end + 1;
        Ok(Token { start: opening.end, end, line: opening.line, quoted: true })
    }

    /// The place of the quote that closes `opening`.
    fn closing_quote(&mut self, opening: Token) -> Result<usize, (Broken, Token)> {
        let mut at = opening.end;
        loop {
            match self.text.get(at) {
                Some(b'"') => return Ok(at),
                Some(b'\\') if self.text.get(at + 1).is_some_and(|&b| b != b'\n') => at += 2,
                Some(b'\n') | None => {
                    self.skip_line();
                    return Err((Broken::Quote, opening));
                }
                Some(_) => at += 1,
            }
        }
    }

    /// A word; it may hold a quoted part, as in `alpn="h2,h3"` (RFC 9460 section 2.1).
    fn word(&mut self) -> Result<Token, (Broken, Token)> {
        let start = self.at;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' => break,
                b'\\' if self.text.get(self.at + 1).is_some_and(|&b| b != b'\n') => self.at += 2,
                b'"' => {
                    let opening = self.mark();
                    self.at = self.closing_quote(opening)? + 1;
                }
                _ => self.at += 1,
            }
        }
        Ok(Token { start, end: self.at, line: self.line, quoted: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        let mut scanner = Scanner::new(text.as_bytes());
        let mut entry = Entry::default();
        let mut all = Vec::new();
        loop {
            match scanner.next(&mut entry) {
                Ok(false) => return all,
                Ok(true) => all.push(entry.tokens.iter().map(|t| text[t.start..t.end].to_owned()).collect()),
                Err((broken, token)) => all.push(vec![format!("{broken:?} on {}", token.line)]),
            }
        }
    }

    #[test]
    fn entries_end_with_their_line_unless_a_parenthesis_is_open() {
        assert_eq!(words("a b\n\n ; nothing\n c (d ; e\r\n f) g"), [vec!["a", "b"], vec!["c", "d", "f", "g"]]);
    }

    #[test]
    fn quotes_hold_blanks_and_semicolons() {
        assert_eq!(words(r#"a "b ; c""d" e="f g" \; \"h"#), [vec!["a", "b ; c", "d", "e=\"f g\"", "\\;", "\\\"h"]]);
    }

    #[test]
    fn a_broken_entry_hides_none_of_the_next() {
        assert_eq!(
            words("a \"b\nc d\ne ) f\ng h\ni ( j\nk l"),
            [
                vec!["Quote on 1"],
                vec!["c", "d"],
                vec!["Unopened on 3"],
                vec!["g", "h"],
                vec!["Unclosed on 5"],
                vec!["k", "l"]
            ]
        );
    }

    #[test]
    fn many_open_parentheses_end_soon() {
        assert!(words(&"(\n".repeat(10_000)).len() <= 8);
    }
}
