//! The monitor's certificate: read at the start, and again when it is told to reload.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsConfig;

/// What new connections are shown; swapped whole.
#[derive(Clone)]
pub(crate) struct Certificates {
    files: TlsConfig,
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Which of them cannot be used, and why.
    pub(crate) fn read(files: TlsConfig) -> Result<Certificates, String> {
        let current = Arc::new(ArcSwap::from_pointee(load(&files)?));
        Ok(Certificates { files, current })
    }

    /// Reads the files again.
    ///
    /// # Errors
    ///
    /// Which of them cannot be used, and why; what was read before stays.
    pub(crate) fn reload(&self) -> Result<(), String> {
        self.current.store(Arc::new(load(&self.files)?));
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

fn load(files: &TlsConfig) -> Result<ServerConfig, String> {
    let wrong = |file: &Path, what: &dyn fmt::Display| format!("{} cannot be used: {what}", file.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(&files.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| format!("TLS 1.3 cannot be spoken: {error}"))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&files.certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
