//! Reads the load of pools: documents of headroom of other processes, and what this one's own listeners have in hand.
//!
//! Each document is read once for all pools that want something of it, as often as the one that wants it most often. At most
//! one reading of a document is under way, each is bounded in time and size, and what came of it goes to the keeper for every
//! pool: a [`Reading`], or why there is none. What follows from it is not known here.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;

use crate::health::headroom::Headroom;
use crate::health::shedding::Reading;
use crate::model::LoadOf;
use crate::model::Model;
use crate::prober::headroom_document;
use crate::runtime::keeper::Event;
use crate::runtime::swap::Published;
use crate::runtime::trust::Trust;

/// The largest document: ten thousand pools of a hundred bytes.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// The largest file of a token.
const TOKEN_BYTES_MAX: u64 = 4_096;
/// The longest a reading may take; less where readings are more frequent.
const TIMEOUT_MAX: Duration = Duration::from_secs(2);
/// The most readings at once.
const READING_MAX: usize = 64;
/// How often it is looked what is due.
const LOOK: Duration = Duration::from_millis(250);
/// What readings call themselves.
const AGENT: &str = concat!("rhumb/", env!("CARGO_PKG_VERSION"), " (load feedback)");

/// What this process's own listeners have in hand.
pub type Local = Arc<dyn Fn() -> Headroom + Send + Sync>;

/// A document, and how it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    Local,
    Url { url: String, trust: Trust, token_file: Option<PathBuf> },
}

impl Source {
    fn trust(&self) -> Option<&Trust> {
        match self {
            Source::Local => None,
            Source::Url { trust, .. } => Some(trust),
        }
    }
}

/// A reading that ended, and the client it was made with.
struct Ended {
    source: Source,
    client: Option<Client>,
    found: Result<Headroom, String>,
}

/// Who wants what of a document: a pool by its name, the place of the source there, and whose load it is.
#[derive(Debug, Clone)]
struct Reader {
    pool: String,
    source: usize,
    of: LoadOf,
}

/// One document to be read now and then.
#[derive(Debug)]
struct Watched {
    interval: Duration,
    due: Instant,
    running: bool,
    readers: Vec<Reader>,
}

