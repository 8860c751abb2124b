//! Floods of HTTP/2 frames, each known by a CVE: they end in ENHANCE_YOUR_CALM, or at least cost neither memory nor others.

use std::time::Duration;

use crate::floods::during;
use crate::floods::origin;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::h2;
use crate::kit::h2::CONTINUATION;
use crate::kit::h2::DATA;
use crate::kit::h2::END_HEADERS;
use crate::kit::h2::END_STREAM;
use crate::kit::h2::Fate;
use crate::kit::h2::Frame;
use crate::kit::h2::H2;
use crate::kit::h2::HEADERS;
use crate::kit::h2::PING;
use crate::kit::h2::RST_STREAM;
use crate::kit::h2::SETTINGS;
use crate::kit::h2::WINDOW_UPDATE;
use crate::kit::h2::block;
use crate::kit::now;
use crate::kit::peer;

/// No flood sends for longer.
const FLOOD: Duration = Duration::from_secs(2);
/// What any of them may cost.
const GROWN_KIB_MAX: u64 = 16 << 10;

/// Sends row after row of frames until the other side ends, refuses to read, or time is up; how many rows went out.
fn flood(client: &mut H2, mut row: impl FnMut(u32) -> Vec<u8>) -> u32 {
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let (begin, mut rows) = (now(), 0);
    while begin.elapsed() < FLOOD && client.write(&row(rows)) {
        rows += 1;
    }
    rows
}

/// The end of a flood that must not be let go on: with ENHANCE_YOUR_CALM, another error, or no word at all.
#[track_caller]
fn is_ended(client: &mut H2) {
    let fate = client.fate(u32::MAX >> 1);
    assert!(matches!(fate, Fate::GoneAway(1..) | Fate::Ended) || peer().is_some(), "{fate:?}");
    eprintln!("it ends with {fate:?}");
}

fn started() -> (crate::kit::origin::Origin, Edge) {
    let origin = origin();
    let edge = Setup::before(&origin).start_program();
    (origin, edge)
}

#[test]
fn rapid_resets() {
    // CVE-2023-44487.
    let (origin, edge) = started();
    let damage = during(&edge, || {
        let mut client = H2::connect(edge.address);
        let request = block(&h2::get("/reset"));
        let rows = flood(&mut client, |row| {
            let frames = (0..100).flat_map(|n| {
                let stream = (row * 100 + n) * 2 + 1;
                let headers = Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, request.clone());
                [headers.to_bytes(), Frame::new(RST_STREAM, 0, stream, 8_u32.to_be_bytes()).to_bytes()].concat()
            });
            frames.collect()
        });
        eprintln!("{} resets went out", rows * 100);
        is_ended(&mut client);
    });
    assert!(damage.grown_kib < GROWN_KIB_MAX, "{} KiB", damage.grown_kib);
    let came = origin.requests().iter().filter(|taken| taken.target() == "/reset").count();
    eprintln!("{came} of them reached the origin");
    assert!(came < 5_000 || peer().is_some(), "{came}");
}

#[test]
fn requests_that_we_are_made_to_reset() {
    // CVE-2025-8671: frames that make the server reset its streams.
    let (_origin, edge) = started();
    let damage = during(&edge, || {
        let mut client = H2::connect(edge.address);
        let request = block(&h2::get("/large"));
        flood(&mut client, |row| {
            let frames = (0..100).flat_map(|n| {
                let stream = (row * 100 + n) * 2 + 1;
                let headers = Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, request.clone());
                // A window update of nothing is the stream's error.
                [headers.to_bytes(), Frame::new(WINDOW_UPDATE, 0, stream, [0; 4]).to_bytes()].concat()
            });
            frames.collect()
        });
        is_ended(&mut client);
    });
    assert!(damage.grown_kib < GROWN_KIB_MAX, "{} KiB", damage.grown_kib);
}

#[test]
fn continuations_without_end() {
    // CVE-2024-27316 and its kin.
    let (origin, edge) = started();
    let damage = during(&edge, || {
        let mut client = H2::connect(edge.address);
        client.send(&Frame::new(HEADERS, END_STREAM, 1, block(&h2::get("/endless"))));
        let fields: Vec<String> = (0..100).map(|n| format!("x-{n}")).collect();
        let pairs: Vec<(&str, &str)> =
            fields.iter().map(|name| (name.as_str(), "0123456789012345678901234567890123456789")).collect();
        let frame = Frame::new(CONTINUATION, 0, 1, block(&pairs)).to_bytes();
        let rows = flood(&mut client, |_| frame.clone());
        eprintln!("{rows} went out");
        is_ended(&mut client);
    });
    assert!(damage.grown_kib < GROWN_KIB_MAX, "{} KiB", damage.grown_kib);
    assert!(origin.requests().iter().all(|taken| taken.target() != "/endless"));
}

