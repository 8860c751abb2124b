//! Where does a body end? A request that two programs could cut differently goes nowhere, and its connection ends.

use crate::kit::Findings;
use crate::kit::client::Client;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::origin::Origin;
use crate::kit::refused::refused_for_good;

/// A POST with these header lines, and what a smuggler would send after it.
fn post(lines: &str) -> String {
    format!(
        "POST /smuggle HTTP/1.1\r\nHost: www.example.com\r\n{lines}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    )
}

#[test]
fn encodings_other_than_one_chunked_are_refused() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for lines in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: chunk\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: chunked\x0b\r\n",
        "Transfer-Encoding: chunked\x0c\r\n",
        "Transfer-Encoding: \u{a0}chunked\r\n",
        "Transfer-Encoding: chunked\0\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding:\n chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Transfer-Encoding\x0b: chunked\r\n",
        "Transfer-Encoding\0: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "\tTransfer-Encoding: chunked\r\n",
        ": x\r\nTransfer-Encoding: chunked\r\n",
    ] {
        findings.note(&lines.escape_debug().to_string(), refused_for_good(&edge, &origin, post(lines), &[400]));
    }
    findings.end();
}

#[test]
fn lengths_that_are_no_plain_number_are_refused() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for value in [
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "5 5",
        "0x5",
        "5.0",
        "5e0",
        "five",
        "\"5\"",
        "",
        "5;",
        "5\u{0b}",
        "\u{0b}5",
        "18446744073709551621",
        "99999999999999999999999999",
        "5\0",
        "0,5",
        "5\t5",
        "٥",
    ] {
        findings.note(
            &value.escape_debug().to_string(),
            refused_for_good(&edge, &origin, post(&format!("Content-Length: {value}\r\n")), &[400]),
        );
    }
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\ncontent-length: 0\r\n",
        "Content-Length : 5\r\n",
        "Content-Length:\r\n 5\r\n",
        "Content_Length: 5\r\n",
        "Content-Length: 5\nX: y\r\n",
    ] {
        findings.note(&lines.escape_debug().to_string(), refused_for_good(&edge, &origin, post(lines), &[400]));
    }
    findings.end();
}

#[test]
fn a_length_beside_an_encoding_is_refused_in_either_order() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nX: y\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
        "transfer-encoding: CHUNKED\r\ncontent-length: 5\r\n",
    ] {
        findings.note(lines, refused_for_good(&edge, &origin, post(lines), &[400]));
    }
    let old = "POST / HTTP/1.0\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    findings.note("chunked in HTTP/1.0", refused_for_good(&edge, &origin, old, &[400]));
    findings.end();
}

#[test]
fn chunks_that_are_no_chunks_never_make_a_whole_request() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";x\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5;x\ny\r\nhello\r\n0\r\n\r\n",
        "5;x\ry\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
    ] {
        let head = "POST /chunks HTTP/1.1\r\nHost: www.example.com\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = Client::connect(edge.address);
        let said = client.send([head, chunks, &get("/smuggled")].concat()).response();
        let case = chunks.escape_debug().to_string();
        // The head may have been passed on before the chunk came: what counts is that no whole request was.
        findings.expect(&case, said.as_ref().is_ok_and(|said| said.status == 400), || format!("{said:?}"));
        findings.expect(&case, client.ends(), || "the connection is not ended".to_owned());
    }
    let whole: Vec<_> =
        origin.requests().into_iter().filter(|taken| taken.is_whole).map(|taken| taken.line()).collect();
    findings.expect("the origin", whole.is_empty(), || format!("{whole:?}"));
    findings.end();
}

#[test]
fn what_is_framed_well_is_framed_anew() {
    let origin = Origin::plain();
    let edge = Setup::before(&origin).start();
    let mut findings = Findings::default();
    let mut client = Client::connect(edge.address);
    let chunked = "POST /a HTTP/1.1\r\nHost: www.example.com\r\ntransfer-encoding:  Chunked \r\n\r\n";
    client.send([chunked, "00005;ext=1\r\nhello\r\n3;a=\"b\"\r\nyou\r\n000\r\n\r\n"].concat());
    assert_eq!(client.response().unwrap().status, 200);
    let taken = origin.last();
    assert_eq!((taken.body.as_slice(), taken.trailers.as_slice()), (&b"helloyou"[..], &b""[..]));
    let wire = String::from_utf8_lossy(&origin.wire()).into_owned();
    findings.expect("extensions", !wire.contains("ext=1"), || "they reach the origin".to_owned());
    client.send("POST /b HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 0005\r\n\r\nhello");
    assert_eq!(client.response().unwrap().status, 200);
    let taken = origin.last();
    assert_eq!(taken.body, b"hello");
    let length = taken.header("content-length");
    findings.expect("a length", length.as_deref() == Some("5"), || format!("{length:?}"));
    findings.end();
}
