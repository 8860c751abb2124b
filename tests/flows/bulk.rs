//! Much at once: every byte, in order, and no more of it in memory than is on its way.

use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::sync::mpsc;
use std::time::Duration;

use crate::kit::PATIENCE;
use crate::kit::backend::Backend;
use crate::kit::client::connect;
use crate::kit::here;
use crate::kit::now;
use crate::kit::pattern;
use crate::kit::program::Programs;
use crate::kit::program::resident_kib;
use crate::kit::site::Site;
use crate::kit::site::pool;
use crate::kit::site::tcp;

const DOWN: u64 = 1 << 30;
const UP: u64 = 256 << 20;

#[test]
fn a_gibibyte_comes_through_unchanged_while_as_many_quarters_go_the_other_way() {
    let (tell, told) = mpsc::channel();
    let backend = Backend::start(move |stream| {
        let mut reads = stream.try_clone()?;
        let tell = tell.clone();
        let reading = std::thread::spawn(move || pattern::read(&mut reads).unwrap());
        let mut writes = stream;
        let wrote = pattern::write(&mut writes, DOWN, 7)?;
        writes.shutdown(Shutdown::Write)?;
        tell.send((wrote, reading.join().unwrap())).unwrap();
        Ok(())
    });
    let address = here();
    let site = Site::start(&(pool("app", &[backend.address], "") + &tcp("edge", address, "app", "")));
    let since = now();
    let client = connect(address);
    let mut writes = client.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let wrote = pattern::write(&mut writes, UP, 11).unwrap();
        writes.shutdown(Shutdown::Write).unwrap();
        wrote
    });
    let mut reads = client;
    let down = pattern::read(&mut reads).unwrap();
    let (sent_down, up) = told.recv_timeout(PATIENCE * 2).unwrap();
    assert_eq!(down, (DOWN, sent_down));
    assert_eq!(up, (UP, writing.join().unwrap()));
    eprintln!("1 GiB down and 256 MiB up took {:?}", since.elapsed());
    site.has_flows("edge", "app", "closed", 1);
    let line = &site.lines(1)[0];
    assert!(line.contains(&format!(" bytes_in={UP} bytes_out={DOWN} ")), "{line}");
}

#[test]
fn who_reads_slowly_holds_the_server_back_and_costs_little() {
    const CLIENTS: usize = 100;
    let backend = Backend::start(|mut stream| {
        stream.read_exact(&mut [0; 1])?;
        stream.write_all(&vec![b'x'; 64 << 20])
    });
    let address = here();
    let mut programs = Programs::new(&(pool("app", &[backend.address], "") + &tcp("edge", address, "app", "")));
    let running = programs.serve(&[]);
    let before = resident_kib(&running);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(address)).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"a").unwrap());
    // Until nothing moves any more.
    std::thread::sleep(Duration::from_secs(2));
    let after = resident_kib(&running);
    eprintln!("{CLIENTS} clients that do not read: {before} KiB, then {after} KiB");
    assert!(after < before + 24 * 1024, "from {before} to {after} KiB");
    let mut room = vec![0; 64 << 20];
    for client in &mut clients[..2] {
        client.read_exact(&mut room).unwrap();
        assert!(room.iter().all(|byte| *byte == b'x'));
    }
}
