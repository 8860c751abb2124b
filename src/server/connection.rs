//! How is one client on a stream answered?
//!
//! In order, as the queries come: answers are computed, not waited for, so working on several at once would gain nothing
//! (RFC 7766 section 6.2.1.1 allows both). Queries that came together are answered with one write. A client that shuts
//! down its sending side still gets its answers. TCP and TLS differ only in the stream handed in.
//!
//! A client is given time for its first query, for each further one, and to read what it asked for; bytes that complete
//! no query buy none.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};

use crate::responder::MESSAGE_BYTES_MAX;
use crate::responder::Transport;
use crate::server::answer::Answer;
use crate::server::answer::Messages;
use crate::server::counters::Counters;
use crate::server::counters::Tally;
use crate::server::dice::Dice;
use crate::server::framing::Frame;
use crate::server::framing::next_frame;
use crate::server::framing::push_frame;

/// Read at once; several queries, since most have less than 100 bytes.
const READ_BYTES: usize = 2048;

/// Answers are written when this much is ready, even if more queries wait: it bounds what a client that asks and does
/// not read can make us hold to this and one message.
const WRITE_BYTES: usize = 32 * 1024;

/// A client of a server that stops is let go when it has been quiet this long: what it had sent before it could know
/// has arrived by then.
const QUIET: Duration = Duration::from_millis(200);

/// The same for a client that has not asked anything yet: it has just come, and its first query is on the way.
const QUIET_AT_FIRST: Duration = Duration::from_secs(1);

/// How long a client is listened to after our end of the connection is shut: closing while its bytes arrive makes a
/// reset of it, and a reset takes answers along that it has not read.
const LINGER: Duration = Duration::from_millis(500);

/// How long a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the connection to its first query.
    pub first_query: Duration,
    /// From one answer to the next query.
    pub idle: Duration,
    /// To take one write.
    pub write: Duration,
}

/// Why a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The client is done, or the server stops.
    Done,
    /// The client took too long.
    TooSlow,
    /// The client sent what is no DNS message, or went away.
    Broken,
}

/// A client and what is needed to answer it.
pub struct Conversation<'a, A> {
    /// Answers.
    pub answer: &'a A,
    /// Whom the answers are for.
    pub source: IpAddr,
    /// How it came.
    pub transport: Transport,
    /// How long it may take.
    pub patience: Patience,
    /// Where its queries are counted.
    pub counters: &'a Counters,
    /// Becomes true when the server stops: a client between two queries is then done.
    pub stop: watch::Receiver<bool>,
}

/// What is to be done after the queries at hand were answered.
enum Next {
    /// More of them are at hand.
    GoOn,
    /// Read.
    Read { missing: usize },
    /// Send these first.
    Stream(Box<dyn Messages>),
    /// Close.
    Close,
}

thread_local! {
    /// Where a response is made before its length is known. One for each thread, not for each connection: 64 KiB for
    /// each of thousands of idle connections would be most of our memory.
    static RESPONSE: RefCell<Vec<u8>> = RefCell::new(vec![0; MESSAGE_BYTES_MAX]);
}

