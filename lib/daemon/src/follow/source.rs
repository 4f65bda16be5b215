//! Where a document comes from, and one way to look at both kinds of place.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use super::fetch::Fetcher;
use super::file::Watched;
use super::pace::Pace;
use crate::config::{Secret, Table};

/// A path, or an `http://` or `https://` URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// A file on this machine.
    File(PathBuf),
    /// A document on a server.
    Url(String),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Source, String> {
        let Some((scheme, _)) = text.split_once("://") else {
            return if text.is_empty() {
                Err("is empty, expected a path or a URL".to_owned())
            } else {
                Ok(Source::File(text.into()))
            };
        };
        if !matches!(scheme, "http" | "https") {
            return Err(format!(
                "{scheme}:// is not spoken, expected a path, http:// or https://"
            ));
        }
        let uri: Uri = text.parse().map_err(|error| format!("is no URL: {error}"))?;
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        if authority.contains('@') {
            return Err(
                "a password stands in the URL, expected one without; name a token beside it".to_owned(),
            );
        }
        if authority.is_empty() {
            return Err("is a URL without a host".to_owned());
        }
        Ok(Source::Url(text.to_owned()))
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Source, String> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> String {
        source.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => path.display().fmt(f),
            Source::Url(url) => f.write_str(url),
        }
    }
}

/// Reads where a document comes from, `key`, and the token that is shown there, `<key>_token`, if there is one. A token
/// is for whoever asks for one over TLS; elsewhere it would be read on the way, or by nobody.
#[must_use]
pub fn read_source(table: &Table<'_>, key: &str) -> Option<(Source, Option<Secret>)> {
    let source: Option<Source> = table.required(key);
    let token_key = format!("{key}_token");
    let token = table.secret(&token_key);
    if token.is_some() {
        match &source {
            Some(Source::File(_)) => {
                table.complain(
                    &token_key,
                    &format!("the {key} is a file"),
                    "leave it out, or follow a URL",
                );
            }
            Some(Source::Url(url)) if url.starts_with("http://") => {
                let advice = format!("write https:// in {key}");
                table.complain(&token_key, "would be sent in the clear", &advice);
            }
            Some(Source::Url(_)) | None => {}
        }
    }
    Some((source?, token))
}

/// How to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// What is as it was seen last time is [`Reading::Unchanged`].
    ForChanges,
    /// As if nothing had been seen before.
    Again,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Unchanged,
    Changed(Vec<u8>),
}

/// A source, and what was seen there last, whether it was accepted or not.
pub(super) enum Origin {
    File(Watched),
    Url(Fetcher),
}

impl Origin {
    pub(super) fn new(source: &Source, token: Option<Secret>, pace: Pace) -> Origin {
        match source {
            Source::File(path) => Origin::File(Watched::new(path.clone())),
            Source::Url(url) => Origin::Url(Fetcher::new(url.clone(), token, pace.timeout)),
        }
    }

    /// The error is a sentence for the log.
    pub(super) fn look(&mut self, look: Look) -> Result<Reading, String> {
        match self {
            Origin::File(watched) => watched.look(look),
            Origin::Url(fetcher) => fetcher.look(look),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_or_a_url_of_http() {
        assert_eq!("conf/cdn.json".parse(), Ok(Source::File("conf/cdn.json".into())));
        let url = "https://control.example:8443/v1/snapshot";
        assert_eq!(url.parse(), Ok(Source::Url(url.to_owned())));
        assert_eq!(url.parse::<Source>().unwrap().to_string(), url);
        for (text, says) in [
            ("", "is empty"),
            ("ftp://control.example/a", "ftp:// is not spoken"),
            ("https://", "is no URL"),
            (
                "https://user:pass@control.example/a",
                "a password stands in the URL",
            ),
        ] {
            let error = text.parse::<Source>().unwrap_err();
            assert!(
                error.contains(says) && !error.contains("pass@"),
                "{text}: {error}"
            );
        }
    }
}
