//! What does one request leave behind? Everything that is said of it afterwards is in its [`Record`]: the access log writes
//! it down, and nothing else keeps anything.
//!
//! Times and the way it ended are HAProxy's, since that is what people have tools and habits for: `TR/Tw/Tc/Tr/Ta`, and two
//! characters of which the first says who or what ended it and the second how far it had come.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use http::Version;

use crate::model::Moment;

/// What is known of a request when it is over. Everything a client sent is as it sent it: whoever writes it down must
/// take care of that.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// When its first byte came.
    pub at: Moment,
    /// The listener's name.
    pub listener: &'a str,
    /// The region's name.
    pub region: &'a str,
    /// The route's name, when one was found.
    pub route: Option<&'a str>,
    /// The pool's name, when it was to go to one.
    pub pool: Option<&'a str>,
    /// The other region that served it, where ours could not.
    pub sent_on_to: Option<&'a str>,
    /// The endpoint that was tried last.
    pub endpoint: Option<SocketAddr>,
    /// Who asked, as far as it is believed: of a trusted proxy whom it names.
    pub client: IpAddr,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// What was carried unread, `tcp` or `udp`; none of requests, and what is known of those alone is empty.
    pub flow: Option<&'static str>,
    /// GET and the like; empty when there was no head to read.
    pub method: &'a str,
    /// Whom it asked for; of TLS that passed through, the server's name.
    pub host: &'a str,
    /// The path, normalised where it was admitted.
    pub path: &'a str,
    /// What followed the `?`.
    pub query: Option<&'a str>,
    /// Of HTTP.
    pub version: Version,
    /// Of the response; 0: none was sent.
    pub status: u16,
    /// `X-Request-Id`, the client's or ours.
    pub request_id: &'a str,
    /// Bytes of the request, its head among them.
    pub bytes_in: u64,
    /// Bytes of the response, its head among them.
    pub bytes_out: u64,
    /// How long its steps took.
    pub phases: Phases,
    /// How it ended.
    pub ended: Ended,
    /// How many endpoints it was sent to.
    pub attempts: u8,
    /// Why we did not serve it: a stable code.
    pub refusal: Option<&'static str>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// The version of TLS, as `TLSv1.3`; none in plaintext.
    pub tls: Option<&'a str>,
}

/// How long the steps of a request took; none of those that it never came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// From its first byte to the end of its head (`TR`).
    pub head: Duration,
    /// In the queue (`Tw`).
    pub queue: Option<Duration>,
    /// Until there was a connection (`Tc`); zero on one that was there.
    pub connect: Option<Duration>,
    /// From the connection to the end of the response's head (`Tr`).
    pub response: Option<Duration>,
    /// From the request's first byte to the response's last (`Ta`).
    pub all: Duration,
}

/// Who or what ended a request: the first character of HAProxy's pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Cause {
    /// Nothing did: it came to its end.
    #[default]
    Nothing,
    /// The client broke off.
    Client,
    /// The client was too slow.
    ClientTimeout,
    /// The endpoint refused the connection or broke off.
    Server,
    /// The endpoint was too slow.
    ServerTimeout,
    /// We refused it.
    Refused,
    /// We answered it ourselves, as the route says: a redirect, a text. No failure.
    Answered,
    /// We had too little of something: places, sockets, memory.
    Resources,
    /// A defect of ours.
    Defect,
    /// The endpoint was found down meanwhile, and its connections were ended.
    EndpointDown,
    /// We were told to stop, and its time was up.
    Stopped,
}

/// How far a request had come: the second character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Stage {
    /// To its end.
    #[default]
    Complete,
    /// Its head was being read.
    Request,
    /// It waited for an endpoint.
    Queue,
    /// A connection was being made.
    Connect,
    /// The response's head was waited for.
    Headers,
    /// The response's body was under way.
    Data,
}

/// How a request ended: HAProxy's pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ended(pub Cause, pub Stage);

impl Ended {
    /// As it should.
    pub const WELL: Ended = Ended(Cause::Nothing, Stage::Complete);

    /// The two characters: `--`, `CD`, `sH`.
    pub const fn chars(self) -> [u8; 2] {
        let cause = match self.0 {
            Cause::Nothing => b'-',
            Cause::Client => b'C',
            Cause::ClientTimeout => b'c',
            Cause::Server => b'S',
            Cause::ServerTimeout => b's',
            Cause::Refused => b'P',
            Cause::Answered => b'L',
            Cause::Resources => b'R',
            Cause::Defect => b'I',
            Cause::EndpointDown => b'D',
            Cause::Stopped => b'K',
        };
        let stage = match self.1 {
            Stage::Complete => b'-',
            Stage::Request => b'R',
            Stage::Queue => b'Q',
            Stage::Connect => b'C',
            Stage::Headers => b'H',
            Stage::Data => b'D',
        };
        [cause, stage]
    }

    /// Whether it was broken off or refused, so that somebody may want to know of it.
    pub const fn is_failure(self) -> bool {
        !matches!(self.0, Cause::Nothing | Cause::Answered)
    }
}

impl Record<'_> {
    /// Whether it is written down whatever the draw says.
    pub const fn must_be_told(&self) -> bool {
        self.status >= 500 || self.ended.is_failure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pairs_are_haproxys() {
        let pairs = [
            (Ended::WELL, "--"),
            (Ended(Cause::Client, Stage::Headers), "CH"),
            (Ended(Cause::Client, Stage::Data), "CD"),
            (Ended(Cause::ClientTimeout, Stage::Request), "cR"),
            (Ended(Cause::Server, Stage::Connect), "SC"),
            (Ended(Cause::ServerTimeout, Stage::Connect), "sC"),
            (Ended(Cause::ServerTimeout, Stage::Queue), "sQ"),
            (Ended(Cause::ServerTimeout, Stage::Headers), "sH"),
            (Ended(Cause::Refused, Stage::Request), "PR"),
            (Ended(Cause::Answered, Stage::Request), "LR"),
            (Ended(Cause::Resources, Stage::Connect), "RC"),
        ];
        for (ended, chars) in pairs {
            assert_eq!(ended.chars(), chars.as_bytes(), "{ended:?}");
        }
        assert!(!Ended::WELL.is_failure() && !Ended(Cause::Answered, Stage::Request).is_failure());
        assert!(Ended(Cause::Refused, Stage::Request).is_failure());
    }
}
