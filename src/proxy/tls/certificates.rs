//! Which of a listener's certificates does a client get?
//!
//! One that carries the name it asks for (SNI), an exact name before a wildcard. Several may carry it, say one with an RSA and
//! one with an ECDSA key: the first listed whose signatures the client understands. The first of all serves clients that
//! ask for no name, and for a name that none carries: they then see a certificate and may say what is wrong with it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;

use crate::model::Place;
use crate::model::Problem;
use crate::model::TlsFiles;
use crate::proxy::tls::names;
use crate::proxy::tls::names::Names;
use crate::runtime::tls_files::read_pair;

/// A certificate and whom it speaks for.
#[derive(Debug)]
pub(super) struct Certificate {
    key: Arc<CertifiedKey>,
    names: Names,
}

impl Certificate {
    fn read(files: &TlsFiles) -> Result<Self, Vec<Problem>> {
        let key = read_pair(files)?;
        let names = key.end_entity_cert().ok().map(Names::of).and_then(Result::ok).ok_or_else(|| {
            let fact = format!("the certificate of [tls.{}] is none that clients could read", files.name);
            vec![
                Problem::error("E0402", Place::file(&files.certificate), fact)
                    .help("have it issued anew as X.509 version 3"),
            ]
        })?;
        Ok(Certificate { key, names })
    }

    /// Whether it is good for this host: a name, lower case and without a dot at the end, or an address.
    pub(super) fn covers(&self, host: &str) -> bool {
        self.names.cover(host) || address(host).is_some_and(|address| names::covers_address(&self.key.cert[0], address))
    }
}

/// An address as hosts are written: IPv6 in brackets.
fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// Certificates that serve one name, in the order they were listed; at least one.
pub(super) type Alike = Arc<[Arc<Certificate>]>;

/// All of a listener's.
#[derive(Debug)]
pub(super) struct Certificates {
    exact: HashMap<Box<str>, Alike>,
    /// By what follows the `*.`.
    wildcards: HashMap<Box<str>, Alike>,
    first: Alike,
}

impl Certificates {
    /// Reads the files; the first is the default.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub(super) fn read(files: &[&TlsFiles]) -> Result<Self, Vec<Problem>> {
        let (mut certificates, mut problems) = (Vec::new(), Vec::new());
        for files in files {
            match Certificate::read(files) {
                Ok(certificate) => certificates.push(Arc::new(certificate)),
                Err(more) => problems.extend(more),
            }
        }
        match certificates.first() {
            Some(first) if problems.is_empty() => Ok(Certificates::by_name(first, &certificates)),
            None if problems.is_empty() => {
                let help = "set its tls to the name of a [tls.*]";
                Err(vec![Problem::error("E0403", None, "a listener for https needs a certificate").help(help)])
            }
            _ => Err(problems),
        }
    }

    fn by_name(first: &Certificate, all: &[Arc<Certificate>]) -> Self {
        let first = all.iter().filter(|other| other.names == first.names).cloned().collect();
        Certificates { exact: filed(all, Names::exact), wildcards: filed(all, Names::wildcards), first }
    }

    /// Those for a client that asks for this name: lower case, without a dot at the end.
    pub(super) fn of(&self, sni: Option<&str>) -> &Alike {
        let wildcard = || sni.and_then(names::parent).and_then(|parent| self.wildcards.get(parent));
        sni.and_then(|name| self.exact.get(name)).or_else(wildcard).unwrap_or(&self.first)
    }
}

/// Every name, with those that carry it.
fn filed<'a, N, I>(all: &'a [Arc<Certificate>], names: N) -> HashMap<Box<str>, Alike>
where
    N: Fn(&'a Names) -> I,
    I: Iterator<Item = &'a str>,
{
    let mut filed: HashMap<Box<str>, Vec<Arc<Certificate>>> = HashMap::new();
    for certificate in all {
        for name in names(&certificate.names) {
            filed.entry(name.into()).or_default().push(certificate.clone());
        }
    }
    filed.into_iter().map(|(name, alike)| (name, alike.into())).collect()
}

/// The first of these whose signatures the client understands; the first of all when it understands none.
pub(super) fn usable(alike: &Alike, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
    let usable = alike.iter().find(|certificate| certificate.key.key.choose_scheme(schemes).is_some());
    usable.unwrap_or(&alike[0]).key.clone()
}
