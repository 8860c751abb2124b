//! The texts of a configuration that mean more than themselves: durations, addresses, networks, codes, names.
//!
//! Each form is a pure function from a text to its value, or to why not and the way out. Which key takes which form is
//! said in `spec`.

use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::dns::name::Name;
use crate::geo::country::country;
use crate::model::GeoCode;
use crate::model::StatusRange;

use super::codes;

/// What a text has to be, and how it is read.
pub struct Form<T> {
    /// With its article: `a duration`.
    pub what: &'static str,
    /// The code of its problem.
    pub code: &'static str,
    /// One that is right, for those who wrote a value of another type.
    pub example: &'static str,
    /// Reads it.
    pub read: fn(&str) -> Result<T, Wrong>,
}

/// Why a text does not have its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// In a few words, after "is not a duration:".
    pub why: String,
    /// The way out.
    pub help: Option<String>,
}

/// Why not, and the way out.
pub(super) fn wrong<T>(why: impl Into<String>, help: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { why: why.into(), help: Some(help.into()) })
}

/// A network prefix: an address with its host bits zero, and how many bits count.
pub type Prefix = (IpAddr, u8);

/// `"500ms"`, `"5s"`, `"1m30s"`, `"2h"`, `"1d"`.
pub const DURATION: Form<Duration> =
    Form { what: "a duration", code: codes::DURATION, example: "\"5s\"", read: duration };
/// `"192.0.2.1:53"`, `"[::]:53"`.
pub const SOCKET: Form<SocketAddr> =
    Form { what: "a socket address", code: codes::ADDRESS, example: "\"192.0.2.1:53\"", read: socket };
/// `"192.0.2.1:443"`, `"[::]:443"`: where HTTP is spoken.
pub const BIND: Form<SocketAddr> =
    Form { what: "a socket address", code: codes::ADDRESS, example: "\"192.0.2.1:443\"", read: bind };
/// `"192.0.2.1"`, `"2001:db8::1"`: one host.
pub const HOST_ADDRESS: Form<IpAddr> =
    Form { what: "an endpoint's address", code: codes::ADDRESS, example: "\"192.0.2.10\"", read: host_address };
/// `"10.20.0.0/16"`; an address alone is itself only.
pub const PREFIX: Form<Prefix> =
    Form { what: "a network", code: codes::ADDRESS, example: "\"10.20.0.0/16\"", read: prefix };
/// `"EU"`, `"EU-DE"`, `"NA-US-CA"`.
pub const GEO: Form<GeoCode> =
    Form { what: "a geographic code", code: codes::GEO_CODE, example: "\"EU-DE\"", read: geo_code };
/// `"www.example.com."`.
pub const DOMAIN: Form<Name> =
    Form { what: "a domain name", code: codes::NAME, example: "\"www.example.com.\"", read: domain };
/// `"200-399"`, `"200,204"`.
pub const STATUS: Form<Vec<StatusRange>> =
    Form { what: "a set of status codes", code: codes::FORM, example: "\"200-399\"", read: status };
/// `"/healthz?full=1"`.
pub const HTTP_PATH: Form<String> =
    Form { what: "a request path", code: codes::FORM, example: "\"/healthz\"", read: http_path };
/// `"www.example.com"`, as a Host header has it.
pub const HTTP_HOST: Form<String> =
    Form { what: "a host name", code: codes::FORM, example: "\"www.example.com\"", read: http_host };
/// Any text that is not empty.
pub const TEXT: Form<String> = Form { what: "a text", code: codes::FORM, example: "\"text\"", read: text };

/// A text that fits one character-string of DNS (RFC 1035 section 3.3).
pub const SHORT_TEXT: Form<String> = Form { what: "a text of 1 to 255 bytes", read: short_text, ..TEXT };

const DURATION_HELP: &str = "durations look like `500ms`, `5s`, `1m30s`, `2h` or `1d`";
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn duration(text: &str) -> Result<Duration, Wrong> {
    if text.is_empty() {
        return wrong("it is empty", DURATION_HELP);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return wrong("the unit is missing", format!("write `{text}s` for seconds or `{text}ms` for milliseconds"));
    }
    let mut rest = text;
    let mut millis = 0u64;
    let mut unit_before = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let Ok(number) = number.parse::<u64>() else { return wrong("a whole number is expected", DURATION_HELP) };
        if unit.is_empty() {
            return wrong(format!("a unit is expected after `{number}`"), DURATION_HELP);
        }
        let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return wrong(format!("the unit `{unit}` is not one of ms s m h d"), DURATION_HELP);
        };
        if *unit >= unit_before {
            return wrong("larger units come first, each once", DURATION_HELP);
        }
        unit_before = *unit;
        millis = match number.checked_mul(*unit).and_then(|more| millis.checked_add(more)) {
            Some(millis) => millis,
            None => return wrong("it is too long", DURATION_HELP),
        };
        rest = after;
    }
    Ok(Duration::from_millis(millis))
}

