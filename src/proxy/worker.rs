//! One thread that serves listeners, with a runtime of its own: nothing is handed from one to another.

use std::cell::OnceCell;
use std::cell::RefCell;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;
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
use crate::proxy::drain;
use crate::proxy::flow::serve;
use crate::proxy::flow::udp;
use crate::proxy::listening::Listening;
use crate::proxy::listening::Serves;
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
        /// What is spoken there.
        serves: Serves,
        /// Bound, not blocking.
        socket: Bound,
        /// Its side of TLS.
        tls: Option<Arc<ServerTls>>,
        /// Who must say whom it speaks for.
        proxies: Proxies,
    },
    /// Takes no new connections there; those that are open have so long, and up to [`drain::spread`] longer.
    Close {
        /// The listener's name.
        name: String,
        /// How long.
        drain: Duration,
        /// Whether connections that wait are taken by another listener, which goes on with the socket.
        is_succeeded: bool,
    },
    /// Takes no new connections at all, and ends; told when it has.
    Stop {
        /// How long connections have, those of listeners that were closed before, too.
        drain: Duration,
        /// Told when every connection has ended.
        ended: oneshot::Sender<()>,
    },
}

/// A listener's socket.
#[derive(Debug)]
pub enum Bound {
    /// That connections come in at.
    Stream(TcpListener),
    /// That datagrams come in at.
    Datagrams(UdpSocket),
}

impl Bound {
    /// Another descriptor of it.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Bound::Stream(socket) => socket.try_clone().map(Bound::Stream),
            Bound::Datagrams(socket) => socket.try_clone().map(Bound::Datagrams),
        }
    }

    /// Where it is.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Bound::Stream(socket) => socket.local_addr(),
            Bound::Datagrams(socket) => socket.local_addr(),
        }
    }
}

impl From<Bound> for OwnedFd {
    fn from(bound: Bound) -> Self {
        match bound {
            Bound::Stream(socket) => socket.into(),
            Bound::Datagrams(socket) => socket.into(),
        }
    }
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
        let (doors, connections, flows, post) = (Rc::default(), Rc::default(), RefCell::default(), OnceCell::new());
        runtime.block_on(Worker { core, doors, connections, flows, post }.run(commands));
    })
}

/// The kernel keeps no more connections for a socket than net.core.somaxconn, which is 4,096 unless somebody needs more.
const BACKLOG_MAX: u32 = 65_536;

/// A connection and where it came in.
type Connections = Rc<RefCell<Vec<(Rc<Listening>, AbortHandle)>>>;

/// What connections are taken from.
type Doors = Rc<RefCell<Vec<Rc<Listening>>>>;

/// A task that serves datagrams at an address, and has it to itself.
struct Flows {
    address: SocketAddr,
    listening: Rc<Listening>,
    task: AbortHandle,
}

struct Worker {
    core: Rc<Core>,
    doors: Doors,
    connections: Connections,
    /// Tasks that serve datagrams.
    flows: RefCell<Vec<Flows>>,
    /// Where datagrams lie; there is none before the first listener for them.
    post: OnceCell<Rc<RefCell<udp::Post>>>,
}

impl Worker {
    async fn run(self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let sweeping = sweep(self.core.clone(), self.doors.clone(), self.connections.clone());
        let sweeping = tokio::task::spawn_local(sweeping);
        while let Some(command) = commands.recv().await {
            match command {
                Command::Open { name, serves, socket, tls, proxies } => {
                    self.open(Listening::new(name, serves, tls, proxies), socket);
                }
                Command::Close { name, drain, is_succeeded } => {
                    let closed = self.doors.borrow_mut().extract_if(.., |door| door.name == name).collect();
                    self.close(closed, is_succeeded, Some(drain));
                }
                Command::Stop { drain, ended } => {
                    let doors = self.doors.take();
                    self.close(doors.clone(), false, None);
                    // What waits for a request keeps nobody here, nor at the other end, which may be a listener of ours.
                    self.core.leave();
                    let is_over = || {
                        doors.iter().all(|door| door.has_accepted_all())
                            && self.connections.borrow().iter().all(|(_, task)| task.is_finished())
                    };
                    until_over(drain, is_over).await;
                    sweeping.abort();
                    // Whoever waited may have gone.
                    _ = ended.send(());
                    return;
                }
            }
        }
    }

    fn open(&self, listening: Listening, socket: Bound) {
        match socket {
            Bound::Stream(socket) => self.open_stream(listening, socket),
            Bound::Datagrams(socket) => self.open_datagrams(listening, socket),
        }
    }

    fn open_datagrams(&self, listening: Listening, socket: UdpSocket) {
        let Ok(address) = socket.local_addr() else {
            return tracing::error!("listener {}: its socket has no address", listening.name);
        };
        // As with connections.
        listening.look(&self.core);
        let listening = Rc::new(listening);
        let mut flows = self.flows.borrow_mut();
        // One that left would get a share of what is for this one, and drop it.
        flows.extract_if(.., |open| open.address == address && open.listening.has_accepted_all()).for_each(|left| {
            left.task.abort();
        });
        flows.retain(|open| !open.task.is_finished());
        let post = self.post.get_or_init(Rc::default).clone();
        let task = tokio::task::spawn_local(udp::serve(self.core.clone(), listening.clone(), socket, post));
        let task = task.abort_handle();
        self.connections.borrow_mut().push((listening.clone(), task.clone()));
        flows.push(Flows { address, listening: listening.clone(), task });
        self.doors.borrow_mut().push(listening);
    }

