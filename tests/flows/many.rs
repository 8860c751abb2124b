//! Ten thousand connections at once, all of which are served.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::common::poll;
use crate::common::skipped;
use crate::kit::PATIENCE;
use crate::kit::here;
use crate::kit::now;
use crate::kit::program::Programs;
use crate::kit::program::resident_kib;
use crate::kit::raise_descriptors;
use crate::kit::site::admin;
use crate::kit::site::pool;
use crate::kit::site::series;
use crate::kit::site::tcp;

const WANTED: usize = 10_000;
/// What else needs descriptors, the other tests of this program among them.
const SPARE: u64 = 2_000;

#[test]
fn ten_thousand_connections() {
    // Both programs have two for each: client and endpoint are in this one.
    let limit = raise_descriptors(WANTED as u64 * 2 + SPARE);
    let count = WANTED.min((limit.saturating_sub(SPARE) / 2) as usize);
    if count < WANTED {
        skipped(&format!("{limit} descriptors are too few for {WANTED} connections; tried with {count}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut endpoints = Vec::new();
        for host in ["127.0.0.1", "127.0.0.2"] {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&format!("{host}:0").parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
            socket.listen(4_096).unwrap();
            socket.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(socket.into()).unwrap();
            endpoints.push(listener.local_addr().unwrap());
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    tokio::spawn(async move {
                        let (mut reads, mut writes) = stream.split();
                        tokio::io::copy(&mut reads, &mut writes).await
                    });
                }
            });
        }
        let address = here();
        let lines = "max_connections = 20000";
        let mut programs = Programs::new(&(pool("app", &endpoints, "") + &tcp("edge", address, "app", lines)));
        let running = programs.serve(&[]);
        let socket = programs.path("admin.sock");
        let before = resident_kib(&running);
        let since = now();
        let mut clients = Vec::with_capacity(count);
        while clients.len() < count {
            // No more at once than a listener keeps waiting.
            let mut connecting = JoinSet::new();
            for _ in 0..(count - clients.len()).min(500) {
                connecting.spawn(TcpStream::connect(address));
            }
            while let Some(connected) = connecting.join_next().await {
                clients.push(connected.unwrap().unwrap());
            }
        }
        for round in 0..3u32 {
            for (n, client) in clients.iter_mut().enumerate() {
                client.write_all(&(n as u32 ^ round).to_be_bytes()).await.unwrap();
            }
            for (n, client) in clients.iter_mut().enumerate() {
                let mut back = [0; 4];
                let came = tokio::time::timeout(PATIENCE, client.read_exact(&mut back)).await;
                let told = || admin(&socket, "/metrics").unwrap().1;
                let is_told = |line: &&str| line.starts_with("rhumb_proxy") && !line.ends_with(" 0");
                let told = || told().lines().filter(is_told).map(|line| format!("{line}\n")).collect::<String>();
                assert!(matches!(came, Ok(Ok(_))), "{n}: {came:?}\n{}", told());
                assert_eq!(u32::from_be_bytes(back), n as u32 ^ round);
            }
        }
        let after = resident_kib(&running);
        let each = (after - before) * 1024 / count as u64;
        eprintln!("{count} connections in {:?}: {before} KiB, then {after} KiB, {each} bytes each", since.elapsed());
        assert!(each < 6_000, "{each} bytes for each");
        let open = series(&socket, "rhumb_proxy_connections{listener=\"edge\"}").unwrap();
        assert_eq!(open, count as f64);
        drop(clients);
        // The endpoints are served by this thread.
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(poll(PATIENCE, || series(&socket, "rhumb_proxy_connections{listener=\"edge\"}") == Some(0.0)));
    });
}
