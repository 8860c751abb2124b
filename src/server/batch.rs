//! Many datagrams in one system call: recvmmsg(2) and sendmmsg(2) over buffers that are allocated once.
//!
//! With [`parcels`] below it the one module with `unsafe`: no crate offers these two calls without an allocation or a copy for each batch. What is
//! unsafe stays inside [`Batch`] and [`parcels`]; their methods are safe, take any bytes, and never parse DNS.
//!
//! Traps this steps around: recvmmsg's own timeout is checked only between datagrams (recvmmsg(2), BUGS), so sockets
//! carry SO_RCVTIMEO instead; sendmmsg stops at the first datagram the kernel refuses, so that one is skipped and the
//! rest sent; the kernel overwrites lengths and flags of the headers it used, so those, and only those, are set again.
#![allow(unsafe_code, reason = "recvmmsg and sendmmsg; see the module's documentation")]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::ptr::NonNull;

use crate::responder::UDP_BYTES_MAX;

pub mod parcels;

/// Datagrams in one system call. Past 64 a larger batch gains nothing measurable and costs latency and cache.
pub const BATCH: usize = 64;

/// The longest query we read. Names end at 255 bytes and options of queries are small; longer ones are not for us.
pub const QUERY_BYTES_MAX: usize = 2048;

/// Slots lie this much further apart than their size: at exact powers of two all of them would compete for the same
/// few sets of the first-level cache.
const STAGGER_BYTES: usize = 64;
const QUERY_STRIDE: usize = QUERY_BYTES_MAX + STAGGER_BYTES;
const REPLY_STRIDE: usize = UDP_BYTES_MAX + STAGGER_BYTES;

/// How long to wait, once a batch, for room in a full send queue before the rest of the batch is given up.
const SEND_WAIT_MS: i32 = 10;

/// A client's address as the kernel writes it: a `sockaddr_in` or a `sockaddr_in6`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct SocketName([u8; 32]);

/// Ancillary data: one IP_PKTINFO or IPV6_PKTINFO.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Ancillary([u8; 48]);

/// A fixed number of `T` behind a pointer that never moves.
///
/// Not a `Box<[T]>`: the kernel writes through pointers kept in the headers, and a box claims to be the only way to
/// what it holds.
struct Fixed<T: Copy> {
    start: NonNull<T>,
    count: usize,
}

impl<T: Copy> Fixed<T> {
    fn new(value: T, count: usize) -> Self {
        let slots: *mut [T] = Box::into_raw(vec![value; count].into_boxed_slice());
        Fixed { start: NonNull::new(slots.cast()).expect("a box is never null"), count }
    }

    fn at(&self, index: usize) -> *mut T {
        assert!(index < self.count);
        // SAFETY: index is below count, so the pointer stays inside the allocation.
        unsafe { self.start.as_ptr().add(index) }
    }

    /// `length` items from `first` on.
    fn slice(&self, first: usize, length: usize) -> &[T] {
        assert!(first <= self.count && length <= self.count - first);
        // SAFETY: in bounds by the assertion, initialised by `new`; the kernel writes only inside `receive`, which has
        // `&mut Batch`, so nothing changes while the borrow lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(first), length) }
    }

    fn slice_mut(&mut self, first: usize, length: usize) -> &mut [T] {
        assert!(first <= self.count && length <= self.count - first);
        // SAFETY: as in `slice`, and `&mut self` makes it the only borrow.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(first), length) }
    }
}

impl<T: Copy> Drop for Fixed<T> {
    fn drop(&mut self) {
        // SAFETY: start and count are those of the box that `new` took apart, and this is its only end.
        drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.count)) });
    }
}

/// Up to [`BATCH`] queries and their replies, with everything the kernel needs to move them.
pub struct Batch {
    names: Fixed<SocketName>,
    ancillary: Fixed<Ancillary>,
    queries: Fixed<u8>,
    replies: Fixed<u8>,
    query_parts: Fixed<libc::iovec>,
    reply_parts: Fixed<libc::iovec>,
    receiving: Fixed<libc::mmsghdr>,
    sending: Fixed<libc::mmsghdr>,
    name_bytes: u32,
    ancillary_bytes: usize,
    received: usize,
    answered: usize,
    replied: usize,
}