#[test]
fn empty_continuations_without_end() {
    let (_origin, edge) = started();
    let damage = during(&edge, || {
        let mut client = H2::connect(edge.address);
        client.send(&Frame::new(HEADERS, END_STREAM, 1, block(&h2::get("/endless"))));
        flood(&mut client, |_| Frame::new(CONTINUATION, 0, 1, []).to_bytes().repeat(1000));
        is_ended(&mut client);
    });
    assert!(damage.grown_kib < GROWN_KIB_MAX, "{} KiB", damage.grown_kib);
}

#[test]
fn settings_pings_and_their_kin_whose_answers_nobody_reads() {
    // CVE-2019-9512, 9515 and 9518.
    for (what, frame) in [
        ("SETTINGS", Frame::new(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100])),
        ("empty SETTINGS", Frame::new(SETTINGS, 0, 0, [])),
        ("PING", Frame::new(PING, 0, 0, [7; 8])),
        ("WINDOW_UPDATE of closed streams", Frame::new(WINDOW_UPDATE, 0, 1, 1_u32.to_be_bytes())),
        ("PRIORITY", Frame::new(2, 0, 1, [0, 0, 0, 0, 1])),
        ("unknown frames", Frame::new(0xfa, 0, 0, [0; 16])),
    ] {
        let (_origin, edge) = started();
        let damage = during(&edge, || {
            let mut client = H2::connect(edge.address);
            client.request(1, &h2::get("/first"));
            assert_eq!(client.fate(1), Fate::Status(200));
            let row = frame.to_bytes().repeat(1000);
            let rows = flood(&mut client, |_| row.clone());
            eprintln!("{what}: {} went out", rows * 1000);
        });
        assert!(damage.grown_kib < GROWN_KIB_MAX, "{what}: {} KiB", damage.grown_kib);
    }
}

#[test]
fn data_frames_of_nothing() {
    // CVE-2019-9518.
    let (_origin, edge) = started();
    let damage = during(&edge, || {
        let mut client = H2::connect(edge.address);
        let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "www.example.com"), (":path", "/empty")];
        client.send(&Frame::new(HEADERS, END_HEADERS, 1, block(&fields)));
        flood(&mut client, |_| Frame::new(DATA, 0, 1, []).to_bytes().repeat(1000));
    });
    assert!(damage.grown_kib < GROWN_KIB_MAX, "{} KiB", damage.grown_kib);
}

#[test]
fn a_block_that_is_large_once_it_is_read() {
    // A value of 4 KiB is put into the table, and named by one byte 16,000 times: 64 MiB.
    let (origin, edge) = started();
    let mut bomb = block(&h2::get("/bomb"));
    bomb.push(0x40);
    h2::integer(&mut bomb, 0, 7, 1);
    bomb.push(b'x');
    h2::integer(&mut bomb, 0, 7, 4000);
    bomb.extend([b'y'; 4000]);
    let first = Frame::new(HEADERS, END_STREAM, 1, bomb).to_bytes();
    let damage = during(&edge, || {
        for _ in 0..20 {
            let mut client = H2::connect(edge.address);
            client.write(&first);
            client.send(&Frame::new(CONTINUATION, END_HEADERS, 1, [0xbe; 16_000]));
            let fate = client.fate(1);
            assert!(fate.is_refusal() || fate == Fate::Ended || peer().is_some(), "{fate:?}");
        }
    });
    assert!(damage.grown_kib < GROWN_KIB_MAX, "{} KiB", damage.grown_kib);
    assert!(origin.requests().iter().all(|taken| taken.target() != "/bomb"));
}

#[test]
fn windows_that_never_open() {
    // CVE-2019-9511 and 9517: a hundred responses of 8 MiB, and no window for any of them.
    let (_origin, edge) = started();
    let damage = during(&edge, || {
        let mut clients: Vec<H2> = (0..4).map(|_| H2::connect(edge.address)).collect();
        for client in &mut clients {
            client.send(&Frame::new(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0]));
            for stream in (1..200).step_by(2) {
                client.request(stream, &h2::get("/large"));
            }
        }
        std::thread::sleep(FLOOD);
    });
    assert!(damage.grown_kib < 400 * 256, "{} KiB for 400 streams", damage.grown_kib);
}