/// Writes a duration as [`DURATION`] reads it.
pub fn show_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, length) in UNITS.iter().rev() {
        if millis >= *length {
            out.push_str(&format!("{}{unit}", millis / length));
            millis %= length;
        }
    }
    out
}

fn socket(text: &str) -> Result<SocketAddr, Wrong> {
    socket_of(text, 53)
}

fn bind(text: &str) -> Result<SocketAddr, Wrong> {
    socket_of(text, 443)
}

/// A socket; `usual` is the port that is proposed where none is written.
fn socket_of(text: &str, usual: u16) -> Result<SocketAddr, Wrong> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return match socket.ip() {
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
                wrong("it is IPv4 written as IPv6", format!("write `{}:{}`", v6.to_canonical(), socket.port()))
            }
            _ => Ok(socket),
        };
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && let (Ok(ip), Ok(port)) = (host.parse::<Ipv6Addr>(), port.parse::<u16>())
    {
        return wrong("IPv6 needs brackets", format!("write `[{ip}]:{port}`"));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return wrong("the port is missing", format!("write `{}`", SocketAddr::new(ip, usual)));
    }
    if let Some((host, port)) = text.rsplit_once(':') {
        if host.is_empty() || host == "*" {
            return wrong("the address is missing", format!("all addresses are `0.0.0.0:{port}` and `[::]:{port}`"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.parse::<IpAddr>().is_ok() {
            let help = format!("write `ADDRESS:PORT`, as in `192.0.2.1:{usual}`");
            return wrong("the port is not a number up to 65535", help);
        }
    }
    let help = format!("write `ADDRESS:PORT`, as in `192.0.2.1:{usual}` or `[2001:db8::1]:{usual}`");
    wrong("names are not looked up", help)
}

const ADDRESS_HELP: &str = "write one address, as in `192.0.2.10` or `2001:db8::10`";

fn host_address(text: &str) -> Result<IpAddr, Wrong> {
    let Ok(ip) = text.parse::<IpAddr>() else {
        if let Ok(socket) = text.parse::<SocketAddr>() {
            let (ip, port) = (socket.ip(), socket.port());
            return wrong("the port has a key of its own", format!("write `address = \"{ip}\", port = {port}`"));
        }
        if text.contains('/') {
            return wrong("a network is not one host", ADDRESS_HELP);
        }
        let looks_like_name = text.bytes().any(|b| b.is_ascii_alphabetic()) && !text.contains(':');
        return wrong(if looks_like_name { "names are not looked up" } else { "it cannot be read" }, ADDRESS_HELP);
    };
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            wrong("it is IPv4 written as IPv6", format!("write `{}`", v6.to_canonical()))
        }
        _ if ip.is_unspecified() => wrong("no client can reach it", ADDRESS_HELP),
        _ if ip.is_multicast() || ip == IpAddr::from([255; 4]) => wrong("it is not one host", ADDRESS_HELP),
        _ => Ok(ip),
    }
}

fn prefix(text: &str) -> Result<Prefix, Wrong> {
    const HELP: &str = "write ADDRESS/LENGTH, as in `10.20.0.0/16` or `2001:db8::/32`";
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let Ok(ip) = address.parse::<IpAddr>() else { return wrong("the address cannot be read", HELP) };
    if let IpAddr::V6(v6) = ip
        && v6.to_ipv4_mapped().is_some()
    {
        return wrong("it is IPv4 written as IPv6", format!("write it as IPv4: `{}/…`", v6.to_canonical()));
    }
    let bits = if ip.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => bits,
        Some(length) => match length.parse::<u8>() {
            Ok(length) if length <= bits && !text.ends_with(['+', '-']) => length,
            _ => return wrong(format!("the length after `/` is a number up to {bits}"), HELP),
        },
    };
    let network = cut(ip, length);
    if network != ip {
        return wrong(format!("bits after the first {length} are set"), format!("the network is `{network}/{length}`"));
    }
    Ok((ip, length))
}

fn cut(ip: IpAddr, length: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::from((v4.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::from((v6.to_bits() & mask).to_be_bytes())
        }
    }
}

