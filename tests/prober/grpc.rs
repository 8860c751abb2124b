//! Calls of gRPC's health service.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use hyper::{HeaderMap, Request, Response};
use rhumb::health::probe::ReasonCode;
use rhumb::health::target::Target;
use rhumb::model::{CheckKind, TlsTrust};

use crate::common::{Running, free_address, skipped};
use crate::http::https_server;
use crate::{ask, found, impatient, nobody, server, target};

fn grpc(address: SocketAddr, service: &str) -> Target {
    target(address, CheckKind::Grpc { tls: None, service: service.to_owned(), host: None }, 5000)
}

/// What a server saw of one call.
#[derive(Debug)]
struct Seen {
    head: Request<()>,
    body: Vec<u8>,
}

type Respond = fn(&mut SendResponse<Bytes>) -> Result<(), h2::Error>;

/// Answers each call with `respond`, one on each connection; tells the calls.
fn answering(respond: Respond) -> (SocketAddr, Receiver<Seen>) {
    let (tell, told) = channel();
    let (tell_address, address) = channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell_address.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tell = tell.clone();
                tokio::spawn(async move { drop(serve(stream, respond, tell).await) });
            }
        });
    });
    (address.recv().unwrap(), told)
}

async fn serve(
    stream: tokio::net::TcpStream,
    respond: Respond,
    tell: std::sync::mpsc::Sender<Seen>,
) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(call) = connection.accept().await {
        let (request, mut reply) = call?;
        let tell = tell.clone();
        tokio::spawn(async move {
            let (head, mut incoming) = request.into_parts();
            let mut body = Vec::new();
            while let Some(Ok(chunk)) = incoming.data().await {
                body.extend_from_slice(&chunk);
            }
            let _ = tell.send(Seen { head: Request::from_parts(head, ()), body });
            respond(&mut reply)
        });
    }
    Ok(())
}

fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc+proto").body(()).unwrap()
}

fn with_message(reply: &mut SendResponse<Bytes>, message: &'static [u8], status: &str) -> Result<(), h2::Error> {
    let mut out = reply.send_response(head(), false)?;
    // In two frames, as a server may.
    let (first, second) = message.split_at(message.len() / 2);
    out.send_data(Bytes::from_static(first), false)?;
    out.send_data(Bytes::from_static(second), false)?;
    out.send_trailers(HeaderMap::from_iter([(
        hyper::header::HeaderName::from_static("grpc-status"),
        status.parse().unwrap(),
    )]))
}

#[test]
fn a_call_is_what_the_protocol_says() {
    let (address, calls) = answering(|reply| with_message(reply, &[0, 0, 0, 0, 2, 8, 1], "0"));
    assert_eq!(found(&ask(grpc(address, "shop.Cart"))), (ReasonCode::L7Ok, "SERVING"));
    let Seen { head, body } = calls.recv().unwrap();
    assert_eq!((head.method().as_str(), head.uri().path()), ("POST", "/grpc.health.v1.Health/Check"));
    assert_eq!(head.uri().authority().unwrap().as_str(), address.to_string());
    assert_eq!(
        (&head.headers()["content-type"], &head.headers()["te"]),
        (&"application/grpc".parse().unwrap(), &"trailers".parse().unwrap())
    );
    assert_eq!(head.headers()["grpc-timeout"], "5000m");
    assert_eq!(body, [&[0, 0, 0, 0, 11][..], b"\n\tshop.Cart"].concat());
    let named = CheckKind::Grpc { tls: None, service: String::new(), host: Some("cart.example.com".to_owned()) };
    assert!(ask(target(address, named, 5000)).passed);
    let Seen { head, body } = calls.recv().unwrap();
    assert_eq!(head.uri().authority().unwrap().as_str(), "cart.example.com");
    assert_eq!(body, [0; 5]);
}

