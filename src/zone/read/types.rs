//! Which types are there, and of which fields is their data made?
//!
//! One line a type, after the registry "Resource Record (RR) TYPEs" at IANA. `data` reads the fields from text and
//! checks them in bytes; a type that is not here can be written as RFC 3597 says (`TYPE65280 \# 2 abcd`). The types A6,
//! NXT, NULL, EID, NIMLOC, ATMA, SINK and DOA have no line: their text forms are dead or were never agreed on.

/// A field of a record's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// A domain name.
    Name,
    /// A number of one byte.
    U8,
    /// A number of two bytes.
    U16,
    /// A number of four bytes.
    U32,
    /// Seconds in four bytes, units allowed.
    Period,
    /// A moment in four bytes (RRSIG).
    Moment,
    /// An IPv4 address.
    Ip4,
    /// An IPv6 address.
    Ip6,
    /// A character string: a length byte and up to 255 bytes.
    Text,
    /// A character string that may be missing.
    TextOptional,
    /// One or more character strings, to the end.
    Texts,
    /// Text without a length, to the end (CAA, URI).
    TextBare,
    /// Letters and digits with a length byte (CAA).
    Tag,
    /// Hexadecimal digits, in one or more words, to the end.
    Hex,
    /// Base64, in one or more words, to the end.
    Base64,
    /// A salt in hexadecimal, or `-` for none, with a length byte (NSEC3).
    Salt,
    /// A hash in base32hex with a length byte (NSEC3).
    Hash,
    /// Type mnemonics to a bit map, to the end (NSEC).
    Types,
    /// One type mnemonic in two bytes (RRSIG, DSYNC).
    Type,
    /// A DNSSEC algorithm: a number or its mnemonic.
    Algorithm,
    /// A certificate type: a number or its mnemonic.
    Certificate,
    /// Six bytes: `00-00-5e-00-53-2a`.
    Eui48,
    /// Eight bytes: `00-00-5e-ef-10-00-00-2a`.
    Eui64,
    /// 64 bits as four groups: `0014:4fff:ff20:ee64` (RFC 6742).
    Locator,
    /// `0x47.0005.80…` (RFC 1706).
    Nsap,
    /// Latitude, longitude, altitude, size and precisions (RFC 1876).
    Location,
    /// Address prefixes (RFC 3123).
    Prefixes,
    /// Precedence, type, algorithm, gateway (RFC 4025).
    IpsecGateway,
    /// Precedence, discovery bit, type, relay (RFC 8777).
    Relay,
    /// Algorithm, identity and key (RFC 8005); the rendezvous servers follow as [`Field::Names`].
    HostIdentity,
    /// Names, to the end; there may be none.
    Names,
    /// Service parameters, to the end (RFC 9460).
    Parameters,
}

/// A type of record.
#[derive(Debug)]
pub(super) struct Type {
    pub mnemonic: &'static str,
    pub code: u16,
    pub fields: &'static [Field],
}

/// NS.
pub(super) const NS: u16 = 2;
/// SOA.
pub(super) const SOA: u16 = 6;

macro_rules! types {
    ($($mnemonic:literal $code:literal $($field:ident)*;)*) => {
        &[$(Type { mnemonic: $mnemonic, code: $code, fields: &[$(Field::$field),*] }),*]
    };
}