impl<A: Answer> Conversation<'_, A> {
    /// Answers until the client is done, too slow, or broken.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, mut stream: S) -> Ending {
        let ending = self.converse(&mut stream).await;
        // the client must see an end, not a reset, or it may lose the last answers
        let _ = timeout(self.patience.write, stream.shutdown()).await;
        if *self.stop.borrow() {
            let _ = timeout(LINGER, forget_the_rest(&mut stream)).await;
        }
        ending
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Ending {
        let (mut unread, mut out) = (Vec::new(), Vec::new());
        let mut dice = Dice::new();
        let mut time_left = Box::pin(sleep(self.patience.first_query));
        let mut quiet = QUIET_AT_FIRST;
        loop {
            let next = self.answer_unread(&mut unread, &mut out, &mut dice);
            if !out.is_empty() {
                if let Err(ending) = self.write(stream, &out).await {
                    return ending;
                }
                out.clear();
                out.shrink_to(WRITE_BYTES);
                quiet = QUIET;
                time_left.set(sleep(self.patience.idle));
            }
            match next {
                Next::GoOn => {}
                Next::Close => return Ending::Broken,
                Next::Stream(messages) => {
                    if let Err(ending) = self.stream(stream, messages).await {
                        return ending;
                    }
                    time_left.set(sleep(self.patience.idle));
                }
                Next::Read { missing } => {
                    match self.read(stream, &mut unread, missing, time_left.as_mut(), quiet).await {
                        Ok(0) => return if unread.is_empty() { Ending::Done } else { Ending::Broken },
                        Ok(_) => {}
                        Err(ending) => return ending,
                    }
                }
            }
        }
    }

    /// Answers the whole queries in `unread`, up to a write's worth, and takes them out.
    fn answer_unread(&self, unread: &mut Vec<u8>, out: &mut Vec<u8>, dice: &mut Dice) -> Next {
        let mut tally = Tally::default();
        let mut taken = 0;
        // not kept while the client is waited for: that would keep a former world alive
        let view = self.answer.view();
        let next = loop {
            match next_frame(&unread[taken..]) {
                Frame::Broken => break Next::Close,
                Frame::Partial(missing) => break Next::Read { missing },
                Frame::Message(_) if out.len() >= WRITE_BYTES => break Next::GoOn,
                Frame::Message(query) => {
                    taken += query.len() + 2;
                    if let Some(next) = self.answer_one(&view, query, out, dice, &mut tally) {
                        break next;
                    }
                }
            }
        };
        unread.drain(..taken);
        if unread.is_empty() {
            // one long query shall not cost an idle connection its length
            unread.shrink_to(READ_BYTES);
        }
        self.counters.add(&tally);
        next
    }

    fn answer_one(
        &self,
        view: &A::View,
        query: &[u8],
        out: &mut Vec<u8>,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> Option<Next> {
        tally.queries += 1;
        RESPONSE.with_borrow_mut(|response| {
            let answered = catch_unwind(AssertUnwindSafe(|| {
                let outcome =
                    self.answer.answer(view, query, self.source, self.transport, dice.roll(), response.as_mut());
                let messages = outcome.transfer.map(|zone| self.answer.transfer(view, query, zone));
                (outcome, messages)
            }));
            let Ok((outcome, messages)) = answered else {
                // a defect of ours: it may cost this connection, nothing else
                tally.panics += 1;
                return Some(Next::Close);
            };
            tally.count(&outcome);
            match messages {
                Some(Some(messages)) => return Some(Next::Stream(messages)),
                Some(None) => return Some(Next::Close),
                None if outcome.bytes > 0 => {
                    push_frame(out, &response[..outcome.bytes.min(MESSAGE_BYTES_MAX)]);
                }
                None => {}
            }
            None
        })
    }

    /// Waits for more bytes; 0: the client will send no more, or the server stops.
    async fn read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        unread: &mut Vec<u8>,
        missing: usize,
        time_left: Pin<&mut Sleep>,
        quiet: Duration,
    ) -> Result<usize, Ending> {
        let between_queries = unread.is_empty();
        let stop = &mut self.stop;
        let stopping_and_quiet = async {
            let _ = stop.wait_for(|stop| *stop).await;
            sleep(quiet).await;
        };
        unread.reserve(missing.max(READ_BYTES));
        tokio::select! {
            biased;
            read = stream.read_buf(unread) => read.map_err(|_| Ending::Broken),
            () = time_left => Err(if between_queries { Ending::Done } else { Ending::TooSlow }),
            () = stopping_and_quiet, if between_queries => Ok(0),
        }
    }

    async fn write<S: AsyncWrite + Unpin>(&self, stream: &mut S, bytes: &[u8]) -> Result<(), Ending> {
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        match timeout(self.patience.write, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_gone)) => Err(Ending::Broken),
            Err(_elapsed) => Err(Ending::TooSlow),
        }
    }

    /// Sends the messages of a zone transfer, each made when there is room for it.
    async fn stream<S: AsyncWrite + Unpin>(&self, stream: &mut S, messages: Box<dyn Messages>) -> Result<(), Ending> {
        let mut messages = messages;
        let mut out = Vec::new();
        loop {
            let more = RESPONSE.with_borrow_mut(|message| {
                let bytes = catch_unwind(AssertUnwindSafe(|| messages.next_message(message)));
                match bytes {
                    Ok(0) => Ok(false),
                    Ok(bytes) => Ok(push_frame(&mut out, &message[..bytes.min(MESSAGE_BYTES_MAX)])),
                    Err(_panic) => Err(Ending::Broken),
                }
            })?;
            if out.len() >= WRITE_BYTES || (!more && !out.is_empty()) {
                self.write(stream, &out).await?;
                out.clear();
            }
            if !more {
                return Ok(());
            }
        }
    }
}

