//! Which servers do we believe to be who they say?
//!
//! Probes and the proxy ask the same of an endpoint's certificate: that it chains to a trusted root and carries the name
//! that was asked for. Where `verify` is off any certificate will do, yet whoever presents it must still hold its key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// What a certificate must chain to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Nothing: any certificate will do.
    Anything,
    /// The system's roots.
    System,
    /// The roots in this PEM file.
    File(PathBuf),
}

impl Trust {
    /// What `verify` and `ca_file` come to.
    pub fn of(verify: bool, ca_file: Option<&PathBuf>) -> Trust {
        match ca_file {
            _ if !verify => Trust::Anything,
            Some(file) => Trust::File(file.clone()),
            None => Trust::System,
        }
    }

    /// What judges certificates so. Reading the system's roots takes tens of milliseconds.
    ///
    /// # Errors
    /// In words, when the roots can not be had.
    pub fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = match self {
            Trust::Anything => return Ok(Arc::new(AnyCertificate(provider.signature_verification_algorithms))),
            Trust::System => system_roots()?,
            Trust::File(path) => roots_in(path)?,
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        verifier.map(|verifier| verifier as Arc<dyn ServerCertVerifier>).map_err(|error| error.to_string())
    }
}

/// What is wrong with a handshake; where rustls gives the name of a variant, in words.
pub fn words(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(fault) = error else { return error.to_string() };
    match fault {
        CertificateError::UnknownIssuer => "the certificate's issuer is not trusted".to_owned(),
        CertificateError::BadSignature => "a signature of the handshake or in the certificate is wrong".to_owned(),
        // webpki's refusal of a certificate that may sign others, as `openssl req -x509` makes it.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is a CA's, such as a self-signed one, and no server's".to_owned()
        }
        fault => format!("invalid certificate: {fault}"),
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        true => Err("this system has no root certificates; install ca-certificates or set ca_file".to_owned()),
        false => Ok(roots),
    }
}

fn roots_in(path: &Path) -> Result<RootCertStore, String> {
    let failed = |why: String| format!("ca_file {}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() { Err(failed("no certificate in it".to_owned())) } else { Ok(roots) }
}

/// Takes any certificate (`verify = false`); the handshake's signatures are still checked.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_self_signed_certificate_is_named_in_words() {
        let other = rustls::OtherError(std::sync::Arc::new(io::Error::other("CaUsedAsEndEntity")));
        for fault in [CertificateError::UnknownIssuer, CertificateError::Other(other)] {
            let told = words(&rustls::Error::InvalidCertificate(fault));
            assert!(told.starts_with("the certificate") && !told.contains("Entity"), "{told}");
        }
    }
}
