//! `$GENERATE 1-254 host-$ A 10.0.0.$`: one line that stands for many (BIND 9 Administrator Reference, section
//! "BIND Primary File Extension: the $GENERATE Directive").
//!
//! Writes each line as text and has it read like any other.

use crate::zone::read::data::Fault;
use crate::zone::read::directive::argument;
use crate::zone::read::reader::{Reader, Source};
use crate::zone::read::scan::{Entry, Scanner, Token};
use crate::zone::read::text;

/// Lines that one directive may stand for; a /8 of reverse names is a mistake.
const LINES_MAX: u64 = 1 << 20;

/// Reads the lines that a directive stands for.
pub(super) fn run(reader: &mut Reader<'_>, source: &Source<'_>, tokens: &[Token]) -> Result<(), Fault> {
    let fault = |token, fact: &str| Fault { code: "E0212", ..Fault::at(token, fact) };
    let token = argument(tokens, 1, "a range")?;
    let range = range(&source.text[token.start..token.end]);
    let (start, stop, step) =
        range.ok_or_else(|| fault(token, "this is no range").help("write `1-254`, or `0-510/2` for steps of 2"))?;
    if u64::from((stop - start) / step) >= LINES_MAX {
        return Err(fault(token, "this range stands for more than 1048576 lines"));
    }
    argument(tokens, 3, "an owner, a type and data")?;
    let template = template(source, &tokens[2..]);
    let mut entry = Entry::default();
    for number in (start..=stop).step_by(step as usize) {
        let Some(line) = expand(&template, i64::from(number)) else {
            let help = "write `$`, or `${offset,width,base}` with a base of d, o, x, X, n or N, or `\\$` for itself";
            return Err(fault(tokens[2], "a `$` in this line is wrong").help(help));
        };
        if let Ok(true) = Scanner::new(&line).next(&mut entry) {
            reader.entry(&Source { text: &line, file: source.file, made_by: Some((token, source.text)) }, &entry);
        }
    }
    Ok(())
}

/// `start-stop` or `start-stop/step`.
fn range(word: &[u8]) -> Option<(u32, u32, u32)> {
    let (ends, step) = match word.iter().position(|&b| b == b'/') {
        Some(slash) => (&word[..slash], text::number(&word[slash + 1..])?),
        None => (word, 1),
    };
    let dash = ends.iter().position(|&b| b == b'-')?;
    let (start, stop) = (text::number(&ends[..dash])?, text::number(&ends[dash + 1..])?);
    (start <= stop && stop <= i32::MAX as u32 && step > 0).then_some((start, stop, step))
}

/// The line without directive and range, on one line.
fn template(source: &Source<'_>, tokens: &[Token]) -> Vec<u8> {
    let mut line = Vec::new();
    for token in tokens {
        let quotes = usize::from(token.quoted);
        line.extend_from_slice(&source.text[token.start - quotes..token.end + quotes]);
        line.push(b' ');
    }
    line
}

/// Puts a number in place of each `$`.
fn expand(template: &[u8], number: i64) -> Option<Vec<u8>> {
    let mut line = Vec::with_capacity(template.len() + 16);
    let mut rest = template;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (*first, tail) {
            (b'\\', [b'$', tail @ ..]) => {
                line.extend_from_slice(b"\\$");
                rest = tail;
            }
            (b'\\', [next, tail @ ..]) => {
                line.extend_from_slice(&[b'\\', *next]);
                rest = tail;
            }
            (b'$', [b'$', tail @ ..]) => {
                line.extend_from_slice(b"\\$");
                rest = tail;
            }
            (b'$', [b'{', tail @ ..]) => {
                let end = tail.iter().position(|&b| b == b'}')?;
                line.extend_from_slice(modified(&tail[..end], number)?.as_bytes());
                rest = &tail[end + 1..];
            }
            (b'$', _) => line.extend_from_slice(number.to_string().as_bytes()),
            (byte, _) => line.push(byte),
        }
    }
    Some(line)
}

/// `offset`, `offset,width` or `offset,width,base` applied to a number.
fn modified(modifier: &[u8], number: i64) -> Option<String> {
    /// Wider numbers fit no label.
    const WIDTH_MAX: usize = 128;
    let modifier = str::from_utf8(modifier).ok()?;
    let mut parts = modifier.split(',').map(str::trim);
    let offset: i32 = parts.next()?.parse().ok()?;
    let width: usize = parts.next().map_or(Some(0), |w| w.parse().ok())?;
    let base = parts.next().unwrap_or("d");
    let value = number.checked_add(i64::from(offset)).filter(|v| *v >= 0)?;
    if parts.next().is_some() || width > WIDTH_MAX {
        return None;
    }
    Some(match base {
        "d" => format!("{value:0width$}"),
        "o" => format!("{value:0width$o}"),
        "x" => format!("{value:0width$x}"),
        "X" => format!("{value:0width$X}"),
        "n" => nibbles(&format!("{value:x}"), width),
        "N" => nibbles(&format!("{value:X}"), width),
        _ => return None,
    })
}

/// Hexadecimal digits, the last first, with dots between; `width` counts digits and dots.
fn nibbles(digits: &str, width: usize) -> String {
    let mut all: Vec<String> = digits.chars().rev().map(String::from).collect();
    all.resize(all.len().max(width.div_ceil(2)), "0".to_owned());
    all.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(template: &str, number: i64) -> Option<String> {
        expand(template.as_bytes(), number).map(|line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn numbers_take_the_place_of_dollars() {
        assert_eq!(line("host-$ A 10.0.0.$", 7).unwrap(), "host-7 A 10.0.0.7");
        assert_eq!(line("${-1,3} ${16,4,x} ${0,3,n} \\$ $$", 18).unwrap(), "017 0022 2.1 \\$ \\$");
        assert_eq!(line("${0,0,q}", 1), None);
        assert_eq!(line("${-5}", 1), None);
        assert_eq!(line("${", 1), None);
    }

    #[test]
    fn ranges() {
        assert_eq!(range(b"1-9"), Some((1, 9, 1)));
        assert_eq!(range(b"0-10/5"), Some((0, 10, 5)));
        assert_eq!(range(b"9-1"), None);
        assert_eq!(range(b"1-9/0"), None);
    }
}