/// Reads until the client ends, and keeps nothing.
async fn forget_the_rest<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut bytes = vec![0; READ_BYTES]; // on the heap: a future is as large as all it may ever hold
    while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

/// Whether an error is about one connection, not about accepting: the next may do better at once (accept(2)).
pub fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::responder::Outcome;

    /// Sends a query back with QR set; `transfer` for what begins with "X".
    struct Echo;

    struct Countdown(u8);

    impl Messages for Countdown {
        fn next_message(&mut self, out: &mut [u8]) -> usize {
            if self.0 == 0 {
                return 0;
            }
            out[..20_000].fill(self.0);
            self.0 -= 1;
            20_000
        }
    }

    impl Answer for Echo {
        type View = ();
        fn view(&self) {}
        fn refresh(&self, (): &mut ()) {}
        fn answer(&self, _: &(), query: &[u8], _: IpAddr, _: Transport, _: u64, out: &mut [u8]) -> Outcome {
            assert_ne!(query[0], b'P', "a panic, as the test wants");
            out[..query.len()].copy_from_slice(query);
            let transfer = (query[0] == b'X').then_some(0);
            Outcome { bytes: query.len(), transfer, ..Outcome::default() }
        }
        fn transfer(&self, _: &(), _: &[u8], _: usize) -> Option<Box<dyn Messages>> {
            Some(Box::new(Countdown(4)))
        }
    }

    struct Peer {
        stream: DuplexStream,
        stop: watch::Sender<bool>,
        server: tokio::task::JoinHandle<Ending>,
        counters: Arc<Counters>,
    }

    fn connect(buffer: usize) -> Peer {
        let (stream, theirs) = duplex(buffer);
        let (stop, stopped) = watch::channel(false);
        let counters = Arc::<Counters>::default();
        let counted = counters.clone();
        let server = tokio::spawn(async move {
            let conversation = Conversation {
                answer: &Echo,
                source: Ipv4Addr::LOCALHOST.into(),
                transport: Transport::Tcp,
                patience: Patience {
                    first_query: Duration::from_millis(300),
                    idle: Duration::from_millis(300),
                    write: Duration::from_millis(300),
                },
                counters: &counted,
                stop: stopped,
            };
            conversation.run(theirs).await
        });
        Peer { stream, stop, server, counters }
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_frame(&mut bytes, message);
        bytes
    }

    fn run<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
    }

    #[test]
    fn a_client_that_stops_sending_still_gets_its_answers() {
        run(async {
            let mut peer = connect(100_000);
            let queries: Vec<u8> = (0..50_u8).flat_map(|n| framed(&[n; 20])).collect();
            peer.stream.write_all(&queries).await.unwrap();
            peer.stream.shutdown().await.unwrap();
            let mut answers = Vec::new();
            peer.stream.read_to_end(&mut answers).await.unwrap();
            assert_eq!(answers, queries, "all of them, in order");
            assert_eq!(peer.server.await.unwrap(), Ending::Done);
        });
    }

    #[test]
    fn bytes_that_complete_no_query_buy_no_time() {
        run(async {
            let mut peer = connect(1000);
            peer.stream.write_all(&[1, 0]).await.unwrap();
            let mut dripped = 0;
            while peer.stream.write_all(&[7]).await.is_ok() {
                sleep(Duration::from_millis(20)).await;
                dripped += 1;
            }
            assert_eq!(peer.server.await.unwrap(), Ending::TooSlow);
            assert!(dripped < 256, "closed before the query was whole");
        });
    }

    #[test]
    fn a_client_that_asks_nothing_or_reads_nothing_is_let_go() {
        run(async {
            let silent = connect(1000);
            assert_eq!(silent.server.await.unwrap(), Ending::Done);

            let mut deaf = connect(64);
            deaf.stream.write_all(&framed(&[1; 60])).await.unwrap();
            let _ = timeout(Duration::from_secs(1), deaf.stream.write_all(&framed(&[1; 60]))).await;
            let _ = timeout(Duration::from_secs(1), deaf.stream.write_all(&framed(&[1; 60]))).await;
            assert_eq!(deaf.server.await.unwrap(), Ending::TooSlow);
        });
    }

    #[test]
    fn stopping_finishes_what_was_asked_and_no_more() {
        run(async {
            let mut peer = connect(1000);
            peer.stream.write_all(&framed(&[1; 20])[..9]).await.unwrap();
            tokio::task::yield_now().await;
            peer.stop.send(true).unwrap();
            tokio::task::yield_now().await;
            peer.stream.write_all(&framed(&[1; 20])[9..]).await.unwrap();
            let mut answers = Vec::new();
            peer.stream.read_to_end(&mut answers).await.unwrap();
            assert_eq!(answers, framed(&[1; 20]));
            assert_eq!(peer.server.await.unwrap(), Ending::Done);
        });
    }

    #[test]
    fn a_transfer_comes_in_order_between_the_answers_around_it() {
        run(async {
            let mut peer = connect(5000);
            let asked = [framed(&[b'a'; 12]), framed(&[b'X'; 12]), framed(&[b'b'; 12])].concat();
            peer.stream.write_all(&asked).await.unwrap();
            peer.stream.shutdown().await.unwrap();
            let mut answers = Vec::new();
            peer.stream.read_to_end(&mut answers).await.unwrap();
            let transfer: Vec<u8> = (1..=4).rev().flat_map(|n| framed(&[n; 20_000])).collect();
            assert_eq!(answers, [framed(&[b'a'; 12]), transfer, framed(&[b'b'; 12])].concat());
        });
    }

    #[test]
    fn garbage_and_panics_cost_the_connection_after_the_answers_before_them() {
        for bad in [vec![0, 3, 1, 2, 3], vec![0, 0], framed(&[b'P'; 12])] {
            run(async {
                let mut peer = connect(1000);
                peer.stream.write_all(&[framed(&[1; 12]), bad].concat()).await.unwrap();
                let mut answers = Vec::new();
                peer.stream.read_to_end(&mut answers).await.unwrap();
                assert_eq!(answers, framed(&[1; 12]));
                assert_eq!(peer.server.await.unwrap(), Ending::Broken);
                let mut sum = Tally::default();
                peer.counters.add_to(&mut sum);
                assert_eq!(sum.responses[0], 1);
            });
        }
    }

    proptest! {
        #[test]
        fn every_query_is_answered_however_it_is_cut(
            sizes in prop::collection::vec(12_usize..2000, 1..20),
            piece in 1_usize..3000,
        ) {
            run(async {
                let mut peer = connect(1 << 20);
                let queries: Vec<u8> = sizes.iter().flat_map(|size| framed(&vec![1; *size])).collect();
                for bytes in queries.chunks(piece) {
                    peer.stream.write_all(bytes).await.unwrap();
                    tokio::task::yield_now().await;
                }
                peer.stream.shutdown().await.unwrap();
                let mut answers = Vec::new();
                peer.stream.read_to_end(&mut answers).await.unwrap();
                assert_eq!(answers, queries);
            });
        }
    }
}
