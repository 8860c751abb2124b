//! Whom does a certificate speak for?
//!
//! For the names and addresses among its subject's alternative names, and nobody else: the common name means nothing to
//! clients of today (RFC 9525 section 2). `*.example.com` is every name with exactly one label more.

use std::net::IpAddr;

use rustls::pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

/// Its names, lower case and sorted; without the addresses, which are rarely asked for and looked up in the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    exact: Box<[Box<str>]>,
    /// What follows the `*.`.
    wildcards: Box<[Box<str>]>,
}

impl Names {
    /// Those in this certificate.
    ///
    /// # Errors
    /// When it is not X.509 version 3 as clients take it.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, webpki::Error> {
        let certificate = EndEntityCert::try_from(certificate)?;
        let (mut exact, mut wildcards) = (Vec::new(), Vec::new());
        // Clients match no name that is written with the root's dot.
        for name in certificate.valid_dns_names().filter(|name| !name.ends_with('.')) {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(parent) => wildcards.push(parent.into()),
                None => exact.push(name.into()),
            }
        }
        Ok(Names { exact: sorted(exact), wildcards: sorted(wildcards) })
    }

    /// Names without wildcards.
    pub(super) fn exact(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().map(|name| &**name)
    }

    /// `example.com` for `*.example.com`.
    pub(super) fn wildcards(&self) -> impl Iterator<Item = &str> {
        self.wildcards.iter().map(|parent| &**parent)
    }

    /// Whether this name is one of them: lower case, without a dot at the end.
    pub(super) fn cover(&self, name: &str) -> bool {
        has(&self.exact, name) || parent(name).is_some_and(|parent| has(&self.wildcards, parent))
    }
}

/// What the wildcard would be of that covers this name.
pub(super) fn parent(name: &str) -> Option<&str> {
    name.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, parent)| parent)
}

/// Whether a certificate is good for this address.
pub(super) fn covers_address(certificate: &CertificateDer<'_>, address: IpAddr) -> bool {
    let name = ServerName::from(address);
    EndEntityCert::try_from(certificate)
        .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
}

fn sorted(mut names: Vec<Box<str>>) -> Box<[Box<str>]> {
    names.sort_unstable();
    names.dedup();
    names.into()
}

fn has(names: &[Box<str>], name: &str) -> bool {
    names.binary_search_by(|known| (**known).cmp(name)).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(names: &[&str]) -> CertificateDer<'static> {
        thread_local! {
            static KEY: KeyPair = KeyPair::generate().unwrap();
        }
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        KEY.with(|key| CertificateParams::new(names).unwrap().self_signed(key).unwrap().der().clone())
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let names = Names::of(&certificate(&["Example.com", "*.example.com", "*.Api.example.com"])).unwrap();
        for covered in ["example.com", "www.example.com", "v1.api.example.com", "*.example.com", "api.example.com"] {
            assert!(names.cover(covered), "{covered}");
        }
        for other in ["a.b.example.com", "com", "example.org", ".example.com", "xample.com", "", ".", "192.0.2.1"] {
            assert!(!names.cover(other), "{other}");
        }
    }

    #[test]
    fn addresses_are_looked_up() {
        let mut params = CertificateParams::new(vec!["www.example.com".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress("192.0.2.1".parse().unwrap()));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
        assert!(covers_address(&certificate, "192.0.2.1".parse().unwrap()));
        assert!(!covers_address(&certificate, "192.0.2.2".parse().unwrap()));
        assert!(!Names::of(&certificate).unwrap().cover("192.0.2.1"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Names::of(&CertificateDer::from(bytes));
        }

        /// webpki judges as clients do.
        #[test]
        fn clients_find_the_same(
            presented in prop::collection::vec("(\\*\\.)?([aB](-b)?\\.){0,2}[ab](\\.)?", 1..4),
            asked in "([ab](-b)?\\.){0,3}[ab]",
        ) {
            let presented: Vec<&str> = presented.iter().map(String::as_str).collect();
            let certificate = certificate(&presented);
            let name = ServerName::try_from(asked.as_str()).unwrap();
            let parsed = EndEntityCert::try_from(&certificate).unwrap();
            let expected = parsed.verify_is_valid_for_subject_name(&name).is_ok();
            prop_assert_eq!(Names::of(&certificate).unwrap().cover(&asked), expected, "{:?}", presented);
        }
    }
}
