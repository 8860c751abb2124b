//! Datagrams that are passed on unread, of any length, many in one system call.
//!
//! [`Inbox`] takes those of clients, whose socket all of them share, and sends them on through connected sockets, one for each
//! flow. [`Outbox`] collects from connected sockets what goes back through the clients' socket: answers of many flows leave in one
//! call. Neither copies a datagram. Their room is that of the longest there are; pages of it that no datagram was long enough for
//! are never made.

use std::io;
use std::mem;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV6;
use std::os::fd::AsRawFd;
use std::ptr;

use super::Ancillary;
use super::Fixed;
use super::SocketName;
use super::leave_by_any_interface;
use super::set_option;

/// Datagrams in one system call. Flows share a worker with others, so this is half of what DNS takes at once.
pub const PARCELS: usize = 32;

/// UDP's own length is 16 bits, so there are no longer ones.
const BYTES_MAX: usize = 65_535;
/// Slots begin at different places of their pages; see `STAGGER_BYTES`.
const STRIDE: usize = BYTES_MAX + 1 + super::STAGGER_BYTES;

/// Where a flow's datagrams go back to: a client, and the address of ours that it asked.
#[derive(Clone, Copy)]
pub struct Address {
    name: SocketName,
    name_bytes: u32,
    ancillary: Ancillary,
    ancillary_bytes: usize,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", socket_address(&self.name))
    }
}

/// A datagram that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// From there.
    pub client: SocketAddr,
    /// To that address of ours, where the socket tells; see [`super::receive_destination`].
    pub local: Option<IpAddr>,
    /// So long.
    pub bytes: usize,
}

/// Datagrams of clients.
pub struct Inbox {
    names: Fixed<SocketName>,
    ancillary: Fixed<Ancillary>,
    bytes: Fixed<u8>,
    parts: Fixed<libc::iovec>,
    receiving: Fixed<libc::mmsghdr>,
    onward_parts: Fixed<libc::iovec>,
    onward: Fixed<libc::mmsghdr>,
    received: usize,
}

/// Datagrams to clients.
pub struct Outbox {
    /// Of each call to [`Outbox::receive`].
    addresses: Fixed<Address>,
    bytes: Fixed<u8>,
    parts: Fixed<libc::iovec>,
    receiving: Fixed<libc::mmsghdr>,
    sending_parts: Fixed<libc::iovec>,
    sending: Fixed<libc::mmsghdr>,
    calls: usize,
    used: usize,
    staged: usize,
}

/// What one call has taken from a flow's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// Datagrams.
    pub datagrams: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Whether there may be more.
    pub has_more: bool,
}

fn empty<T>() -> Fixed<T>
where
    T: Copy,
{
    // SAFETY: used for `iovec`, `mmsghdr`, names and ancillary data alone, of which all zero is a valid value: null pointers and
    // lengths of zero.
    Fixed::new(unsafe { mem::zeroed() }, PARCELS)
}

impl Inbox {
    /// An empty one, for sockets of either family.
    pub fn new() -> Self {
        let mut inbox = Inbox {
            names: empty(),
            ancillary: empty(),
            bytes: Fixed::new(0, PARCELS * STRIDE),
            parts: empty(),
            receiving: empty(),
            onward_parts: empty(),
            onward: empty(),
            received: 0,
        };
        (0..PARCELS).for_each(|slot| inbox.link(slot));
        (0..PARCELS).for_each(|slot| inbox.reset(slot));
        inbox
    }

    fn link(&mut self, slot: usize) {
        let part = libc::iovec { iov_base: self.bytes.at(slot * STRIDE).cast(), iov_len: BYTES_MAX };
        self.parts.slice_mut(slot, 1)[0] = part;
        self.onward_parts.slice_mut(slot, 1)[0] = part;
        let (part, onward_part) = (self.parts.at(slot), self.onward_parts.at(slot));
        let (name, ancillary) = (self.names.at(slot), self.ancillary.at(slot));
        let header = &mut self.receiving.slice_mut(slot, 1)[0].msg_hdr;
        header.msg_iov = part;
        header.msg_iovlen = 1;
        header.msg_name = name.cast();
        header.msg_control = ancillary.cast();
        let header = &mut self.onward.slice_mut(slot, 1)[0].msg_hdr;
        header.msg_iov = onward_part;
        header.msg_iovlen = 1;
    }

