//! Clients that ask without end, and know when a request has failed: what a change may not do to them.

use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

use crate::kit::PATIENCE;
use crate::kit::client::Client;
use crate::kit::client::get;

/// Between two requests of a client: the machine has other things to do.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Told {
    stop: AtomicBool,
    answered: [AtomicU64; 3],
    failed: Mutex<Vec<String>>,
    addresses: Mutex<Vec<SocketAddr>>,
}

/// Clients that run.
pub struct Load {
    told: Arc<Told>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Two that keep their connections, one that makes a new one each time, and two over HTTP/2 with several streams.
    pub fn start(address: SocketAddr) -> Load {
        let told = Arc::new(Told { addresses: Mutex::new(vec![address]), ..Told::default() });
        let threads = (0..5).map(|n| {
            let told = told.clone();
            thread::spawn(move || match n {
                0 | 1 => keeping(&told),
                2 => fresh(&told),
                _ => over_h2(&told),
            })
        });
        Load { threads: threads.collect(), told }
    }

    /// Clients find the service there as well.
    pub fn also_at(&self, address: SocketAddr) {
        self.told.addresses.lock().unwrap().push(address);
    }

    /// Waits until every kind of client has been answered so many times more.
    #[track_caller]
    pub fn goes_on(&self, times: u64) {
        let counts = || self.told.answered.each_ref().map(|count| count.load(SeqCst));
        let before = counts();
        let all = || counts().iter().zip(before).all(|(now, before)| *now >= before + times);
        assert!(crate::common::poll(PATIENCE, all), "from {before:?} to {:?}: {:?}", counts(), self.told.failed);
    }

    /// No request has failed.
    #[track_caller]
    pub fn end(self) {
        self.told.stop.store(true, SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let failed = self.told.failed.lock().unwrap();
        let answered = self.told.answered.each_ref().map(|count| count.load(SeqCst));
        assert!(failed.is_empty(), "{} failed of {answered:?}: {:?}", failed.len(), &failed[..failed.len().min(5)]);
    }
}

impl Told {
    fn goes_on(&self) -> bool {
        !self.stop.load(SeqCst)
    }

    fn answered(&self, kind: usize, found: Result<(), String>) {
        match found {
            Ok(()) => _ = self.answered[kind].fetch_add(1, SeqCst),
            Err(why) => self.failed.lock().unwrap().push(why),
        }
        thread::sleep(PAUSE);
    }

    fn connect(&self) -> Result<TcpStream, String> {
        let addresses = self.addresses.lock().unwrap().clone();
        let connected = addresses.iter().find_map(|address| TcpStream::connect_timeout(address, PATIENCE).ok());
        connected.ok_or(format!("no connection to any of {addresses:?}"))
    }
}

fn one(client: &mut Client, target: &str) -> Result<bool, String> {
    let said = client.send(get(target)).response()?;
    match (said.status, said.text()) {
        (200, text) if text == target => Ok(said.says_close()),
        (status, text) => Err(format!("{status} {text}")),
    }
}

fn keeping(told: &Told) {
    while told.goes_on() {
        let mut client = match told.connect() {
            Ok(stream) => Client::over(stream),
            Err(why) => return told.answered(0, Err(why)),
        };
        let mut n = 0;
        while told.goes_on() {
            n += 1;
            let said = one(&mut client, &format!("/keeping/{n}"));
            let is_last = said != Ok(false);
            told.answered(0, said.map(drop).map_err(|why| format!("request {n} of a connection: {why}")));
            if is_last {
                break;
            }
        }
    }
}

fn fresh(told: &Told) {
    while told.goes_on() {
        let asked = told.connect().and_then(|stream| one(&mut Client::over(stream), "/fresh"));
        told.answered(1, asked.map(drop).map_err(|why| format!("a fresh connection: {why}")));
    }
}

fn over_h2(told: &Told) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    while told.goes_on() {
        let stream = match told.connect() {
            Ok(stream) => stream,
            Err(why) => return told.answered(2, Err(why)),
        };
        stream.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let shaken = h2::client::handshake(stream).await;
            let Ok((client, connection)) = shaken else { return told.answered(2, Err("no handshake".to_owned())) };
            let driven = tokio::spawn(connection);
            while told.goes_on() {
                // Told to go: another connection is made.
                let Ok(mut ready) = client.clone().ready().await else { break };
                let found = three(&mut ready).await;
                told.answered(2, found.map_err(|error| format!("over HTTP/2: {error}")));
            }
            drop(client);
            _ = tokio::time::timeout(PATIENCE, driven).await;
        });
    }
}

/// Three at once.
async fn three(client: &mut h2::client::SendRequest<Bytes>) -> Result<(), String> {
    let mut responses = Vec::new();
    for _ in 0..3 {
        let request = http::Request::get("http://www.example.com/over-h2").body(()).unwrap();
        // One that was not sent has not failed.
        let Ok((response, _)) = client.send_request(request, true) else { break };
        responses.push(response);
    }
    for response in responses {
        let response = match response.await {
            Ok(response) => response,
            // It went out when the last GOAWAY came in: it was not looked at, and may be sent again (RFC 9113 section 6.8).
            Err(error) if error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR) => {
                break;
            }
            Err(error) => return Err(error.to_string()),
        };
        if response.status() != 200 {
            return Err(response.status().to_string());
        }
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            text.extend_from_slice(&data.map_err(|error| error.to_string())?);
        }
        if text != b"/over-h2" {
            return Err(format!("{text:?}"));
        }
    }
    Ok(())
}
