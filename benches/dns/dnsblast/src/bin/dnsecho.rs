//! dnsecho: the floor for a UDP responder.  It sets QR and AA, sets ANCOUNT
//! and appends 16 bytes per pretended A record, and sends the datagram back.
//! No DNS work is done.
//!
//!   --mode plain      recvfrom / sendto
//!   --mode batch      recvmmsg / sendmmsg of --batch (64)
//!   --pmtu probe      IP_PMTUDISC_PROBE (DF set: the kernel need not make an IP ID)
//!   --pad BYTES       further bytes in every reply

use std::net::UdpSocket;
use std::os::fd::AsRawFd;

const BATCH: usize = 64;
const BUF: usize = 2048;

#[derive(Clone, Copy)]
struct Shape {
    answers: usize,
    pad: usize,
}

impl Shape {
    #[inline]
    fn finish(self, m: &mut [u8], len: usize) -> usize {
        const RR: [u8; 16] = [0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
        m[2] |= 0x84;
        m[7] = self.answers as u8;
        for i in 0..self.answers {
            m[len + 16 * i..len + 16 * (i + 1)].copy_from_slice(&RR);
        }
        len + 16 * self.answers + self.pad
    }
}

fn main() {
    let (mut listen, mut mode, mut batch, mut pmtu) = ("127.0.0.1:5300".to_string(), "batch".to_string(), BATCH, String::new());
    let mut shape = Shape { answers: 1, pad: 0 };
    let mut a = std::env::args().skip(1);
    while let Some(k) = a.next() {
        let v = a.next().expect("value");
        match k.as_str() {
            "--listen" => listen = v,
            "--mode" => mode = v,
            "--answers" => shape.answers = v.parse().expect("number"),
            "--pad" => shape.pad = v.parse().expect("number"),
            "--batch" => batch = v.parse::<usize>().expect("number").clamp(1, BATCH),
            "--pmtu" => pmtu = v,
            _ => panic!("dnsecho --listen ADDR:PORT --mode plain|batch --answers N --pad N --batch N --pmtu probe"),
        }
    }
    let s = UdpSocket::bind(&listen).expect("bind");
    let fd = s.as_raw_fd();
    if pmtu == "probe" {
        set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE);
    }
    match mode.as_str() {
        "plain" => plain(fd, shape),
        "batch" => batched(fd, shape, batch),
        _ => panic!("mode"),
    }
}

fn set(fd: i32, level: i32, name: i32, v: i32) {
    let r = unsafe { libc::setsockopt(fd, level, name, &v as *const _ as *const _, 4) };
    assert_eq!(r, 0, "setsockopt");
}

fn plain(fd: i32, shape: Shape) {
    let mut b = [0u8; BUF];
    unsafe {
        let mut from: libc::sockaddr_storage = std::mem::zeroed();
        loop {
            let mut fl = std::mem::size_of_val(&from) as u32;
            let n = libc::recvfrom(fd, b.as_mut_ptr() as *mut _, 1200, 0, &mut from as *mut _ as *mut _, &mut fl);
            if n < 12 {
                continue;
            }
            let l = shape.finish(&mut b, n as usize);
            libc::sendto(fd, b.as_ptr() as *const _, l, 0, &from as *const _ as *const _, fl);
        }
    }
}

fn batched(fd: i32, shape: Shape, batch: usize) {
    let mut buf = vec![0u8; BUF * BATCH];
    let mut names: Vec<libc::sockaddr_storage> = (0..BATCH).map(|_| unsafe { std::mem::zeroed() }).collect();
    let mut iov: Vec<libc::iovec> =
        (0..BATCH).map(|i| libc::iovec { iov_base: unsafe { buf.as_mut_ptr().add(i * BUF) } as *mut _, iov_len: 1200 }).collect();
    let mut msg: Vec<libc::mmsghdr> = (0..BATCH)
        .map(|i| {
            let mut m: libc::mmsghdr = unsafe { std::mem::zeroed() };
            m.msg_hdr.msg_iov = &mut iov[i];
            m.msg_hdr.msg_iovlen = 1;
            m.msg_hdr.msg_name = &mut names[i] as *mut _ as *mut _;
            m
        })
        .collect();
    loop {
        for i in 0..batch {
            iov[i].iov_len = 1200;
            msg[i].msg_hdr.msg_namelen = std::mem::size_of::<libc::sockaddr_storage>() as u32;
        }
        let n = unsafe { libc::recvmmsg(fd, msg.as_mut_ptr(), batch as u32, libc::MSG_WAITFORONE as _, std::ptr::null_mut()) };
        if n <= 0 {
            continue;
        }
        let n = n as usize;
        for i in 0..n {
            let l = msg[i].msg_len as usize;
            iov[i].iov_len = if l >= 12 { shape.finish(&mut buf[i * BUF..(i + 1) * BUF], l) } else { 0 };
        }
        send_all(fd, &mut msg[..n]);
    }
}

fn send_all(fd: i32, msg: &mut [libc::mmsghdr]) {
    let mut sent = 0;
    while sent < msg.len() {
        let r = unsafe { libc::sendmmsg(fd, msg.as_mut_ptr().add(sent), (msg.len() - sent) as u32, 0) };
        if r <= 0 {
            break;
        }
        sent += r as usize;
    }
}