/// Reads what the published model wants read until the keeper has ended. Dropped, it ends the readings that run.
pub async fn run(published: Arc<Published>, local: Local, events: mpsc::Sender<Event>) {
    let mut watched: HashMap<Source, Watched> = HashMap::new();
    let mut generation = None;
    let mut clients: HashMap<Trust, Client> = HashMap::new();
    let mut reading: JoinSet<Ended> = JoinSet::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => {
                if events.is_closed() {
                    return;
                }
                let world = published.load();
                if generation != Some(world.generation) {
                    generation = Some(world.generation);
                    watched = wanted(&world.snapshot.model, watched);
                    // Files of roots may be others.
                    clients.clear();
                }
                let now = Instant::now();
                for (source, of) in watched.iter_mut().filter(|(_, of)| of.due <= now && !of.running) {
                    if reading.len() >= READING_MAX {
                        break;
                    }
                    (of.due, of.running) = (now + of.interval, true);
                    let (source, local, timeout) = (source.clone(), local.clone(), TIMEOUT_MAX.min(of.interval));
                    let mut client = source.trust().and_then(|trust| clients.get(trust)).cloned();
                    reading.spawn(async move {
                        let found = match tokio::time::timeout(timeout, read(&source, &local, &mut client)).await {
                            Ok(found) => found,
                            Err(_) => Err(format!("no document within {timeout:?}")),
                        };
                        Ended { source, client, found }
                    });
                }
            }
            Some(ended) = reading.join_next() => {
                let Ok(Ended { source, client, found }) = ended else {
                    // None is aborted; one that panics is not read again before a reload.
                    tracing::error!("a reading of load ended without a result; this is a bug of rhumb");
                    continue;
                };
                if let (Some(trust), Some(client)) = (source.trust(), client) {
                    clients.entry(trust.clone()).or_insert(client);
                }
                let Some(of) = watched.get_mut(&source) else { continue };
                of.running = false;
                for Reader { pool, source, of } in &of.readers {
                    let found = of_document(&found, of);
                    let event = Event::Loaded { pool: pool.clone(), source: *source, found };
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// What is to be read for a model; what was read before goes on in its time.
fn wanted(model: &Model, mut former: HashMap<Source, Watched>) -> HashMap<Source, Watched> {
    let mut watched: HashMap<Source, Watched> = HashMap::new();
    for pool in &model.pools {
        let Some(load) = &pool.load else { continue };
        let trust = || Trust::of(load.verify, load.ca_file.as_ref());
        let url = |url: &String| Source::Url { url: url.clone(), trust: trust(), token_file: load.token_file.clone() };
        let sources = match load.urls.is_empty() {
            true => vec![Source::Local],
            false => load.urls.iter().map(url).collect(),
        };
        for (at, source) in sources.into_iter().enumerate() {
            let before = former.remove(&source);
            let of = watched.entry(source).or_insert_with(|| {
                let (due, running) = before.map_or((Instant::now(), false), |before| (before.due, before.running));
                Watched { interval: load.interval, due, running, readers: Vec::new() }
            });
            of.interval = of.interval.min(load.interval);
            of.due = of.due.min(Instant::now() + of.interval);
            of.readers.push(Reader { pool: pool.name.clone(), source: at, of: load.of.clone() });
        }
    }
    watched
}

fn of_document(found: &Result<Headroom, String>, of: &LoadOf) -> Result<Reading, String> {
    match found {
        Ok(headroom) => headroom.reading(of),
        Err(why) => Err(why.clone()),
    }
}

/// Reads a document, with the client that is there or one that is left there.
async fn read(source: &Source, local: &Local, client: &mut Option<Client>) -> Result<Headroom, String> {
    let Source::Url { url, trust, token_file } = source else {
        return Ok(local());
    };
    let ours = match client {
        Some(client) => client,
        None => {
            let trust = trust.clone();
            let made = tokio::task::spawn_blocking(move || self::client(&trust)).await;
            client.insert(made.unwrap_or_else(|_| Err("the TLS set-up panicked; this is a bug of rhumb".to_owned()))?)
        }
    };
    let mut request = ours.get(url);
    if let Some(path) = token_file {
        request = request.bearer_auth(token(path.clone()).await?);
    }
    let words = |error: reqwest::Error| format!("{url}: {}", innermost(&error));
    let mut response = request.send().await.map_err(words)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("{url}: status {}", response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(words)? {
        if body.len() + chunk.len() > DOCUMENT_BYTES_MAX {
            return Err(format!("{url}: more than {DOCUMENT_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    headroom_document::parse(&body).map_err(|why| format!("{url}: {why}"))
}

/// Read each time: a new token holds without a restart.
async fn token(path: PathBuf) -> Result<String, String> {
    let shown = path.display().to_string();
    let cannot = |why: String| format!("token_file {shown}: {why}");
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        File::open(path)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    });
    let text = read.await.map_err(|_| cannot("reading it failed".to_owned()))?.map_err(|e| cannot(e.to_string()))?;
    match text.trim() {
        token if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(token.to_owned()),
        _ => Err(cannot("it holds no token".to_owned())),
    }
}

/// What lies at the bottom of a failure: `connection refused`, not "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(io) => super::tcp::words(io),
        None => cause.to_string(),
    }
}

/// The client that trusts so. Reading the system's roots takes tens of milliseconds.
fn client(trust: &Trust) -> Result<Client, String> {
    let tls = super::clients::tls(trust)?;
    let builder = Client::builder().tls_backend_preconfigured(tls).no_proxy().user_agent(AGENT);
    let builder = builder.redirect(reqwest::redirect::Policy::none()).retry(reqwest::retry::never()).http1_only();
    builder.pool_max_idle_per_host(1).build().map_err(|error| error.to_string())
}
