//! How does a record's data become bytes?
//!
//! Walks the fields of a type over the tokens of an entry and appends the wire form, names uncompressed. A fault points
//! at the token that is to blame. The unusual shapes (LOC, APL, SVCB, …) are in `odd`; data written as RFC 3597 says is
//! checked against the same fields by `check`.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::utils::base32;
use domain::utils::base64;

use crate::dns::name::NameError;
use crate::zone::read::check;
use crate::zone::read::odd;
use crate::zone::read::scan::Token;
use crate::zone::read::text;
use crate::zone::read::types;
use crate::zone::read::types::Field;

/// What is wrong with a record's data, and where.
#[derive(Debug)]
pub(super) struct Fault {
    /// The token to blame; none: the entry ended too soon.
    pub token: Option<Token>,
    pub code: &'static str,
    pub fact: String,
    pub help: Option<String>,
}

impl Fault {
    pub(super) fn at(token: Token, fact: impl Into<String>) -> Self {
        Fault { token: Some(token), code: "E0203", fact: fact.into(), help: None }
    }
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Fault { help: Some(help.into()), ..self }
    }
}

/// The tokens of a record's data, and where its wire form goes.
pub(super) struct Data<'a> {
    text: &'a [u8],
    tokens: &'a [Token],
    next: usize,
    origin: Option<&'a [u8]>,
    pub(super) out: &'a mut Vec<u8>,
}

impl<'a> Data<'a> {
    pub(super) fn new(text: &'a [u8], tokens: &'a [Token], origin: Option<&'a [u8]>, out: &'a mut Vec<u8>) -> Self {
        Data { text, tokens, next: 0, origin, out }
    }

    /// Appends the data of a record of type `code`.
    pub(super) fn read(mut self, code: u16) -> Result<(), Fault> {
        if self.tokens.first().is_some_and(|t| !t.quoted && self.raw(*t) == b"\\#") {
            return self.generic(code);
        }
        let Some(fields) = types::fields(code) else {
            let fact = format!("the data of type {} can only be written as RFC 3597 says", types::mnemonic(code));
            let fault = Fault { token: self.tokens.first().copied(), code: "E0203", fact, help: None };
            return Err(fault.help("write `\\#`, the number of bytes, and the bytes in hexadecimal: `\\# 2 abcd`"));
        };
        for field in fields {
            self.field(*field)?;
        }
        match self.peek() {
            Some(extra) => {
                let fact = format!("`{}` follows the data of the record", self.shown(extra));
                Err(Fault::at(extra, fact).help("is a `;` missing before a comment, or are quotes missing?"))
            }
            None => Ok(()),
        }
    }

    /// `\# length hex…` (RFC 3597 section 5).
    fn generic(&mut self, code: u16) -> Result<(), Fault> {
        let first = self.token("`\\#`")?;
        let token = self.token("the number of bytes")?;
        let length: u16 = self.number(token, "a number of bytes up to 65535")?;
        let start = self.out.len();
        if length > 0 || self.peek().is_some() {
            self.hex()?;
        }
        if self.out.len() - start != length as usize {
            let fact = format!("`\\#` says {length} bytes, but {} follow", self.out.len() - start);
            return Err(Fault::at(token, fact));
        }
        let fields = types::fields(code).unwrap_or(&[]);
        if fields.is_empty() || check::fits(fields, &self.out[start..]) {
            return Ok(());
        }
        Err(Fault::at(first, format!("these bytes are no data of type {}", types::mnemonic(code))))
    }

    fn field(&mut self, field: Field) -> Result<(), Fault> {
        match field {
            Field::Name => self.name(),
            Field::U8 => self.push_number::<u8>("a number up to 255"),
            Field::U16 => self.push_number::<u16>("a number up to 65535"),
            Field::U32 => self.push_number::<u32>("a number up to 4294967295"),
            Field::Period => self.period(),
            Field::Moment => self.moment(),
            Field::Ip4 => self.ip4(),
            Field::Ip6 => self.ip6(),
            Field::Text => self.text(),
            Field::TextOptional => self.peek().map_or(Ok(()), |_| self.text()),
            Field::Texts => self.texts(),
            Field::TextBare => self.text_bare(),
            Field::Tag => self.tag(),
            Field::Hex => self.hex(),
            Field::Base64 => self.base64(),
            Field::Salt => self.salt(),
            Field::Hash => self.hash(),
            Field::Types => odd::types(self),
            Field::Type => self.rtype(),
            Field::Algorithm => self.mnemonic(odd::ALGORITHMS, "a DNSSEC algorithm").map(|n| self.out.push(n as u8)),
            Field::Certificate => {
                self.mnemonic(odd::CERTIFICATES, "a certificate type").map(|n| self.out.extend(n.to_be_bytes()))
            }
            Field::Eui48 => odd::eui(self, 6),
            Field::Eui64 => odd::eui(self, 8),
            Field::Locator => odd::locator(self),
            Field::Nsap => odd::nsap(self),
            Field::Location => odd::location(self),
            Field::Prefixes => odd::prefixes(self),
            Field::IpsecGateway => odd::ipsec_gateway(self),
            Field::Relay => odd::relay(self),
            Field::HostIdentity => odd::host_identity(self),
            Field::Names => self.names(),
            Field::Parameters => odd::parameters(self),
        }
    }

