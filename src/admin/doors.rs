//! The two doors of the admin API: the Unix socket and the HTTP listener.
//!
//! ```text
//! bind ── open, or everything that stands in the way ──→ serve ──→ reload … ──→ stop
//! ```
//!
//! A reload opens what is new before it closes what is old, so one that is refused changes nothing.

use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use socket2::Domain;
use socket2::Protocol;
use socket2::SockAddr;
use socket2::Socket;
use socket2::Type;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::admin::connection;
use crate::admin::door::Door;
use crate::admin::door::Way;
use crate::admin::routes::Admin;
use crate::admin::socket::AdminSocket;
use crate::admin::users::user_name;
use crate::model::AdminSettings;
use crate::model::Problem;
use crate::model::TlsFiles;
use crate::server::tls::Certificate;

/// Connections at once over the Unix socket. Each door has its own: a flood at one does not shut out the other.
const SOCKET_CONNECTIONS_MAX: usize = 64;
/// Connections at once over HTTP; browsers open six each.
const HTTP_CONNECTIONS_MAX: usize = 256;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// After an error of accept, such as no descriptor left, so that it is not asked again at once.
const BREATHER: Duration = Duration::from_millis(100);

/// Both doors, open.
pub struct Doors {
    settings: AdminSettings,
    socket: Option<Opened<AdminSocket>>,
    http: Option<Opened<Http>>,
    admin: Option<Arc<Admin>>,
}

/// A door and the task that lets callers in.
struct Opened<D> {
    door: D,
    task: Option<JoinHandle<()>>,
}

impl<D> Drop for Opened<D> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// The HTTP listener.
struct Http {
    /// As the configuration has it.
    wanted: SocketAddr,
    /// With the real port.
    address: SocketAddr,
    /// Bound; it listens from [`Doors::serve`] on, so that nobody waits in vain beside a predecessor who still answers.
    socket: Socket,
    certificate: Option<Arc<Certificate>>,
}

impl Doors {
    /// Opens what the settings ask for. `taking_over`: the Unix socket waits beside that of the process that listens
    /// there, until [`Doors::put_in_place`].
    ///
    /// # Errors
    /// Everything that stands in the way.
    pub fn bind(settings: &AdminSettings, tls: &[TlsFiles], taking_over: bool) -> Result<Doors, Vec<Problem>> {
        let mut problems = Vec::new();
        let socket = settings.socket.as_deref().map(|path| match taking_over {
            true => AdminSocket::prepare(path),
            false => AdminSocket::bind(path),
        });
        let socket = socket.transpose().map_err(|sentence| problems.push(socket_problem(sentence))).ok().flatten();
        let http = Http::bind(settings, tls).map_err(|more| problems.extend(more)).ok().flatten();
        if !problems.is_empty() {
            return Err(problems);
        }
        let socket = socket.map(|door| Opened { door, task: None });
        let http = http.map(|door| Opened { door, task: None });
        Ok(Doors { settings: settings.clone(), socket, http, admin: None })
    }

    /// Lets callers in. Call it within a tokio runtime.
    pub fn serve(&mut self, admin: Arc<Admin>) {
        admin.door.store(Arc::new(door_of(&self.settings)));
        self.admin = Some(admin.clone());
        if let Some(socket) = &mut self.socket {
            socket.serve(&admin);
        }
        if let Some(http) = &mut self.http {
            http.serve(&admin);
            tracing::info!("the admin API is at {}", http.door.url());
        }
    }

    /// Where the HTTP listener is, with the real port.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|http| http.door.address)
    }

    /// Lets nobody in over HTTP any more: a successor has the port.
    pub fn close_http(&mut self) {
        self.http = None;
    }

    /// Puts the Unix socket in the place of a predecessor's.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn put_in_place(&mut self) -> Result<(), String> {
        self.socket.as_mut().map_or(Ok(()), |socket| socket.door.put_in_place())
    }

    /// Opens what these settings ask for beside what is open, for [`Doors::replace_by`].
    ///
    /// # Errors
    /// Everything that stands in the way; nothing has changed then.
    pub fn prepare(&self, settings: &AdminSettings, tls: &[TlsFiles]) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let moved = settings.socket != self.settings.socket;
        let socket = settings.socket.as_deref().filter(|_| moved).map(AdminSocket::bind).transpose();
        let socket = socket.map_err(|sentence| problems.push(socket_problem(sentence))).ok().flatten();
        // The port may be taken by ourselves, and the certificate must be read again in any case.
        let same = self.http.as_ref().filter(|http| Some(http.door.wanted) == settings.listen);
        let http = match same {
            Some(_) => certificate(settings, tls).map(NewHttp::Certificate),
            None => Http::bind(settings, tls).map(NewHttp::Listener),
        };
        let http = http.map_err(|more| problems.extend(more)).ok();
        match http {
            Some(http) if problems.is_empty() => Ok(Prepared { settings: settings.clone(), socket, http }),
            _ => Err(problems),
        }
    }

    /// Serves what was prepared from now on.
    pub fn replace_by(&mut self, prepared: Prepared) {
        let Prepared { settings, socket, http } = prepared;
        if settings.socket != self.settings.socket {
            self.socket = socket.map(|door| Opened { door, task: None });
        }
        match http {
            NewHttp::Listener(http) => self.http = http.map(|door| Opened { door, task: None }),
            NewHttp::Certificate(new) => {
                if let Some(http) = &mut self.http {
                    match (&http.door.certificate, new) {
                        (Some(current), Some(new)) => current.replace_by(&new),
                        (None, None) => {}
                        // From plain to TLS or back: the same socket under other rules.
                        (_, new) => {
                            http.door.certificate = new;
                            http.stop();
                        }
                    }
                }
            }
        }
        self.settings = settings;
        if let Some(admin) = self.admin.clone() {
            admin.door.store(Arc::new(door_of(&self.settings)));
            if let Some(socket) = self.socket.as_mut().filter(|socket| socket.task.is_none()) {
                socket.serve(&admin);
            }
            if let Some(http) = self.http.as_mut().filter(|http| http.task.is_none()) {
                http.serve(&admin);
                tracing::info!("the admin API is at {}", http.door.url());
            }
        }
    }
}

