//! How we say to a receiver who we are.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use daemon::config::Secret;

/// What an `Authorization` header is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authorization {
    Bearer(Secret),
    Basic { user: String, password: Secret },
}

impl Authorization {
    /// The value of the header, and the secrets in it.
    pub(super) fn reveal(&self) -> Result<(String, Vec<String>), String> {
        let (value, secret) = match self {
            Authorization::Bearer(token) => {
                let token = token.reveal()?;
                (format!("Bearer {token}"), token)
            }
            Authorization::Basic { user, password } => {
                let password = password.reveal()?;
                let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
                (format!("Basic {credentials}"), password)
            }
        };
        // No message may hold the encoded form either.
        Ok((value.clone(), vec![value, secret]))
    }
}
