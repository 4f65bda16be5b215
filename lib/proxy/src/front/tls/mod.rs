//! TLS 1.3 and nothing older: the configuration, the certificates, the handshake.

mod certificates;
pub(crate) mod handshake;
mod names;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

pub use certificates::{CertificateError, CertificateProblem};

use super::FrontError;
use super::config::{CertificateFiles, TlsConfig};
use super::metrics::Metrics;
use certificates::Certificate;
use names::Names;

/// Resumption tickets sent after a handshake: clients use each once, and open a few connections at a time.
const TICKETS: usize = 2;

/// TLS for all cores: one configuration, so that any core resumes the sessions of any other.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    resolver: Arc<Resolver>,
    provider: Arc<CryptoProvider>,
    files: Vec<CertificateFiles>,
}

impl Tls {
    /// Reads the certificates and prepares TLS.
    ///
    /// # Errors
    /// When a certificate cannot be used, or the random source fails.
    pub(crate) fn open(config: &TlsConfig, metrics: &Metrics) -> Result<Tls, FrontError> {
        // Named, not taken from the process: nobody else decides what clients are spoken to with.
        let provider = Arc::new(default_provider());
        let names = read_all(&config.certificates, &provider, metrics)?;
        let resolver = Arc::new(Resolver(ArcSwap::from_pointee(names)));
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(FrontError::Tls)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Sessions live in the clients' tickets: no table to fill up, no lock between cores. Keys rotate every six
        // hours and outlive a reload of the certificates.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.ticketer = Ticketer::new().map_err(FrontError::Tls)?;
        server.send_tls13_tickets = TICKETS;
        // What arrives before the handshake ends can be replayed by anyone on the way (RFC 8446 §8).
        server.max_early_data_size = 0;
        Ok(Tls {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            resolver,
            provider,
            files: config.certificates.clone(),
        })
    }

    /// Reads the same files again, for new connections. On error all the old certificates stay.
    ///
    /// # Errors
    /// When a certificate cannot be used.
    pub(crate) fn reload(&self, metrics: &Metrics) -> Result<(), CertificateError> {
        let read = read_all(&self.files, &self.provider, metrics);
        metrics
            .reloads
            .with_label_values(&[if read.is_ok() { "ok" } else { "error" }])
            .inc();
        self.resolver.0.store(Arc::new(read?));
        Ok(())
    }
}

/// Chooses by the name the client asks for.
#[derive(Debug)]
struct Resolver(ArcSwap<Names<Arc<CertifiedKey>>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.0.load().of(hello.server_name())))
    }
}

/// Reads every pair as [`super::FrontDoor::bind`] would, for a check of the configuration.
///
/// # Errors
/// When a file cannot be used.
pub fn check_certificates(config: &TlsConfig) -> Result<(), CertificateError> {
    let provider = default_provider();
    config
        .certificates
        .iter()
        .try_for_each(|files| Certificate::read(files, &provider).map(drop))
}

fn read_all(
    files: &[CertificateFiles],
    provider: &CryptoProvider,
    metrics: &Metrics,
) -> Result<Names<Arc<CertifiedKey>>, CertificateError> {
    let read = |files: &CertificateFiles| Certificate::read(files, provider);
    let certificates = files
        .iter()
        .map(read)
        .collect::<Result<Vec<Certificate>, CertificateError>>()?;
    let now = i64::try_from(daemon::clock::now_millis() / 1000).unwrap_or(i64::MAX);
    metrics.certificate_expiry.reset();
    for certificate in &certificates {
        certificate.warn(now);
        let label = certificate.path.display().to_string();
        metrics
            .certificate_expiry
            .with_label_values(&[&label])
            .set(certificate.expires);
    }
    let named = certificates
        .into_iter()
        .map(|certificate| (certificate.names, certificate.key));
    Names::new(named).ok_or(CertificateError::none())
}