fn geo_code(text: &str) -> Result<GeoCode, Wrong> {
    const HELP: &str = "codes look like `EU`, `EU-DE` or `NA-US-CA`";
    let code = match text.parse::<GeoCode>() {
        Ok(code) => code,
        Err(error) => {
            // `DE`, and `US-CA`: the country was put first.
            let first = text.split('-').next().unwrap_or_default();
            let help = match letters(first).and_then(country) {
                Some(row) => format!("did you mean `{}-{}`?", show(row.continent), text.to_ascii_uppercase()),
                None => HELP.to_owned(),
            };
            return wrong(error.to_string(), help);
        }
    };
    let Some(letters) = code.country else { return Ok(code) };
    match country(letters) {
        Some(row) if row.continent == code.continent => Ok(code),
        Some(row) => {
            let meant = GeoCode { continent: row.continent, ..code };
            let why = format!("{} is in {}", show(letters), show(row.continent));
            wrong(why, format!("did you mean `{meant}`?"))
        }
        None => {
            let why = format!("ISO 3166-1 has no country {}", show(letters));
            let help = if letters == *b"UK" { "did you mean `EU-GB`?" } else { HELP };
            wrong(why, help)
        }
    }
}

fn letters(text: &str) -> Option<[u8; 2]> {
    text.to_ascii_uppercase().as_bytes().try_into().ok()
}

fn show(letters: [u8; 2]) -> String {
    letters.iter().map(|b| char::from(*b)).collect()
}

fn domain(text: &str) -> Result<Name, Wrong> {
    const HELP: &str = "names look like `www.example.com.`; a wildcard is `*.example.com.`";
    let name = match text.parse::<Name>() {
        Ok(name) => name,
        Err(error) => return wrong(error.to_string(), HELP),
    };
    let odd = |label: &[u8]| label.iter().any(|b| !b.is_ascii_alphanumeric() && !b"-_*/".contains(b));
    if name.labels().any(odd) {
        return wrong("it holds characters that no host name has", HELP);
    }
    if name.labels().skip(1).any(|label| label.contains(&b'*'))
        || name.labels().any(|l| l.len() > 1 && l.contains(&b'*'))
    {
        return wrong("`*` stands alone and first", HELP);
    }
    Ok(name)
}

/// A name that an operator gives to a region, pool, check, network or certificate. It is used on the command line
/// (`pool/NAME`), in `pool:NAME` and as a label of metrics, so it holds letters, digits, `-`, `_` and `.`.
pub fn given_name(text: &str) -> Result<(), Wrong> {
    const HELP: &str = "use letters, digits, `-`, `_` and `.`, beginning with a letter or digit";
    match text.bytes().next() {
        None => wrong("it is empty", HELP),
        Some(first) if !first.is_ascii_alphanumeric() => wrong("it begins with a sign", HELP),
        _ if text.len() > 64 => wrong("it has more than 64 characters", HELP),
        _ => match text.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.".contains(*c)) {
            Some(odd) => wrong(format!("it holds `{}`", odd.escape_debug()), HELP),
            None => Ok(()),
        },
    }
}

fn status(text: &str) -> Result<Vec<StatusRange>, Wrong> {
    const HELP: &str = "write `200`, `200-399` or `200,204,301-302`";
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| text.len() == 3 && (100..=599).contains(code));
    let mut ranges = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (code(first.trim()), code(last.trim())) {
            (Some(first), Some(last)) if first <= last => ranges.push(StatusRange { first, last }),
            (Some(first), Some(last)) => {
                return wrong("the range runs backwards", format!("write `{last}-{first}`"));
            }
            _ => return wrong(format!("`{part}` is not a code from 100 to 599, or a range of them"), HELP),
        }
    }
    Ok(ranges)
}

fn http_path(text: &str) -> Result<String, Wrong> {
    if !text.starts_with('/') {
        return wrong("it does not begin with `/`", format!("write `/{}`", text.trim_start()));
    }
    if text.bytes().any(|b| !b.is_ascii_graphic()) || text.contains('#') {
        return wrong("it holds characters that must be percent-encoded", "write a space as `%20`");
    }
    Ok(text.to_owned())
}

fn http_host(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "write the name alone, as in `www.example.com`; the port has a key of its own";
    if text.contains("://") || text.contains('/') {
        return wrong("it is a URL", HELP);
    }
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    if text.contains(':') {
        return wrong("it holds a port", HELP);
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |l: &str| {
        !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return wrong("it cannot be a host name", HELP);
    }
    Ok(name.to_ascii_lowercase())
}

fn text(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return wrong("it is empty", "leave the key out, or write something");
    }
    Ok(text.to_owned())
}

