//! One line of the access log, as text or as JSON.
//!
//! Text is `name=value` with spaces between, as logfmt's readers take it: a value stands in quotes unless it is made of
//! printable ASCII without spaces, `"`, `\` and `=`. What is in quotes is escaped as in JSON, and all but printable ASCII
//! is: whatever a client sends, a line stays one line, ends no value before its time, begins no field, and tells a
//! terminal nothing. Bytes that are no UTF-8 are written as U+FFFD. Values longer than is told below are cut and end with
//! an ellipsis.
//!
//! Everything is appended to a buffer that is kept, and nothing is allocated once that has grown.

use std::io::Write;
use std::time::Duration;

use http::Version;

use crate::model::AccessLogFormat;
use crate::model::ClientShown;
use crate::model::Moment;
use crate::proxy::record::Record;
use crate::server::log_words::Second;
use crate::server::log_words::shown;

/// Of a path, a query and a referrer so many bytes are written: more is no use to a reader and costs everybody else.
const TARGET_BYTES_MAX: usize = 2048;
/// And of everything else that a client chooses.
const WORD_BYTES_MAX: usize = 512;

/// Writes lines. It keeps the words of the current second, which most lines share.
#[derive(Debug, Clone)]
pub struct LineWriter {
    format: AccessLogFormat,
    client: ClientShown,
    second: u64,
    second_text: Vec<u8>,
}

impl LineWriter {
    /// Of lines that look so.
    pub fn new(format: AccessLogFormat, client: ClientShown) -> Self {
        LineWriter { format, client, second: u64::MAX, second_text: Vec::with_capacity(32) }
    }

    /// Appends the line of a request, and its end.
    pub fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        self.turn_to(record.at);
        let mut fields = Fields { json: self.format == AccessLogFormat::Json, begun: false, out };
        fields.time(&self.second_text, record.at);
        fields.word("listener", record.listener);
        fields.word("region", record.region);
        self.write_client(record, &mut fields);
        write_request(record, &mut fields);
        write_response(record, &mut fields);
        write_phases(record, &mut fields);
        fields.some_word("request_id", Some(record.request_id).filter(|id| !id.is_empty()));
        fields.some_word("tls", record.tls);
        if let Some(user_agent) = record.user_agent {
            fields.bytes("user_agent", user_agent, WORD_BYTES_MAX);
        }
        if let Some(referer) = record.referer {
            fields.bytes("referer", referer, TARGET_BYTES_MAX);
        }
        fields.end();
    }

    fn turn_to(&mut self, at: Moment) {
        if self.second != at.secs() {
            self.second = at.secs();
            self.second_text.clear();
            // Writing into memory does not fail, here and below.
            let _ = write!(self.second_text, "{}", Second(at));
        }
    }

    /// The peer is a client, too, unless it is another's proxy: of both no more is shown than may be.
    fn write_client(&self, record: &Record<'_>, fields: &mut Fields<'_>) {
        let Some(client) = shown(record.client, u8::MAX, self.client) else { return };
        fields.shown("client", client);
        match (self.client, shown(record.peer.ip(), u8::MAX, self.client)) {
            (ClientShown::Full, _) => fields.shown("peer", record.peer),
            (_, Some(peer)) if peer != client => fields.shown("peer", peer),
            _ => {}
        }
    }
}

fn write_request(record: &Record<'_>, fields: &mut Fields<'_>) {
    if let Some(flow) = record.flow {
        fields.word("protocol", flow);
        return fields.some_word("server_name", Some(record.host).filter(|name| !name.is_empty()));
    }
    fields.word("method", record.method);
    fields.word("host", record.host);
    fields.bytes("path", record.path.as_bytes(), TARGET_BYTES_MAX);
    if let Some(query) = record.query {
        fields.bytes("query", query.as_bytes(), TARGET_BYTES_MAX);
    }
    fields.word("version", version(record.version));
}

fn write_response(record: &Record<'_>, fields: &mut Fields<'_>) {
    if record.flow.is_none() {
        fields.number("status", record.status.into());
    }
    fields.number("bytes_in", record.bytes_in);
    fields.number("bytes_out", record.bytes_out);
    fields.some_word("route", record.route);
    fields.some_word("pool", record.pool);
    fields.some_word("sent_on_to", record.sent_on_to);
    if let Some(endpoint) = record.endpoint {
        fields.shown("endpoint", endpoint);
    }
    fields.number("attempts", record.attempts.into());
    fields.bytes("ended", &record.ended.chars(), WORD_BYTES_MAX);
    fields.some_word("refusal", record.refusal);
}

fn write_phases(record: &Record<'_>, fields: &mut Fields<'_>) {
    let phases = &record.phases;
    fields.millis("head_ms", Some(phases.head));
    fields.millis("queue_ms", phases.queue);
    fields.millis("connect_ms", phases.connect);
    fields.millis("response_ms", phases.response);
    fields.millis("total_ms", Some(phases.all));
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "other",
    }
}

/// A line in the making.
struct Fields<'b> {
    json: bool,
    begun: bool,
    out: &'b mut Vec<u8>,
}

