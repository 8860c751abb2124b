//! What a connection costs that does nothing.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::thread;

use allocation_counter::measure;
use rhumb::model::{Speaks, UpstreamTls};
use rhumb::proxy::tls::ServerTls;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use crate::{connect, echo, endpoint, upstream, write_pair};

/// Measured are 6.7 KiB, beside what the library of the algorithms takes for keys, which is not counted here.
const IDLE_BYTES_MAX: i64 = 10 * 1024;
const CONNECTIONS: i64 = 20;

/// Large enough to pass through every buffer.
const BODY: usize = 200_000;

/// Whether there is nothing to read at the moment.
async fn waits(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0; 1];
    poll_fn(|context| Poll::Ready(Pin::new(&mut *stream).poll_read(context, &mut ReadBuf::new(&mut byte)).is_pending()))
        .await
}

#[test]
fn an_idle_connection_is_small_however_much_went_over_it() {
    let dir = tempfile::tempdir().unwrap();
    let files = write_pair(dir.path(), "www", &["www.example.com"]);
    let tls = ServerTls::of(&[&files]).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let clients = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = endpoint(&UpstreamTls { verify: false, ..upstream(None, None) }, Speaks::Http1);
            let mut streams = Vec::new();
            for _ in 0..=CONNECTIONS {
                let mut stream = connect(address, &endpoint).await.unwrap();
                echo(&mut stream, &"x".repeat(BODY)).await;
                streams.push(stream);
            }
            streams
        })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(async { tokio::net::TcpListener::from_std(listener).unwrap() });
    let mut body = vec![0; BODY];
    let mut kept = Vec::with_capacity(CONNECTIONS as usize + 1);
    let mut accept = |count| {
        for _ in 0..count {
            runtime.block_on(async {
                let (stream, _) = listener.accept().await.unwrap();
                let mut accepted = Box::new(tls.accept(stream).await.unwrap());
                accepted.stream.read_exact(&mut body).await.unwrap();
                accepted.stream.write_all(&body).await.unwrap();
                accepted.stream.flush().await.unwrap();
                // As a server does that waits for the next request.
                assert!(waits(&mut accepted.stream).await);
                kept.push(accepted);
            });
        }
    };
    // The first fills what all share.
    accept(1);
    let bytes = measure(|| accept(CONNECTIONS)).bytes_current / CONNECTIONS;
    assert!(bytes <= IDLE_BYTES_MAX, "{bytes} bytes for each idle connection");
    println!("{bytes} bytes for each idle connection");
    drop(clients.join().unwrap());
}