#[test]
fn what_is_not_serving_does_not_pass() {
    let cases: [(Respond, ReasonCode, &str); 8] = [
        (|reply| with_message(reply, &[0, 0, 0, 0, 2, 8, 2], "0"), ReasonCode::L7Sts, "NOT_SERVING"),
        (|reply| with_message(reply, &[0, 0, 0, 0, 0], "0"), ReasonCode::L7Sts, "UNKNOWN"),
        // Trailers that disagree with the message win.
        (|reply| with_message(reply, &[0, 0, 0, 0, 2, 8, 1], "14"), ReasonCode::L7Sts, "grpc-status 14 UNAVAILABLE"),
        (|reply| with_message(reply, b"junk", "0"), ReasonCode::L7Rsp, "no message in the response"),
        (
            |reply| {
                let mut head = head();
                head.headers_mut().insert("grpc-status", "12".parse().unwrap());
                head.headers_mut().insert("grpc-message", "unknown%20service".parse().unwrap());
                reply.send_response(head, true).map(drop)
            },
            ReasonCode::L7Sts,
            "grpc-status 12 UNIMPLEMENTED: unknown service",
        ),
        (
            |reply| reply.send_response(Response::builder().status(404).body(()).unwrap(), true).map(drop),
            ReasonCode::L7Sts,
            "HTTP status 404",
        ),
        (
            |reply| {
                let head = Response::builder().header("content-type", "text/html").body(()).unwrap();
                reply.send_response(head, true).map(drop)
            },
            ReasonCode::L7Rsp,
            "an HTTP response that is not gRPC's",
        ),
        (
            |reply| {
                let mut out = reply.send_response(head(), false)?;
                out.send_data(Bytes::from_static(&[0; 2000]), true)
            },
            ReasonCode::L7Rsp,
            "a message of more than 1024 bytes",
        ),
    ];
    for (respond, reason, words) in cases {
        let (address, _calls) = answering(respond);
        assert_eq!(found(&ask(grpc(address, ""))), (reason, words));
    }
}

#[test]
fn a_stream_that_is_reset_and_a_server_that_is_silent_are_told_apart() {
    let (address, _calls) = answering(|reply| {
        reply.send_reset(h2::Reason::REFUSED_STREAM);
        Ok(())
    });
    let reset = ask(grpc(address, ""));
    assert_eq!(reset.reason, ReasonCode::L7Rsp);
    assert!(reset.detail.starts_with("the server ended the stream"), "{reset}");
    // The response is not dropped, which would reset the stream.
    let (address, _calls) = answering(|reply| reply.send_response(head(), false).map(std::mem::forget));
    assert_eq!(ask(impatient(grpc(address, ""))).reason, ReasonCode::L7Tout);
    assert_eq!(found(&ask(grpc(nobody(), ""))), (ReasonCode::L4Con, "connection refused"));
}

#[test]
fn what_does_not_speak_http_2_is_no_answer() {
    for reply in [&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], b"", b"SSH-2.0-OpenSSH_9.2\r\n"] {
        let address = server(move |mut stream| {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(reply);
        });
        let result = ask(grpc(address, ""));
        assert_eq!(result.reason, ReasonCode::L7Rsp, "{result}");
        assert!(!result.detail.is_empty());
    }
}

#[test]
fn over_tls_the_server_must_take_http_2() {
    let dir = tempfile::tempdir().unwrap();
    let (address, ca_file, _names) = https_server(dir.path());
    let trust = TlsTrust { verify: true, ca_file: Some(ca_file) };
    let kind = CheckKind::Grpc { tls: Some(trust), service: String::new(), host: Some("www.example.com".to_owned()) };
    let result = ask(target(address, kind, 5000));
    assert_eq!(result.reason, ReasonCode::L6Rsp);
    assert!(result.detail.contains("ALPN h2"), "{result}");
}