impl Fields<'_> {
    /// The name of the next field, and what stands around it.
    fn name(&mut self, name: &str) {
        let begun = std::mem::replace(&mut self.begun, true);
        let (before, after): (&[u8], &[u8]) = match (self.json, begun) {
            (true, false) => (b"{\"", b"\":"),
            (true, true) => (b",\"", b"\":"),
            (false, false) => (b"", b"="),
            (false, true) => (b" ", b"="),
        };
        self.out.extend_from_slice(before);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(after);
    }

    fn end(self) {
        self.out.extend_from_slice(if self.json { b"}\n" } else { b"\n" });
    }

    fn time(&mut self, second: &[u8], at: Moment) {
        self.name("time");
        self.quote_in_json();
        self.out.extend_from_slice(second);
        self.out.push(b'.');
        digits(self.out, at.0 % 1_000_000, 6);
        self.out.push(b'Z');
        self.quote_in_json();
    }

    fn quote_in_json(&mut self) {
        if self.json {
            self.out.push(b'"');
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        digits(self.out, value, 1);
    }

    /// Milliseconds with three places; -1 for what never began.
    fn millis(&mut self, name: &str, took: Option<Duration>) {
        self.name(name);
        let Some(took) = took else { return self.out.extend_from_slice(b"-1") };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        digits(self.out, micros / 1000, 1);
        self.out.push(b'.');
        digits(self.out, micros % 1000, 3);
    }

    /// An address or a network, in which nothing needs quotes.
    fn shown(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        self.quote_in_json();
        let _ = write!(self.out, "{value}");
        self.quote_in_json();
    }

    fn word(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes(), WORD_BYTES_MAX);
    }

    fn some_word(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.word(name, value);
        }
    }

    /// Anything, as much of it as is written.
    fn bytes(&mut self, name: &str, value: &[u8], bytes_max: usize) {
        self.name(name);
        let kept = cut(value, bytes_max);
        if !self.json && kept.len() == value.len() && is_bare(value) {
            return self.out.extend_from_slice(value);
        }
        self.out.push(b'"');
        escape(kept, self.out);
        if kept.len() < value.len() {
            escape("…".as_bytes(), self.out);
        }
        self.out.push(b'"');
    }
}

/// The beginning of a value, up to the end of a character.
fn cut(value: &[u8], bytes_max: usize) -> &[u8] {
    if value.len() <= bytes_max {
        return value;
    }
    let continues = |at: usize| value[at] & 0xc0 == 0x80;
    // A character has three of those bytes at most; what has more is no text, and may be cut anywhere.
    let end = (bytes_max.saturating_sub(3)..=bytes_max).rev().find(|end| !continues(*end));
    &value[..end.unwrap_or(bytes_max)]
}

/// Whether a value needs no quotes in text.
fn is_bare(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| is_plain(*byte) && !matches!(byte, b' ' | b'='))
}

/// Whether a byte stands for itself between quotes.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

/// Appends what stands between quotes.
fn escape(mut value: &[u8], out: &mut Vec<u8>) {
    while !value.is_empty() {
        let plain = value.iter().position(|byte| !is_plain(*byte)).unwrap_or(value.len());
        out.extend_from_slice(&value[..plain]);
        value = escape_first(&value[plain..], out);
    }
}

/// Appends the first character, escaped; what follows it.
fn escape_first<'v>(value: &'v [u8], out: &mut Vec<u8>) -> &'v [u8] {
    let Some(first) = value.first() else { return value };
    if matches!(first, b'"' | b'\\') {
        out.extend_from_slice(&[b'\\', *first]);
        return &value[1..];
    }
    // No character is longer than four bytes.
    let Some(chunk) = value[..value.len().min(4)].utf8_chunks().next() else { return &[] };
    let (character, bytes) = match chunk.valid().chars().next() {
        Some(character) => (character, character.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, chunk.invalid().len()),
    };
    for unit in character.encode_utf16(&mut [0; 2]) {
        let hex = |shift: u16| b"0123456789abcdef"[usize::from(*unit >> shift & 0xf)];
        out.extend_from_slice(&[b'\\', b'u', hex(12), hex(8), hex(4), hex(0)]);
    }
    &value[bytes..]
}

/// Appends a number of at least so many digits.
fn digits(out: &mut Vec<u8>, mut value: u64, least: usize) {
    let mut text = [b'0'; 20];
    let mut at = text.len();
    while value > 0 || at > text.len() - least {
        at -= 1;
        text[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
#[path = "access_line_tests.rs"]
mod tests;

/// A request as tests have it.
#[cfg(test)]
pub(super) mod samples {
    use super::*;
    use crate::proxy::record::Ended;
    use crate::proxy::record::Phases;

    /// One that went well.
    pub(in crate::proxy) fn record() -> Record<'static> {
        Record {
            at: Moment(1_795_380_538_000_042),
            listener: "edge-eu",
            region: "eu-west",
            route: Some("routes[2]"),
            pool: Some("eu-app"),
            sent_on_to: None,
            endpoint: Some("192.0.2.10:8080".parse().unwrap()),
            client: "203.0.113.7".parse().unwrap(),
            peer: "10.0.0.2:40312".parse().unwrap(),
            flow: None,
            method: "GET",
            host: "www.example.com",
            path: "/a/b",
            query: Some("q=1&r=%20"),
            version: Version::HTTP_11,
            status: 200,
            request_id: "01J-7",
            bytes_in: 412,
            bytes_out: 5120,
            phases: Phases {
                head: Duration::from_micros(21),
                queue: None,
                connect: Some(Duration::ZERO),
                response: Some(Duration::from_micros(12_345)),
                all: Duration::from_millis(13),
            },
            ended: Ended::WELL,
            attempts: 1,
            refusal: None,
            user_agent: Some(b"curl/8.5.0 (x86)"),
            referer: None,
            tls: Some("TLSv1.3"),
        }
    }
}
