//! A very cheap HTTP/1.1 origin: one thread, prepared responses, hardly a look at the request.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use crate::sys;
use crate::sys::Epoll;
use crate::sys::Moved;
use crate::sys::find;

/// Bodies of `/s`, `/l` and `/x`.
const LENGTHS: [usize; 3] = [128, 16 << 10, 4 << 20];

struct Connection {
    /// A request's beginning.
    unread: Vec<u8>,
    /// What is being sent.
    sending: Option<Sending>,
}

#[derive(Clone, Copy)]
struct Sending {
    response: usize,
    sent: usize,
}

fn response(length: usize, last: bool) -> Vec<u8> {
    let close = if last { "Connection: close\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Sun, 22 Nov 2026 14:00:00 GMT\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\nCache-Control: no-store\r\n{close}\r\n"
    );
    [head.as_bytes(), &vec![b'x'; length]].concat()
}

/// The prepared response to a request head; the odd ones are the last on their connection.
fn wanted(head: &[u8]) -> usize {
    let path = head.iter().position(|byte| *byte == b'/').unwrap_or(0);
    let which = match head.get(path + 1) {
        Some(b'l') => 1,
        Some(b'x') => 2,
        _ => 0,
    };
    which * 2 + usize::from(find(head, b"onnection: close").is_some())
}

/// Serves at each address, for ever.
pub fn run(addresses: &str) {
    let mut epoll = Epoll::new();
    let mut listeners = Vec::new();
    for address in addresses.split(',') {
        let fd = sys::listen(&address.parse::<SocketAddr>().expect("an address"));
        epoll.add(fd, libc::EPOLLIN as u32, fd as usize);
        listeners.push(fd);
    }
    let responses: Vec<Vec<u8>> =
        LENGTHS.iter().flat_map(|length| [response(*length, false), response(*length, true)]).collect();
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let happened: Vec<(usize, u32)> = epoll.wait(-1).collect();
        for (token, events) in happened {
            let fd = token as RawFd;
            if listeners.contains(&fd) {
                for fd in (0..64).map_while(|_| sys::accept(fd)) {
                    if connections.len() <= fd as usize {
                        connections.resize_with(fd as usize + 1, || None);
                    }
                    connections[fd as usize] = Some(Connection { unread: Vec::new(), sending: None });
                    epoll.add(fd, sys::READABLE | sys::WRITABLE | libc::EPOLLRDHUP as u32, fd as usize);
                }
                continue;
            }
            let Some(connection) = connections[token].as_mut() else { continue };
            if !connection.serve(fd, &responses, &mut buffer, events & sys::HUNG_UP != 0) {
                connections[token] = None;
                sys::close(fd);
            }
        }
    }
}

impl Connection {
    /// False when the connection has ended.
    fn serve(&mut self, fd: RawFd, responses: &[Vec<u8>], buffer: &mut [u8], hung_up: bool) -> bool {
        loop {
            match self.flush(fd, responses) {
                Some(true) => {}
                Some(false) => return false,
                None => return true,
            }
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                let response = wanted(&self.unread[..end + 4]);
                self.unread.drain(..end + 4);
                self.sending = Some(Sending { response, sent: 0 });
                continue;
            }
            let read = match sys::read(fd, buffer) {
                Moved::Bytes(read) => read,
                Moved::Ended => return false,
                Moved::NotNow => return true,
            };
            self.unread.extend_from_slice(&buffer[..read]);
            // A short read of one whole request, the usual case: nothing else is there to be read.
            if read < buffer.len()
                && !hung_up
                && find(&self.unread, b"\r\n\r\n") == Some(self.unread.len().saturating_sub(4))
            {
                self.sending = Some(Sending { response: wanted(&self.unread), sent: 0 });
                self.unread.clear();
                return self.flush(fd, responses) != Some(false);
            }
        }
    }

    /// Whether the connection goes on, once all is sent; none while it is not.
    fn flush(&mut self, fd: RawFd, responses: &[Vec<u8>]) -> Option<bool> {
        while let Some(Sending { response, sent }) = self.sending {
            let rest = &responses[response][sent..];
            match sys::write(fd, rest) {
                Moved::NotNow => return None,
                Moved::Ended => return Some(false),
                Moved::Bytes(more) if more < rest.len() => self.sending = Some(Sending { response, sent: sent + more }),
                Moved::Bytes(_) => {
                    self.sending = None;
                    if response % 2 == 1 {
                        return Some(false);
                    }
                }
            }
        }
        Some(true)
    }
}
