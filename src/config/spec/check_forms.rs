//! The texts that only health checks have: types and response codes of DNS, protocols of ALPN, services of gRPC.

use std::str::FromStr;

use hickory_proto::rr::RecordType;

use crate::config::codes;
use crate::config::forms::Form;
use crate::config::forms::Wrong;
use crate::dns::code::rcode;
use crate::dns::code::rtype;

/// `"A"`, `"SOA"`, `"TYPE65400"`.
pub const QTYPE: Form<u16> =
    Form { what: "a record type to ask for", code: codes::FORM, example: "\"SOA\"", read: qtype };
/// `"NOERROR"`, `"NOERROR,NXDOMAIN"`.
pub const RCODES: Form<Vec<u8>> =
    Form { what: "a set of response codes", code: codes::FORM, example: "\"NOERROR,NXDOMAIN\"", read: rcodes };
/// `"h2"`, `"http/1.1"` (RFC 7301 section 3.1: 1 to 255 bytes).
pub const ALPN: Form<String> = Form { what: "a protocol of ALPN", code: codes::FORM, example: "\"h2\"", read: alpn };
/// `"shop.Cart"`; empty for the server as a whole.
pub const SERVICE: Form<String> =
    Form { what: "a gRPC service", code: codes::FORM, example: "\"shop.Cart\"", read: service };

/// Longer ones are a mistake; the bound keeps a request in one small frame.
const SERVICE_BYTES_MAX: usize = 255;

fn wrong<T>(why: impl Into<String>, help: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { why: why.into(), help: Some(help.into()) })
}

fn qtype(text: &str) -> Result<u16, Wrong> {
    const HELP: &str = "write `SOA`, `A`, `AAAA`, `NS`, `TXT`, …, or `TYPE65400`";
    let upper = text.to_ascii_uppercase();
    let number = match upper.strip_prefix("TYPE") {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
        _ => RecordType::from_str(&upper).ok().filter(|known| *known != RecordType::ANAME).map(u16::from),
    };
    match number {
        None => wrong("there is no such type", HELP),
        Some(rtype::ANY) => wrong("servers answer ANY as they like (RFC 8482)", HELP),
        // RFC 6895 section 3.1: OPT, and those that only questions and transactions have.
        Some(0 | rtype::OPT | 128..=255) => wrong("no record has this type", HELP),
        Some(number) => Ok(number),
    }
}

fn rcodes(text: &str) -> Result<Vec<u8>, Wrong> {
    let mut codes = Vec::new();
    for part in text.split(',').map(str::trim) {
        let upper = part.to_ascii_uppercase();
        let Some(code) = rcode::NAMES.iter().position(|name| *name == upper) else {
            let known = rcode::NAMES[..6].join(", ");
            return wrong(format!("there is no `{}`", part.escape_debug()), format!("codes: {known}"));
        };
        codes.push(u8::try_from(code).expect("a position in a short list"));
    }
    Ok(codes)
}

fn alpn(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "write a registered name, as in `h2` or `http/1.1`";
    match text.len() {
        0 => wrong("it is empty", HELP),
        1..=255 => Ok(text.to_owned()),
        _ => wrong("it has more than 255 bytes", HELP),
    }
}

fn service(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "write the package and the service, as in `shop.Cart`, or leave it empty";
    if text.len() > SERVICE_BYTES_MAX {
        return wrong(format!("it has more than {SERVICE_BYTES_MAX} bytes"), HELP);
    }
    if text.contains('/') {
        return wrong("a method is not a service", HELP);
    }
    if text.bytes().any(|b| !b.is_ascii_graphic()) {
        return wrong("it holds characters that no service has", HELP);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types() {
        assert_eq!(qtype("soa"), Ok(6));
        assert_eq!(qtype("HTTPS"), Ok(65));
        assert_eq!(qtype("TYPE65400"), Ok(65400));
        for bad in ["", "TYPE", "TYPE70000", "AXFR", "ANY", "OPT", "TYPE41", "TYPE0", "B", "ANAME"] {
            assert!(qtype(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn response_codes() {
        assert_eq!(rcodes("NOERROR, nxdomain"), Ok(vec![0, 3]));
        assert!(rcodes("").is_err());
        assert!(rcodes("0").is_err());
    }

    #[test]
    fn services() {
        assert_eq!(service(""), Ok(String::new()));
        assert_eq!(service("grpc.health.v1.Health/Check").unwrap_err().why, "a method is not a service");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (qtype(&text), rcodes(&text), alpn(&text), service(&text));
        }
    }
}