    fn open_stream(&self, listening: Listening, socket: TcpListener) {
        // Heads and the ends of bodies must not wait for each other; those that are accepted inherit it.
        _ = SockRef::from(&socket).set_tcp_nodelay(true);
        let socket = match tokio::net::TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!("listener {}: its socket cannot be used: {error}", listening.name),
        };
        // Before anybody comes: who is taken from its queue when it has left the configuration is served all the same.
        listening.look(&self.core);
        let listening = Rc::new(listening);
        tokio::task::spawn_local(accept(self.core.clone(), listening.clone(), socket, self.connections.clone()));
        self.doors.borrow_mut().push(listening);
    }

    fn close(&self, doors: Vec<Rc<Listening>>, is_succeeded: bool, drain: Option<Duration>) {
        for listening in doors {
            listening.close(is_succeeded);
            if is_succeeded {
                self.flows.borrow_mut().retain(|open| !Rc::ptr_eq(&open.listening, &listening));
            }
            if let Some(drain) = drain {
                tokio::task::spawn_local(end_late(self.core.clone(), listening, self.connections.clone(), drain));
            }
        }
    }
}

/// Waits until it is over, but not longer than that.
async fn until_over(longest: Duration, is_over: impl Fn() -> bool) {
    let until = tokio::time::Instant::now() + longest;
    while !is_over() && tokio::time::Instant::now() < until {
        tokio::time::sleep(SWEEP.min(longest)).await;
    }
}

/// Ends the connections of a closed listener that have not ended in their time.
async fn end_late(core: Rc<Core>, listening: Rc<Listening>, connections: Connections, drain: Duration) {
    let open = || -> Vec<AbortHandle> {
        let connections = connections.borrow();
        let here = connections.iter().filter(|(at, task)| Rc::ptr_eq(at, &listening) && !task.is_finished());
        here.map(|(_, task)| task.clone()).collect()
    };
    until_over(drain, || listening.has_accepted_all() && open().is_empty()).await;
    let late = open();
    if late.is_empty() {
        return;
    }
    tracing::info!("listener {}: {} connections have outlived its drain, and are ended", listening.name, late.len());
    let (step, began) = (drain::spread(drain) / late.len() as u32, tokio::time::Instant::now());
    for (place, task) in late.into_iter().enumerate() {
        // Each at a random moment of its own share: they neither end together nor in the rhythm of a clock.
        let wait = step * place as u32 + drain::share(step, core.draw());
        tokio::time::sleep_until(began + wait).await;
        task.abort();
    }
}

async fn accept(core: Rc<Core>, listening: Rc<Listening>, socket: tokio::net::TcpListener, connections: Connections) {
    let mut closed = pin!(listening.closed());
    loop {
        let accepted = poll_fn(|cx| match closed.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => socket.poll_accept(cx).map(Some),
        });
        match accepted.await {
            Some(Ok((stream, peer))) => begin(&core, &listening, &connections, stream, peer),
            Some(Err(error)) if concerns_one_connection(&error) => {}
            Some(Err(error)) => {
                warn!("listener {}: no connection can be taken: {error}", listening.name);
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
            None => break,
        }
    }
    if !listening.is_succeeded() {
        those_who_wait(socket).for_each(|(stream, peer)| begin(&core, &listening, &connections, stream, peer));
    }
    listening.accepted_all();
}

/// Those who wait in the socket's queue when it is to end: closing it would reset them.
fn those_who_wait(socket: tokio::net::TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    // Not by the runtime, which has tasks pause that get on too well, and does not say so.
    let socket = socket.into_std().ok();
    // From now on one may wait at most: hardly anybody can come between the last look and the end. Where this fails, a few may.
    socket.iter().for_each(|socket| _ = SockRef::from(socket).listen(0));
    let mut left = BACKLOG_MAX;
    std::iter::from_fn(move || {
        loop {
            left = left.checked_sub(1)?;
            let accepted = socket.as_ref()?.accept().and_then(|(stream, peer)| {
                stream.set_nonblocking(true)?;
                Ok((TcpStream::from_std(stream)?, peer))
            });
            match accepted {
                Ok(accepted) => return Some(accepted),
                Err(error) if concerns_one_connection(&error) => {}
                Err(_) => return None,
            }
        }
    })
}

fn begin(core: &Rc<Core>, listening: &Rc<Listening>, connections: &Connections, stream: TcpStream, peer: SocketAddr) {
    let (to_core, to_listening) = (core.clone(), listening.clone());
    let task = match listening.serves {
        Serves::Requests => tokio::task::spawn_local(accept::serve(to_core, to_listening, stream, peer)),
        _ => tokio::task::spawn_local(serve::serve(to_core, to_listening, stream, peer)),
    };
    connections.borrow_mut().push((listening.clone(), task.abort_handle()));
}

/// What happens by the clock: deadlines, lines of the log, connections that have waited too long.
async fn sweep(core: Rc<Core>, doors: Doors, connections: Connections) {
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
            doors.borrow().iter().for_each(|door| door.look(&core));
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
    use crate::server::bind;

    /// More than a task of the runtime takes in one go.
    const WAITING: usize = 200;

    #[tokio::test]
    async fn connections_that_wait_when_we_leave_are_taken_all() {
        // With the queue that listeners have: the runtime's own are too short for so many.
        let socket = bind::stream("127.0.0.1:0".parse().unwrap(), "TCP").unwrap();
        let socket = tokio::net::TcpListener::from_std(socket).unwrap();
        let address = socket.local_addr().unwrap();
        let waiting: Vec<_> = (0..WAITING).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        assert_eq!(those_who_wait(socket).count(), waiting.len());
    }
}
