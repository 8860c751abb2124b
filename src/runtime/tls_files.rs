//! What stands in the files of a `[tls.*]`?
//!
//! A certificate, those it was signed with, and its key, in PEM. Nothing here decides who presents them to whom.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::model::Place;
use crate::model::Problem;
use crate::model::TlsFiles;

/// Reads the certificate, its chain and its key, and sees whether they belong together.
///
/// # Errors
/// Everything that is wrong with the two files.
pub fn read_pair(files: &TlsFiles) -> Result<Arc<CertifiedKey>, Vec<Problem>> {
    let chain = read_chain(files);
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(|error| {
        let fact = format!("cannot read the key of [tls.{}]: {}", files.name, said(&error));
        Problem::error("E0402", Place::file(&files.key_file), fact)
            .help("a PEM file with one PRIVATE KEY section, readable by rhumb")
    });
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err([chain.err(), key.err()].into_iter().flatten().collect()),
    };
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map(Arc::new).map_err(|error| {
        let fact = format!("certificate and key of [tls.{}] cannot be used together: {error}", files.name);
        vec![
            Problem::error("E0402", Place::file(&files.certificate), fact)
                .help(format!("is {} the key of the first certificate in it?", files.key_file.display())),
        ]
    })
}

fn read_chain(files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let wrong = |why: String| {
        let fact = format!("cannot read the certificate of [tls.{}]: {why}", files.name);
        Problem::error("E0402", Place::file(&files.certificate), fact)
            .help("a PEM file with the server's CERTIFICATE first, then those it was signed with")
    };
    let chain: Result<Vec<_>, _> = match CertificateDer::pem_file_iter(&files.certificate) {
        Ok(certificates) => certificates.collect(),
        Err(error) => Err(error),
    };
    match chain {
        Ok(chain) if chain.is_empty() => Err(wrong("there is none in the file".to_owned())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(wrong(said(&error))),
    }
}

fn said(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "there is none in the file".to_owned(),
        other => other.to_string(),
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
    fn both_files_are_complained_about_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let one = write_pair(dir.path(), "one");
        let swapped = TlsFiles { certificate: one.key_file, key_file: dir.path().join("missing.key"), ..one };
        let problems = read_pair(&swapped).unwrap_err();
        assert_eq!(problems.len(), 2);
        assert_eq!(problems[0].fact, "cannot read the certificate of [tls.dns]: there is none in the file");
        assert!(problems[1].fact.contains("No such file"), "{}", problems[1].fact);
    }
}
