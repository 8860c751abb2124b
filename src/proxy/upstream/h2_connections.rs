//! Connections to endpoints that carry many requests at once.
//!
//! A new one is made when all that are there are full to [`FULL_PERCENT`]: opening it only when a stream would have to wait makes
//! the burst wait that fills it.

use std::cell::Cell;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;

use crate::model::Moment;
use crate::proxy::stream::Stream;

/// With so many hundredths of its streams open a connection is full.
const FULL_PERCENT: usize = 80;
/// What we let an endpoint send before we have read it: a stream's and a connection's window.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Fields of a response.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// An endpoint that sends no limit has none; a connection with more streams than this makes them wait for each other.
const STREAMS_MAX: usize = 1_000;

/// Those of a connection: each holds it, so that they can be counted.
#[derive(Debug, Default)]
pub struct Streams {
    is_doubted: Cell<bool>,
}

impl Streams {
    /// Nothing came back on one of them in time. Nobody can tell a slow endpoint from a connection that leads nowhere any more (a
    /// firewall has forgotten it, a host is gone without a word), and the system would take a quarter of an hour to find out: it
    /// gets no more requests.
    pub fn doubt(&self) {
        self.is_doubted.set(true);
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Bytes>,
    open: Rc<Streams>,
    is_over: Rc<Cell<bool>>,
    /// When it was first seen without a request.
    idle_since: Cell<Option<Moment>>,
}

/// Those of one endpoint and core.
#[derive(Debug, Default)]
pub struct Connections {
    list: RefCell<Vec<Connection>>,
}

impl Connections {
    /// One with room for a stream; the fullest, so that others run empty and are closed.
    pub fn with_room(&self) -> Option<(SendRequest<Bytes>, Rc<Streams>)> {
        let mut list = self.list.borrow_mut();
        list.retain(Connection::is_wanted);
        let free = list.iter().filter(|connection| connection.has_room());
        let chosen = free.max_by_key(|connection| Rc::strong_count(&connection.open))?;
        Some((chosen.sender.clone(), chosen.open.clone()))
    }

    /// Begins HTTP/2 on a stream; its frames are driven by a task of their own until it ends. One that speaks for one client is not
    /// shared: it ends with its request.
    ///
    /// # Errors
    /// When the preface cannot be sent.
    pub async fn begin(&self, stream: Stream, is_shared: bool) -> Result<(SendRequest<Bytes>, Rc<Streams>), h2::Error> {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .max_send_buffer_size(STREAM_WINDOW as usize)
            .initial_max_send_streams(100)
            .reset_stream_duration(Duration::from_secs(5));
        let (sender, connection) = builder.handshake::<_, Bytes>(stream).await?;
        let (open, is_over) = (Rc::new(Streams::default()), Rc::new(Cell::new(false)));
        let over = is_over.clone();
        tokio::task::spawn_local(async move {
            // Why it ended is told to each of its streams.
            _ = connection.await;
            over.set(true);
        });
        if is_shared {
            self.list.borrow_mut().push(Connection {
                sender: sender.clone(),
                open: open.clone(),
                is_over,
                idle_since: Cell::default(),
            });
        }
        Ok((sender, open))
    }

    /// Lets go of connections that have carried nothing for that long; looked at now and then.
    pub fn close_idle(&self, longest: Duration, now: Moment) {
        self.list.borrow_mut().retain(|connection| connection.is_wanted() && !connection.is_idle(longest, now));
    }

    /// Takes no new streams; those that are open end in their time.
    pub fn retire(&self) {
        self.list.borrow_mut().clear();
    }
}

impl Connection {
    fn is_wanted(&self) -> bool {
        !self.is_over.get() && !self.open.is_doubted.get()
    }

    fn is_idle(&self, longest: Duration, now: Moment) -> bool {
        if Rc::strong_count(&self.open) > 1 {
            self.idle_since.set(None);
            return false;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        now.since(since) >= longest
    }

    fn has_room(&self) -> bool {
        let most = self.sender.current_max_send_streams().min(STREAMS_MAX);
        // One count is ours.
        (Rc::strong_count(&self.open) - 1) * 100 < most.max(1) * FULL_PERCENT
    }
}