/// gRPC's own server, with protobuf's own messages: SERVING for "" and `up`, NOT_SERVING for `down`, else NOT_FOUND.
/// With a certificate in the folder given, over TLS.
const GRPCIO: &str = r#"
import sys
from concurrent import futures
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
file = descriptor_pb2.FileDescriptorProto(name="health.proto", package="grpc.health.v1", syntax="proto3")
request = file.message_type.add(name="HealthCheckRequest")
request.field.add(name="service", number=1, type=9, label=1)
response = file.message_type.add(name="HealthCheckResponse")
kinds = response.enum_type.add(name="ServingStatus")
for number, name in enumerate(["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]):
    kinds.value.add(name=name, number=number)
response.field.add(name="status", number=1, type=14, label=1, type_name=".grpc.health.v1.HealthCheckResponse.ServingStatus")
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
prototype = message_factory.MessageFactory(pool).GetPrototype
Request = prototype(pool.FindMessageTypeByName("grpc.health.v1.HealthCheckRequest"))
Reply = prototype(pool.FindMessageTypeByName("grpc.health.v1.HealthCheckResponse"))
def check(asked, context):
    if asked.service not in ("", "up", "down"):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return Reply(status=2 if asked.service == "down" else 1)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
method = grpc.unary_unary_rpc_method_handler(check, Request.FromString, Reply.SerializeToString)
if sys.argv[1] != "without":
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),))
if sys.argv[1] == "tls":
    pair = (open("key.pem", "rb").read(), open("cert.pem", "rb").read())
    port = server.add_secure_port(sys.argv[2], grpc.ssl_server_credentials([pair]))
else:
    port = server.add_insecure_port(sys.argv[2])
assert port != 0
server.start()
print("ready", flush=True)
server.wait_for_termination()
"#;

fn grpcio(dir: &std::path::Path, how: &str) -> Option<(SocketAddr, Running)> {
    // Debian's own: another Python in the PATH has other packages.
    let python = PathBuf::from("/usr/bin/python3");
    let has = |python: &PathBuf| {
        let import = Command::new(python).args(["-c", "import grpc, google.protobuf"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    if !has(&python) {
        skipped("python3-grpcio is not installed");
        return None;
    }
    let address = free_address();
    let mut command = Command::new(python);
    command.args(["-c", GRPCIO, how, &address.to_string()]).current_dir(dir);
    let mut process = Running::start(command, &format!("grpcio-{how}"), dir);
    let log = dir.join(format!("grpcio-{how}.log"));
    process.wait_until(|| std::fs::read_to_string(&log).is_ok_and(|said| said.contains("ready")));
    Some((address, process))
}

#[test]
fn grpc_s_own_server_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let Some((address, _process)) = grpcio(dir.path(), "plain") else { return };
    for (service, reason, words) in [
        ("", ReasonCode::L7Ok, "SERVING"),
        ("up", ReasonCode::L7Ok, "SERVING"),
        ("down", ReasonCode::L7Sts, "NOT_SERVING"),
        ("other", ReasonCode::L7Sts, "grpc-status 5 NOT_FOUND: no such service"),
    ] {
        assert_eq!(found(&ask(grpc(address, service))), (reason, words));
    }
    let Some((without, _process)) = grpcio(dir.path(), "without") else { return };
    let result = ask(grpc(without, ""));
    assert_eq!(result.reason, ReasonCode::L7Sts);
    assert!(result.detail.starts_with("grpc-status 12 UNIMPLEMENTED"), "{result}");
}

#[test]
fn grpc_s_own_server_agrees_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap();
    let cert = dir.path().join("cert.pem");
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let Some((address, _process)) = grpcio(dir.path(), "tls") else { return };
    let call = |host: &str, verify: bool| {
        let trust = TlsTrust { verify, ca_file: verify.then(|| cert.clone()) };
        let kind = CheckKind::Grpc { tls: Some(trust), service: "up".to_owned(), host: Some(host.to_owned()) };
        ask(target(address, kind, 5000))
    };
    assert_eq!(found(&call("www.example.com", true)), (ReasonCode::L7Ok, "SERVING"));
    assert_eq!(call("shop.example.com", true).reason, ReasonCode::L6Rsp);
    assert!(call("shop.example.com", false).passed);
}

#[test]
fn probes_leave_no_connection_behind() {
    let (tell, ended) = channel();
    let tell = std::sync::Mutex::new(tell);
    let address = server(move |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
        let _ = tell.lock().unwrap().send(());
    });
    assert_eq!(ask(impatient(grpc(address, ""))).reason, ReasonCode::L7Tout);
    ended.recv_timeout(Duration::from_secs(5)).expect("the connection ends with its probe");
}
