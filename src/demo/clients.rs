//! A client of the demo: a resolver that asks and remembers, and a connection over which requests are sent.
//!
//! It is as plain as a client can be: one request at a time, and none is ever sent twice, so that every failure that reaches a
//! client is counted.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Empty;
use http_body_util::Limited;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::header::USER_AGENT;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::demo::apps::REGION_HEADER;
use crate::demo::ask::ask;
use crate::demo::layout::DemoRegion;
use crate::demo::layout::region_of;
use crate::demo::population::Client;
use crate::model::Moment;
use crate::runtime::clock::Clock;

/// The name they all want.
pub const NAME: &str = "www.example.com";
/// How long a response may take before a person has gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answers of the demo are a line.
const BODY_BYTES_MAX: usize = 4096;

/// What a client met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// Which client.
    pub client: usize,
    /// When.
    pub at: Moment,
    /// What.
    pub what: What,
}

/// What happened; regions by their place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// DNS sends it to that region.
    SentTo(usize),
    /// Its request was answered.
    Answered {
        /// By the region whose edge it asked.
        asked: usize,
        /// By the region whose application answered.
        by: usize,
        /// How long that took.
        took: Duration,
    },
    /// Its request failed.
    Failed {
        /// At that region's edge, if it got so far.
        asked: Option<usize>,
        /// Why.
        why: String,
    },
}

/// What all of them share.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The regions.
    pub regions: &'static [DemoRegion],
    /// Where DNS is answered.
    pub dns: SocketAddr,
    /// The port of the edges.
    pub port: u16,
    /// The time.
    pub clock: Clock,
    /// Where they tell what they meet.
    pub told: mpsc::Sender<Met>,
}

/// Sends a request each `every`, from `begins_in` on, for as long as anybody listens.
pub async fn live(number: usize, client: Client, around: Surroundings, begins_in: Duration, every: Duration) {
    sleep(begins_in).await;
    let mut beat = interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut life = Life { number, client, around, answer: None, connection: None };
    while !life.around.told.is_closed() {
        beat.tick().await;
        let what = match life.where_to().await {
            Ok((region, address)) => life.fetch(region, address).await,
            Err(why) => What::Failed { asked: None, why },
        };
        life.tell(what).await;
    }
}

struct Life {
    number: usize,
    client: Client,
    around: Surroundings,
    /// What its resolver remembers, and until when.
    answer: Option<(usize, IpAddr, Moment)>,
    connection: Option<(IpAddr, SendRequest<Empty<Bytes>>)>,
}

impl Life {
    async fn tell(&self, what: What) {
        let met = Met { client: self.number, at: self.around.clock.now(), what };
        // Nobody listens any more: the demo ends.
        let _ = self.around.told.send(met).await;
    }

    /// The region and address that DNS sends it to.
    async fn where_to(&mut self) -> Result<(usize, IpAddr), String> {
        if let Some((region, address, until)) = self.answer
            && self.around.clock.now() < until
        {
            return Ok((region, address));
        }
        let answered = ask(self.around.dns, NAME, self.client.network).await.map_err(|why| format!("DNS: {why}"))?;
        let address = *answered.addresses.first().ok_or("DNS: no address")?;
        let region = region_of(self.around.regions, address).ok_or_else(|| format!("DNS: {address} is no region's"))?;
        let holds = Duration::from_secs(answered.ttl.into()) + self.client.keeps_for;
        self.answer = Some((region, address, self.around.clock.now() + holds));
        self.tell(What::SentTo(region)).await;
        Ok((region, address))
    }

    async fn fetch(&mut self, region: usize, address: IpAddr) -> What {
        let began = self.around.clock.now();
        let fetched = timeout(PATIENCE, self.exchange(address)).await.unwrap_or_else(|_| Err("no response".to_owned()));
        match fetched {
            Ok(by) => What::Answered { asked: region, by, took: self.around.clock.now().since(began) },
            Err(why) => {
                self.connection = None;
                What::Failed { asked: Some(region), why }
            }
        }
    }

    /// Sends one request; the region of the application that answered.
    async fn exchange(&mut self, address: IpAddr) -> Result<usize, String> {
        let mut sender = match self.connection.take().filter(|(to, _)| *to == address) {
            Some((_, sender)) if !sender.is_closed() => sender,
            _ => connect(SocketAddr::new(address, self.around.port)).await?,
        };
        // It was closed while it waited: nothing has been sent yet.
        if sender.ready().await.is_err() {
            sender = connect(SocketAddr::new(address, self.around.port)).await?;
        }
        let request = Request::builder().uri("/").header(HOST, NAME).header(USER_AGENT, "rhumb demo");
        let request = request.body(Empty::new()).map_err(|e| e.to_string())?;
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let (status, by) = (response.status(), self.answered_by(&response));
        Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
        self.connection = Some((address, sender));
        match by {
            _ if !status.is_success() => Err(format!("status {}", status.as_u16())),
            Some(by) => Ok(by),
            None => Err("the answer names no region".to_owned()),
        }
    }

    fn answered_by(&self, response: &Response<Incoming>) -> Option<usize> {
        let name = response.headers().get(REGION_HEADER)?;
        self.around.regions.iter().position(|region| region.name.as_bytes() == name.as_bytes())
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, String> {
    let stream = TcpStream::connect(address).await.map_err(|e| format!("{address}: {e}"))?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    // Its end is seen at the next request.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
