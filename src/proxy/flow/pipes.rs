//! Pipes that large flows go through: bytes that no one reads need not come into this program's memory (splice(2)).
//!
//! A pipe costs two descriptors and up to 64 pages, so a flow has one only while it has bytes in hand; then the pipe, empty,
//! goes to whoever is next. Clients that read slowly keep theirs, so there is an end to how many there are. Where none is left, or
//! the system has no splice(2), bytes are copied.

use std::cell::Cell;
use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

use rustix::pipe::PipeFlags;
use rustix::pipe::SpliceFlags;
use rustix::pipe::fcntl_getpipe_size;
use rustix::pipe::fcntl_setpipe_size;
use rustix::pipe::pipe_with;
use rustix::pipe::splice;

/// What a pipe holds where the system allows it: fewer calls for each megabyte, and still in the caches of a core.
pub const PIPE_BYTES: usize = 512 * 1024;
/// Empty ones that are kept for the next, of each core.
const KEPT_MAX: usize = 32;
/// In use at once, of each core: 64 MiB, which is also what the system gives to one user before it makes them tiny (pipe(7)).
const USED_MAX: usize = 128;
/// Smaller ones would be slower than to copy.
const PIPE_BYTES_MIN: usize = 64 * 1024;

/// The pipes of one core.
#[derive(Debug, Default)]
pub struct Pipes {
    spare: RefCell<Vec<Pipe>>,
    used: Cell<usize>,
    /// This system splices nothing.
    are_vain: Cell<bool>,
}

/// A pipe, and how much is in it.
#[derive(Debug)]
pub struct Pipe {
    way_out: OwnedFd,
    way_in: OwnedFd,
    bytes: usize,
}

impl Pipes {
    /// An empty pipe; none when there are enough, or the system has none left.
    pub fn take(&self) -> Option<Pipe> {
        if self.are_vain.get() || self.used.get() >= USED_MAX {
            return None;
        }
        let spare = self.spare.borrow_mut().pop();
        let pipe = spare.or_else(|| Pipe::new().ok())?;
        self.used.set(self.used.get() + 1);
        Some(pipe)
    }

    /// Back from a flow. One with something in it is closed.
    pub fn give(&self, pipe: Pipe) {
        self.used.set(self.used.get().saturating_sub(1));
        let mut spare = self.spare.borrow_mut();
        if pipe.bytes == 0 && spare.len() < KEPT_MAX {
            spare.push(pipe);
        }
    }

    /// No more of them: this system refuses what they are for.
    pub fn give_up(&self) {
        self.are_vain.set(true);
    }
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (way_out, way_in) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user who has many gets smaller ones.
        if fcntl_setpipe_size(&way_in, PIPE_BYTES).is_err() && fcntl_getpipe_size(&way_in)? < PIPE_BYTES_MIN {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Pipe { way_out, way_in, bytes: 0 })
    }

    /// How much is in it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Moves what there is into it; 0 at the end of the stream.
    ///
    /// # Errors
    /// The system's; `WouldBlock` when there is nothing.
    pub fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        let moved = splice(from, None, &self.way_in, None, PIPE_BYTES, flags())?;
        self.bytes += moved;
        Ok(moved)
    }

    /// Moves what is in it to where it goes.
    ///
    /// # Errors
    /// The system's; `WouldBlock` when nothing more is taken.
    pub fn drain(&mut self, to: impl AsFd) -> io::Result<usize> {
        let moved = splice(&self.way_out, None, to, None, self.bytes, flags())?;
        self.bytes -= moved;
        Ok(moved)
    }
}

/// Never SPLICE_F_MORE: the last bytes of an answer would wait for more to come.
fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_empty_ones_are_used_again() {
        let pipes = Pipes::default();
        let ((mut client, from), (to, mut server)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let mut pipe = pipes.take().unwrap();
        client.write_all(b"some bytes").unwrap();
        assert_eq!((pipe.fill(&from).unwrap(), pipe.bytes()), (10, 10));
        assert_eq!((pipe.drain(&to).unwrap(), pipe.bytes()), (10, 0));
        let mut room = [0; 16];
        assert_eq!(server.read(&mut room).unwrap(), 10);
        from.set_nonblocking(true).unwrap();
        assert_eq!(pipe.fill(&from).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(client);
        assert_eq!(pipe.fill(&from).unwrap(), 0);
        let known = format!("{:?}", pipe.way_in);
        pipes.give(pipe);
        let mut again = pipes.take().unwrap();
        assert_eq!(format!("{:?}", again.way_in), known);
        again.bytes = 1;
        pipes.give(again);
        assert!(pipes.spare.borrow().is_empty(), "one with something in it is another's");
    }

    #[test]
    fn there_is_an_end_to_them() {
        let pipes = Pipes::default();
        let mut taken: Vec<Pipe> = std::iter::from_fn(|| pipes.take()).take(USED_MAX + 1).collect();
        assert!(taken.len() <= USED_MAX, "{}", taken.len());
        pipes.give(taken.pop().unwrap());
        assert!(pipes.take().is_some());
        pipes.give_up();
        taken.clear();
        assert!(pipes.take().is_none());
    }
}