fn short_text(value: &str) -> Result<String, Wrong> {
    if value.len() > 255 {
        return wrong(format!("it has {} bytes", value.len()), "shorten it");
    }
    text(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        let ms = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("5s"), Ok(5_000));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("2h"), Ok(7_200_000));
        assert_eq!(ms("5").unwrap_err().help.unwrap(), "write `5s` for seconds or `5ms` for milliseconds");
        for bad in
            ["", "s", "5 s", "1.5s", "5sec", "30s1m", "1s1s", "-1s", "99999999999999999999s", "9999999999999999d"]
        {
            assert!(ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sockets_say_what_is_missing() {
        assert_eq!(socket("[::]:53").unwrap(), "[::]:53".parse().unwrap());
        let help = |text| socket(text).unwrap_err().help.unwrap();
        assert_eq!(help("127.0.0.1"), "write `127.0.0.1:53`");
        assert_eq!(bind("127.0.0.1").unwrap_err().help.unwrap(), "write `127.0.0.1:443`");
        assert_eq!(help("fe80:::53"), "write `[fe80::]:53`");
        assert_eq!(help("2001:db8::1"), "write `[2001:db8::1]:53`");
        assert_eq!(help(":53"), "all addresses are `0.0.0.0:53` and `[::]:53`");
        assert_eq!(socket("localhost:53").unwrap_err().why, "names are not looked up");
        assert_eq!(socket("127.0.0.1:99999").unwrap_err().why, "the port is not a number up to 65535");
    }

    #[test]
    fn networks_with_host_bits_show_the_network() {
        assert_eq!(prefix("10.20.0.0/16"), Ok(("10.20.0.0".parse().unwrap(), 16)));
        assert_eq!(prefix("0.0.0.0/0"), Ok(("0.0.0.0".parse().unwrap(), 0)));
        assert_eq!(prefix("192.0.2.1"), Ok(("192.0.2.1".parse().unwrap(), 32)));
        assert_eq!(prefix("10.20.3.4/16").unwrap_err().help.unwrap(), "the network is `10.20.0.0/16`");
        assert_eq!(prefix("2001:db8::1/32").unwrap_err().help.unwrap(), "the network is `2001:db8::/32`");
        assert!(prefix("10.0.0.0/33").is_err());
        assert!(prefix("10.0.0.0/").is_err());
    }

    #[test]
    fn countries_are_on_their_continent() {
        assert!(geo_code("AS-TR").is_ok());
        assert!(geo_code("NA-US-CA").is_ok());
        let help = |text| geo_code(text).unwrap_err().help.unwrap();
        assert_eq!(help("EU-TR"), "did you mean `AS-TR`?");
        assert_eq!(help("EU-US-CA"), "did you mean `NA-US-CA`?");
        assert_eq!(help("de"), "did you mean `EU-DE`?");
        assert_eq!(help("US-CA"), "did you mean `NA-US-CA`?");
        assert_eq!(help("EU-UK"), "did you mean `EU-GB`?");
        assert_eq!(geo_code("EU-ZZ").unwrap_err().why, "ISO 3166-1 has no country ZZ");
    }

    #[test]
    fn status_sets() {
        assert_eq!(status("200-399").unwrap(), [StatusRange { first: 200, last: 399 }]);
        assert_eq!(status("200, 204").unwrap().len(), 2);
        assert_eq!(status("399-200").unwrap_err().help.unwrap(), "write `200-399`");
        assert!(status("").is_err());
        assert!(status("2xx").is_err());
    }

    #[test]
    fn vip_names() {
        assert_eq!(domain("WWW.example.com").unwrap().to_string(), "www.example.com.");
        assert!(domain("*.example.com.").is_ok());
        assert!(domain("a.*.example.com.").is_err());
        assert!(domain("w*.example.com.").is_err());
        assert!(domain("www example.com.").is_err());
        assert!(domain("a..b").is_err());
    }

    proptest! {
        #[test]
        fn a_duration_written_is_read_back(millis in 0..=u64::from(u32::MAX) * 1000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!((DURATION.read)(&show_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (duration(&text), socket(&text), host_address(&text), prefix(&text), geo_code(&text));
            let _ = (domain(&text), status(&text), http_path(&text), http_host(&text), given_name(&text));
        }

        #[test]
        fn no_digits_and_signs_panic(text in "[0-9a-f:./,\\-\\[\\]smhd]*") {
            let _ = (duration(&text), socket(&text), host_address(&text), prefix(&text), status(&text));
        }
    }
}
