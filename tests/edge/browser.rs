//! A real browser: Chromium loads a page through the proxy over HTTP/2 and TLS, fetches from it, posts to it, and speaks WebSocket.
//!
//! The page tells what it saw by asking for `/done`; nobody looks at pixels.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::common::Running;
use crate::common::poll;
use crate::common::program;
use crate::common::skipped;
use crate::kit::edge::Setup;
use crate::kit::edge::port;
use crate::kit::only_for_rhumb;
use crate::kit::origin::Origin;
use crate::kit::origin::Taken;
use crate::kit::origin::fixed;
use crate::kit::origin::raw;
use crate::websocket::accept;

/// A browser takes its time to start, on a machine that does other things.
const PATIENCE: Duration = Duration::from_secs(60);

const PAGE: &str = r#"<!doctype html><title>page</title><script>
(async () => {
  const said = [];
  try {
    const texts = await Promise.all([...Array(30).keys()].map(n => fetch('/n/' + n).then(r => r.text())));
    said.push('fetched ' + texts.filter((text, n) => text === '/n/' + n).length);
    const big = await fetch('/post', { method: 'POST', body: 'x'.repeat(200000) }).then(r => r.text());
    said.push('posted ' + big);
    said.push(await new Promise(done => {
      const ws = new WebSocket(location.origin.replace('http', 'ws') + '/ws');
      ws.onopen = () => ws.send('hello');
      ws.onmessage = event => { done('heard ' + event.data); ws.close(); };
      ws.onerror = () => done('no websocket');
    }));
    said.push(performance.getEntriesByType('navigation')[0].nextHopProtocol);
  } catch (error) { said.push(String(error)); }
  fetch('/done?' + encodeURIComponent(said.join(', ')));
})();
</script>"#;

fn page(request: &Taken) -> Vec<crate::kit::origin::Step> {
    match request.target().as_str() {
        "/" => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n", PAGE.len());
            vec![raw(head), raw(PAGE)]
        }
        target => fixed(200, target),
    }
}

/// Answers each text frame with the same text, as a server does: unmasked.
fn echoes() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_exact(&mut byte).ok()?;
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).ok()?;
                let key = head
                    .lines()
                    .find_map(|line| {
                        line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
                    })?
                    .1;
                let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
                stream.write_all(format!("{answer}Sec-WebSocket-Accept: {}\r\n\r\n", accept(key)).as_bytes()).ok()?;
                loop {
                    let mut start = [0; 6];
                    stream.read_exact(&mut start).ok()?;
                    let mut payload = vec![0; usize::from(start[1] & 0x7f)];
                    stream.read_exact(&mut payload).ok()?;
                    payload.iter_mut().zip(start[2..].iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
                    stream.write_all(&[&[start[0], payload.len() as u8][..], &payload].concat()).ok()?;
                }
                #[expect(unreachable_code, reason = "gives the closure its type")]
                Some(())
            });
        }
    });
    address
}

#[test]
fn chromium_loads_a_page_with_all_that_it_asks_for() {
    if only_for_rhumb() {
        return;
    }
    let Some(chromium) = program("chromium") else { return skipped("chromium is not installed") };
    let (origin, echoes) = (Origin::start(page), echoes());
    let edge = Setup { tls: true, ..Setup::to(&[origin.address]) }
        .section(&format!(
            "[pool.ws]\nregion = \"here\"\nendpoints = [{{ address = \"127.0.0.1\", port = {} }}]",
            echoes.port()
        ))
        .routes("{ path = \"/ws\", pool = \"ws\" }, { pool = \"origin\" }")
        .start();
    let mut command = Command::new(chromium);
    let profile = format!("--user-data-dir={}", edge.dir().join("profile").display());
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    command.args(["--ignore-certificate-errors", "--disable-background-networking", "--disable-component-update"]);
    command.args(["--host-resolver-rules=MAP www.example.com 127.0.0.1", "--no-proxy-server", &profile]);
    // An address of its own for whatever it may want to debug.
    command.arg(format!("--remote-debugging-port={}", port()));
    command.arg(format!("https://www.example.com:{}/", edge.address.port()));
    let browser = Running::start(command, "chromium", edge.dir());
    let done =
        || origin.requests().into_iter().map(|request| request.target()).find(|target| target.starts_with("/done"));
    let is_done = poll(PATIENCE, || done().is_some());
    assert!(is_done, "{}", browser.log());
    assert_eq!(done().unwrap(), "/done?fetched%2030%2C%20posted%20%2Fpost%2C%20heard%20hello%2C%20h2");
    let posted = origin.requests().into_iter().find(|request| request.target() == "/post").unwrap();
    assert!(posted.body == vec![b'x'; 200_000]);
}