// SAFETY: every pointer in it leads to memory it owns and nobody else knows.
unsafe impl Send for Batch {}

/// One datagram of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// What came.
    pub bytes: &'a [u8],
    /// From which address.
    pub source: IpAddr,
}

impl Batch {
    /// A batch for sockets of one family. `with_destination`: datagrams come with the address they were sent to, and
    /// replies leave from it; for sockets bound to all addresses, whose ancillary data [`receive_destination`] turned on.
    pub fn new(ipv6: bool, with_destination: bool) -> Self {
        // SAFETY: for both, all zero is a valid value: null pointers with zero lengths.
        let (part, header): (libc::iovec, libc::mmsghdr) = unsafe { (mem::zeroed(), mem::zeroed()) };
        let name_bytes = if ipv6 { mem::size_of::<libc::sockaddr_in6>() } else { mem::size_of::<libc::sockaddr_in>() };
        let mut batch = Batch {
            names: Fixed::new(SocketName([0; 32]), BATCH),
            ancillary: Fixed::new(Ancillary([0; 48]), BATCH),
            queries: Fixed::new(0, BATCH * QUERY_STRIDE),
            replies: Fixed::new(0, BATCH * REPLY_STRIDE),
            query_parts: Fixed::new(part, BATCH),
            reply_parts: Fixed::new(part, BATCH),
            receiving: Fixed::new(header, BATCH),
            sending: Fixed::new(header, BATCH),
            name_bytes: name_bytes as u32,
            ancillary_bytes: if with_destination { mem::size_of::<Ancillary>() } else { 0 },
            received: 0,
            answered: 0,
            replied: 0,
        };
        (0..BATCH).for_each(|slot| batch.link(slot));
        (0..BATCH).for_each(|slot| batch.reset(slot));
        batch
    }

    /// Points the headers of a slot to its buffers, once for all.
    fn link(&mut self, slot: usize) {
        let query = libc::iovec { iov_base: self.queries.at(slot * QUERY_STRIDE).cast(), iov_len: QUERY_BYTES_MAX };
        self.query_parts.slice_mut(slot, 1)[0] = query;
        let reply = libc::iovec { iov_base: self.replies.at(slot * REPLY_STRIDE).cast(), iov_len: 0 };
        self.reply_parts.slice_mut(slot, 1)[0] = reply;
        let (query_part, reply_part) = (self.query_parts.at(slot), self.reply_parts.at(slot));
        let (name, ancillary) = (self.names.at(slot), self.ancillary.at(slot));
        let header = &mut self.receiving.slice_mut(slot, 1)[0].msg_hdr;
        header.msg_iov = query_part;
        header.msg_iovlen = 1;
        header.msg_name = name.cast();
        if self.ancillary_bytes > 0 {
            header.msg_control = ancillary.cast();
        }
        let header = &mut self.sending.slice_mut(slot, 1)[0].msg_hdr;
        header.msg_iov = reply_part;
        header.msg_iovlen = 1;
    }

    /// Undoes what the kernel wrote into a header it used.
    fn reset(&mut self, slot: usize) {
        let (name_bytes, ancillary_bytes) = (self.name_bytes, self.ancillary_bytes);
        let header = &mut self.receiving.slice_mut(slot, 1)[0].msg_hdr;
        header.msg_namelen = name_bytes;
        header.msg_controllen = ancillary_bytes;
        header.msg_flags = 0;
    }

