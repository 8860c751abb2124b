//! Programs that people use: curl, Python's clients, and load generators, which must see no error.

use std::path::Path;
use std::process::Command;

use crate::common::program;
use crate::common::skipped;
use crate::kit::Draw;
use crate::kit::edge::Edge;
use crate::kit::edge::Setup;
use crate::kit::origin::Origin;
use crate::kit::origin::Taken;
use crate::kit::origin::chunked;
use crate::kit::origin::fixed;
use crate::kit::origin::raw;

/// 300,000 bytes at `/file`, with ranges; anything else is told what it sent.
fn origin() -> Origin {
    let file = Draw(3).bytes(300_000);
    Origin::start(move |request: &Taken| match (request.target().as_str(), request.header("range")) {
        ("/file", None) => fixed(200, &file),
        ("/file", Some(range)) => {
            let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            let part = &file[first..=last];
            let head = format!(
                "HTTP/1.1 206 Partial\r\nContent-Range: bytes {first}-{last}/300000\r\nContent-Length: {}\r\n\r\n",
                part.len()
            );
            vec![raw(head), raw(part)]
        }
        ("/chunked", _) => chunked(&[b"hello ", b"you"], ""),
        (target, _) => fixed(200, target),
    })
}

fn said(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let failed = || String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {} {}", output.status, failed());
    output.stdout
}

/// curl and the arguments that every call has.
fn curl(edge: &Edge, args: &[&str], target: &str) -> Option<Vec<u8>> {
    let Some(curl) = program("curl") else {
        skipped("curl is not installed");
        return None;
    };
    let scheme = if args.contains(&"--cacert") { "https" } else { "http" };
    let mut command = Command::new(curl);
    let at = format!("www.example.com:{}:127.0.0.1", edge.address.port());
    command.args(["-sS", "--max-time", "20", "--fail", "--noproxy", "*", "--resolve", &at]).args(args);
    command.arg(format!("{scheme}://www.example.com:{}{target}", edge.address.port()));
    Some(said(command))
}

fn curls(edge: &Edge, origin: &Origin, args: &[&str], version: &str) -> Option<()> {
    let file = Draw(3).bytes(300_000);
    let with = |more: &[&str], target: &str| curl(edge, &[args, more].concat(), target);
    assert!(with(&[], "/file")? == file);
    assert!(with(&["-r", "1000-1999"], "/file")? == file[1000..2000]);
    assert_eq!(with(&[], "/chunked")?, b"hello you");
    assert!(String::from_utf8_lossy(&with(&["-I"], "/file")?).to_ascii_lowercase().contains("content-length: 300000"));
    assert_eq!(with(&["-o", "/dev/null", "-w", "%{http_version}"], "/file")?, version.as_bytes());
    let upload = edge.dir().join("upload");
    std::fs::write(&upload, &file).unwrap();
    let upload = upload.to_str().unwrap();
    with(&["-T", upload], "/put")?;
    assert!(origin.last().body == file);
    with(&["-T", upload, "-H", "Transfer-Encoding: chunked"], "/chunks")?;
    assert!(origin.last().body == file);
    with(&["-F", &format!("file=@{upload}")], "/form")?;
    assert!(origin.last().body.len() > file.len());
    with(&["--data-binary", "@/dev/null"], "/empty")?;
    // curl 7.88 sends a second preface on a connection that it uses again.
    if !args.contains(&"--http2-prior-knowledge") {
        let scheme = if args.contains(&"--cacert") { "https" } else { "http" };
        let urls: Vec<String> =
            (0..10).map(|n| format!("{scheme}://www.example.com:{}/{n}", edge.address.port())).collect();
        let many: Vec<&str> = urls.iter().flat_map(|url| ["-o", "/dev/null", url]).collect();
        with(&[&["-o", "/dev/null"], &many[..]].concat(), "/last")?;
    }
    Some(())
}

#[test]
fn curl_over_http_1() {
    let origin = origin();
    let edge = Setup::before(&origin).start();
    let _ = curls(&edge, &origin, &[], "1.1");
    let _ = curl(&edge, &["--http1.0"], "/old");
    let _ = curl(&edge, &["--http2"], "/offer");
}

