//! The file of tokens: who may use the admin listener, and for what.
//!
//! ```toml
//! [token.grafana]                      # what it orders is said to be by this name
//! sha256 = "9f86d081884c7d65…"         # of the secret: printf %s "$SECRET" | sha256sum
//! role   = "read"                      # or "operate"; read unless told
//! ```
//!
//! Hashes, not secrets: a copy of the file in a backup opens nothing. Plain SHA-256 suffices where the secret is random
//! and long (`openssl rand -hex 32`); salts and slow hashes are for what people make up.

use std::path::Path;

use crate::model::Problem;
use crate::model::Role;
use crate::model::Token;

use super::codes;
use super::document;
use super::document::Value;
use super::fields::Fields;
use super::fields::Words;
use super::forms;
use super::forms::Form;
use super::forms::Wrong;
use super::reports::Reports;
use super::source::Sources;

const ROLES: Words<Role> = Words { words: &[("read", Role::Read), ("operate", Role::Operate)] };

const SHA256: Form<[u8; 32]> = Form {
    what: "a SHA-256 hash",
    code: codes::FORM,
    example: "\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
    read: sha256,
};

/// SHA-256 of the empty text: what `printf %s "$SECRET" | sha256sum` says where `SECRET` is not set.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Reads the text of a file of tokens.
///
/// # Errors
/// Every problem of it at once.
pub fn read(path: &Path, text: &str) -> Result<Vec<Token>, Vec<Problem>> {
    let mut sources = Sources::default();
    let Some(file) = sources.add(path.to_owned(), text.to_owned()) else {
        let fact = "this is more text than any list of tokens";
        return Err(vec![Problem::error(codes::TOO_LARGE, crate::model::Place::file(path), fact)]);
    };
    let mut reports = Reports::new(&sources);
    let mut tokens = Vec::new();
    for (key, value) in document::parse(&sources, file, &mut reports).into_iter().flat_map(|table| table.entries) {
        match value.value {
            Value::Table(table) if key.value == "token" => {
                let named = Fields::new("token", key.span, table).named(&mut reports);
                tokens.extend(named.into_iter().filter_map(|(name, fields)| token(&mut reports, name.value, fields)));
            }
            _ => {
                let fact = format!("a file of tokens has no `{}`", key.value.escape_debug());
                let help = "write sections as [token.grafana], each with `sha256` and `role`".to_owned();
                reports.error(codes::UNKNOWN_SECTION, key.span, fact).help(help);
            }
        }
    }
    let sound = !reports.any_error();
    let problems = reports.finish();
    if sound { Ok(tokens) } else { Err(problems) }
}

fn token(reports: &mut Reports<'_>, name: String, mut fields: Fields) -> Option<Token> {
    fields.require("sha256", SHA256.example);
    if let Err(wrong) = forms::given_name(&name) {
        let fact = format!("`{}` cannot be the name of a token", name.escape_debug());
        reports.error(codes::NAME, fields.span, fact).label(wrong.why).help(wrong.help);
    }
    let sha256 = fields.form(reports, "sha256", &SHA256);
    let role = fields.word(reports, "role", &ROLES);
    fields.finish(reports);
    Some(Token { name, sha256: sha256?.value, role: role.map_or(Role::Read, |written| written.value) })
}

fn sha256(text: &str) -> Result<[u8; 32], Wrong> {
    let help = Some("hash the secret: printf %s \"$SECRET\" | sha256sum".to_owned());
    let wrong = |why: &str| Wrong { why: why.to_owned(), help: help.clone() };
    let digits: Option<Vec<u8>> = text.chars().map(|c| Some(c.to_digit(16)? as u8)).collect();
    let digits = digits.filter(|digits| digits.len() == 64).ok_or_else(|| wrong("it has 64 hexadecimal digits"))?;
    if text.eq_ignore_ascii_case(OF_NOTHING) {
        return Err(wrong("this is the hash of nothing"));
    }
    let mut hash = [0; 32];
    hash.iter_mut().zip(digits.chunks(2)).for_each(|(byte, pair)| *byte = pair[0] << 4 | pair[1]);
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn problems(text: &str) -> Vec<String> {
        read(Path::new("tokens.toml"), text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tokens_have_names_hashes_and_roles() {
        let text =
            format!("[token.grafana]\nsha256 = \"{HASH}\"\n[token.ada]\nsha256 = \"{HASH}\"\nrole = \"operate\"\n");
        let tokens = read(Path::new("t"), &text).unwrap();
        assert_eq!((tokens[0].name.as_str(), tokens[0].role), ("grafana", Role::Read));
        assert_eq!((tokens[1].name.as_str(), tokens[1].role), ("ada", Role::Operate));
        assert_eq!((tokens[0].sha256[0], tokens[0].sha256[31]), (0x9f, 0x08));
        assert!(read(Path::new("t"), "").unwrap().is_empty());
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = format!(
            "[tokens.a]\n[token.a]\nrole = \"admin\"\n[token.b]\nsha256 = \"secret\"\n[token.c]\nsha256 = \"{OF_NOTHING}\"\nhash = 1\n"
        );
        let told = problems(&text);
        for (place, word) in [
            ("tokens.toml:1:", "has no `tokens`"),
            ("tokens.toml:2:", "sha256"),
            ("tokens.toml:3:", "admin"),
            ("tokens.toml:5:", "a SHA-256 hash"),
            ("tokens.toml:7:", "printf %s"),
            ("tokens.toml:8:", "hash"),
        ] {
            assert!(told.iter().any(|t| t.starts_with(place) && t.contains(word)), "{place} {word}: {told:#?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", like in "(\\[token\\.[a-z]\\]\n|sha256 = |role = |\"[0-9a-f]{0,70}\"\n){0,9}") {
            let _ = (read(Path::new("t"), &text), read(Path::new("t"), &like));
        }
    }
}
