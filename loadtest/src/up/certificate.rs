//! The certificate of the local CDN: signed by itself, made when there is none that is valid.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, CertifiedKey, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// The names the certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "demo.localhost"];

/// How long a made certificate is valid.
const VALID_DAYS: u32 = 90;

/// One that expires sooner is replaced, so that a CDN that stays up for a while keeps a valid one.
const LEAST_LEFT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Makes both files unless they hold a certificate that is valid for a while yet. `true`: they were made.
///
/// # Errors
///
/// When they cannot be written.
pub(crate) fn provide(certificate: &Path, key: &Path) -> Result<bool, String> {
    if key.is_file() && is_valid(certificate) {
        return Ok(false);
    }
    let made = make(&NAMES, VALID_DAYS).map_err(|error| format!("no certificate can be made: {error}"))?;
    write(certificate, &made.cert.pem(), 0o644)?;
    write(key, &made.signing_key.serialize_pem(), 0o600)?;
    Ok(true)
}

/// A certificate for `names` that signs itself, with a P-256 key.
pub(crate) fn make(names: &[&str], valid_days: u32) -> Result<CertifiedKey<KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Millrace local CDN");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = now();
    // An hour back: clocks of containers and their hosts may differ.
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + Duration::from_secs(24 * 3600) * valid_days).into();
    let signing_key = KeyPair::generate()?;
    let cert = params.self_signed(&signing_key)?;
    Ok(CertifiedKey { cert, signing_key })
}

#[expect(
    clippy::disallowed_methods,
    reason = "validity periods count from the wall clock, and only this file makes certificates"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn is_valid(certificate: &Path) -> bool {
    let Ok(der) = CertificateDer::from_pem_file(certificate) else {
        return false;
    };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&der) else {
        return false;
    };
    parsed
        .validity()
        .time_to_expiration()
        .is_some_and(|left| left.unsigned_abs() > LEAST_LEFT)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        // Replaced whole: a daemon that reloads meanwhile reads the old pair or the new one's half at worst, never
        // half a file.
        let fresh = path.with_extension("new");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(mode)
            .open(&fresh)?;
        file.write_all(text.as_bytes())?;
        fs::rename(fresh, path)
    });
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_again_when_it_is_about_to_expire() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("tls/a.pem"), folder.path().join("tls/a.key"));
        assert_eq!(provide(&certificate, &key), Ok(true));
        assert_eq!(provide(&certificate, &key), Ok(false));
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&certificate, make(&NAMES, 2).unwrap().cert.pem()).unwrap();
        assert_eq!(provide(&certificate, &key), Ok(true));
        fs::write(&certificate, "no certificate").unwrap();
        assert_eq!(provide(&certificate, &key), Ok(true));
        fs::remove_file(&key).unwrap();
        assert_eq!(provide(&certificate, &key), Ok(true));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tls"), "a file").unwrap();
        let path = folder.path().join("tls/a.pem");
        let complaint = provide(&path, &folder.path().join("tls/a.key")).unwrap_err();
        assert!(complaint.contains(&path.display().to_string()), "{complaint}");
    }
}