#[test]
fn curl_over_http_2() {
    let origin = origin();
    let edge = Setup::before(&origin).start();
    let _ = curls(&edge, &origin, &["--http2-prior-knowledge"], "2");
}

#[test]
fn curl_over_tls() {
    let origin = origin();
    let edge = Setup { tls: true, ..Setup::before(&origin) }.start();
    let certificate = edge.certificate().to_str().unwrap().to_owned();
    let _ = curls(&edge, &origin, &["--cacert", &certificate], "2");
    let _ = curls(&edge, &origin, &["--cacert", &certificate, "--http1.1"], "1.1");
    for version in ["1.2", "1.3"] {
        let _ = curl(&edge, &["--cacert", &certificate, &format!("--tlsv{version}"), "--tls-max", version], "/tls");
    }
}

const PYTHON: &str = r#"
import http.client, sys, urllib.request
port = int(sys.argv[1])
c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
for n in range(20):
    c.request("GET", "/%d" % n)
    r = c.getresponse()
    assert (r.status, r.read()) == (200, b"/%d" % n)
c.request("POST", "/post", body=iter([b"one", b"two"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
r = c.getresponse()
assert r.status == 200 and r.read() == b"/post"
c.request("HEAD", "/file")
r = c.getresponse()
assert r.status == 200 and r.read() == b"" and r.getheader("content-length") == "300000"
assert urllib.request.urlopen("http://127.0.0.1:%d/file" % port, timeout=10).read() == open(sys.argv[2], "rb").read()
try:
    import requests
except ImportError:
    print("no requests")
    sys.exit()
s = requests.Session()
s.trust_env = False
url = "http://127.0.0.1:%d" % port
for n in range(20):
    assert s.get(url + "/r%d" % n, timeout=10).text == "/r%d" % n
assert s.put(url + "/put", data=b"x" * 100000, timeout=10).status_code == 200
assert s.post(url + "/gen", data=(b"y" * 1000 for _ in range(50)), timeout=10).status_code == 200
assert s.post(url + "/files", files={"f": b"z" * 5000}, timeout=10).status_code == 200
assert s.get(url + "/file", timeout=10, stream=True).raw.read(1000) == open(sys.argv[2], "rb").read()[:1000]
"#;

#[test]
fn python_s_clients() {
    let python = Path::new("/usr/bin/python3");
    if !python.exists() {
        return skipped("python3 is not installed");
    }
    let origin = origin();
    let edge = Setup::before(&origin).start();
    let file = edge.dir().join("file");
    std::fs::write(&file, Draw(3).bytes(300_000)).unwrap();
    let mut command = Command::new(python);
    command.args(["-c", PYTHON, &edge.address.port().to_string()]).arg(&file);
    if said(command).starts_with(b"no requests") {
        skipped("python3-requests is not installed");
    }
    assert!(origin.requests().iter().any(|taken| taken.body == b"onetwo"));
    assert!(origin.requests().iter().any(|taken| taken.body == b"y".repeat(50_000)));
}

/// A generator's report; none when it is not installed.
fn report(name: &str, args: &[&str]) -> Option<String> {
    let Some(path) = program(name) else {
        skipped(&format!("{name} is not installed"));
        return None;
    };
    let mut command = Command::new(path);
    command.args(args);
    Some(String::from_utf8_lossy(&said(command)).into_owned())
}

#[test]
fn load_generators_see_no_error() {
    let origin = origin();
    let edge = Setup::before(&origin).start();
    let url = format!("http://{}/file", edge.address);
    if let Some(said) = report("wrk", &["-t2", "-c50", "-d2s", "--timeout", "10s", &url]) {
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    }
    let small = format!("http://{}/small", edge.address);
    for more in [&["--h1"][..], &["-m10"]] {
        if let Some(said) = report("h2load", &[&["-n3000", "-c20"], more, &[&small]].concat()) {
            assert!(said.contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
        }
    }
    if let Some(said) = report("hey", &["-n", "2000", "-c", "50", &small]) {
        assert!(said.contains("[200]\t2000 responses") && !said.contains("Error distribution"), "{said}");
    }
    if let Some(said) = report("hey", &["-n", "500", "-c", "20", "-disable-keepalive", &small]) {
        assert!(said.contains("[200]\t500 responses") && !said.contains("Error distribution"), "{said}");
    }
}
