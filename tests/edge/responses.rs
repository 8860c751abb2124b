//! Origins that answer badly: 502 to the client, nothing of it passed on, and that connection is not used again.

use std::time::Duration;

use crate::kit::Findings;
use crate::kit::client::Client;
use crate::kit::client::ask;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::fixed;
use crate::kit::origin::raw;

/// What a splitter hopes that the next client gets.
const SPLIT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

#[test]
fn heads_that_are_no_heads_are_bad_gateways() {
    let mut findings = Findings::default();
    for head in [
        &b"junk\r\n\r\n"[..],
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b" HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: y\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let case = head.escape_ascii().to_string();
        let answer = [head, SPLIT.as_bytes()].concat();
        let origin = Origin::start(move |request| match request.target().as_str() {
            "/bad" => vec![raw(&answer)],
            other => fixed(200, other),
        });
        let edge = Setup::before(&origin).routes("{ pool = \"origin\", retries = 0 }").start();
        let mut client = Client::connect(edge.address);
        let said = client.send(get("/bad")).response();
        findings.expect(&case, said.as_ref().is_ok_and(|said| said.status == 502), || format!("{said:?}"));
        // Whoever comes next gets an answer of his own, over a connection of its own.
        let mut next = Client::connect(edge.address);
        let said = next.send(get("/next")).response();
        findings.expect(&case, said.as_ref().is_ok_and(|said| said.text() == "/next"), || {
            format!("the next gets {said:?}")
        });
        let seen = origin.requests();
        let apart = matches!(&seen[..], [bad, next] if bad.connection != next.connection);
        findings.expect(&case, apart, || "the connection is used again".to_owned());
    }
    findings.end();
}