/// All types that have a text form, the most frequent first.
pub(super) const TYPES: &[Type] = types! {
    "A" 1 Ip4;
    "AAAA" 28 Ip6;
    "NS" 2 Name;
    "CNAME" 5 Name;
    "TXT" 16 Texts;
    "MX" 15 U16 Name;
    "PTR" 12 Name;
    "RRSIG" 46 Type Algorithm U8 Period Moment Moment U16 Name Base64;
    "NSEC" 47 Name Types;
    "NSEC3" 50 U8 U8 U16 Salt Hash Types;
    "DS" 43 U16 Algorithm U8 Hex;
    "SOA" 6 Name Name U32 Period Period Period Period;
    "SRV" 33 U16 U16 U16 Name;
    "MD" 3 Name;
    "MF" 4 Name;
    "MB" 7 Name;
    "MG" 8 Name;
    "MR" 9 Name;
    "HINFO" 13 Text Text;
    "MINFO" 14 Name Name;
    "RP" 17 Name Name;
    "AFSDB" 18 U16 Name;
    "X25" 19 Text;
    "ISDN" 20 Text TextOptional;
    "RT" 21 U16 Name;
    "NSAP" 22 Nsap;
    "NSAP-PTR" 23 Name;
    "SIG" 24 Type Algorithm U8 Period Moment Moment U16 Name Base64;
    "KEY" 25 U16 U8 Algorithm Base64;
    "PX" 26 U16 Name Name;
    "GPOS" 27 Text Text Text;
    "LOC" 29 Location;
    "NAPTR" 35 U16 U16 Text Text Text Name;
    "KX" 36 U16 Name;
    "CERT" 37 Certificate U16 Algorithm Base64;
    "DNAME" 39 Name;
    "APL" 42 Prefixes;
    "SSHFP" 44 U8 U8 Hex;
    "IPSECKEY" 45 IpsecGateway Base64;
    "DNSKEY" 48 U16 U8 Algorithm Base64;
    "DHCID" 49 Base64;
    "NSEC3PARAM" 51 U8 U8 U16 Salt;
    "TLSA" 52 U8 U8 U8 Hex;
    "SMIMEA" 53 U8 U8 U8 Hex;
    "HIP" 55 HostIdentity Names;
    "NINFO" 56 Texts;
    "RKEY" 57 U16 U8 Algorithm Base64;
    "TALINK" 58 Name Name;
    "CDS" 59 U16 Algorithm U8 Hex;
    "CDNSKEY" 60 U16 U8 Algorithm Base64;
    "OPENPGPKEY" 61 Base64;
    "CSYNC" 62 U32 U16 Types;
    "ZONEMD" 63 U32 U8 U8 Hex;
    "SVCB" 64 U16 Name Parameters;
    "HTTPS" 65 U16 Name Parameters;
    "DSYNC" 66 Type U8 U16 Name;
    "SPF" 99 Texts;
    "NID" 104 U16 Locator;
    "L32" 105 U16 Ip4;
    "L64" 106 U16 Locator;
    "LP" 107 U16 Name;
    "EUI48" 108 Eui48;
    "EUI64" 109 Eui64;
    "URI" 256 U16 U16 TextBare;
    "CAA" 257 U8 Tag TextBare;
    "AVC" 258 Texts;
    "AMTRELAY" 260 Relay;
    "RESINFO" 261 Texts;
    "WALLET" 262 Texts;
    "TA" 32768 U16 Algorithm U8 Hex;
    "DLV" 32769 U16 Algorithm U8 Hex;
};

/// Mnemonics of types that are here only by number.
const NUMBERED: &[(&str, u16)] =
    &[("NULL", 10), ("NXT", 30), ("EID", 31), ("NIMLOC", 32), ("ATMA", 34), ("A6", 38), ("SINK", 40), ("DOA", 259)];

/// The number of a type: a mnemonic, or `TYPE65280`.
pub(super) fn code(word: &[u8]) -> Option<u16> {
    if let Some(found) = TYPES.iter().find(|t| t.mnemonic.as_bytes().eq_ignore_ascii_case(word)) {
        return Some(found.code);
    }
    match word.split_at_checked(4) {
        Some((head, digits)) if head.eq_ignore_ascii_case(b"TYPE") => super::text::number(digits),
        _ => NUMBERED.iter().find(|(m, _)| m.as_bytes().eq_ignore_ascii_case(word)).map(|(_, code)| *code),
    }
}

/// The fields of a type; none when its data is opaque.
pub(super) fn fields(code: u16) -> Option<&'static [Field]> {
    TYPES.iter().find(|t| t.code == code).map(|t| t.fields)
}

/// Its mnemonic, or `TYPE65280`.
pub(super) fn mnemonic(code: u16) -> String {
    TYPES.iter().find(|t| t.code == code).map_or_else(|| format!("TYPE{code}"), |t| t.mnemonic.to_owned())
}

/// The mnemonic that `word` may have been meant to be.
pub(super) fn did_you_mean(word: &[u8]) -> Option<&'static str> {
    let word = String::from_utf8_lossy(word).to_ascii_uppercase();
    let near = |t: &&Type| strsim::damerau_levenshtein(t.mnemonic, &word) <= word.len().min(t.mnemonic.len()) / 3 + 1;
    let best = TYPES.iter().filter(near).min_by_key(|t| strsim::damerau_levenshtein(t.mnemonic, &word))?;
    (word.len() >= 2 && word.len() <= 12).then_some(best.mnemonic)
}

/// Whether records of a type can stand in a zone: not 0, OPT, nor the types of queries (RFC 6895 section 3.1).
pub(super) fn is_data(code: u16) -> bool {
    !matches!(code, 0 | 41 | 128..=255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_name_and_number() {
        assert_eq!(code(b"aaaa"), Some(28));
        assert_eq!(code(b"TYPE65280"), Some(65280));
        assert_eq!(code(b"type1"), Some(1));
        assert_eq!(code(b"TYPE65536"), None);
        assert_eq!(code(b"TYPE"), None);
        assert_eq!(did_you_mean(b"CNMAE"), Some("CNAME"));
        assert_eq!(did_you_mean(b"AAA"), Some("AAAA"));
        assert_eq!(did_you_mean(b"10.0.0.1"), None);
    }

    #[test]
    fn each_type_stands_here_once() {
        for (i, t) in TYPES.iter().enumerate() {
            assert!(is_data(t.code), "{}", t.mnemonic);
            assert!(TYPES[i + 1..].iter().all(|u| u.code != t.code && u.mnemonic != t.mnemonic), "{}", t.mnemonic);
        }
    }
}
