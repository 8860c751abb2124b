//! Whether the files that are named exist, so that a wrong path is told where it was written.

use std::collections::HashSet;
use std::path::Path;
use std::path::PathBuf;

use crate::config::Files;
use crate::config::Seen;
use crate::config::codes;
use crate::config::reports::Reports;
use crate::config::source::Written;
use crate::config::spec::Spec;
use crate::model::Model;

/// Looks for every file that will be read, and takes those that are missing out of the model, so that nobody else
/// reports them. `state_dir` and the socket's directory are made when they are needed.
pub fn files(reports: &mut Reports<'_>, spec: &Spec, files: &mut dyn Files, model: &mut Model) {
    let mut gone: HashSet<&Path> = HashSet::new();
    if let Some(directory) = &spec.server.zones_dir {
        let seen = files.look(&directory.value);
        if seen != Seen::Directory {
            missing(reports, "zone directory", directory, seen);
            gone.insert(&directory.value);
        }
    }
    for (what, path) in named(spec) {
        let seen = files.look(&path.value);
        if seen != Seen::File {
            missing(reports, what, path, seen);
            gone.insert(&path.value);
        }
    }
    let there = |path: &PathBuf| !gone.contains(path.as_path());
    model.server.zones_dir.take_if(|path| !there(path));
    model.server.cookie_secret_file.take_if(|path| !there(path));
    model.proxy.sticky_secret_file.take_if(|path| !there(path));
    model.admin.tokens_file.take_if(|path| !there(path));
    model.geo.databases.retain(there);
    model.geo.latency.take_if(|path| !there(path));
    model.zones.iter_mut().for_each(|zone| {
        zone.file.take_if(|path| !there(path));
    });
}

fn named(spec: &Spec) -> Vec<(&'static str, &Written<PathBuf>)> {
    let mut out: Vec<(&str, &Written<PathBuf>)> = Vec::new();
    out.extend(spec.geo.databases.iter().flat_map(|list| &list.items).map(|path| ("database", path)));
    out.extend(spec.geo.latency.iter().map(|path| ("latency table", path)));
    out.extend(spec.zones.iter().filter_map(|zone| zone.file.as_ref()).map(|path| ("zone file", path)));
    out.extend(spec.server.cookie_secret_file.iter().map(|path| ("file of cookie secrets", path)));
    out.extend(spec.proxy.sticky_secret_file.iter().map(|path| ("file of sticky secrets", path)));
    out.extend(spec.admin.tokens_file.iter().map(|path| ("file of tokens", path)));
    out.extend(spec.tls.iter().filter_map(|tls| tls.value.certificate.as_ref()).map(|path| ("certificate", path)));
    out.extend(spec.tls.iter().filter_map(|tls| tls.value.key_file.as_ref()).map(|path| ("key", path)));
    out.extend(spec.checks.iter().filter_map(|c| c.value.ca_file.as_ref()).map(|path| ("CA file", path)));
    let upstreams = spec.pools.iter().filter_map(|pool| pool.value.upstream.tls.as_ref());
    out.extend(upstreams.filter_map(|tls| tls.value.ca_file.as_ref()).map(|path| ("CA file", path)));
    let loads = || spec.pools.iter().filter_map(|pool| pool.value.load.as_ref());
    out.extend(loads().filter_map(|load| load.ca_file.as_ref()).map(|path| ("CA file", path)));
    out.extend(loads().filter_map(|load| load.token_file.as_ref()).map(|path| ("file of a token", path)));
    out
}

fn missing(reports: &mut Reports<'_>, what: &str, path: &Written<PathBuf>, seen: Seen) {
    let shown = path.value.display();
    let fact = match seen {
        Seen::Nothing => format!("the {what} {shown} does not exist"),
        Seen::Directory => format!("the {what} {shown} is a directory"),
        Seen::File => format!("the {what} {shown} is a file"),
    };
    let from = match reports.sources().directory(path.span) {
        here if here == Path::new("") => "the current directory".to_owned(),
        directory => format!("`{}`", directory.display()),
    };
    let help = path.value.is_relative().then(|| format!("relative paths begin in the directory of this file, {from}"));
    reports.error(codes::NO_FILE, path.span, fact).help(help);
}
