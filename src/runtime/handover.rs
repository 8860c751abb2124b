//! How does one process hand its sockets to the next?
//!
//! They speak over a Unix socket beside the admin socket. The successor asks; the one that runs sends copies of the
//! descriptors of its sockets (SCM_RIGHTS) and goes on answering; both then read the same queues in the kernel, and each
//! datagram or connection goes to one of them. Only when the successor says that it answers does the other stop.
//!
//! ```text
//!   successor                    the one that runs
//!   Hello     ─────────────────→ takes no more orders, saves what is known
//!             ←───────────────── Offer, and the descriptors
//!   answers on them
//!   Answering ─────────────────→ reads no more, saves no more, closes QUIC connections
//!             ←───────────────── Released
//!   saves, takes orders
//!   Taken     ─────────────────→ finishes what is in hand, and ends
//! ```
//!
//! Either may send `Refused` instead and closes; a successor that goes away before `Taken` has changed nothing. A message is
//! its length (four bytes, big endian) and JSON; fields that a reader does not know are passed over, and a greeting says
//! which protocols are spoken, so that a later version can take over from this one. Nothing here touches the sockets
//! that are handed over.

use std::io;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::io::Read;
use std::io::Write;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::RecvAncillaryBuffer;
use rustix::net::RecvAncillaryMessage;
use rustix::net::RecvFlags;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendAncillaryMessage;
use rustix::net::SendFlags;
use serde::Deserialize;
use serde::Serialize;

/// The protocol of this version.
pub const PROTOCOL: u32 = 1;
/// The oldest one this version still speaks.
pub const OLDEST_PROTOCOL: u32 = 1;
/// Longer messages are no messages: a few hundred ports have 20 KiB.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Sockets of 16 addresses with 256 workers each.
const DESCRIPTORS_MAX: usize = 4096;
/// To take one message; who does not read is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// Descriptors in one piece; the kernel takes 253 (SCM_MAX_FD).
const PIECE: usize = 128;

/// What they say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum Message {
    /// The successor wants the sockets.
    Hello {
        /// The newest protocol it speaks.
        protocol: u32,
        /// The oldest.
        oldest: u32,
        /// Its version, for the log.
        version: String,
    },
    /// Here they are; they follow the message.
    Offer {
        /// The protocol to be spoken from now on.
        protocol: u32,
        /// The version of who runs, for the log.
        version: String,
        /// How many descriptors follow.
        descriptors: usize,
        /// Where it was told to take any port, and the one it has.
        #[serde(default)]
        ports: Vec<(SocketAddr, SocketAddr)>,
    },
    /// The successor answers.
    Answering,
    /// Nobody else reads the sockets any more.
    Released,
    /// The successor has taken up everything.
    Taken,
    /// It will not be; a sentence.
    Refused {
        /// Why.
        why: String,
    },
    /// A later version's.
    #[serde(other)]
    Unknown,
}

impl Message {
    /// The successor's greeting.
    pub fn hello() -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Message::Hello { protocol: PROTOCOL, oldest: OLDEST_PROTOCOL, version }
    }

    /// The answer to a greeting; the error is what to refuse with.
    ///
    /// # Errors
    /// When there is no protocol that both speak, or it is no greeting.
    pub fn protocol(&self) -> Result<u32, String> {
        match self {
            Message::Hello { protocol, oldest, version } if *protocol < OLDEST_PROTOCOL || *oldest > PROTOCOL => {
                Err(format!(
                    "rhumb {version} takes over by protocol {oldest} to {protocol}, and rhumb {} by {OLDEST_PROTOCOL} to \
                     {PROTOCOL}: stop the one and start the other",
                    env!("CARGO_PKG_VERSION")
                ))
            }
            Message::Hello { protocol, .. } => Ok(PROTOCOL.min(*protocol)),
            _ => Err("a greeting was expected".to_owned()),
        }
    }
}

/// Where a process that has its admin socket there is asked to hand over.
pub fn beside(admin_socket: &Path) -> PathBuf {
    let mut name = admin_socket.as_os_str().to_owned();
    name.push(".takeover");
    PathBuf::from(name)
}

/// One end of the conversation. It blocks.
#[derive(Debug)]
pub struct Line(UnixStream);

impl Line {
    /// Speaks over that stream.
    pub fn new(stream: UnixStream) -> Self {
        Line(stream)
    }

