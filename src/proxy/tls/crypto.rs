//! With which algorithms is TLS spoken, to clients and to endpoints?
//!
//! Those that rustls has, AES with 128-bit keys first: nobody breaks it either, and each byte costs less (8 % by
//! `openssl speed`, on a processor with AES instructions). The order is ours where the peer is a client, whatever it prefers:
//! OpenSSL's clients put 256 first and hardly ever mean it.

use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::cipher_suite::*;

/// In the order we prefer them.
const SUITES: [SupportedCipherSuite; 9] = [
    TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384,
    TLS13_CHACHA20_POLY1305_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// All of it.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { cipher_suites: SUITES.to_vec(), ..aws_lc_rs::default_provider() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_suite_of_rustls_is_forgotten() {
        let all = aws_lc_rs::default_provider().cipher_suites;
        assert_eq!(all.len(), SUITES.len());
        assert!(all.iter().all(|suite| SUITES.contains(suite)));
    }
}
