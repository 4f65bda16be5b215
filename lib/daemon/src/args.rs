//! The arguments every daemon takes: `--config FILE`, `--check`, `--version`, `--help`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, value_parser};

/// What the command line asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// The configuration file to read.
    pub config: PathBuf,
    /// Follow the start path up to the point where sockets would be bound, then stop.
    pub check: bool,
}

impl Args {
    /// Reads the command line of this process. `--help` and `--version` print and exit 0; a mistake prints what is
    /// wrong and exits 2.
    ///
    /// `about` is the one sentence that `--help` opens with.
    #[must_use]
    pub fn read(about: &'static str, version: &'static str) -> Args {
        let given: Vec<OsString> = std::env::args_os().collect();
        parse(about, version, given).unwrap_or_else(|error| error.exit())
    }
}

fn parse(about: &'static str, version: &'static str, given: Vec<OsString>) -> Result<Args, clap::Error> {
    let name = given
        .first()
        .and_then(|first| Path::new(first).file_name())
        .map(|name| name.to_string_lossy());
    let command = Command::new(name.as_deref().unwrap_or("daemon").to_owned())
        .about(about)
        .version(version)
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("Read this configuration file (TOML)")
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("check")
                .long("check")
                .help("Check the configuration and everything it names, then stop: 0 when a start would work, 2 when not")
                .action(ArgAction::SetTrue),
        );
    let mut matches = command.try_get_matches_from(given)?;
    Ok(Args {
        config: matches
            .remove_one("config")
            .expect("clap refuses a command line without --config"),
        check: matches.get_flag("check"),
    })
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn read(given: &[&str]) -> Result<Args, clap::Error> {
        let given = std::iter::once("/usr/bin/millrace-test").chain(given.iter().copied());
        parse("Tests arguments.", "1.2.3", given.map(OsString::from).collect())
    }

    #[test]
    fn config_and_check_are_understood() {
        let args = read(&["--config", "conf/a.toml", "--check"]).unwrap();
        assert_eq!(
            args,
            Args {
                config: "conf/a.toml".into(),
                check: true
            }
        );
        let args = read(&["--config=conf/a.toml"]).unwrap();
        assert_eq!(
            args,
            Args {
                config: "conf/a.toml".into(),
                check: false
            }
        );
    }

    #[test]
    fn a_mistake_says_what_is_wrong_and_exits_2() {
        for (given, says) in [
            (&[][..], "--config"),
            (&["--config"][..], "--config"),
            (&["--config", "a", "--chekc"][..], "--chekc"),
            (&["--config", "a", "b"][..], "'b'"),
        ] {
            let error = read(given).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{given:?}");
            assert!(error.to_string().contains(says), "{given:?}: {error}");
        }
    }

    #[test]
    fn version_names_the_program_as_it_was_called() {
        let error = read(&["--version"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisplayVersion);
        assert_eq!(error.to_string(), "millrace-test 1.2.3\n");
        assert_eq!(error.exit_code(), 0);
    }
}
