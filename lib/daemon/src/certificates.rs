//! The certificate that a daemon's own port shows: read at the start, and again when it is told to reload.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Where a certificate lies, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, with its chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What new connections are shown, for TLS 1.3 and HTTP/1.1; swapped whole. Clones share it.
#[derive(Clone, Debug)]
pub struct Certificates {
    files: CertificateFiles,
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// Which of them cannot be used, and why.
    pub fn read(files: CertificateFiles) -> Result<Certificates, String> {
        let current = Arc::new(ArcSwap::from_pointee(load(&files)?));
        Ok(Certificates { files, current })
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// Which of them cannot be used, and why; what was read before stays.
    pub fn reload(&self) -> Result<(), String> {
        self.current.store(Arc::new(load(&self.files)?));
        Ok(())
    }

    /// What to show now.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

fn load(files: &CertificateFiles) -> Result<ServerConfig, String> {
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
