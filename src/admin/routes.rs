//! What the requests need of the server, and the way each of them goes: let in, found, read, answered.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::body::Bytes;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::Response;
use tokio::sync::watch;

use crate::admin::asked;
use crate::admin::asked::Asked;
use crate::admin::asked::Said;
use crate::admin::counted::ByPool;
use crate::admin::counted::Counted;
use crate::admin::door::Caller;
use crate::admin::door::Door;
use crate::admin::door::Way;
use crate::admin::failure::Failure;
use crate::admin::failure::Kind;
use crate::admin::rate::Rate;
use crate::admin::table;
use crate::admin::table::Found;
use crate::admin::table::Route;
use crate::admin::turns::Turns;
use crate::model::Problem;
use crate::proxy::core::Shared;
use crate::runtime::clock::Clock;
use crate::runtime::keeper::Handle;
use crate::runtime::reloads::Reloads;
use crate::server::Listening;

/// How a reload ends: what queries see now, or everything that is wrong.
pub type ReloadOutcome = Pin<Box<dyn Future<Output = Result<u64, Vec<Problem>>> + Send>>;
/// Reads all files again, for whoever's name it is given.
type Reload = Arc<dyn Fn(String) -> ReloadOutcome + Send + Sync>;

/// What the requests need of the server.
pub struct Admin {
    pub(super) keeper: Handle,
    pub(super) clock: Clock,
    pub(super) reload: Reload,
    pub(super) counted: Option<Arc<dyn Counted>>,
    /// What streams tell of it.
    pub(super) by_pool: ByPool,
    /// The main file, as it was named.
    pub(super) config: PathBuf,
    /// How the last reload ended.
    pub(super) reloads: Option<Arc<Reloads>>,
    /// Where queries are taken.
    pub(super) listening: Arc<ArcSwap<Vec<Listening>>>,
    /// Who may come in over HTTP.
    pub(super) door: ArcSwap<Door>,
    /// How many queries come each second.
    pub(super) rate: Mutex<Rate>,
    /// Whose turn it is to look.
    pub(super) turns: Turns,
    /// Held while files are checked.
    pub(super) checking: tokio::sync::Mutex<()>,
    /// Streams that are open.
    pub(super) streams: AtomicUsize,
    /// What the cores of the proxy share.
    pub(super) proxied: Option<Arc<Shared>>,
    /// Counts orders given and ended here: wakes those who follow them.
    pub(super) ordered: watch::Sender<u64>,
}

impl Admin {
    /// Requests about the worlds of this keeper; `reload` reads all files again for whoever it is given the name of.
    pub fn new(keeper: Handle, clock: Clock, reload: impl Fn(String) -> ReloadOutcome + Send + Sync + 'static) -> Self {
        Admin {
            keeper,
            clock,
            reload: Arc::new(reload),
            counted: None,
            by_pool: ByPool::default(),
            config: PathBuf::new(),
            reloads: None,
            listening: Arc::default(),
            door: ArcSwap::default(),
            rate: Mutex::new(Rate::new(clock.started_at())),
            turns: Turns::default(),
            checking: tokio::sync::Mutex::default(),
            streams: AtomicUsize::new(0),
            proxied: None,
            ordered: watch::channel(0).0,
        }
    }

    /// The same with `/metrics`, and what else is counted.
    pub fn counting(self, counted: Arc<dyn Counted>) -> Self {
        Admin { counted: Some(counted), ..self }
    }

    /// The same with the file that is served, and how reloads of it end.
    pub fn serving(self, config: PathBuf, reloads: Arc<Reloads>) -> Self {
        Admin { config, reloads: Some(reloads), ..self }
    }

    /// The same with what the proxy's cores know of their endpoints.
    pub fn proxying(self, proxied: Arc<Shared>) -> Self {
        Admin { proxied: Some(proxied), ..self }
    }

    /// The same with the sockets that take queries, as they are at any time.
    pub fn listening(self, listening: Arc<ArcSwap<Vec<Listening>>>) -> Self {
        Admin { listening, ..self }
    }

