//! One direction of a connection: bytes from one side to the other, with no more of them held than the slower side leaves.
//!
//! ```text
//!            reads and writes at once, through memory that all flows share
//!  OPEN ──────────────────────────────────────────────────────────────────── OPEN
//!   │ ╲ the other side takes less ──→ HELD ──all is taken──→ OPEN
//!   │  ╲ much has gone, and comes in large pieces ──→ PIPED ──nothing more comes──→ OPEN
//!   ├──the end──→ ENDED: the other side has been told
//!   └──the other side takes nothing ever more──→ BROKEN
//! ```
//!
//! **Small copies first, then splice**: to move a small message with splice(2) takes two calls more than it saves, and most flows
//! are small. So what is large has to show it. A flow that waits holds neither memory nor a pipe.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::Interest;
use tokio::io::ReadBuf;

use crate::proxy::core::Core;
use crate::proxy::flow::pipes::Pipe;
use crate::proxy::stream::Stream;

/// So much has gone before splice is thought of: longer than most answers.
const LARGE: u64 = 64 * 1024;
/// And came in pieces of this size or more.
const LARGE_PIECE: usize = 16 * 1024;
/// So many pieces that are smaller, one after the other, and splice is left.
const SMALL_PIECES_MAX: u8 = 8;
/// Pieces that are moved before others have their turn: 4 MiB at most.
const TURN: u32 = 8;

/// One direction.
#[derive(Debug, Default)]
pub struct Half {
    state: State,
    moved: u64,
    /// Of what was read, what has been taken.
    taken: u64,
    /// Pieces in a row that were small, while splice is used.
    small_pieces: u8,
    is_large: bool,
    /// TCP_NODELAY is still to be set on the side that is written to. Nothing delays the first write, and many flows have no second.
    is_delayed: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Open,
    Held(Box<Held>),
    Piped(Pipe),
    Ended,
    Broken(io::ErrorKind),
}

/// What the other side has not taken yet.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    taken: usize,
}

/// Which side broke a connection.
#[derive(Debug)]
pub enum Broken {
    /// The one that was read.
    From(io::Error),
    /// The one that was written to.
    To(io::Error),
}

impl Half {
    /// One that has read something already.
    pub fn holding(bytes: Vec<u8>) -> Self {
        let moved = bytes.len() as u64;
        let state = if bytes.is_empty() { State::Open } else { State::Held(Box::new(Held { bytes, taken: 0 })) };
        Half { state, moved, ..Half::default() }
    }

    /// To a side on which TCP_NODELAY is still to be set.
    pub fn delayed(self) -> Self {
        Half { is_delayed: true, ..self }
    }

    /// How much was read.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Grows with whatever moves, be it in or out: a side that takes what is held for it is not idle.
    pub fn progress(&self) -> u64 {
        self.moved + self.taken
    }