    /// Undoes what the kernel wrote into a header it used.
    fn reset(&mut self, slot: usize) {
        let header = &mut self.receiving.slice_mut(slot, 1)[0].msg_hdr;
        header.msg_namelen = mem::size_of::<SocketName>() as u32;
        header.msg_controllen = mem::size_of::<Ancillary>();
        header.msg_flags = 0;
    }

    /// Takes the datagrams that are there, at most [`PARCELS`]; those it held are gone.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` when there is none.
    pub fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<usize> {
        (0..self.received).for_each(|slot| self.reset(slot));
        self.received = 0;
        // SAFETY: the headers, PARCELS of them, point to names, ancillary data and buffers of at least the lengths they state,
        // all owned by self, and no borrow of them is alive: `&mut self`.
        let got = unsafe {
            let flags = libc::MSG_DONTWAIT;
            libc::recvmmsg(socket.as_raw_fd(), self.receiving.at(0), PARCELS as u32, flags as _, ptr::null_mut())
        };
        self.received = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        for slot in 0..self.received {
            let length = self.receiving.slice(slot, 1)[0].msg_len as usize;
            self.onward_parts.slice_mut(slot, 1)[0].iov_len = length.min(BYTES_MAX);
        }
        Ok(self.received)
    }

    /// The datagram of a slot below what was received; none that came in part, and none from port 0, where nobody can be answered.
    #[inline]
    pub fn arrived(&self, slot: usize) -> Option<Arrived> {
        debug_assert!(slot < self.received);
        let message = &self.receiving.slice(slot, 1)[0];
        if message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let client = socket_address(&self.names.slice(slot, 1)[0]).filter(|client| client.port() != 0)?;
        let told = message.msg_hdr.msg_controllen.min(mem::size_of::<Ancillary>());
        let local = destination(&self.ancillary.slice(slot, 1)[0].0[..told]);
        Some(Arrived { client, local, bytes: message.msg_len as usize })
    }

    /// Its bytes.
    pub fn bytes(&self, slot: usize) -> &[u8] {
        debug_assert!(slot < self.received);
        self.bytes.slice(slot * STRIDE, self.onward_parts.slice(slot, 1)[0].iov_len.min(BYTES_MAX))
    }

    /// Where answers to it go.
    pub fn address(&self, slot: usize) -> Address {
        debug_assert!(slot < self.received);
        let header = &self.receiving.slice(slot, 1)[0].msg_hdr;
        let ancillary_bytes = header.msg_controllen.min(mem::size_of::<Ancillary>());
        let mut ancillary = self.ancillary.slice(slot, 1)[0];
        leave_by_any_interface(&mut ancillary.0[..ancillary_bytes]);
        let name_bytes = header.msg_namelen.min(mem::size_of::<SocketName>() as u32);
        Address { name: self.names.slice(slot, 1)[0], name_bytes, ancillary, ancillary_bytes }
    }

