//! What follows from a set of certificates; real handshakes are in `tests/proxy_tls`.

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::SignatureScheme;

use super::*;

fn write_signed(dir: &Path, name: &str, names: &[&str], algorithm: &'static SignatureAlgorithm) -> TlsFiles {
    let pair = KeyPair::generate_for(algorithm).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&pair).unwrap();
    let files = TlsFiles {
        name: name.to_owned(),
        certificate: dir.join(format!("{name}.crt")),
        key_file: dir.join(format!("{name}.key")),
    };
    fs::write(&files.certificate, certificate.pem()).unwrap();
    fs::write(&files.key_file, pair.serialize_pem()).unwrap();
    files
}

fn write(dir: &Path, name: &str, names: &[&str]) -> TlsFiles {
    write_signed(dir, name, names, &PKCS_ECDSA_P256_SHA256)
}

/// Which of the files' certificates a client that understands these signatures is shown.
fn shown<'a>(tls: &ServerTls, files: &'a [&TlsFiles], sni: Option<&str>, schemes: &[SignatureScheme]) -> &'a str {
    let key = certificates::usable(tls.certificates.0.load().of(sni), schemes);
    let is_its = |files: &&&TlsFiles| crate::runtime::tls_files::read_pair(files).unwrap().cert == key.cert;
    &files.iter().find(is_its).unwrap().name
}

const ECDSA: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

#[test]
fn exact_before_wildcard_before_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = write(dir.path(), "first", &["first.example"]);
    let wild = write(dir.path(), "wild", &["*.example.com", "example.com"]);
    let api = write(dir.path(), "api", &["API.example.com"]);
    let late = write(dir.path(), "late", &["api.example.com", "late.example"]);
    let files = [&first, &wild, &api, &late];
    let tls = ServerTls::of(&files).unwrap();
    for (sni, expected) in [
        (Some("first.example"), "first"),
        (Some("example.com"), "wild"),
        (Some("www.example.com"), "wild"),
        (Some("api.example.com"), "api"),
        (Some("late.example"), "late"),
        (Some("a.b.example.com"), "first"),
        (Some("other.example"), "first"),
        (Some("com"), "first"),
        (None, "first"),
    ] {
        assert_eq!(shown(&tls, &files, sni, &[ECDSA, RSA]), expected, "{sni:?}");
    }
}

#[test]
fn of_two_with_one_name_a_client_gets_the_first_it_understands() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["www.example.com", "*.example.org"];
    let ecdsa = write(dir.path(), "ecdsa", &names);
    let rsa = write_signed(dir.path(), "rsa", &names, &PKCS_RSA_SHA256);
    let files = [&ecdsa, &rsa];
    let tls = ServerTls::of(&files).unwrap();
    for sni in [Some("www.example.com"), Some("a.example.org"), Some("other.example"), None] {
        assert_eq!(shown(&tls, &files, sni, &[RSA, ECDSA]), "ecdsa", "{sni:?}");
        assert_eq!(shown(&tls, &files, sni, &[RSA]), "rsa", "{sni:?}");
        assert_eq!(shown(&tls, &files, sni, &[SignatureScheme::ED25519]), "ecdsa", "{sni:?}");
    }
}

#[test]
fn which_requests_are_misdirected() {
    let dir = tempfile::tempdir().unwrap();
    let shop = write(dir.path(), "shop", &["shop.example", "www.shop.example", "192.0.2.1", "2001:db8::1"]);
    let wild = write(dir.path(), "wild", &["*.example.com", "example.com"]);
    let tls = ServerTls::of(&[&shop, &wild]).unwrap();
    for (sni, host, covered) in [
        (Some("shop.example"), "shop.example", true),
        (Some("shop.example"), "www.shop.example", true),
        (Some("shop.example"), "api.shop.example", false),
        (Some("shop.example"), "www.example.com", false),
        (Some("shop.example"), "192.0.2.1", true),
        (Some("shop.example"), "192.0.2.2", false),
        (Some("shop.example"), "[2001:db8::1]", true),
        (Some("shop.example"), "[2001:db8::2]", false),
        (Some("shop.example."), "shop.example", true),
        (Some("a.example.com"), "b.example.com", true),
        (Some("a.example.com"), "example.com", true),
        (Some("a.example.com"), "a.b.example.com", false),
        (Some("a.example.com"), "shop.example", false),
        // shown the default
        (Some("other.example"), "other.example", true),
        (Some("other.example"), "shop.example", true),
        (Some("other.example"), "www.example.com", false),
        (None, "shop.example", true),
        (None, "www.example.com", true),
        (None, "anything.example", true),
        (None, "192.0.2.2", true),
    ] {
        assert_eq!(tls.covers(sni, host), covered, "{host} by way of {sni:?}");
    }
}

#[test]
fn where_either_may_have_been_shown_both_must_carry_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let one = write(dir.path(), "one", &["a.example", "b.example", "c.example"]);
    let two = write(dir.path(), "two", &["a.example", "b.example"]);
    let tls = ServerTls::of(&[&one, &two]).unwrap();
    assert!(tls.covers(Some("a.example"), "b.example"));
    assert!(!tls.covers(Some("a.example"), "c.example"));
    assert!(tls.covers(Some("c.example"), "a.example"));
}

#[test]
fn a_connection_is_judged_by_what_it_was_shown() {
    let dir = tempfile::tempdir().unwrap();
    let both = write(dir.path(), "both", &["a.example", "b.example"]);
    let tls = ServerTls::of(&[&both]).unwrap();
    let before = tls.presented(Some("a.example"));
    let one = write(dir.path(), "one", &["a.example"]);
    tls.replace_by(&ServerTls::of(&[&one]).unwrap());
    assert!(before.covers("b.example") && !tls.covers(Some("a.example"), "b.example"));
    assert_eq!(before.sni(), Some("a.example"));
}

#[test]
fn what_is_wrong_with_any_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let good = write(dir.path(), "good", &["a.example"]);
    let other = write(dir.path(), "other", &["b.example"]);
    let mixed = TlsFiles { name: "mixed".to_owned(), key_file: other.key_file.clone(), ..good.clone() };
    let gone = TlsFiles { name: "gone".to_owned(), certificate: dir.path().join("gone.crt"), ..other.clone() };
    let problems = ServerTls::of(&[&good, &mixed, &gone]).unwrap_err();
    let told: Vec<&str> = problems.iter().map(|problem| problem.fact.as_str()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("certificate and key of [tls.mixed] cannot be used together"), "{told:?}");
    assert!(told[1].starts_with("cannot read the certificate of [tls.gone]: No such file"), "{told:?}");
    assert!(problems.iter().all(|problem| problem.place.is_some() && problem.help.is_some()));
    assert_eq!(ServerTls::of(&[]).unwrap_err()[0].code, "E0403");
}

#[test]
fn a_certificate_without_names_can_be_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let nameless = write(dir.path(), "nameless", &[]);
    let tls = ServerTls::of(&[&nameless]).unwrap();
    assert_eq!(shown(&tls, &[&nameless], Some("a.example"), &[ECDSA]), "nameless");
    assert!(tls.covers(Some("a.example"), "a.example") && !tls.covers(Some("a.example"), "b.example"));
}
