use proptest::prelude::*;
use serde_json::Value;

use super::samples::record;
use super::*;
use crate::proxy::record::Phases;

fn line(record: &Record<'_>, format: AccessLogFormat, client: ClientShown) -> String {
    let mut out = Vec::new();
    LineWriter::new(format, client).write(record, &mut out);
    String::from_utf8(out).expect("ASCII")
}

fn text(record: &Record<'_>) -> String {
    line(record, AccessLogFormat::Text, ClientShown::Full)
}

fn json(record: &Record<'_>) -> Value {
    serde_json::from_str(&line(record, AccessLogFormat::Json, ClientShown::Full)).expect("JSON")
}

#[test]
fn a_line_reads_as_the_documentation_shows() {
    assert_eq!(
        text(&record()),
        "time=2026-11-22T20:48:58.000042Z listener=edge-eu region=eu-west client=203.0.113.7 peer=10.0.0.2:40312 \
         method=GET host=www.example.com path=/a/b query=\"q=1&r=%20\" version=HTTP/1.1 status=200 bytes_in=412 \
         bytes_out=5120 route=routes[2] pool=eu-app endpoint=192.0.2.10:8080 attempts=1 ended=-- head_ms=0.021 \
         queue_ms=-1 connect_ms=0.000 response_ms=12.345 total_ms=13.000 request_id=01J-7 tls=TLSv1.3 \
         user_agent=\"curl/8.5.0 (x86)\"\n"
    );
    let json = json(&record());
    assert_eq!(json["time"], "2026-11-22T20:48:58.000042Z");
    assert_eq!((&json["status"], &json["response_ms"], &json["queue_ms"]), (&200.into(), &12.345.into(), &(-1).into()));
    assert_eq!((&json["query"], json.get("referer")), (&"q=1&r=%20".into(), None));
}

#[test]
fn what_may_not_be_known_of_a_client_is_not_written_of_its_peer() {
    let peer = record().peer;
    let direct = Record { client: peer.ip(), ..record() };
    let prefix = |record: &Record<'_>| line(record, AccessLogFormat::Text, ClientShown::Prefix);
    assert!(prefix(&direct).contains(" client=10.0.0.0/24 method="), "{}", prefix(&direct));
    assert!(prefix(&record()).contains(" client=203.0.113.0/24 peer=10.0.0.0/24 method="), "{}", prefix(&record()));
    let none = line(&direct, AccessLogFormat::Json, ClientShown::None);
    assert!(!none.contains("10.0.0") && !none.contains("client"), "{none}");
}

#[test]
fn nothing_a_client_sends_forges_a_field_a_line_or_a_colour() {
    let hostile = "/a status=200\r\ntime=1 \" ended=-- \u{1b}[31m\u{202e}\u{2028}\u{85}é😀";
    let text = text(&Record { path: hostile, ..record() });
    assert_eq!(text.matches('\n').count(), 1);
    assert!(text.is_ascii() && !text.contains('\r') && !text.contains('\u{1b}'), "{text}");
    let path = r#"path="/a status=200\u000d\u000atime=1 \" ended=-- \u001b[31m\u202e\u2028\u0085\u00e9\ud83d\ude00""#;
    assert!(text.contains(path), "{text}");
    let line = json(&Record { path: hostile, ..record() });
    assert_eq!(line["path"], hostile);
    assert_eq!(line["status"], 200);
}

#[test]
fn long_values_are_cut_at_a_character() {
    for length in TARGET_BYTES_MAX - 4..TARGET_BYTES_MAX + 5 {
        let path = "/".to_owned() + &"é".repeat(length / 2) + if length % 2 == 0 { "x" } else { "" };
        let written = json(&Record { path: &path, ..record() })["path"].as_str().unwrap().to_owned();
        match path.len() <= TARGET_BYTES_MAX {
            true => assert_eq!(written, path),
            false => {
                let kept = written.strip_suffix('…').unwrap();
                assert!(path.starts_with(kept) && kept.len() > TARGET_BYTES_MAX - 4, "{length}");
            }
        }
    }
    let rubbish = vec![0x80; 2 * WORD_BYTES_MAX];
    let written = json(&Record { user_agent: Some(&rubbish), ..record() });
    assert_eq!(written["user_agent"].as_str().unwrap().chars().count(), WORD_BYTES_MAX + 1);
}