    // What fields are made of; `odd` uses these too.

    pub(super) fn peek(&self) -> Option<Token> {
        self.tokens.get(self.next).copied()
    }
    pub(super) fn raw(&self, token: Token) -> &'a [u8] {
        &self.text[token.start..token.end]
    }
    pub(super) fn shown(&self, token: Token) -> String {
        text::shown(self.raw(token))
    }
    pub(super) fn token(&mut self, wanted: &str) -> Result<Token, Fault> {
        let token = self.peek().ok_or_else(|| Fault {
            token: None,
            code: "E0203",
            fact: format!("the record ends where {wanted} should be"),
            help: None,
        })?;
        self.next += 1;
        Ok(token)
    }
    pub(super) fn wrong(&self, token: Token, wanted: &str) -> Fault {
        Fault::at(token, format!("`{}` is not {wanted}", self.shown(token)))
    }
    pub(super) fn number<T: TryFrom<u64>>(&self, token: Token, wanted: &str) -> Result<T, Fault> {
        text::number(self.raw(token)).ok_or_else(|| self.wrong(token, wanted))
    }
    /// All tokens to the end; at least one.
    pub(super) fn rest(&mut self, wanted: &str) -> Result<&'a [Token], Fault> {
        self.token(wanted)?;
        let rest = &self.tokens[self.next - 1..];
        self.next = self.tokens.len();
        Ok(rest)
    }

    fn push_number<T: TryFrom<u64> + Into<u64>>(&mut self, wanted: &str) -> Result<(), Fault> {
        let token = self.token(wanted)?;
        let value: u64 = self.number::<T>(token, wanted)?.into();
        let bytes = value.to_be_bytes();
        self.out.extend_from_slice(&bytes[8 - size_of::<T>()..]);
        Ok(())
    }

    pub(super) fn name(&mut self) -> Result<(), Fault> {
        let token = self.token("a name")?;
        let fault = match text::name(self.raw(token), self.origin, self.out) {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        Err(name_fault(token, fault, &self.shown(token)))
    }

    fn names(&mut self) -> Result<(), Fault> {
        while self.peek().is_some() {
            self.name()?;
        }
        Ok(())
    }

    fn period(&mut self) -> Result<(), Fault> {
        const WANTED: &str = "seconds: a number, or units as in `1h30m`";
        let token = self.token(WANTED)?;
        let seconds = text::period(self.raw(token)).and_then(|s| u32::try_from(s).ok());
        let seconds = seconds.ok_or_else(|| self.wrong(token, WANTED))?;
        self.out.extend_from_slice(&seconds.to_be_bytes());
        Ok(())
    }

    fn moment(&mut self) -> Result<(), Fault> {
        const WANTED: &str = "a moment: `YYYYMMDDHHmmSS`, or seconds since 1970";
        let token = self.token(WANTED)?;
        let seconds = text::moment(self.raw(token)).ok_or_else(|| self.wrong(token, WANTED))?;
        self.out.extend_from_slice(&seconds.to_be_bytes());
        Ok(())
    }

    fn ip4(&mut self) -> Result<(), Fault> {
        let token = self.token("an IPv4 address")?;
        let word = str::from_utf8(self.raw(token)).ok();
        let Some(address) = word.and_then(|w| w.parse::<Ipv4Addr>().ok()) else {
            let fault = self.wrong(token, "an IPv4 address");
            let is_ip6 = word.is_some_and(|w| w.parse::<Ipv6Addr>().is_ok());
            return Err(if is_ip6 { fault.help("an IPv6 address goes into an AAAA record") } else { fault });
        };
        self.out.extend_from_slice(&address.octets());
        Ok(())
    }

    fn ip6(&mut self) -> Result<(), Fault> {
        let token = self.token("an IPv6 address")?;
        let word = str::from_utf8(self.raw(token)).ok();
        let Some(address) = word.and_then(|w| w.parse::<Ipv6Addr>().ok()) else {
            let fault = self.wrong(token, "an IPv6 address");
            let is_ip4 = word.is_some_and(|w| w.parse::<Ipv4Addr>().is_ok());
            return Err(if is_ip4 { fault.help("an IPv4 address goes into an A record") } else { fault });
        };
        self.out.extend_from_slice(&address.octets());
        Ok(())
    }

    /// A token's characters, escapes undone.
    pub(super) fn characters(&mut self, token: Token) -> Result<(), Fault> {
        let raw = self.raw(token);
        if !token.quoted && unescaped_quote(raw) {
            return Err(Fault::at(token, format!("a quote stands inside the word `{}`", text::shown(raw)))
                .help("put the whole string in quotes, or write `\\\"`"));
        }
        text::unescaped(raw, self.out)
            .ok_or_else(|| Fault::at(token, NameError::Escape.to_string()).help("a backslash itself is `\\\\`"))
    }

    /// Reserves a length byte, runs `fill`, and writes the length.
    pub(super) fn counted(
        &mut self,
        token: Token,
        fill: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let at = self.out.len();
        self.out.push(0);
        fill(self)?;
        let length = self.out.len() - at - 1;
        self.out[at] = u8::try_from(length).map_err(|_| {
            Fault::at(token, format!("this string has {length} bytes; one string has at most 255"))
                .help("split it into several quoted strings; readers join them")
        })?;
        Ok(())
    }

    pub(super) fn text(&mut self) -> Result<(), Fault> {
        let token = self.token("a string")?;
        self.counted(token, |data| data.characters(token))
    }

    fn texts(&mut self) -> Result<(), Fault> {
        self.text()?;
        while self.peek().is_some() {
            self.text()?;
        }
        Ok(())
    }

    fn text_bare(&mut self) -> Result<(), Fault> {
        let token = self.token("a string")?;
        self.characters(token)
    }

    fn tag(&mut self) -> Result<(), Fault> {
        const WANTED: &str = "a tag: letters and digits, as `issue`";
        let token = self.token(WANTED)?;
        let raw = self.raw(token);
        if raw.is_empty() || raw.len() > 255 || !raw.iter().all(u8::is_ascii_alphanumeric) {
            return Err(self.wrong(token, WANTED));
        }
        self.out.push(raw.len() as u8);
        self.out.extend_from_slice(raw);
        Ok(())
    }

    pub(super) fn hex(&mut self) -> Result<(), Fault> {
        let mut high: Option<u8> = None;
        let tokens = self.rest("hexadecimal digits")?;
        for token in tokens {
            for byte in self.raw(*token) {
                let Some(digit) = (*byte as char).to_digit(16) else {
                    return Err(self.wrong(*token, "hexadecimal"));
                };
                match high.take() {
                    None => high = Some(digit as u8),
                    Some(first) => self.out.push(first << 4 | digit as u8),
                }
            }
        }
        match (high, tokens.last()) {
            (Some(_), Some(last)) => Err(Fault::at(*last, "the number of hexadecimal digits is odd")),
            _ => Ok(()),
        }
    }

    fn base64(&mut self) -> Result<(), Fault> {
        let tokens = self.rest("base64")?;
        let mut decoder = base64::Decoder::<Vec<u8>>::new();
        for token in tokens {
            for byte in self.raw(*token) {
                decoder.push(*byte as char).map_err(|_| self.wrong(*token, "base64"))?;
            }
        }
        let bytes = decoder.finalize().map_err(|_| Fault::at(tokens[tokens.len() - 1], "this base64 ends too soon"))?;
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    fn salt(&mut self) -> Result<(), Fault> {
        const WANTED: &str = "a salt: hexadecimal in one word, or `-`";
        let token = self.token(WANTED)?;
        if self.raw(token) == b"-" {
            self.out.push(0);
            return Ok(());
        }
        let digits = str::from_utf8(self.raw(token)).ok();
        let bytes = digits.and_then(odd::hex_word).ok_or_else(|| self.wrong(token, WANTED))?;
        self.counted(token, |data| {
            data.out.extend_from_slice(&bytes);
            Ok(())
        })
    }

    fn hash(&mut self) -> Result<(), Fault> {
        const WANTED: &str = "a hash in base32hex";
        let token = self.token(WANTED)?;
        let word = str::from_utf8(self.raw(token)).ok().filter(|w| !w.is_empty());
        let bytes =
            word.and_then(|w| base32::decode_hex::<Vec<u8>>(w).ok()).ok_or_else(|| self.wrong(token, WANTED))?;
        self.counted(token, |data| {
            data.out.extend_from_slice(&bytes);
            Ok(())
        })
    }

    fn rtype(&mut self) -> Result<(), Fault> {
        let token = self.token("a type")?;
        let code = types::code(self.raw(token)).ok_or_else(|| self.wrong(token, "a type"))?;
        self.out.extend_from_slice(&code.to_be_bytes());
        Ok(())
    }

    /// A number, or a word that stands for one.
    pub(super) fn mnemonic(&mut self, words: &[(&str, u16)], wanted: &str) -> Result<u16, Fault> {
        let token = self.token(wanted)?;
        let raw = self.raw(token);
        let byte_only = words.iter().all(|(_, n)| *n <= 255);
        let word = words.iter().find(|(w, _)| w.as_bytes().eq_ignore_ascii_case(raw)).map(|(_, n)| *n);
        let number = || text::number::<u16>(raw).filter(|n| !byte_only || *n <= 255);
        word.or_else(number).ok_or_else(|| self.wrong(token, wanted))
    }
}

/// A fault of a name; [`None`] is a relative one without an origin.
pub(super) fn name_fault(token: Token, fault: Option<NameError>, shown: &str) -> Fault {
    match fault {
        Some(error) => Fault { code: "E0211", ..Fault::at(token, format!("the name `{shown}` is wrong: {error}")) },
        None => Fault {
            code: "E0214",
            ..Fault::at(token, format!("the name `{shown}` is relative, and there is no origin"))
                .help("begin the file with `$ORIGIN example.com.`, or end the name in a dot")
        },
    }
}

fn unescaped_quote(raw: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return true,
            _ => at += 1,
        }
    }
    false
}