    /// Whether all has gone, and the other side was told.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether nothing goes this way any more.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended | State::Broken(_))
    }

    /// Whether it waits for bytes, and so hears when the side they come from breaks off.
    pub fn listens(&self) -> bool {
        match &self.state {
            State::Open => true,
            State::Piped(pipe) => pipe.bytes() == 0,
            State::Held(_) | State::Ended | State::Broken(_) => false,
        }
    }

    /// Moves what can be moved; ready at its end, and from then on. With `is_last` both sides are closed or reset right after the
    /// end, so nobody need be told of it here.
    pub fn poll(
        &mut self,
        (from, to): (&mut Stream, &mut Stream),
        is_last: bool,
        core: &Core,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        let polled = self.poll_on((from, to), is_last, core, cx);
        if let Poll::Ready(Err(Broken::To(error))) = &polled {
            let kind = error.kind();
            self.let_go(core);
            self.state = State::Broken(kind);
        }
        polled
    }

    fn poll_on(
        &mut self,
        (from, to): (&mut Stream, &mut Stream),
        is_last: bool,
        core: &Core,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        for _ in 0..TURN {
            if self.is_large && matches!(self.state, State::Open) {
                self.begin_pipe(from, to, core);
            }
            let went_on = match &mut self.state {
                State::Ended => return Poll::Ready(Ok(())),
                State::Broken(kind) => return Poll::Ready(Err(Broken::To((*kind).into()))),
                State::Held(held) => {
                    hurry(&mut self.is_delayed, self.taken, to);
                    ready!(held.poll_out(to, &mut self.taken, cx)).map_err(Broken::To)?;
                    self.let_go(core);
                    continue;
                }
                State::Piped(pipe) if pipe.bytes() > 0 => {
                    hurry(&mut self.is_delayed, self.taken, to);
                    self.taken += ready!(poll_drain(pipe, to, cx)).map_err(Broken::To)? as u64;
                    continue;
                }
                State::Piped(pipe) => match poll_fill(pipe, from, cx) {
                    Poll::Ready(Err(error)) if is_no_splice(&error) => {
                        core.pipes.give_up();
                        self.let_go(core);
                        continue;
                    }
                    Poll::Ready(filled) => filled.map_err(Broken::From)?,
                    Poll::Pending => {
                        self.let_go(core);
                        return Poll::Pending;
                    }
                },
                State::Open => ready!(self.poll_copy(from, to, core, cx))?,
            };
            self.moved += went_on as u64;
            if went_on == 0 {
                self.let_go(core);
                // The end of TLS is a message of its own.
                if !is_last || to.is_tls() {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(Broken::To)?;
                }
                self.state = State::Ended;
                return Poll::Ready(Ok(()));
            }
            self.judge_size(went_on, core);
        }
        // Others wait for this core.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads and writes once; what is not taken is held.
    fn poll_copy(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        core: &Core,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Broken>> {
        let mut room = core.buffers.scratch();
        let mut room = ReadBuf::new(&mut room);
        match ready!(Pin::new(&mut *from).poll_read(cx, &mut room)) {
            // Many servers end TLS by ending TCP.
            Err(error) if from.is_tls() && error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
            read => read.map_err(Broken::From)?,
        }
        let read = room.filled();
        if read.is_empty() {
            return Poll::Ready(Ok(0));
        }
        hurry(&mut self.is_delayed, self.taken, to);
        let taken = match Pin::new(&mut *to).poll_write(cx, read) {
            Poll::Ready(taken) => taken.map_err(Broken::To)?,
            Poll::Pending => 0,
        };
        self.taken += taken as u64;
        // TLS keeps some back until it is told.
        let is_flushed = !to.is_tls() || Pin::new(&mut *to).poll_flush(cx).map_err(Broken::To)?.is_ready();
        if taken < read.len() || !is_flushed {
            let mut bytes = core.buffers.outbox();
            bytes.extend_from_slice(&read[taken..]);
            self.state = State::Held(Box::new(Held { bytes, taken: 0 }));
        }
        Poll::Ready(Ok(read.len()))
    }

    fn judge_size(&mut self, piece: usize, core: &Core) {
        let is_small = piece < LARGE_PIECE;
        if !self.is_large {
            self.is_large = self.moved >= LARGE && !is_small;
            return;
        }
        self.small_pieces = if is_small { self.small_pieces + 1 } else { 0 };
        if self.small_pieces >= SMALL_PIECES_MAX {
            (self.is_large, self.small_pieces) = (false, 0);
            if matches!(&self.state, State::Piped(pipe) if pipe.bytes() == 0) {
                self.let_go(core);
            }
        }
    }

    /// Goes on with a pipe, where there is one, and nothing is in TLS.
    fn begin_pipe(&mut self, from: &Stream, to: &Stream, core: &Core) {
        if !from.is_tls()
            && !to.is_tls()
            && let Some(pipe) = core.pipes.take()
        {
            self.state = State::Piped(pipe);
        }
    }

    /// Gives back what it needs no longer.
    fn let_go(&mut self, core: &Core) {
        match std::mem::take(&mut self.state) {
            State::Held(mut held) => {
                held.bytes.clear();
                core.buffers.return_outbox(held.bytes);
            }
            State::Piped(pipe) => core.pipes.give(pipe),
            State::Open | State::Ended | State::Broken(_) => {}
        }
    }
}

impl Held {
    fn poll_out(&mut self, to: &mut Stream, total: &mut u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.taken < self.bytes.len() {
            let taken = ready!(Pin::new(&mut *to).poll_write(cx, &self.bytes[self.taken..]))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken += taken;
            *total += taken as u64;
        }
        Pin::new(&mut *to).poll_flush(cx)
    }
}

fn poll_fill(pipe: &mut Pipe, from: &Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let socket = from.socket();
    loop {
        match socket.try_io(Interest::READABLE, || pipe.fill(socket.as_fd())) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(socket.poll_read_ready(cx))?,
            filled => return Poll::Ready(filled),
        }
    }
}

fn poll_drain(pipe: &mut Pipe, to: &Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let socket = to.socket();
    loop {
        match socket.try_io(Interest::WRITABLE, || pipe.drain(socket.as_fd())) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(socket.poll_write_ready(cx))?,
            drained => return Poll::Ready(drained),
        }
    }
}

/// Whether it is splice itself that is not to be had: by these sockets, this system, or a filter of its calls.
fn is_no_splice(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

/// Before a write that might wait for the one before it.
fn hurry(is_delayed: &mut bool, taken: u64, to: &Stream) {
    if *is_delayed && taken > 0 {
        // Where that cannot be had, some bytes come late.
        _ = to.socket().set_nodelay(true);
        *is_delayed = false;
    }
}