    /// Sends `count` datagrams, from that slot on, through a connected socket, and returns how many went.
    ///
    /// # Errors
    /// The kernel's, when the first was not taken.
    #[inline]
    pub fn send_on(&mut self, first: usize, count: usize, socket: &impl AsRawFd) -> io::Result<usize> {
        assert!(first < self.received && count <= self.received - first);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        if count == 1 {
            let bytes = self.bytes(first);
            // SAFETY: the slice is alive during the call, which only reads it.
            let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
            return if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(1) };
        }
        // SAFETY: `count` headers from `first` on point to buffers of the lengths they state, all owned by self and not written
        // to meanwhile: `&mut self`. They have neither names nor ancillary data.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), self.onward.at(first), count as u32, flags as _) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox({} received)", self.received)
    }
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Self {
        let mut outbox = Outbox {
            addresses: empty(),
            bytes: Fixed::new(0, PARCELS * STRIDE),
            parts: empty(),
            receiving: empty(),
            sending_parts: empty(),
            sending: empty(),
            calls: 0,
            used: 0,
            staged: 0,
        };
        for slot in 0..PARCELS {
            let part = libc::iovec { iov_base: outbox.bytes.at(slot * STRIDE).cast(), iov_len: BYTES_MAX };
            outbox.parts.slice_mut(slot, 1)[0] = part;
            let (part, sending_part) = (outbox.parts.at(slot), outbox.sending_parts.at(slot));
            let header = &mut outbox.receiving.slice_mut(slot, 1)[0].msg_hdr;
            header.msg_iov = part;
            header.msg_iovlen = 1;
            let header = &mut outbox.sending.slice_mut(slot, 1)[0].msg_hdr;
            header.msg_iov = sending_part;
            header.msg_iovlen = 1;
        }
        outbox
    }

    /// Whether nothing more can be taken before [`Outbox::send`].
    pub fn is_full(&self) -> bool {
        self.used == PARCELS
    }

    /// Takes what has come at a connected socket, as far as there is room, to be sent there.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` when there is nothing.
    pub fn receive(&mut self, socket: &impl AsRawFd, to: &Address) -> io::Result<Taken> {
        let (first, room) = (self.used, PARCELS - self.used);
        if room == 0 {
            return Ok(Taken { has_more: true, ..Taken::default() });
        }
        // SAFETY: `room` headers from `first` on point to buffers of the lengths they state, owned by self, with neither names
        // nor ancillary data, and no borrow of them is alive: `&mut self`.
        let got = unsafe {
            let flags = libc::MSG_DONTWAIT;
            libc::recvmmsg(socket.as_raw_fd(), self.receiving.at(first), room as u32, flags as _, ptr::null_mut())
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        self.used += got;
        let mut taken = Taken { has_more: got == room, ..Taken::default() };
        // There are no more calls than slots: each has used one.
        self.addresses.slice_mut(self.calls, 1)[0] = *to;
        for slot in first..first + got {
            let message = &mut self.receiving.slice_mut(slot, 1)[0];
            let is_whole = message.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            message.msg_hdr.msg_flags = 0;
            let bytes = (message.msg_len as usize).min(BYTES_MAX);
            if is_whole {
                self.stage(slot, bytes);
                taken.datagrams += 1;
                taken.bytes += bytes;
            }
        }
        self.calls += usize::from(got > 0);
        Ok(taken)
    }

    fn stage(&mut self, slot: usize, bytes: usize) {
        let part = libc::iovec { iov_base: self.bytes.at(slot * STRIDE).cast(), iov_len: bytes };
        self.sending_parts.slice_mut(self.staged, 1)[0] = part;
        let at = self.addresses.at(self.calls);
        let Address { name_bytes, ancillary_bytes, .. } = self.addresses.slice(self.calls, 1)[0];
        let header = &mut self.sending.slice_mut(self.staged, 1)[0].msg_hdr;
        // SAFETY: `at` is inside the allocation, and these only work out where its fields are.
        let (name, ancillary) = unsafe { (ptr::addr_of_mut!((*at).name), ptr::addr_of_mut!((*at).ancillary)) };
        header.msg_name = name.cast();
        header.msg_namelen = name_bytes;
        header.msg_control = if ancillary_bytes > 0 { ancillary.cast() } else { ptr::null_mut() };
        header.msg_controllen = ancillary_bytes;
        self.staged += 1;
    }

    /// Sends all that was taken through the clients' socket, and returns how many datagrams the kernel did not take. It does not
    /// wait: what finds no room is lost, as in any router.
    pub fn send(&mut self, socket: &impl AsRawFd) -> usize {
        let (mut done, mut unsent) = (0, 0);
        while done < self.staged {
            let flags = libc::MSG_DONTWAIT;
            let count = (self.staged - done) as u32;
            // SAFETY: `count` headers from `done` on were staged: they point to names, ancillary data and buffers of the lengths
            // they state, all owned by self and not written to meanwhile: `&mut self`.
            let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), self.sending.at(done), count, flags as _) };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => done += sent,
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The first of them is what the kernel will not have.
                _ => {
                    unsent += 1;
                    done += 1;
                }
            }
        }
        (self.calls, self.used, self.staged) = (0, 0, 0);
        unsent
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outbox({} staged)", self.staged)
    }
}

