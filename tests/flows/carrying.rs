//! A connection's ends: halves that are closed, deadlines, and resets, which must come through as what they are.

use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Duration;

use crate::common::poll;
use crate::kit::PATIENCE;
use crate::kit::backend::Backend;
use crate::kit::client::Fate;
use crate::kit::client::connect;
use crate::kit::client::echoes;
use crate::kit::client::fate;
use crate::kit::client::fate_within;
use crate::kit::client::read_text;
use crate::kit::client::reset;
use crate::kit::client::rest;
use crate::kit::here;
use crate::kit::now;
use crate::kit::site::Site;
use crate::kit::site::pool;
use crate::kit::site::tcp;

/// An endpoint behind a listener.
fn before(backend: &Backend, lines: &str) -> (Site, std::net::SocketAddr) {
    let address = here();
    (Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", address, "app", lines))), address)
}

#[test]
fn a_client_that_has_said_its_last_is_still_answered() {
    let backend = Backend::start(|mut stream| {
        let mut asked = String::new();
        stream.read_to_string(&mut asked)?;
        std::thread::sleep(Duration::from_millis(300));
        stream.write_all(format!("you said {asked}").as_bytes())
    });
    let (site, address) = before(&backend, "");
    let mut client = connect(address);
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), (b"you said hello".to_vec(), Fate::Closed));
    site.has_flows("edge", "app", "closed", 1);
}

#[test]
fn a_server_that_has_said_its_last_still_hears() {
    let (heard, hears) = mpsc::channel();
    let backend = Backend::start(move |mut stream| {
        stream.write_all(b"bye")?;
        stream.shutdown(Shutdown::Write)?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        heard.send(said).unwrap();
        Ok(())
    });
    let (site, address) = before(&backend, "");
    let mut client = connect(address);
    assert_eq!(rest(&mut client), (b"bye".to_vec(), Fate::Closed));
    std::thread::sleep(Duration::from_millis(200));
    client.write_all(b"one more thing").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), "one more thing");
    site.has_flows("edge", "app", "closed", 1);
}

#[test]
fn nothing_that_was_said_before_an_end_is_lost() {
    // Large enough to be held on the way.
    let backend = Backend::start(|mut stream| stream.write_all(&vec![b'x'; 20 << 20]));
    let (_site, address) = before(&backend, "");
    let mut client = connect(address);
    std::thread::sleep(Duration::from_millis(300));
    let (all, end) = rest(&mut client);
    assert_eq!((all.len(), end), (20 << 20, Fate::Closed));
}

#[test]
fn half_a_connection_does_not_wait_for_ever() {
    let backend = Backend::start(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        // Says nothing.
        std::thread::sleep(PATIENCE);
        Ok(())
    });
    let (site, address) = before(&backend, "timeouts = { half_closed = \"400ms\", idle = \"1h\" }");
    let mut client = connect(address);
    client.write_all(b"x").unwrap();
    assert_eq!(fate_within(&mut client, Duration::from_millis(800)), Fate::Silent, "it is whole, and may idle");
    client.shutdown(Shutdown::Write).unwrap();
    let since = now();
    assert_eq!(fate(&mut client), Fate::Reset);
    assert!((Duration::from_millis(350)..Duration::from_secs(5)).contains(&since.elapsed()), "{:?}", since.elapsed());
    site.has_flows("edge", "app", "idle", 1);
}

