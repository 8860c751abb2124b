//! From the files to a [`Snapshot`]: the configuration, the zones and databases it names, compiled; or every problem of
//! all of them in one run.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;

use crate::balance::sticky;
use crate::config;
use crate::config::Sources;
use crate::dns::cookie;
use crate::dns::name::Name;
use crate::geo::atlas::Atlas;
use crate::geo::latency::LatencyTable;
use crate::model::CookieSecrets;
use crate::model::GeoSettings;
use crate::model::Model;
use crate::model::Place;
use crate::model::Problem;
use crate::model::Severity;
use crate::model::StickySecrets;
use crate::model::Token;
use crate::model::plain_words;
use crate::runtime::config_files::ConfigFiles;
use crate::runtime::watch::Stamps;
use crate::runtime::zone_files::read_zone;
use crate::snapshot::Snapshot;
use crate::zone::read::ZoneFile;

/// Files that can be served.
#[derive(Debug)]
pub struct Loaded {
    /// What to serve.
    pub snapshot: Arc<Snapshot>,
    /// What works, but probably not as meant.
    pub warnings: Vec<Problem>,
    /// The texts, for drawing problems.
    pub sources: Sources,
    /// What was read, as it was before it was read.
    pub stamps: Stamps,
}

/// Files that cannot be served.
#[derive(Debug)]
pub struct Refused {
    /// Everything that is wrong with all of them, and the warnings.
    pub problems: Vec<Problem>,
    /// The texts, for drawing problems.
    pub sources: Sources,
    /// What was read, as it was before it was read.
    pub stamps: Stamps,
}

/// Reads the configuration at `path` and everything it names.
///
/// `serving` is what is served now, if anything: the atlas is taken from there when no database has changed, since a
/// large one takes seconds to read.
///
/// # Errors
/// Every problem of every file at once.
pub fn load(path: &Path, serving: Option<&Loaded>) -> Result<Loaded, Box<Refused>> {
    // Stamps are taken before reading: a file that changes in between differs from its stamp, and is read again.
    let beforehand = Stamps::of([path]);
    let (mut model, mut problems, sources, sound) = match config::load(path, &mut ConfigFiles) {
        Ok(loaded) => (loaded.model, loaded.warnings, loaded.sources, true),
        Err(refused) => (refused.partial, refused.problems, refused.sources, false),
    };
    let zone_paths = zone_paths(&model, &mut problems);
    let mut stamps = beforehand.and(Stamps::of(inputs(&model, &sources, &zone_paths).iter().map(PathBuf::as_path)));

    let zones = read_zones(&zone_paths, &mut problems);
    let unread = zones.len() < zone_paths.len() || problems.iter().any(|p| p.code == config::codes::NO_FILE);
    stamps = stamps.and(Stamps::of(zones.iter().flat_map(ZoneFile::files)));
    if zone_paths.is_empty() && sound && answers_dns(&model) {
        problems.push(nothing_served(path, &model));
    }
    let atlas = atlas(&model.geo, serving, &stamps).map_err(|more| problems.extend(more)).ok();
    let latency = latency(&model).map_err(|more| problems.extend(more)).ok();
    model.admin.tokens = tokens(&model).map_err(|more| problems.extend(more)).unwrap_or_default();
    model.server.cookie_secrets = cookie_secrets(&model).map_err(|problem| problems.push(problem)).ok();
    model.proxy.sticky_secrets = sticky_secrets(&model).map_err(|problem| problems.push(problem)).unwrap_or_default();
    let sound = sound && problems.iter().all(|p| p.severity == Severity::Warning);
    let snapshot = match (sound, atlas, latency) {
        (true, Some(atlas), Some(latency)) => Snapshot::compile(Arc::new(model), zones, atlas, &latency),
        // What is wrong with the zones themselves is said all the same, whatever else is.
        _ => Err(Snapshot::problems_of(&model, zones)),
    };
    match snapshot {
        Ok((snapshot, warnings)) => {
            problems.extend(warnings);
            Ok(Loaded { snapshot: Arc::new(snapshot), warnings: problems, sources, stamps })
        }
        Err(mut more) => {
            // A zone that could not be read may be the one that holds them.
            if unread {
                more.retain(|problem| problem.code != "E0238");
            }
            problems.extend(more);
            Err(Box::new(Refused { problems, sources, stamps }))
        }
    }
}

