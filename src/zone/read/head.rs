//! What stands between a record's owner and its data: TTL and class in either order, both optional, and the type.

use crate::zone::read::data::Fault;
use crate::zone::read::scan::Token;
use crate::zone::read::text;
use crate::zone::read::types;

/// TTL and type of a record.
pub(super) struct Head {
    pub ttl: Option<u32>,
    pub rtype: u16,
    /// How many tokens it takes.
    pub tokens: usize,
}

impl Head {
    pub(super) fn read(text: &[u8], tokens: &[Token]) -> Result<Head, Fault> {
        let (mut ttl, mut class) = (None, false);
        for (i, token) in tokens.iter().enumerate() {
            let word = &text[token.start..token.end];
            if ttl.is_none() && text::period(word).is_some() {
                ttl = Some(ttl_of(text, *token)?);
            } else if !class && is_class(word) {
                class = true;
                in_only(*token, word)?;
            } else {
                let rtype = types::code(word).ok_or_else(|| no_type(*token, word))?;
                if !types::is_data(rtype) {
                    let fact = format!("records of type `{}` cannot stand in a zone", text::shown(word));
                    return Err(Fault { code: "E0215", ..Fault::at(*token, fact) });
                }
                return Ok(Head { ttl, rtype, tokens: i + 1 });
            }
        }
        let fault = Fault { token: None, code: "E0201", fact: "the record has no type".to_owned(), help: None };
        Err(fault.help("a record is: owner, TTL, class, type, data; TTL and class may be left out"))
    }
}

fn is_class(word: &[u8]) -> bool {
    const CLASSES: [&[u8]; 6] = [b"IN", b"CH", b"HS", b"CS", b"NONE", b"CHAOS"];
    let numbered = word
        .split_at_checked(5)
        .is_some_and(|(head, digits)| head.eq_ignore_ascii_case(b"CLASS") && text::number::<u16>(digits).is_some());
    numbered || CLASSES.iter().any(|class| class.eq_ignore_ascii_case(word))
}

fn in_only(token: Token, word: &[u8]) -> Result<(), Fault> {
    if word.eq_ignore_ascii_case(b"IN") || word.eq_ignore_ascii_case(b"CLASS1") {
        return Ok(());
    }
    let fact = format!("the class is `{}`; zones here have class IN", text::shown(word));
    Err(Fault { code: "E0205", ..Fault::at(token, fact) }.help("write `IN`, or leave the class out"))
}

fn no_type(token: Token, word: &[u8]) -> Fault {
    let fault = Fault { code: "E0202", ..Fault::at(token, format!("`{}` is no type of record", text::shown(word))) };
    fault.help(match types::did_you_mean(word) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a line that begins with a blank has no owner of its own, any other line begins with one; \
                 a type without a mnemonic is written `TYPE65280`"
            .to_owned(),
    })
}

/// A TTL (RFC 2181 section 8).
pub(super) fn ttl_of(text: &[u8], token: Token) -> Result<u32, Fault> {
    let word = &text[token.start..token.end];
    let fault = |fact: String| Fault { code: "E0204", ..Fault::at(token, fact) };
    let seconds = text::period(word).ok_or_else(|| {
        fault(format!("`{}` is no TTL", text::shown(word))).help("write seconds, or units as in `1h30m`")
    })?;
    u32::try_from(seconds)
        .ok()
        .filter(|ttl| *ttl <= text::TTL_MAX)
        .ok_or_else(|| fault(format!("the TTL `{}` is larger than {} s", text::shown(word), text::TTL_MAX)))
}
