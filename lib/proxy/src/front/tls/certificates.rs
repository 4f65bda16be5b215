//! Certificates and keys, read from PEM files with errors that name the file and the problem.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::front::config::CertificateFiles;

/// A certificate ready to serve.
pub(crate) struct Certificate {
    /// Where the chain was read.
    pub(crate) path: PathBuf,
    /// The DNS names it is for.
    pub(crate) names: Vec<String>,
    /// Since when it is valid, as seconds since the Unix epoch.
    pub(crate) begins: i64,
    /// Until when it is valid, as seconds since the Unix epoch.
    pub(crate) expires: i64,
    /// The chain with its key.
    pub(crate) key: Arc<CertifiedKey>,
}

/// A certificate that cannot be used.
#[derive(Debug)]
pub struct CertificateError {
    /// The file at fault.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: CertificateProblem,
}

/// What is wrong with a certificate or key file.
#[derive(Debug)]
pub enum CertificateProblem {
    /// It cannot be read, or is no PEM.
    Unreadable(pem::Error),
    /// It holds no `CERTIFICATE`.
    NoCertificate,
    /// It holds no private key.
    NoKey,
    /// Its first certificate breaks X.509.
    Malformed(String),
    /// The key is of no kind we know.
    KeyRefused(rustls::Error),
    /// The key belongs to another certificate than the one in the file named.
    KeyMismatch(PathBuf),
}

impl Certificate {
    /// Reads one pair.
    ///
    /// # Errors
    /// When either file cannot be used, or they do not belong together.
    pub(crate) fn read(
        files: &CertificateFiles,
        provider: &CryptoProvider,
    ) -> Result<Certificate, CertificateError> {
        let chain = read_chain(&files.certificate)?;
        let (names, begins, expires) =
            describe(&chain[0]).map_err(|problem| problem.of(&files.certificate))?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
            match error {
                pem::Error::NoItemsFound => CertificateProblem::NoKey,
                error => CertificateProblem::Unreadable(error),
            }
            .of(&files.key)
        })?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
            match error {
                rustls::Error::InconsistentKeys(_) => {
                    CertificateProblem::KeyMismatch(files.certificate.clone())
                }
                error => CertificateProblem::KeyRefused(error),
            }
            .of(&files.key)
        })?;
        Ok(Certificate {
            path: files.certificate.clone(),
            names,
            begins,
            expires,
            key: Arc::new(key),
        })
    }

    /// Logs what is odd about it but no reason to refuse service, `now` in seconds since the Unix epoch.
    pub(crate) fn warn(&self, now: i64) {
        let file = self.path.display();
        if self.expires < now {
            tracing::warn!(%file, expired = self.expires, "the certificate has expired: clients will refuse it");
        } else if self.begins > now {
            tracing::warn!(%file, begins = self.begins, "the certificate is not valid yet: clients will refuse it");
        }
        if self.names.is_empty() {
            tracing::warn!(%file, "the certificate names no DNS host (subjectAltName): clients will refuse it");
        }
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let unreadable = |error| CertificateProblem::Unreadable(error).of(path);
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, pem::Error>>)
        .map_err(unreadable)?;
    if chain.is_empty() {
        Err(CertificateProblem::NoCertificate.of(path))
    } else {
        Ok(chain)
    }
}

/// The DNS names and the term of validity of a leaf.
fn describe(leaf: &CertificateDer<'_>) -> Result<(Vec<String>, i64, i64), CertificateProblem> {
    let malformed = |error: String| CertificateProblem::Malformed(error);
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| malformed(error.to_string()))?;
    let alternatives = leaf
        .subject_alternative_name()
        .map_err(|error| malformed(error.to_string()))?;
    let names = alternatives.map_or_else(Vec::new, |names| {
        names
            .value
            .general_names
            .iter()
            .filter_map(dns_name)
            .map(str::to_owned)
            .collect()
    });
    let validity = leaf.validity();
    Ok((
        names,
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    ))
}

fn dns_name<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::DNSName(name) => Some(name),
        _ => None,
    }
}

impl CertificateProblem {
    fn of(self, file: &Path) -> CertificateError {
        CertificateError {
            file: file.to_owned(),
            problem: self,
        }
    }
}

impl CertificateError {
    /// No certificate is configured at all.
    pub(crate) fn none() -> CertificateError {
        CertificateProblem::NoCertificate.of(Path::new("tls"))
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match &self.problem {
            CertificateProblem::Unreadable(error) => write!(f, "cannot read {file}: {error}"),
            CertificateProblem::NoCertificate => {
                write!(
                    f,
                    "{file}: no certificate in it; a PEM chain with the leaf first is expected"
                )
            }
            CertificateProblem::NoKey => {
                write!(
                    f,
                    "{file}: no private key in it; PEM of PKCS #8, PKCS #1 or SEC 1 is expected"
                )
            }
            CertificateProblem::Malformed(error) => {
                write!(f, "{file}: the first certificate is malformed: {error}")
            }
            CertificateProblem::KeyRefused(error) => write!(f, "{file}: the key cannot be used: {error}"),
            CertificateProblem::KeyMismatch(certificate) => write!(
                f,
                "{file}: the key does not match the first certificate in {}; the leaf must come first",
                certificate.display()
            ),
        }
    }
}

impl std::error::Error for CertificateError {}