#[test]
fn what_never_began_took_minus_one() {
    let phases = Phases { head: Duration::from_secs(15), all: Duration::from_secs(15), ..Phases::default() };
    let record = Record { phases, status: 0, route: None, pool: None, endpoint: None, method: "", ..record() };
    let text = text(&record);
    assert!(text.contains(" head_ms=15000.000 queue_ms=-1 connect_ms=-1 response_ms=-1 total_ms=15000.000 "), "{text}");
    assert!(text.contains(" method=\"\" ") && !text.contains("route=") && !text.contains("endpoint="), "{text}");
}

/// Reads a line as its documentation says it is to be read: names and values, those in quotes as JSON.
fn split(line: &str) -> Vec<(String, String)> {
    let mut rest = line.strip_suffix('\n').expect("an end");
    let mut fields = Vec::new();
    loop {
        let (name, after) = rest.split_once('=').expect("name=");
        assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')), "{name}");
        let (value, after) = if after.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(after).into_iter::<String>();
            let value = values.next().unwrap().unwrap();
            (value, &after[values.byte_offset()..])
        } else {
            let end = after.find(' ').unwrap_or(after.len());
            assert!(end > 0 && !after[..end].contains(['"', '=', '\\']), "{after}");
            (after[..end].to_owned(), &after[end..])
        };
        fields.push((name.to_owned(), value));
        match after.strip_prefix(' ') {
            Some(after) => rest = after,
            None if after.is_empty() => return fields,
            None => panic!("{after}"),
        }
    }
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,40}",
        prop::collection::vec(any::<char>(), 0..40).prop_map(|chars| chars.into_iter().collect()),
        r#"[\\"= \n\r\t\x00\x7f]{0,40}"#,
    ]
}

fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        // Beginnings and rests of characters.
        prop::collection::vec(prop_oneof![Just(0x22), Just(0x5c), 0x7e_u8..=0xff], 0..80),
        hostile_text().prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn whatever_is_sent_is_read_back_from_both_formats(
        texts in prop::collection::vec(hostile_text(), 5),
        bytes in prop::collection::vec(hostile_bytes(), 2),
        (status, micros) in (any::<u16>(), any::<u64>()),
    ) {
        let record = Record {
            method: &texts[0],
            host: &texts[1],
            path: &texts[2],
            query: Some(&texts[3]),
            request_id: &texts[4],
            user_agent: Some(&bytes[0]),
            referer: Some(&bytes[1]),
            status,
            bytes_in: micros,
            phases: Phases { connect: Some(Duration::from_micros(micros)), ..Phases::default() },
            ..record()
        };
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut sent = vec![
            ("method", texts[0].clone()),
            ("host", texts[1].clone()),
            ("path", texts[2].clone()),
            ("query", texts[3].clone()),
            ("user_agent", lossy(&bytes[0])),
            ("referer", lossy(&bytes[1])),
        ];
        if !texts[4].is_empty() {
            sent.push(("request_id", texts[4].clone()));
        }
        let text = text(&record);
        prop_assert_eq!(text.matches('\n').count(), 1);
        let fields = split(&text);
        let json_line = line(&record, AccessLogFormat::Json, ClientShown::Full);
        prop_assert_eq!(json_line.matches('\n').count(), 1);
        let json = json(&record);
        prop_assert_eq!(json.as_object().unwrap().len(), fields.len(), "no field more, none twice");
        for (name, value) in sent {
            prop_assert_eq!(&json[name], &value);
            prop_assert!(fields.contains(&(name.to_owned(), value)), "{}: {}", name, text);
        }
        for (name, value) in &fields {
            let in_json = match &json[name] {
                Value::String(value) => value.clone(),
                other => other.to_string(),
            };
            if !name.ends_with("_ms") {
                prop_assert_eq!(value, &in_json);
            }
        }
    }
}