    /// The whole way of a request; `read` gives its body of at most so many bytes, and is asked for it only when a body
    /// is wanted.
    pub(super) async fn answer<R>(self: Arc<Self>, way: &Way, head: Parts, read: impl FnOnce(usize) -> R) -> Response
    where
        R: Future<Output = Result<Bytes, Failure>>,
    {
        self.admitted(way, head, read).await.unwrap_or_else(Failure::response)
    }

    async fn admitted<R>(self: Arc<Self>, way: &Way, head: Parts, read: impl FnOnce(usize) -> R) -> Said
    where
        R: Future<Output = Result<Bytes, Failure>>,
    {
        one_target(&head)?;
        let caller = self.door.load().admit(way, &head.headers)?;
        let (route, named) = match table::find(&head.method, head.uri.path()) {
            Found::Route(route, named) => (route, named),
            Found::Method(others) => return other_method(&head, &others),
            Found::Nothing => return Err(nothing_at(head.uri.path())),
        };
        if route.method != Method::GET {
            caller.may_order(way, &head.headers)?;
        }
        let admin = self.clone();
        let asked = self.asked(route, named, caller, &head, read).await?;
        let _turn = match route.takes_a_turn() {
            true => Some(admin.turns.look(way).await),
            false => None,
        };
        (route.handler)(asked).await
    }

    async fn asked<R>(
        self: Arc<Self>,
        route: &Route,
        named: Vec<String>,
        caller: Caller,
        head: &Parts,
        read: impl FnOnce(usize) -> R,
    ) -> Result<Asked, Failure>
    where
        R: Future<Output = Result<Bytes, Failure>>,
    {
        let keys = asked::keys(&head.uri, route.keys)?;
        let body = match route.body {
            None => Bytes::new(),
            Some(_) => {
                is_json(head)?;
                read(route.body_bytes_max()).await?
            }
        };
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (accept, last_event) = (header("accept").unwrap_or_default(), header("last-event-id"));
        Ok(Asked { admin: self, caller, named, keys, body, accept, last_event })
    }
}

/// A target with an authority of its own overrules `Host` (RFC 9112 section 3.2.2), by which callers are judged: no
/// client of ours sends one, and a proxy that goes by it would be told of another host than we are.
fn one_target(head: &Parts) -> Result<(), Failure> {
    let Some(authority) = head.uri.authority() else { return Ok(()) };
    let host = head.headers.get(header::HOST).map(|host| host.as_bytes()).unwrap_or_default();
    if authority.as_str().as_bytes().eq_ignore_ascii_case(host) {
        return Ok(());
    }
    Err(Failure::new(Kind::Host, "the target of the request names another host than `Host` does"))
}

/// A form of another site can send a body, but not one that says it is JSON.
fn is_json(head: &Parts) -> Result<(), Failure> {
    let said = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = said.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Failure::new(Kind::MediaType, "send the body as JSON, with `Content-Type: application/json`"))
}

fn other_method(head: &Parts, others: &[&'static Method]) -> Said {
    let mut allowed: Vec<&str> = others.iter().map(|method| method.as_str()).collect();
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    allowed.push("OPTIONS");
    let allowed = allowed.join(", ");
    if head.method == Method::OPTIONS {
        return Ok((StatusCode::NO_CONTENT, [(header::ALLOW, allowed)], Body::empty()).into_response());
    }
    let detail = format!("`{}` takes {allowed}", head.uri.path());
    Err(Failure::new(Kind::Method, detail).with_header(header::ALLOW, allowed))
}

/// Says what there is where somebody looked in vain.
pub(super) fn nothing_at(path: &str) -> Failure {
    let near = table::ROUTES.iter().map(|route| route.path).max_by(|a, b| {
        let likeness = |known: &str| strsim::jaro_winkler(known, path);
        likeness(a).total_cmp(&likeness(b))
    });
    let near = near.filter(|near| strsim::jaro_winkler(near, path) > 0.9);
    let detail = match near {
        Some(near) => format!("there is no `{}`; there is {near}", path.escape_debug()),
        None => "every request is described at /v1/openapi.json".to_owned(),
    };
    Failure::new(Kind::Path, detail)
}
