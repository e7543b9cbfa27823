//! What each encrypted transport of DNS negotiates. The certificate is that of all (`net::tls`).

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};

use crate::net::tls::{Certificates, server};

/// For DNS over TLS (RFC 7858).
#[must_use]
pub fn dot(certificates: Arc<Certificates>) -> ServerConfig {
    server(certificates, &[&TLS13, &TLS12], &[b"dot"])
}

/// For DNS over HTTPS (RFC 8484), HTTP/2 rather than 1.1.
#[must_use]
pub fn doh(certificates: Arc<Certificates>) -> ServerConfig {
    server(certificates, &[&TLS13, &TLS12], &[b"h2", b"http/1.1"])
}

/// For DNS over QUIC (RFC 9250), which needs TLS 1.3 (RFC 9001).
#[must_use]
pub fn doq(certificates: Arc<Certificates>) -> ServerConfig {
    server(certificates, &[&TLS13], &[b"doq"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_transport_has_its_protocols_and_no_early_data() {
        for (config, protocols) in [
            (dot(Arc::default()), vec![b"dot".to_vec()]),
            (doh(Arc::default()), vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
            (doq(Arc::default()), vec![b"doq".to_vec()]),
        ] {
            assert_eq!(config.alpn_protocols, protocols);
            assert_eq!(config.max_early_data_size, 0);
            assert!(config.session_storage.can_cache());
        }
    }
}