    /// Waits for at least one datagram and takes those that are there; what was in the batch is gone.
    ///
    /// With `wait: false` it takes what is queued and fails with `WouldBlock` when nothing is.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` also when the socket's SO_RCVTIMEO passed.
    pub fn receive(&mut self, socket: &impl AsRawFd, wait: bool) -> io::Result<usize> {
        (0..self.received).for_each(|slot| self.reset(slot));
        (self.received, self.answered, self.replied) = (0, 0, 0);
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: the headers, BATCH of them, point to names, ancillary data and buffers of at least the lengths they
        // state, all owned by self, and no borrow of them is alive: `&mut self`.
        let got = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), self.receiving.at(0), BATCH as u32, flags as _, ptr::null_mut())
        };
        self.received = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        Ok(self.received)
    }

    /// Calls `answer` with each datagram not yet answered and the buffer for its reply ([`UDP_BYTES_MAX`] bytes); what
    /// it returns is how many bytes to send, 0 for none.
    ///
    /// Should `answer` panic, the batch stays whole: [`Batch::fail_one`] replies to that datagram, and the next call
    /// goes on behind it. Returns how many datagrams were passed over: those too long to be read, and those from port 0,
    /// which nobody can be answered at and which would split every sendmmsg they are in.
    #[inline]
    pub fn answer(&mut self, mut answer: impl FnMut(Datagram<'_>, &mut [u8]) -> usize) -> usize {
        let mut passed_over = 0;
        while self.answered < self.received {
            let slot = self.answered;
            self.answered += 1;
            let message = &self.receiving.slice(slot, 1)[0];
            let name = &self.names.slice(slot, 1)[0];
            if message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 || port_bytes(name) == [0, 0] {
                passed_over += 1;
                continue;
            }
            let length = (message.msg_len as usize).min(QUERY_BYTES_MAX);
            let query = Datagram { bytes: self.queries.slice(slot * QUERY_STRIDE, length), source: source(name) };
            let reply = self.replies.slice_mut(self.replied * REPLY_STRIDE, UDP_BYTES_MAX);
            let bytes = answer(query, reply).min(UDP_BYTES_MAX);
            if bytes > 0 {
                self.stage(slot, bytes);
            }
        }
        passed_over
    }

    /// The datagrams not yet answered, those that will be passed over among them.
    pub fn unanswered(&self) -> impl Iterator<Item = &[u8]> {
        (self.answered..self.received).map(|slot| {
            let length = (self.receiving.slice(slot, 1)[0].msg_len as usize).min(QUERY_BYTES_MAX);
            self.queries.slice(slot * QUERY_STRIDE, length)
        })
    }

    /// Replies SERVFAIL to the datagram whose answering panicked: the last one that `answer` was called with.
    pub fn fail_one(&mut self) {
        let Some(slot) = self.answered.checked_sub(1) else { return };
        let length = self.receiving.slice(slot, 1)[0].msg_len as usize;
        let query = self.queries.slice(slot * QUERY_STRIDE, length.min(QUERY_BYTES_MAX));
        if let Some(header) = server_failure(query) {
            self.replies.slice_mut(self.replied * REPLY_STRIDE, header.len()).copy_from_slice(&header);
            self.stage(slot, header.len());
        }
    }

    /// Makes the reply just written the next to be sent, to where the query of `slot` came from.
    #[inline]
    fn stage(&mut self, slot: usize, bytes: usize) {
        self.reply_parts.slice_mut(self.replied, 1)[0].iov_len = bytes;
        let name = self.names.at(slot);
        let received = self.receiving.slice(slot, 1)[0].msg_hdr;
        let header = &mut self.sending.slice_mut(self.replied, 1)[0].msg_hdr;
        header.msg_name = name.cast();
        header.msg_namelen = received.msg_namelen;
        if self.ancillary_bytes > 0 {
            let length = received.msg_controllen.min(self.ancillary_bytes);
            leave_by_any_interface(&mut self.ancillary.slice_mut(slot, 1)[0].0[..length]);
            header.msg_control = received.msg_control;
            header.msg_controllen = length;
        }
        self.replied += 1;
    }

    /// Sends the replies and returns how many the kernel did not take.
    pub fn send(&mut self, socket: &impl AsRawFd) -> usize {
        let (mut done, mut unsent, mut waited) = (0, 0, false);
        while done < self.replied {
            match self.send_from(done, socket.as_raw_fd()) {
                Ok(sent) => done += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) && !waited => {
                    wait_for_room(socket.as_raw_fd());
                    waited = true;
                }
                Err(error) if is_full(&error) => {
                    unsent += self.replied - done;
                    done = self.replied;
                }
                Err(_) => {
                    unsent += 1;
                    done += 1;
                }
            }
        }
        self.replied = 0;
        unsent
    }

    fn send_from(&mut self, first: usize, socket: RawFd) -> io::Result<usize> {
        let count = self.replied - first;
        // SAFETY: `count` headers from `first` on were staged: they point to names, ancillary data and replies of the
        // lengths they state, all owned by self and not written to meanwhile: `&mut self`.
        let sent = unsafe { libc::sendmmsg(socket, self.sending.at(first), count as u32, libc::MSG_DONTWAIT as _) };
        match usize::try_from(sent) {
            Ok(0) => Err(io::ErrorKind::Other.into()),
            Ok(sent) => Ok(sent),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS))
}

