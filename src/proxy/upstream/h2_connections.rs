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

/// Counts the streams of a connection.
#[derive(Debug, Default)]
pub struct Streams;

/// One connection.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Bytes>,
    open: Rc<Streams>,
    is_over: Rc<Cell<bool>>,
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
        list.retain(|connection| !connection.is_over.get());
        let free = list.iter().filter(|connection| connection.has_room());
        let chosen = free.max_by_key(|connection| Rc::strong_count(&connection.open))?;
        Some((chosen.sender.clone(), chosen.open.clone()))
    }

    /// One with any streams left at all, when no other can be made.
    pub fn any(&self) -> Option<(SendRequest<Bytes>, Rc<Streams>)> {
        let list = self.list.borrow();
        let open = list.iter().filter(|connection| !connection.is_over.get());
        let chosen = open.min_by_key(|connection| Rc::strong_count(&connection.open))?;
        Some((chosen.sender.clone(), chosen.open.clone()))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.borrow().len()
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
        let (open, is_over) = (Rc::new(Streams), Rc::new(Cell::new(false)));
        let over = is_over.clone();
        tokio::task::spawn_local(async move {
            // Why it ended is told to each of its streams.
            _ = connection.await;
            over.set(true);
        });
        if is_shared {
            self.list.borrow_mut().push(Connection { sender: sender.clone(), open: open.clone(), is_over });
        }
        Ok((sender, open))
    }

    /// Lets go of connections that carry nothing: they end when their last stream has.
    pub fn close_idle(&self) {
        self.list.borrow_mut().retain(|connection| Rc::strong_count(&connection.open) > 1 && !connection.is_over.get());
    }

    /// Takes no new streams; those that are open end in their time.
    pub fn retire(&self) {
        self.list.borrow_mut().clear();
    }
}

impl Connection {
    fn has_room(&self) -> bool {
        let most = self.sender.current_max_send_streams().min(STREAMS_MAX);
        // One count is ours.
        (Rc::strong_count(&self.open) - 1) * 100 < most.max(1) * FULL_PERCENT
    }
}