#[test]
fn an_idle_connection_ends_and_one_that_speaks_does_not() {
    let backend = Backend::echo();
    let (site, address) = before(&backend, "timeouts = { idle = \"800ms\" }");
    let (mut idle, mut speaks) = (connect(address), connect(address));
    let since = now();
    while since.elapsed() < Duration::from_secs(2) {
        assert!(echoes(&mut speaks));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(fate(&mut idle), Fate::Reset);
    assert!(echoes(&mut speaks));
    site.has_flows("edge", "app", "idle", 1);
    backend.has_open(1);
}

/// Reads so many bytes, slowly for a few seconds and then as fast as it goes.
fn read_slowly(client: &mut std::net::TcpStream, bytes: usize, pause: Duration) {
    let (mut room, mut total, since) = (vec![0; 64 * 1024], 0, now());
    while total < bytes {
        let read =
            client.read(&mut room).unwrap_or_else(|error| panic!("after {total} and {:?}: {error}", since.elapsed()));
        assert!(read > 0, "after {total}");
        total += read;
        if since.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(pause);
        }
    }
}

#[test]
fn who_reads_slowly_is_not_idle() {
    // More than the systems of both sides keep: it is held on the way for several times the deadline.
    const BYTES: usize = 24 << 20;
    let backend = Backend::start(|mut stream| stream.write_all(&vec![b'x'; BYTES]));
    let (site, address) = before(&backend, "timeouts = { idle = \"1500ms\" }");
    let mut client = connect(address);
    read_slowly(&mut client, BYTES, Duration::from_millis(20));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(fate(&mut client), Fate::Closed);
    site.has_flows("edge", "app", "closed", 1);
}

#[test]
fn what_a_slow_reader_has_still_to_take_outlives_the_deadline() {
    // All of it is with the system soon, and the server has closed; the client's small window lets it through bit by bit.
    const BYTES: usize = 1 << 20;
    let backend = Backend::start(|mut stream| stream.write_all(&vec![b'x'; BYTES]));
    let (site, address) = before(&backend, "timeouts = { half_closed = \"500ms\" }");
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut client: std::net::TcpStream = socket.into();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    read_slowly(&mut client, BYTES, Duration::from_millis(100));
    site.has_flows("edge", "app", "idle", 1);
}

/// An endpoint that tells how its connection ended, after it has sent so much, reading or not.
fn telling(bytes: usize, reads: bool) -> (Backend, mpsc::Receiver<(Fate, Duration)>) {
    let (tell, told) = mpsc::channel();
    let backend = Backend::start(move |mut stream| {
        let mut first = [0; 1];
        stream.read_exact(&mut first)?;
        let since = now();
        let wrote = stream.write_all(&vec![b'x'; bytes]);
        let fate = match wrote {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Fate::Reset,
            // What had been said before came first, and what was written after it had nobody to hear it.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Fate::Reset,
            Err(error) => panic!("{error}"),
            Ok(()) if reads => rest(&mut stream).1,
            Ok(()) => {
                // Only looks whether it is broken.
                let broken = || socket2::SockRef::from(&stream).take_error().unwrap().is_some();
                if poll(PATIENCE, broken) { Fate::Reset } else { Fate::Silent }
            }
        };
        tell.send((fate, since.elapsed())).unwrap();
        Ok(())
    });
    (backend, told)
}

#[test]
fn a_client_s_reset_is_the_server_s() {
    let (backend, told) = telling(1, true);
    let (site, address) = before(&backend, "");
    let mut client = connect(address);
    client.write_all(b"a").unwrap();
    assert_eq!(read_text(&mut client, 1), "x");
    reset(client);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().0, Fate::Reset);
    site.has_flows("edge", "app", "client_reset", 1);
}

#[test]
fn a_server_s_reset_is_the_client_s() {
    let backend = Backend::start(|mut stream| {
        stream.read_exact(&mut [0; 1])?;
        stream.write_all(b"x")?;
        std::thread::sleep(Duration::from_millis(100));
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    });
    let (site, address) = before(&backend, "");
    let mut client = connect(address);
    client.write_all(b"a").unwrap();
    assert_eq!(rest(&mut client), (b"x".to_vec(), Fate::Reset));
    site.has_flows("edge", "app", "endpoint_reset", 1);
}