fn wait_for_room(socket: RawFd) {
    let mut ready = libc::pollfd { fd: socket, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd, alive during the call.
    unsafe { libc::poll(&mut ready, 1, SEND_WAIT_MS) };
}

/// The port, at the same place in a `sockaddr_in` and a `sockaddr_in6`.
#[inline]
fn port_bytes(name: &SocketName) -> [u8; 2] {
    [name.0[2], name.0[3]]
}

/// The address in a `sockaddr_in` or `sockaddr_in6`.
#[inline]
fn source(name: &SocketName) -> IpAddr {
    let family = u16::from_ne_bytes([name.0[0], name.0[1]]);
    if i32::from(family) == libc::AF_INET6 {
        let octets: [u8; 16] = name.0[8..24].try_into().expect("16 bytes");
        IpAddr::V6(Ipv6Addr::from(octets))
    } else {
        let octets: [u8; 4] = name.0[4..8].try_into().expect("4 bytes");
        IpAddr::V4(Ipv4Addr::from(octets))
    }
}

/// Header alone: same id, opcode and RD; QR and SERVFAIL set. `None` for what is no query.
fn server_failure(query: &[u8]) -> Option<[u8; 12]> {
    let header: [u8; 12] = query.get(..12)?.try_into().ok()?;
    if header[2] & 0x80 != 0 {
        return None;
    }
    Some([header[0], header[1], 0x80 | header[2] & 0x79, 2, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// Turns the destination a datagram came with into the source its reply leaves from, in place.
///
/// The index of the interface goes: which way back is the routing table's business. A link-local address keeps it, since
/// that means nothing without. An IPv4 control message has the local address the kernel chose (`ipi_spec_dst`) where
/// sendmsg looks for the source (ip(7)), and so has IPv6's (RFC 3542 section 6.1).
fn leave_by_any_interface(ancillary: &mut [u8]) {
    let header = mem::size_of::<libc::cmsghdr>();
    let level_at = mem::offset_of!(libc::cmsghdr, cmsg_level);
    let Some(level) = ancillary.get(level_at..level_at + 4) else { return };
    let ipv6 = level == libc::IPPROTO_IPV6.to_ne_bytes();
    let index_at = header + if ipv6 { mem::offset_of!(libc::in6_pktinfo, ipi6_ifindex) } else { 0 };
    if ipv6 && ancillary.get(header..header + 2).is_some_and(|start| start[0] == 0xfe && start[1] & 0xc0 == 0x80) {
        return;
    }
    if let Some(index) = ancillary.get_mut(index_at..index_at + 4) {
        index.fill(0);
    }
}

/// Has the kernel say, with each datagram, which address it was sent to.
///
/// # Errors
/// The kernel's.
pub fn receive_destination(socket: &impl AsRawFd, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// Has the kernel send no fragments (RFC 9715, R2), and ignore what it was told about the path's MTU, which anybody can
/// forge. What is larger than the link is not sent; responses are kept below that by `udp_payload_max`.
///
/// A datagram that is never a fragment needs no IP identifier either, which spares a few percent of the cost of sending.
///
/// # Errors
/// The kernel's.
pub fn never_fragment(socket: &impl AsRawFd, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
    }
}

/// Sets the receive buffer past net.core.rmem_max, which root (CAP_NET_ADMIN) may.
///
/// # Errors
/// The kernel's; `PermissionDenied` for everybody else.
pub fn force_receive_buffer(socket: &impl AsRawFd, bytes: usize) -> io::Result<()> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
}

fn set_option(socket: &impl AsRawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: `value` is an int, as these options want, and outlives the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (server, client)
    }

    fn received(client: &UdpSocket) -> Vec<u8> {
        let mut bytes = [0; 4096];
        let length = client.recv(&mut bytes).unwrap();
        bytes[..length].to_vec()
    }

    fn echo(datagram: Datagram<'_>, out: &mut [u8]) -> usize {
        out[..datagram.bytes.len()].copy_from_slice(datagram.bytes);
        datagram.bytes.len()
    }

    #[test]
    fn replies_go_back_and_unanswered_ones_leave_no_gap() {
        let (server, client) = pair();
        for text in ["a", "skip", "b"] {
            client.send(text.as_bytes()).unwrap();
        }
        let mut batch = Batch::new(false, false);
        let mut seen = 0;
        while seen < 3 {
            seen += batch.receive(&server, true).unwrap();
            batch.answer(|query, out| if query.bytes == b"skip" { 0 } else { echo(query, out) });
            assert_eq!(batch.send(&server), 0);
        }
        assert_eq!([received(&client), received(&client)], [b"a", b"b"]);
    }

    #[test]
    fn slots_are_as_new_in_the_next_batch() {
        let (server, client) = pair();
        let mut batch = Batch::new(false, false);
        for length in [QUERY_BYTES_MAX + 1, 3, QUERY_BYTES_MAX] {
            client.send(&vec![7; length]).unwrap();
            assert_eq!(batch.receive(&server, true).unwrap(), 1);
            let mut heard = None;
            let passed_over = batch.answer(|query, out| {
                heard = Some(query.bytes.len());
                assert_eq!(query.source, client.local_addr().unwrap().ip());
                echo(query, out)
            });
            batch.send(&server);
            if length > QUERY_BYTES_MAX {
                assert_eq!((passed_over, heard), (1, None));
            } else {
                assert_eq!((passed_over, heard), (0, Some(length)));
                assert_eq!(received(&client).len(), length);
            }
        }
    }

    #[test]
    fn one_reply_the_kernel_refuses_does_not_take_the_others_along() {
        let (server, client) = pair();
        ["a", "b", "c"].iter().for_each(|text| assert_eq!(client.send(text.as_bytes()).unwrap(), 1));
        let mut batch = Batch::new(false, false);
        let mut count = 0;
        // all three are queued: loopback delivers before `send` returns
        assert_eq!(batch.receive(&server, true).unwrap(), 3);
        batch.answer(|query, out| {
            count += 1;
            echo(query, out)
        });
        assert_eq!(count, 3);
        batch.names.slice_mut(1, 1)[0].0[2..4].fill(0); // port 0: EINVAL
        assert_eq!(batch.send(&server), 1);
        assert_eq!([received(&client), received(&client)], [b"a", b"c"]);
    }

    #[test]
    fn a_panic_costs_one_answer_of_the_batch() {
        let (server, client) = pair();
        client.send(&[0; 12]).unwrap();
        client.send(&[1, 2, 1, 9, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        client.send(&[3; 12]).unwrap();
        let mut batch = Batch::new(false, false);
        assert_eq!(batch.receive(&server, true).unwrap(), 3);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            batch.answer(|query, out| if query.bytes[0] == 1 { panic!("as the test wants") } else { echo(query, out) })
        }));
        assert!(outcome.is_err());
        batch.fail_one();
        batch.answer(echo);
        batch.send(&server);
        assert_eq!(received(&client), [0; 12]);
        assert_eq!(received(&client), [1, 2, 0x81, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(received(&client), [3; 12]);
    }

    #[test]
    fn a_socket_on_all_addresses_answers_from_the_one_that_was_asked() {
        for (all, asked) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "::1")] {
            let Ok(server) = UdpSocket::bind(all) else {
                eprintln!("SKIPPED: no sockets on {all}");
                continue;
            };
            let asked: IpAddr = asked.parse().unwrap();
            receive_destination(&server, asked.is_ipv6()).unwrap();
            never_fragment(&server, asked.is_ipv6()).unwrap();
            let client = UdpSocket::bind(all).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut batch = Batch::new(asked.is_ipv6(), true);
            for _ in 0..3 {
                client.send_to(b"question", (asked, server.local_addr().unwrap().port())).unwrap();
                assert_eq!(batch.receive(&server, true).unwrap(), 1);
                batch.answer(echo);
                assert_eq!(batch.send(&server), 0);
                assert_eq!(client.recv_from(&mut [0; 64]).unwrap().1.ip(), asked);
            }
        }
    }

    #[test]
    fn responses_are_never_answered_not_even_with_failure() {
        assert_eq!(server_failure(&[0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(server_failure(&[0; 11]), None);
    }
}