/// The master file of each zone: every `*.zone` in `zones_dir`, and those that `[zone.*]` names.
///
/// A `[zone.*]` with a file takes the place of one of that name in the folder.
fn zone_paths(model: &Model, problems: &mut Vec<Problem>) -> Vec<(PathBuf, Option<Name>)> {
    let mut paths: BTreeMap<PathBuf, Option<Name>> = BTreeMap::new();
    if let Some(folder) = &model.server.zones_dir {
        match fs::read_dir(folder) {
            Ok(entries) => {
                let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
                paths.extend(files.filter(|p| p.extension().is_some_and(|e| e == "zone")).map(|p| (p, None)));
            }
            Err(error) => problems.push(
                Problem::error("E0240", Place::file(folder), format!("cannot read zones_dir: {}", plain_words(&error)))
                    .help("make the folder, or name another in [server]"),
            ),
        }
    }
    for zone in &model.zones {
        let (Some(file), Ok(name)) = (&zone.file, zone.name.parse::<Name>()) else { continue };
        let named_alike = |path: &Path| path.file_stem().is_some_and(|stem| *stem == *zone.name.trim_end_matches('.'));
        paths.retain(|path, apex| apex.is_some() || !named_alike(path));
        paths.insert(file.clone(), Some(name));
    }
    paths.into_iter().collect()
}

/// Whether there is a socket that takes queries; a proxy alone has none.
fn answers_dns(model: &Model) -> bool {
    let server = &model.server;
    [&server.listen, &server.dot, &server.doq, &server.doh].into_iter().any(|sockets| !sockets.is_empty())
}

/// A server without a zone refuses every query, which is hardly what anybody wants.
fn nothing_served(path: &Path, model: &Model) -> Problem {
    let fact = "there is no zone, so every query is refused";
    let help = match &model.server.zones_dir {
        Some(folder) => format!("put NAME.zone into {}, as example.com.zone for example.com", folder.display()),
        None => "name the folder of your zone files in [server], as in `zones_dir = \"zones\"`".to_owned(),
    };
    Problem::warning(config::codes::NOTHING_SERVED, Place::file(path), fact).help(help)
}

/// Every file and folder whose change means a reload.
fn inputs(model: &Model, sources: &Sources, zones: &[(PathBuf, Option<Name>)]) -> Vec<PathBuf> {
    let mut inputs: Vec<PathBuf> = sources.paths().map(Path::to_owned).collect();
    inputs.extend(zones.iter().map(|(path, _)| path.clone()));
    inputs.extend(model.server.zones_dir.clone());
    inputs.extend(model.server.cookie_secret_file.clone());
    inputs.extend(model.proxy.sticky_secret_file.clone());
    inputs.extend(model.admin.tokens_file.clone());
    inputs.extend(database_paths(&model.geo).cloned());
    inputs.extend(model.tls.iter().flat_map(|tls| [tls.certificate.clone(), tls.key_file.clone()]));
    inputs.extend(model.pools.iter().filter_map(|pool| pool.upstream.tls.as_ref()?.ca_file.clone()));
    inputs
}

fn database_paths(geo: &GeoSettings) -> impl Iterator<Item = &PathBuf> {
    geo.databases.iter().chain(&geo.latency)
}

/// Refuses what is there and is no file: reading a pipe would wait for its writer, and the server with it.
fn regular(path: &Path, code: &'static str) -> Result<(), Problem> {
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Err(Problem::error(code, Place::file(path), "this is not a regular file")
            .help("name a file; a pipe or device would hold up the server until somebody writes to it")),
        // Whoever reads it says why it cannot be read.
        _ => Ok(()),
    }
}

/// Reads every zone file that can be read.
fn read_zones(paths: &[(PathBuf, Option<Name>)], problems: &mut Vec<Problem>) -> Vec<ZoneFile> {
    let mut zones = Vec::with_capacity(paths.len());
    for (path, apex) in paths {
        match regular(path, "E0200").map_err(|p| vec![p]).and_then(|()| read_zone(path, apex.as_ref())) {
            Ok(zone) => zones.push(zone),
            Err(more) => problems.extend(more),
        }
    }
    zones
}