/// What a reload has opened and not yet served.
pub struct Prepared {
    settings: AdminSettings,
    socket: Option<AdminSocket>,
    http: NewHttp,
}

/// What becomes of the HTTP listener.
enum NewHttp {
    /// Another one, or none.
    Listener(Option<Http>),
    /// The same, with this certificate.
    Certificate(Option<Arc<Certificate>>),
}

fn door_of(settings: &AdminSettings) -> Door {
    Door { tokens: settings.tokens.clone(), hosts: settings.hosts.clone() }
}

fn socket_problem(sentence: String) -> Problem {
    Problem::error("E0407", None, sentence)
}

fn certificate(settings: &AdminSettings, tls: &[TlsFiles]) -> Result<Option<Arc<Certificate>>, Vec<Problem>> {
    let files = settings.tls.and_then(|index| tls.get(index));
    files.map(|files| Certificate::read(files).map(Arc::new)).transpose()
}

impl Http {
    fn bind(settings: &AdminSettings, tls: &[TlsFiles]) -> Result<Option<Http>, Vec<Problem>> {
        let Some(wanted) = settings.listen else { return Ok(None) };
        let mut problems = Vec::new();
        let certificate = certificate(settings, tls).map_err(|more| problems.extend(more)).ok().flatten();
        let opened = open(wanted).map_err(|problem| problems.push(problem)).ok();
        match opened {
            Some((socket, address)) if problems.is_empty() => Ok(Some(Http { wanted, address, socket, certificate })),
            _ => Err(problems),
        }
    }

    fn url(&self) -> String {
        format!("http{}://{}", if self.certificate.is_some() { "s" } else { "" }, self.address)
    }
}

/// Opens the HTTP listener. The port may be shared, so that a successor can open it before we have closed it; nobody but
/// the same user can share it with us.
fn open(address: SocketAddr) -> Result<(Socket, SocketAddr), Problem> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&SockAddr::from(address))?;
        socket.set_nonblocking(true)?;
        let real = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok((socket, real))
    };
    open().map_err(|error: std::io::Error| {
        Problem::error("E0407", None, format!("cannot listen on {address} (admin API): {error}"))
            .help(format!("name another address in [admin] listen; who has it: ss -lntp 'sport = :{}'", address.port()))
    })
}

impl Opened<AdminSocket> {
    fn serve(&mut self, admin: &Arc<Admin>) {
        match self.door.listener() {
            Ok(listener) => self.task = Some(tokio::spawn(let_in_users(listener, admin.clone()))),
            Err(error) => tracing::error!(%error, "the admin socket cannot be served"),
        }
    }
}

impl Opened<Http> {
    fn serve(&mut self, admin: &Arc<Admin>) {
        // The socket is kept for a change from plain to TLS, which begins anew on it.
        let listener = self.door.socket.listen(BACKLOG).and_then(|()| self.door.socket.try_clone());
        let listener = match listener.map(TcpListener::from).and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the admin API at {} cannot be served", self.door.address);
                return;
            }
        };
        let tls = self
            .door
            .certificate
            .as_ref()
            .map(|certificate| TlsAcceptor::from(certificate.server_config(b"http/1.1", rustls::ALL_VERSIONS)));
        self.task = Some(tokio::spawn(let_in_callers(listener, self.door.address, tls, admin.clone())));
    }

    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn let_in_users(listener: UnixListener, admin: Arc<Admin>) {
    let places = Arc::new(Semaphore::new(SOCKET_CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let admin = admin.clone();
                tokio::spawn(async move {
                    let _place = place;
                    let user = stream.peer_cred().map_or_else(|_| "somebody".to_owned(), |peer| user_name(peer.uid()));
                    connection::serve(stream, Way::Socket(user), admin).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin socket cannot accept");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
}

async fn let_in_callers(
    listener: tokio::net::TcpListener,
    bound: SocketAddr,
    tls: Option<TlsAcceptor>,
    admin: Arc<Admin>,
) {
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let (admin, tls) = (admin.clone(), tls.clone());
                tokio::spawn(async move {
                    let _place = place;
                    // Small answers leave at once.
                    let _ = stream.set_nodelay(true);
                    let Some(tls) = tls else { return connection::serve(stream, Way::Http(bound), admin).await };
                    // Who spoils a handshake is no concern of ours.
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
                        connection::serve(stream, Way::Http(bound), admin).await;
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
}
