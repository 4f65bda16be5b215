//! The TLS side of probes: certificates are checked as players check them, and each probe shakes hands anew.

use std::path::Path;
use std::sync::Arc;

use model::Snapshot;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

/// Whom probes believe.
#[derive(Clone)]
pub(crate) struct ProbeTls(Arc<ClientConfig>);

impl ProbeTls {
    /// The authorities of `ca_file`, or of the system where none is named.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<ProbeTls, String> {
        let roots = daemon::connect::roots(ca_file)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| format!("TLS 1.3 cannot be spoken: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would not show the certificate.
        config.resumption = Resumption::disabled();
        Ok(ProbeTls(Arc::new(config)))
    }

    pub(super) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.0))
    }
}

/// The name that probes ask for in the handshake: as configured, or the first host that a service answers to and a
/// certificate can name.
pub(super) fn server_name(configured: Option<&str>, snapshot: &Snapshot) -> Option<ServerName<'static>> {
    let hosts = snapshot.services.values().flat_map(|service| &service.hosts);
    configured
        .into_iter()
        .chain(hosts.map(String::as_str))
        .find_map(|host| ServerName::try_from(host.replacen('*', "probe", 1)).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_configured_one_or_the_first_host() {
        let text = r#"{"cdn":"t","number":1,"sites":{},"nodes":{},"services":{"a":{"hosts":["*.media.test","x.test"],
            "origins":[{"url":"http://127.0.0.1:1"}]}}}"#;
        let snapshot: Snapshot = serde_json::from_str(text).unwrap();
        let name = |configured| server_name(configured, &snapshot).unwrap().to_str().into_owned();
        assert_eq!(name(None), "probe.media.test");
        assert_eq!(name(Some("cdn.test")), "cdn.test");
    }
}