#[test]
fn a_reset_in_the_midst_of_much_comes_through_at_once() {
    let (backend, told) = telling(1 << 30, true);
    let (site, address) = before(&backend, "");
    let mut client = connect(address);
    client.write_all(b"a").unwrap();
    let mut room = vec![0; 8 << 20];
    client.read_exact(&mut room).unwrap();
    reset(client);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().0, Fate::Reset);
    site.has_flows("edge", "app", "client_reset", 1);

    let backend = Backend::start(|mut stream| {
        let mut room = vec![0; 8 << 20];
        stream.read_exact(&mut room)?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    });
    let (site, address) = before(&backend, "");
    let mut client = connect(address);
    let since = now();
    let broken = loop {
        if let Err(error) = client.write_all(&room) {
            break error.kind();
        }
        assert!(since.elapsed() < PATIENCE);
    };
    assert!(matches!(broken, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe), "{broken}");
    site.has_flows("edge", "app", "endpoint_reset", 1);
}

#[test]
fn a_reset_is_seen_while_bytes_are_held() {
    // The client takes nothing, and then breaks off; the server is in the midst of writing.
    let (backend, told) = telling(64 << 20, true);
    let (site, address) = before(&backend, "");
    let mut client = connect(address);
    client.write_all(b"a").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    reset(client);
    let (fate, after) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(fate, Fate::Reset);
    assert!(after < Duration::from_secs(4), "{after:?}");
    site.has_flows("edge", "app", "client_reset", 1);

    // The server takes nothing; the client has sent all that goes in, and breaks off. Nobody writes any more.
    let (backend, told) = telling(0, false);
    let (site, address) = before(&backend, "");
    let mut client = connect(address);
    client.write_all(b"a").unwrap();
    fill(&mut client);
    reset(client);
    let (fate, after) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(fate, Fate::Reset);
    assert!(after < Duration::from_secs(8), "{after:?}");
    site.has_flows("edge", "app", "client_reset", 1);

    // The other way: the server breaks off while the client takes nothing.
    let backend = Backend::start(|mut stream| {
        stream.read_exact(&mut [0; 1])?;
        fill(&mut stream);
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
    });
    let (site, address) = before(&backend, "");
    let mut client = connect(address);
    client.write_all(b"a").unwrap();
    let broken = || socket2::SockRef::from(&client).take_error().unwrap().is_some();
    assert!(poll(PATIENCE, broken), "the client hears of it without reading");
    site.has_flows("edge", "app", "endpoint_reset", 1);
}

#[test]
fn a_reset_after_half_is_closed_is_seen() {
    let (backend, told) = telling(0, false);
    let (site, address) = before(&backend, "timeouts = { half_closed = \"1h\" }");
    let mut client = connect(address);
    client.write_all(b"a").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    reset(client);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().0, Fate::Reset);
    site.has_flows("edge", "app", "client_reset", 1);
}

#[test]
fn what_a_server_said_before_it_hung_up_on_an_upload_is_heard() {
    // As a server of HTTP does that wants no such body: answers, closes with much unread, and the system resets.
    let backend = Backend::start(|mut stream| {
        stream.read_exact(&mut [0; 1])?;
        stream.write_all(&vec![b'n'; 30_000])?;
        stream.shutdown(Shutdown::Write)
    });
    let (_site, address) = before(&backend, "");
    for _ in 0..5 {
        let mut client = connect(address);
        let mut writes = client.try_clone().unwrap();
        let writing = std::thread::spawn(move || while writes.write_all(&[b'u'; 16 * 1024]).is_ok() {});
        std::thread::sleep(Duration::from_millis(50));
        let (answer, _) = rest(&mut client);
        assert_eq!(answer.len(), 30_000, "all of the answer");
        writing.join().unwrap();
    }
}

/// Writes until nothing more goes in.
fn fill(stream: &mut std::net::TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let mut still = 0;
    while still < 10 {
        match stream.write(&[b'x'; 64 * 1024]) {
            Ok(_) => still = 0,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                still += 1;
                std::thread::sleep(Duration::from_millis(30));
            }
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
}