    /// Calls the process that listens there.
    ///
    /// # Errors
    /// The system's.
    pub fn call(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).map(Line)
    }

    /// Another handle of the same end, to hang up while this one waits.
    ///
    /// # Errors
    /// The system's.
    pub fn other_handle(&self) -> io::Result<Self> {
        self.0.try_clone().map(Line)
    }

    /// Ends the conversation; who waits for a message gets the end.
    pub fn hang_up(&self) {
        // An error means that it has ended.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&mut self, message: &Message) -> io::Result<()> {
        let text = serde_json::to_vec(message).map_err(io::Error::other)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        self.0.set_write_timeout(Some(WRITE_PATIENCE))?;
        self.0.write_all(&[&length.to_be_bytes()[..], &text].concat())
    }

    /// Waits for a message, at most this long.
    ///
    /// # Errors
    /// The system's: `UnexpectedEof` when the other has gone, `WouldBlock` when it takes too long; `InvalidData` when
    /// what came is no message.
    pub fn receive(&mut self, patience: Duration) -> io::Result<Message> {
        self.0.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
        }
        let mut text = vec![0; length];
        self.0.read_exact(&mut text)?;
        serde_json::from_slice(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Sends copies of descriptors, after the message that said how many.
    ///
    /// # Errors
    /// The system's.
    pub fn send_descriptors(&mut self, descriptors: &[OwnedFd]) -> io::Result<()> {
        for piece in descriptors.chunks(PIECE) {
            let piece: Vec<BorrowedFd<'_>> = piece.iter().map(AsFd::as_fd).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIECE))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !ancillary.push(SendAncillaryMessage::ScmRights(&piece)) {
                return Err(io::Error::other("no room for the descriptors"));
            }
            // A byte carries them: without any the kernel sends nothing.
            rustix::net::sendmsg(&self.0, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
        }
        Ok(())
    }

    /// Waits for that many descriptors; they are closed when another program is run.
    ///
    /// # Errors
    /// The system's; `InvalidData` when fewer or more come.
    pub fn receive_descriptors(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        if count > DESCRIPTORS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors"));
        }
        let mut all = Vec::new();
        while all.len() < count {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIECE))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let (mut byte, flags) = ([0], RecvFlags::CMSG_CLOEXEC);
            let got = rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags)?;
            let before = all.len();
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    all.extend(descriptors);
                }
            }
            if got.bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if all.len() == before {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "descriptors did not arrive: is the limit of open files reached (ulimit -n)?",
                ));
            }
        }
        if all.len() != count {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more descriptors came than were said"));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn lines() -> (Line, Line) {
        let (one, other) = UnixStream::pair().unwrap();
        (Line(one), Line(other))
    }

    #[test]
    fn more_sockets_than_one_piece_holds_arrive_as_they_were_sent() {
        let sockets: Vec<UdpSocket> = (0..300).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<SocketAddr> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let descriptors: Vec<OwnedFd> = sockets.into_iter().map(OwnedFd::from).collect();
        let (mut one, mut other) = lines();
        let offer = Message::Offer {
            protocol: 1,
            version: "1".to_owned(),
            descriptors: descriptors.len(),
            ports: vec![("[::]:0".parse().unwrap(), "[::]:53".parse().unwrap())],
        };
        let said = offer.clone();
        let sending = thread::spawn(move || {
            one.send(&said).unwrap();
            one.send_descriptors(&descriptors).unwrap();
            one.send(&Message::Released).unwrap();
        });
        assert_eq!(other.receive(PATIENCE).unwrap(), offer);
        let received = other.receive_descriptors(addresses.len()).unwrap();
        let bound = received.into_iter().map(|socket| UdpSocket::from(socket).local_addr().unwrap());
        assert_eq!(bound.collect::<Vec<_>>(), addresses);
        assert_eq!(other.receive(PATIENCE).unwrap(), Message::Released, "the conversation goes on behind them");
        sending.join().unwrap();
        assert_eq!(other.receive(PATIENCE).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn versions_that_share_a_protocol_speak_it() {
        let hello = |oldest, protocol| Message::Hello { protocol, oldest, version: "9.9".to_owned() };
        assert_eq!(Message::hello().protocol(), Ok(PROTOCOL));
        assert_eq!(hello(1, 7).protocol(), Ok(PROTOCOL), "a later version that still speaks ours");
        assert!(hello(PROTOCOL + 1, 7).protocol().unwrap_err().contains("stop the one and start the other"));
        assert!(Message::Answering.protocol().is_err());
        let later = r#"{"step":"hello","protocol":2,"oldest":1,"version":"2","colour":"red"}"#;
        assert_eq!(serde_json::from_str::<Message>(later).unwrap().protocol(), Ok(PROTOCOL));
        assert_eq!(serde_json::from_str::<Message>(r#"{"step":"dance"}"#).unwrap(), Message::Unknown);
    }

    #[test]
    fn who_says_nothing_is_not_waited_for_for_ever() {
        let (mut one, _other) = lines();
        let error = one.receive(Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (one, mut other) = lines();
            let mut stream = one.0;
            stream.write_all(&bytes).unwrap();
            drop(stream);
            let _ = other.receive(PATIENCE);
            let _ = other.receive_descriptors(3);
        }
    }
}