fn atlas(geo: &GeoSettings, serving: Option<&Loaded>, stamps: &Stamps) -> Result<Arc<Atlas>, Vec<Problem>> {
    let same = |old: &&Loaded| {
        let before = &old.snapshot.model.geo;
        before.databases == geo.databases
            && before.networks == geo.networks
            && geo.databases.iter().all(|path| old.stamps.agrees(stamps, path))
    };
    match serving.filter(same) {
        Some(old) => Ok(old.snapshot.atlas.clone()),
        None => {
            let pipes: Vec<Problem> = geo.databases.iter().filter_map(|path| regular(path, "E0301").err()).collect();
            if pipes.is_empty() { Atlas::read(geo).map(Arc::new) } else { Err(pipes) }
        }
    }
}

/// The secrets that cookies are made with: those of the file, else one that this process draws and keeps over reloads.
fn cookie_secrets(model: &Model) -> Result<CookieSecrets, Problem> {
    static DRAWN: OnceLock<CookieSecrets> = OnceLock::new();
    let Some(path) = &model.server.cookie_secret_file else {
        return Ok(*DRAWN.get_or_init(drawn_secret));
    };
    regular(path, "E0241")?;
    let help = "write 32 hexadecimal digits, as from `openssl rand -hex 16`; a second line holds the previous secret";
    let text = fs::read_to_string(path).map_err(|error| {
        Problem::error("E0241", Place::file(path), format!("cannot read cookie_secret_file: {}", plain_words(&error)))
            .help(help)
    })?;
    cookie::read_secrets(&text)
        .map_err(|(line, fact)| Problem::error("E0241", Place::at(path, line, 0), fact).help(help))
}

fn drawn_secret() -> CookieSecrets {
    CookieSecrets { current: random_bytes(), previous: None }
}

/// The secrets of sticky cookies: those of the file, else, where a route is sticky, one that this process draws and keeps
/// over reloads.
fn sticky_secrets(model: &Model) -> Result<Option<StickySecrets>, Problem> {
    static DRAWN: OnceLock<[u8; 32]> = OnceLock::new();
    let Some(path) = &model.proxy.sticky_secret_file else {
        let drawn = || StickySecrets { current: DRAWN.get_or_init(random_bytes).to_vec(), previous: None };
        return Ok(model.is_sticky().then(drawn));
    };
    const CODE: &str = "E0243";
    regular(path, CODE)?;
    let help = "write 64 hexadecimal digits, as from `openssl rand -hex 32`; a second line holds the previous secret";
    let text = fs::read_to_string(path).map_err(|error| {
        Problem::error(CODE, Place::file(path), format!("cannot read sticky_secret_file: {}", plain_words(&error)))
            .help(help)
    })?;
    let secrets = sticky::read_secrets(&text);
    secrets.map(Some).map_err(|(line, fact)| Problem::error(CODE, Place::at(path, line, 0), fact).help(help))
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The library of our TLS has the generator for secrets. It does not fail on any system that we run on.
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).expect("the system has random numbers");
    bytes
}

/// Who may use the admin listener.
fn tokens(model: &Model) -> Result<Vec<Token>, Vec<Problem>> {
    let Some(path) = &model.admin.tokens_file else { return Ok(Vec::new()) };
    regular(path, TOKENS).map_err(|problem| vec![problem])?;
    let cannot = |error: io::Error| {
        let fact = format!("cannot read tokens_file: {error}");
        vec![Problem::error(TOKENS, Place::file(path), fact).help("make it readable for the user that rhumb runs as")]
    };
    let mode = fs::metadata(path).map_err(cannot)?.permissions().mode();
    if mode & 0o007 != 0 {
        let fact = format!("tokens_file may be read by everybody on this machine (mode {:03o})", mode & 0o777);
        return Err(vec![
            Problem::error(TOKENS, Place::file(path), fact).help(format!("run: chmod 640 {}", path.display())),
        ]);
    }
    config::tokens::read(path, &fs::read_to_string(path).map_err(cannot)?)
}

/// The problem of a `tokens_file` that cannot be used.
const TOKENS: &str = "E0242";

fn latency(model: &Model) -> Result<LatencyTable, Vec<Problem>> {
    match &model.geo.latency {
        Some(path) => {
            regular(path, "E0311").map_err(|problem| vec![problem])?;
            LatencyTable::read(path, &model.regions)
        }
        None => Ok(LatencyTable::default()),
    }
}
