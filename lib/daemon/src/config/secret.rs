//! A secret: the configuration says where it is, never what it is.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// No token or password is longer; what is, is the wrong file.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Where a secret is to be found, written `{ file = "/etc/…" }` or `{ environment = "NAME" }`.
///
/// The value is read when it is needed and not kept: a replaced file counts from its next use on, and nothing that
/// prints, logs or serialises a configuration can give it away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// The content of a file, without the white space at its end.
    File(PathBuf),
    /// The value of an environment variable.
    Environment(String),
}

impl Secret {
    /// The secret itself.
    ///
    /// # Errors
    /// A sentence that names the file or variable when it cannot be read or is empty.
    pub fn reveal(&self) -> Result<String, String> {
        let value = match self {
            Secret::File(path) => {
                let mut text = String::new();
                let read = std::fs::File::open(path)
                    .and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text));
                read.map_err(|error| format!("cannot read {self}: {error}"))?;
                text.truncate(text.trim_end().len());
                text
            }
            Secret::Environment(name) => environment(name).ok_or_else(|| format!("{self} is not set"))?,
        };
        match value.len() as u64 {
            0 => Err(format!("{self} is empty")),
            length if length > MAX_SECRET_BYTES => {
                Err(format!("{self} is longer than {MAX_SECRET_BYTES} bytes"))
            }
            _ => Ok(value),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::File(path) => write!(f, "the file {}", path.display()),
            Secret::Environment(name) => write!(f, "the environment variable {name}"),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the environment is read: for a secret it names"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_content_without_the_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = Secret::File(path.clone());
        assert!(secret.reveal().unwrap_err().contains("token"));
        for (content, value) in [
            ("s3cret\n", Ok("s3cret")),
            ("s3cret", Ok("s3cret")),
            ("\n", Err("is empty")),
        ] {
            std::fs::write(&path, content).unwrap();
            match (secret.reveal(), value) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                other => panic!("{other:?}"),
            }
        }
        std::fs::write(&path, "x".repeat(70_000)).unwrap();
        assert!(secret.reveal().unwrap_err().contains("longer than"));
    }

    #[test]
    fn the_environment_gives_a_variable_or_says_its_name() {
        assert!(!Secret::Environment("PATH".into()).reveal().unwrap().is_empty());
        let error = Secret::Environment("MILLRACE_NO_SUCH_VARIABLE".into())
            .reveal()
            .unwrap_err();
        assert_eq!(
            error,
            "the environment variable MILLRACE_NO_SUCH_VARIABLE is not set"
        );
    }

    #[test]
    fn nothing_that_prints_a_secret_holds_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret").unwrap();
        let secret = Secret::File(path);
        assert_eq!(secret.reveal().unwrap(), "s3cret");
        for shown in [
            format!("{secret:?}"),
            secret.to_string(),
            serde_json::to_string(&secret).unwrap(),
        ] {
            assert!(!shown.contains("s3cret") && shown.contains("token"), "{shown}");
        }
    }
}