#[test]
fn bytes_after_a_response_are_nobody_s_response() {
    let origin = Origin::start(|request| match request.target().as_str() {
        "/split" => vec![raw([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", SPLIT.as_bytes()].concat())],
        "/204" => vec![raw(["HTTP/1.1 204 No Content\r\n\r\n", SPLIT].concat())],
        "/304" => vec![raw(["HTTP/1.1 304 Not Modified\r\n\r\n", SPLIT].concat())],
        "/chunked" => vec![raw(["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", SPLIT].concat())],
        other => fixed(200, other),
    });
    let edge = Setup::before(&origin).start();
    for target in ["/split", "/204", "/304", "/chunked"] {
        let mut client = Client::connect(edge.address);
        let said = client.send(get(target)).response().unwrap();
        assert!(!said.text().contains("evil"));
        assert_eq!(client.send(get("/next")).response().unwrap().text(), "/next", "after {target}");
        let seen = origin.requests();
        let [.., split, next] = &seen[..] else { panic!("two requests") };
        assert_ne!(split.connection, next.connection, "after {target}");
    }
    // The body of a response to HEAD.
    let mut client = Client::connect(edge.address);
    client.send("HEAD /split HTTP/1.1\r\nHost: www.example.com\r\n\r\n").response_to("HEAD").unwrap();
    assert_eq!(client.send(get("/next")).response().unwrap().text(), "/next", "after HEAD");
}

#[test]
fn a_response_that_is_cut_off_does_not_look_whole() {
    let mut findings = Findings::default();
    for (case, steps) in [
        ("a length", vec![raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Step::Close]),
        (
            "a length, reset",
            vec![
                raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
                Step::Wait(Duration::from_millis(50)),
                Step::Reset,
            ],
        ),
        ("chunks", vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), Step::Close]),
        ("inside a chunk", vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf"), Step::Close]),
        (
            "a bad chunk",
            vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\nmore\r\n0\r\n\r\n")],
        ),
        (
            "before trailers end",
            vec![raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX: y\r\n"), Step::Close],
        ),
    ] {
        let origin = Origin::start(move |_| steps.clone());
        let edge = Setup::before(&origin).routes("{ pool = \"origin\", retries = 0 }").start();
        let mut client = Client::connect(edge.address);
        let said = client.send(get("/")).response();
        let is_told = match &said {
            Ok(said) => said.status == 502,
            Err(why) => !why.contains("no more"),
        };
        findings.expect(case, is_told, || format!("{said:?}"));
    }
    findings.end();
}

#[test]
fn who_answers_nothing_is_a_bad_gateway() {
    let mut findings = Findings::default();
    for (case, steps) in [
        ("closed at once", vec![Step::Close]),
        ("reset at once", vec![Step::Reset]),
        ("closed in the head", vec![raw("HTTP/1.1 200 OK\r\nContent-Le"), Step::Close]),
        ("closed after a 100", vec![raw("HTTP/1.1 100 Continue\r\n\r\n"), Step::Close]),
    ] {
        let origin = Origin::start(move |_| steps.clone());
        let edge = Setup::before(&origin).routes("{ pool = \"origin\", retries = 0 }").start();
        let said = ask(edge.address, "POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 2\r\n\r\nhi");
        findings.expect(case, said.as_ref().is_ok_and(|said| said.status == 502), || format!("{said:?}"));
        findings.expect(case, origin.requests().len() == 1, || "a POST that was sent is not sent again".to_owned());
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let edge = Setup::to(&[nobody]).start();
    let said = ask(edge.address, get("/"));
    findings
        .expect("refused", said.as_ref().is_ok_and(|said| matches!(said.status, 502 | 503)), || format!("{said:?}"));
    findings.end();
}

#[test]
fn an_endless_head_or_row_of_interim_responses_ends() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    let many = "HTTP/1.1 200 OK\r\n".to_owned() + &"x: y\r\n".repeat(10_000) + "\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n".repeat(10_000) + SPLIT;
    let mut findings = Findings::default();
    for (case, answer) in [("a long line", long), ("many lines", many), ("many interim responses", interim)] {
        let origin = Origin::start(move |_| vec![raw(&answer)]);
        let edge = Setup::before(&origin).routes("{ pool = \"origin\", retries = 0 }").start();
        let said = ask(edge.address, get("/"));
        findings.expect(case, said.as_ref().is_ok_and(|said| said.status == 502), || {
            format!("{:.200}", format!("{said:?}"))
        });
    }
    findings.end();
}

#[test]
fn an_idempotent_request_goes_to_another_endpoint_and_no_other_does() {
    if only_for_rhumb() {
        return;
    }
    let (bad, good) = (Origin::start(|_| vec![Step::Reset]), Origin::plain());
    let edge = Setup::to(&[bad.address, good.address]).start();
    for n in 0..8 {
        let said = ask(edge.address, get(&format!("/{n}"))).unwrap();
        assert_eq!(said.text(), format!("/{n}"), "GET is tried again elsewhere");
    }
    let edge = Setup::to(&[bad.address]).start();
    let before = bad.requests().len();
    let said = ask(edge.address, "POST /p HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 2\r\n\r\nhi").unwrap();
    assert_eq!((said.status, bad.requests().len() - before), (502, 1));
}

#[test]
fn a_route_s_timeout_is_a_504() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::start(|_| vec![Step::Body, Step::Silence]);
    let edge = Setup::before(&origin).routes("{ pool = \"origin\", timeout = \"300ms\", retries = 0 }").start();
    assert_eq!(ask(edge.address, get("/")).unwrap().status, 504);
}

#[test]
fn a_body_that_the_connection_s_end_ends_does_not_look_whole_when_it_is_cut_off() {
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let origin = Origin::start(move |_| vec![raw(half), Step::Wait(Duration::from_millis(50)), Step::Close]);
    let edge = Setup::before(&origin).routes("{ pool = \"origin\", retries = 0 }").start();
    let mut client = Client::connect(edge.address);
    let said = client.send("GET / HTTP/1.0\r\nHost: www.example.com\r\n\r\n").response();
    assert!(said.as_ref().is_err_and(|why| why.contains("reset")), "{said:?}");
}

#[test]
fn an_endpoint_that_does_not_read_a_body_is_to_blame_for_it() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::start(|_| vec![Step::Silence, Step::Body]);
    let edge = Setup { body: Some(Duration::from_millis(500)), ..Setup::before(&origin) }.start();
    let mut client = Client::connect(edge.address);
    client.send("POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 33554432\r\n\r\n");
    client.send(vec![b'a'; 32 << 20]);
    let said = client.response();
    assert!(said.as_ref().is_ok_and(|said| said.status == 504), "{said:?}");
}

#[test]
fn interim_heads_are_for_one_hop_as_all_heads_are() {
    let hints =
        "HTTP/1.1 103 Early Hints\r\nConnection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nLink: </a>\r\n\r\n";
    let origin = Origin::start(move |_| [vec![raw(hints)], fixed(200, "final")].concat());
    let edge = Setup::before(&origin).start();
    let mut client = Client::connect(edge.address);
    let said = client.send(get("/")).head().unwrap();
    assert_eq!((said.status, said.headers.len(), said.header("link")), (103, 1, Some("</a>")), "{said:?}");
    assert_eq!(client.response().unwrap().text(), "final");
}

#[test]
fn who_is_answered_before_its_body_is_read_is_told_that_the_connection_ends() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::plain();
    let edge = Setup::before(&origin).routes("{ path = \"/none\", respond = { status = 403 } }").start();
    let head = "POST /none HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\n";
    let said = Client::connect(edge.address).send(head).response().unwrap();
    assert!(said.status == 403 && said.says_close(), "{said:?}");
    let mut client = Client::connect(edge.address);
    assert!(!client.send(head.to_owned() + "hello").response().unwrap().says_close(), "all of it was there");
    assert_eq!(client.send(get("/none")).response().unwrap().status, 403);
}

#[test]
fn waiting_in_the_queue_takes_nothing_from_the_time_of_the_endpoint() {
    if only_for_rhumb() {
        return;
    }
    let origin = Origin::start(|_| [vec![Step::Wait(Duration::from_millis(700))], fixed(200, "done")].concat());
    let edge = Setup { pool: "max_requests = 1\n".to_owned(), ..Setup::before(&origin) }
        .routes("{ pool = \"origin\", timeout = \"1200ms\", retries = 0 }")
        .start();
    let mut both: Vec<Client> = (0..2).map(|_| Client::connect(edge.address)).collect();
    both.iter_mut().for_each(|client| _ = client.send(get("/")));
    let said: Vec<u16> = both.iter_mut().map(|client| client.response().unwrap().status).collect();
    assert_eq!(said, [200, 200]);
}
