//! Which certificate do the encrypted transports present?
//!
//! The one of the configuration's `[tls.*]`, read again at each reload; connections that are open keep theirs. Files that
//! cannot be read, or do not fit each other, never replace one that is in use.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::model::Problem;
use crate::model::TlsFiles;
use crate::runtime::tls_files::read_pair;

/// The certificate in use; the same for every client.
#[derive(Debug)]
pub struct Certificate {
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which of them.
    pub fn read(files: &TlsFiles) -> Result<Self, Vec<Problem>> {
        Ok(Certificate { current: ArcSwap::new(read_pair(files)?) })
    }

    /// Presents another one from now on; connections that are open keep theirs.
    pub fn replace_by(&self, new: &Certificate) {
        self.current.store(new.current.load_full());
    }

    /// How a transport that is negotiated as `alpn` speaks TLS with this certificate.
    pub fn server_config(
        self: &Arc<Self>,
        alpn: &[u8],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("the provider supports TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn write_pair(dir: &Path, name: &str) -> TlsFiles {
        let pair = rcgen::generate_simple_self_signed(vec!["ns1.example.org".to_owned()]).unwrap();
        let files = TlsFiles {
            name: "dns".to_owned(),
            certificate: dir.join(format!("{name}.crt")),
            key_file: dir.join(format!("{name}.key")),
        };
        fs::write(&files.certificate, pair.cert.pem()).unwrap();
        fs::write(&files.key_file, pair.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn a_certificate_is_replaced_only_by_one_that_works() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (write_pair(dir.path(), "one"), write_pair(dir.path(), "two"));
        let certificate = Certificate::read(&one).unwrap();
        let former = certificate.current.load_full();

        let mixed = TlsFiles { key_file: two.key_file.clone(), ..one.clone() };
        let problems = Certificate::read(&mixed).unwrap_err();
        assert!(
            problems[0].fact.starts_with("certificate and key of [tls.dns] cannot be used together"),
            "{problems:?}"
        );

        certificate.replace_by(&Certificate::read(&two).unwrap());
        assert_ne!(former.cert, certificate.current.load_full().cert);
    }
}
