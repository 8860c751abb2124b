//! Several origins that say who they are, and how requests fell among them.

use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use crate::kit::client::Client;
use crate::kit::client::Response;
use crate::kit::client::get;
use crate::kit::edge::Setup;
use crate::kit::origin::Origin;
use crate::kit::origin::Step;
use crate::kit::origin::Taken;
use crate::kit::origin::fixed;
use crate::kit::origin::raw;

/// What an origin does with a request; nothing of its own: it says its name.
type Mood = Arc<dyn Fn(&Taken) -> Option<Vec<Step>> + Send + Sync>;

/// Origins `a`, `b`, `c`, …; each answers 200 with its name until it is told otherwise.
pub struct Fleet {
    pub origins: Vec<Origin>,
    moods: Vec<Arc<Mutex<Mood>>>,
}

impl Fleet {
    /// So many, on 127.0.0.1.
    pub fn of(count: usize) -> Fleet {
        Fleet::on(&vec!["127.0.0.1"; count])
    }

    /// One on each of these addresses.
    pub fn on(hosts: &[&str]) -> Fleet {
        let (mut origins, mut moods) = (Vec::new(), Vec::new());
        for (at, host) in hosts.iter().enumerate() {
            let mood: Arc<Mutex<Mood>> = Arc::new(Mutex::new(Arc::new(|_| None)));
            let own = mood.clone();
            let answer = move |taken: &Taken| {
                let mood = own.lock().unwrap().clone();
                mood(taken).unwrap_or_else(|| fixed(200, name(at)))
            };
            origins.push(Origin::on(TcpListener::bind((*host, 0)).unwrap(), answer));
            moods.push(mood);
        }
        Fleet { origins, moods }
    }

    /// In front of all of them.
    pub fn setup(&self) -> Setup {
        Setup::to(&self.addresses())
    }

    /// Where they are.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.origins.iter().map(|origin| origin.address).collect()
    }

    /// What one does from now on; where it gives nothing, it says its name.
    pub fn mood(&self, at: usize, mood: impl Fn(&Taken) -> Option<Vec<Step>> + Send + Sync + 'static) {
        *self.moods[at].lock().unwrap() = Arc::new(mood);
    }

    /// One answers all requests with this status from now on.
    pub fn says(&self, at: usize, status: u16) {
        self.mood(at, move |_| Some(fixed(status, name(at))));
    }

    /// How many requests each has had.
    pub fn counts(&self) -> Vec<usize> {
        self.origins.iter().map(|origin| origin.requests().len()).collect()
    }

    /// How many all have had.
    pub fn total(&self) -> usize {
        self.counts().iter().sum()
    }
}

/// `a` for the first.
pub fn name(at: usize) -> String {
    char::from(b'a' + at as u8).to_string()
}

/// So many requests in turn on one connection, and who answered each; `-` for what is no 200.
pub fn who(address: SocketAddr, count: usize) -> String {
    let mut client = Client::connect(address);
    (0..count).map(|_| who_said(&client.send(get("/")).response().unwrap())).collect()
}

/// Who answered.
pub fn who_said(response: &Response) -> String {
    if response.status == 200 { response.text() } else { "-".to_owned() }
}

/// How often each of so many stands in what [`who`] gave.
pub fn tally(text: &str, count: usize) -> Vec<usize> {
    (0..count).map(|at| text.matches(&name(at)).count()).collect()
}

/// A request from each of so many threads at once; what came of them, in no order.
pub fn at_once(count: usize, ask: impl Fn(usize) -> Result<Response, String> + Sync) -> Vec<Result<Response, String>> {
    let ask = &ask;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || ask(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A port of 127.0.0.1 where nobody listens, while this is held.
pub fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Says nothing for so long, then 200 and a name.
pub fn after_millis(millis: u64, body: &str) -> Vec<Step> {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    vec![Step::Body, Step::Wait(std::time::Duration::from_millis(millis)), raw(text)]
}