/// What a `sockaddr_in` or `sockaddr_in6` says.
#[inline]
fn socket_address(name: &SocketName) -> Option<SocketAddr> {
    let bytes = &name.0;
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    match i32::from(u16::from_ne_bytes([bytes[0], bytes[1]])) {
        libc::AF_INET => Some(SocketAddr::from(([bytes[4], bytes[5], bytes[6], bytes[7]], port))),
        libc::AF_INET6 => {
            let octets: [u8; 16] = bytes[8..24].try_into().ok()?;
            let scope = u32::from_ne_bytes(bytes[24..28].try_into().ok()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, scope).into())
        }
        _ => None,
    }
}

/// The address in IP_PKTINFO or IPV6_PKTINFO, the one that an answer leaves from.
fn destination(ancillary: &[u8]) -> Option<IpAddr> {
    let header = mem::size_of::<libc::cmsghdr>();
    let int = |at: usize| Some(i32::from_ne_bytes(ancillary.get(at..at + 4)?.try_into().ok()?));
    let level = int(mem::offset_of!(libc::cmsghdr, cmsg_level))?;
    let kind = int(mem::offset_of!(libc::cmsghdr, cmsg_type))?;
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            let at = header + mem::offset_of!(libc::in_pktinfo, ipi_spec_dst);
            let octets: [u8; 4] = ancillary.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let octets: [u8; 16] = ancillary.get(header..header + 16)?.try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

/// Has the kernel cut datagrams into fragments where the link asks for it, as it does for sockets that nobody told otherwise: what
/// is passed on is as long as somebody else made it. Undoes [`super::never_fragment`].
///
/// # Errors
/// The kernel's.
pub fn may_fragment(socket: &impl AsRawFd, ipv6: bool) -> io::Result<()> {
    if ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_WANT)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_WANT)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    fn socket(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    fn connected(to: &UdpSocket) -> UdpSocket {
        let socket = socket("127.0.0.1:0");
        socket.connect(to.local_addr().unwrap()).unwrap();
        socket
    }

    /// A client, the clients' socket, a flow's socket, and the endpoint.
    fn four() -> (UdpSocket, UdpSocket, UdpSocket, UdpSocket) {
        let (front, endpoint) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        (connected(&front), front, connected(&endpoint), endpoint)
    }

    #[test]
    fn datagrams_of_any_length_go_there_and_back_whole_and_in_order() {
        let (client, front, flow, endpoint) = four();
        let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new());
        let mut room = vec![0; BYTES_MAX];
        for lengths in [&[0, 1, 1_472][..], &[60_000], &[65_507], &[3, 2, 0]] {
            let sent: Vec<Vec<u8>> = lengths.iter().map(|length| vec![*length as u8; *length]).collect();
            sent.iter().for_each(|bytes| assert_eq!(client.send(bytes).unwrap(), bytes.len()));
            assert_eq!(inbox.receive(&front).unwrap(), sent.len());
            let arrived = inbox.arrived(0).unwrap();
            assert_eq!((arrived.client, arrived.local), (client.local_addr().unwrap(), None));
            assert_eq!(inbox.bytes(0), sent[0]);
            let to = inbox.address(0);
            assert_eq!(inbox.send_on(0, sent.len(), &flow).unwrap(), sent.len());
            for bytes in &sent {
                let (length, from) = endpoint.recv_from(&mut room).unwrap();
                assert_eq!(&room[..length], bytes);
                endpoint.send_to(bytes, from).unwrap();
            }
            let taken = outbox.receive(&flow, &to).unwrap();
            let bytes = lengths.iter().sum();
            assert_eq!(taken, Taken { datagrams: sent.len(), bytes, has_more: false });
            assert_eq!(outbox.send(&front), 0);
            for bytes in &sent {
                let length = client.recv(&mut room).unwrap();
                assert_eq!(&room[..length], bytes);
            }
        }
    }

    #[test]
    fn answers_of_many_flows_leave_together_and_each_to_its_client() {
        let (first, front, flow, endpoint) = four();
        let second = connected(&front);
        let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new());
        first.send(b"a").unwrap();
        second.send(b"b").unwrap();
        assert_eq!(inbox.receive(&front).unwrap(), 2);
        let addresses = [inbox.address(0), inbox.address(1)];
        for (at, text) in [(1, "to b"), (0, "to a"), (1, "more")] {
            endpoint.send_to(text.as_bytes(), flow.local_addr().unwrap()).unwrap();
            assert_eq!(outbox.receive(&flow, &addresses[at]).unwrap().datagrams, 1);
        }
        assert_eq!(outbox.send(&front), 0);
        let mut room = [0; 16];
        let mut heard = |client: &UdpSocket| {
            let length = client.recv(&mut room).unwrap();
            String::from_utf8_lossy(&room[..length]).into_owned()
        };
        assert_eq!([heard(&first), heard(&second), heard(&second)], ["to a", "to b", "more"]);
    }

    #[test]
    fn a_full_outbox_takes_nothing_until_it_was_sent() {
        let (client, front, flow, endpoint) = four();
        let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new());
        client.send(b"?").unwrap();
        inbox.receive(&front).unwrap();
        let to = inbox.address(0);
        (0..PARCELS + 1).for_each(|_| _ = endpoint.send_to(b"!", flow.local_addr().unwrap()).unwrap());
        assert_eq!(outbox.receive(&flow, &to).unwrap(), Taken { datagrams: PARCELS, bytes: PARCELS, has_more: true });
        assert!(outbox.is_full());
        assert_eq!(outbox.receive(&flow, &to).unwrap(), Taken { has_more: true, ..Taken::default() });
        assert_eq!(outbox.send(&front), 0);
        assert_eq!(outbox.receive(&flow, &to).unwrap(), Taken { datagrams: 1, bytes: 1, has_more: false });
    }

    #[test]
    fn a_closed_port_is_told_to_whoever_sends_or_receives() {
        let (client, front, flow, endpoint) = four();
        let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new());
        client.send(b"?").unwrap();
        inbox.receive(&front).unwrap();
        let to = inbox.address(0);
        drop(endpoint);
        assert_eq!(inbox.send_on(0, 1, &flow).unwrap(), 1);
        assert_eq!(outbox.receive(&flow, &to).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(inbox.send_on(0, 1, &flow).unwrap(), 1);
        assert_eq!(inbox.send_on(0, 1, &flow).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_socket_on_all_addresses_tells_which_was_asked_and_answers_from_it() {
        for (all, asked) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "::1")] {
            let Ok(front) = UdpSocket::bind(all) else {
                eprintln!("SKIPPED: no sockets on {all}");
                continue;
            };
            let asked: IpAddr = asked.parse().unwrap();
            super::super::receive_destination(&front, asked.is_ipv6()).unwrap();
            let (client, endpoint) = (socket(all), socket("127.0.0.1:0"));
            let flow = connected(&endpoint);
            client.send_to(b"question", (asked, front.local_addr().unwrap().port())).unwrap();
            let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new());
            inbox.receive(&front).unwrap();
            assert_eq!(inbox.arrived(0).unwrap().local, Some(asked));
            endpoint.send_to(b"answer", flow.local_addr().unwrap()).unwrap();
            outbox.receive(&flow, &inbox.address(0)).unwrap();
            assert_eq!(outbox.send(&front), 0);
            assert_eq!(client.recv_from(&mut [0; 64]).unwrap().1.ip(), asked);
        }
    }
}
