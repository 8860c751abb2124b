//! One thread that serves listeners, with a runtime of its own: nothing is handed from one to another.

use std::cell::RefCell;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpListener as Socket;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::balance::key::next_draw;
use crate::proxy::accept;
use crate::proxy::core::Core;
use crate::proxy::core::Shared;
use crate::proxy::deadline::SWEEP;
use crate::proxy::listening::Listening;
use crate::proxy::tls::ServerTls;
use crate::server::connection::concerns_one_connection;
use crate::server::proxies::Proxies;

/// Sweeps between two looks at what changes slowly: about a second.
const SWEEPS_PER_LOOK: u32 = 20;
/// When the system has no sockets left, the next is tried after that.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What a worker is told.
#[derive(Debug)]
pub enum Command {
    /// Serves a listener on this socket.
    Open {
        /// Its name.
        name: String,
        /// Listening, not blocking.
        socket: TcpListener,
        /// Its side of TLS.
        tls: Option<Arc<ServerTls>>,
        /// Who must say whom it speaks for.
        proxies: Proxies,
    },
    /// Takes no new connections there; those that are open have so long.
    Close {
        /// The listener's name.
        name: String,
        /// How long.
        drain: Duration,
    },
    /// The same for all listeners, and then it ends; told when it has.
    Stop {
        /// How long.
        drain: Duration,
        /// Told when every connection has ended.
        ended: oneshot::Sender<()>,
    },
}

/// Starts a worker; it ends when it was told to, or when nobody can tell it anything any more.
///
/// # Errors
/// When the system has no thread for it.
pub fn start(
    number: u32,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name(format!("proxy-{number}")).spawn(move || {
        let runtime = match Builder::new_current_thread().enable_all().build_local(Default::default()) {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!("a proxy thread has no runtime: {error}"),
        };
        let seed = next_draw(std::process::id().into()) ^ next_draw(shared.clock.now().0) ^ next_draw(number.into());
        let core = Rc::new(Core::new(number, shared, seed));
        runtime.block_on(Worker { core, doors: Vec::new(), connections: Rc::default() }.run(commands));
    })
}

/// A connection and where it came in.
type Connections = Rc<RefCell<Vec<(Rc<Listening>, AbortHandle)>>>;

struct Worker {
    core: Rc<Core>,
    doors: Vec<Rc<Listening>>,
    connections: Connections,
}

impl Worker {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let sweeping = tokio::task::spawn_local(sweep(self.core.clone(), self.connections.clone()));
        while let Some(command) = commands.recv().await {
            match command {
                Command::Open { name, socket, tls, proxies } => self.open(Listening::new(name, tls, proxies), socket),
                Command::Close { name, drain } => {
                    let (closed, open) = self.doors.drain(..).partition(|door| door.name == name);
                    self.doors = open;
                    self.close(closed, drain);
                }
                Command::Stop { drain, ended } => {
                    let all = std::mem::take(&mut self.doors);
                    self.close(all, drain);
                    self.ended(drain).await;
                    sweeping.abort();
                    // Whoever waited may have gone.
                    _ = ended.send(());
                    return;
                }
            }
        }
    }

    fn open(&mut self, listening: Listening, socket: TcpListener) {
        // Heads and the ends of bodies must not wait for each other; those that are accepted inherit it.
        _ = socket2::SockRef::from(&socket).set_tcp_nodelay(true);
        let socket = match Socket::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!("listener {}: its socket cannot be used: {error}", listening.name),
        };
        let listening = Rc::new(listening);
        tokio::task::spawn_local(accept(self.core.clone(), listening.clone(), socket, self.connections.clone()));
        self.doors.push(listening);
    }

    fn close(&self, doors: Vec<Rc<Listening>>, drain: Duration) {
        for listening in doors {
            listening.leave();
            let connections = self.connections.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(drain).await;
                let late = connections.borrow();
                late.iter().filter(|(at, _)| Rc::ptr_eq(at, &listening)).for_each(|(_, task)| task.abort());
            });
        }
    }

    /// Until every connection has ended, or time is up.
    async fn ended(&self, within: Duration) {
        let until = tokio::time::Instant::now() + within;
        while self.connections.borrow().iter().any(|(_, task)| !task.is_finished())
            && tokio::time::Instant::now() < until
        {
            tokio::time::sleep(SWEEP).await;
        }
    }
}

async fn accept(core: Rc<Core>, listening: Rc<Listening>, socket: Socket, connections: Connections) {
    while let Some(accepted) = next(&socket, &listening).await {
        match accepted {
            Ok((stream, peer)) => {
                let serving = accept::serve(core.clone(), listening.clone(), stream, peer);
                let task = tokio::task::spawn_local(serving).abort_handle();
                connections.borrow_mut().push((listening.clone(), task));
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                warn!("listener {}: no connection can be taken: {error}", listening.name);
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// The next connection; none once we leave. Those that wait then are served, too: closing the socket would reset them.
async fn next(socket: &Socket, listening: &Listening) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    let mut left = pin!(listening.left());
    poll_fn(|cx| match socket.poll_accept(cx) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending => left.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// What happens by the clock: deadlines, lines of the log, connections that have waited too long.
async fn sweep(core: Rc<Core>, connections: Connections) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0u32;
    loop {
        ticks.tick().await;
        let now = core.now();
        core.deadlines.sweep(now);
        core.flush_lines(now);
        count = count.wrapping_add(1);
        if count.is_multiple_of(SWEEPS_PER_LOOK) {
            core.look_at_endpoints(now);
            connections.borrow_mut().retain(|(_, task)| !task.is_finished());
            if core.number == 0 {
                core.shared.tick(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_that_wait_when_we_leave_are_taken_all() {
        let socket = Socket::bind("127.0.0.1:0").await.unwrap();
        let listening = Listening::new("edge".to_owned(), None, Proxies::of(&[]));
        let address = socket.local_addr().unwrap();
        let _waiting = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        listening.leave();
        assert!(next(&socket, &listening).await.is_some_and(|accepted| accepted.is_ok()));
        assert!(next(&socket, &listening).await.is_some_and(|accepted| accepted.is_ok()));
        assert!(next(&socket, &listening).await.is_none());
    }
}
