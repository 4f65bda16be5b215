//! A certificate authority for one test, and the certificates it issues.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
pub use rustls_pki_types::CertificateDer;

/// A certificate authority that [`crate::client::Client`] can be told to trust.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The chain: one certificate, signed by the authority itself.
    pub certificate_pem: String,
    /// PKCS #8.
    pub key_pem: String,
    /// The certificate in DER, to compare with what a server presents.
    pub der: CertificateDer<'static>,
}

/// Where an [`Issued`] was written.
#[derive(Clone, Debug)]
pub struct CertificatePaths {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority, unlike any other.
    #[must_use]
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Millrace test authority");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("the ring provider makes P-256 keys");
        let certificate = params
            .self_signed(&key)
            .expect("the parameters above are complete");
        Authority {
            issuer: Issuer::new(params, key),
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
        }
    }

    /// Its own certificate, for the files of daemons that are to trust it.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for `names` (host names or IP addresses).
    ///
    /// # Panics
    ///
    /// When a name is neither.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("host names or IP addresses");
        params
            .distinguished_name
            .push(DnType::CommonName, "Millrace test");
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("the ring provider makes P-256 keys");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("the parameters above are complete");
        Issued {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }

    /// What a client needs to trust this authority, and it alone.
    #[must_use]
    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.certificate.clone())
            .expect("our own certificate parses");
        Arc::new(roots)
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

impl Issued {
    /// Writes (or replaces) `<name>.pem` and `<name>.key` in `folder`.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written to.
    #[must_use]
    pub fn write(&self, folder: &Path, name: &str) -> CertificatePaths {
        let paths = CertificatePaths {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        for (path, text) in [
            (&paths.certificate, &self.certificate_pem),
            (&paths.key, &self.key_pem),
        ] {
            std::fs::write(path, text)
                .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        }
        paths
    }
}
