//! An origin over HTTP/2 that answers as told, well or badly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use h2::Reason;
use http::Response;
use tokio::io::AsyncReadExt;

/// What it says to a request.
#[derive(Debug, Clone)]
pub struct Says {
    pub status: u16,
    /// The length it claims.
    pub length: Option<u64>,
    pub body: Bytes,
    pub end: End,
}

/// How it ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    Well,
    Reset(Reason),
    /// Not a word, not even a head.
    Silence,
}

/// A response with its body.
pub fn says(status: u16, body: impl AsRef<[u8]>) -> Says {
    Says { status, length: None, body: Bytes::copy_from_slice(body.as_ref()), end: End::Well }
}

/// One that runs; its thread ends with the test.
pub struct H2Origin {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl H2Origin {
    /// One that answers each request as told by its connection's number and its path; so many bytes come before HTTP/2.
    pub fn start(before: usize, answer: impl Fn(usize, &str) -> Says + Send + Sync + 'static) -> H2Origin {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let origin = H2Origin { address, connections: Arc::default(), ended: Arc::default() };
        let (connections, ended, answer) = (origin.connections.clone(), origin.ended.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((mut stream, _)) = listener.accept().await {
                    let number = connections.fetch_add(1, Ordering::SeqCst);
                    let (ended, answer) = (ended.clone(), answer.clone());
                    tokio::spawn(async move {
                        let _ = stream.read_exact(&mut vec![0; before]).await;
                        serve(stream, number, &*answer).await;
                        ended.fetch_add(1, Ordering::SeqCst);
                    });
                }
            });
        });
        origin
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many of them are over.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

async fn serve(stream: tokio::net::TcpStream, number: usize, answer: &(impl Fn(usize, &str) -> Says + ?Sized)) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    // Whoever is told nothing waits.
    let mut silent = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let said = answer(number, request.uri().path());
        if matches!(said.end, End::Silence) {
            silent.push((request, respond));
            continue;
        }
        let mut head = Response::builder().status(said.status);
        if let Some(length) = said.length {
            head = head.header("content-length", length);
        }
        let Ok(mut sender) = respond.send_response(head.body(()).unwrap(), false) else { continue };
        let is_well = matches!(said.end, End::Well);
        let _ = sender.send_data(said.body, is_well);
        if let End::Reset(reason) = said.end {
            // Behind the data, not in their place.
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                sender.send_reset(reason);
            });
        }
    }
}
