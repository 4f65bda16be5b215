//! The player: a process that drives Chromium, and the events it writes.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::Instant;

use super::project::Project;
use super::told::{Heard, Told};

/// Until it has taken its picture and closed the browser.
const CLOSE_PATIENCE: Duration = Duration::from_secs(60);

/// A running player.
#[derive(Debug)]
pub(super) struct Player {
    child: Child,
    /// It closes the browser when this ends, however we do.
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    log: std::path::PathBuf,
    began: Instant,
    heard: Vec<Heard>,
}

impl Player {
    /// Opens `page`.
    ///
    /// # Errors
    ///
    /// When the process does not start.
    pub(super) fn start(project: &Project, page: &str, picture: Option<&Path>) -> Result<Player, String> {
        let wrong = |error: std::io::Error| format!("the player cannot be started: {error}");
        let log = project.log();
        let mut child = project
            .command(page, picture)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(wrong)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(wrong)?;
        let output = child.stdout.take().ok_or("the player has no output")?;
        Ok(Player {
            input: child.stdin.take(),
            lines: BufReader::new(output).lines(),
            child,
            log,
            began: Instant::now(),
            heard: Vec::new(),
        })
    }

    /// Time since it was started.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// All that was heard of it.
    pub(super) fn heard(&self) -> &[Heard] {
        &self.heard
    }

    /// The last thing that went wrong, for people.
    pub(super) fn last_error(&self) -> String {
        let errors = self.heard.iter().rev();
        let last = errors.map(|heard| &heard.told).find_map(|told| match told {
            Told::Error {
                details, url, reason, ..
            } => Some(format!("its last error: {details} {url} {reason}")),
            _ => None,
        });
        last.unwrap_or_else(|| "it told of no error".to_owned())
    }

    /// Listens for `patience`, until it is told what is `wanted` or that the player gave up. `true`: what was wanted.
    ///
    /// # Errors
    ///
    /// When the player ends by itself, or says what nobody understands.
    pub(super) async fn listen(
        &mut self,
        patience: Duration,
        wanted: impl Fn(&Told) -> bool,
    ) -> Result<bool, String> {
        let deadline = Instant::now() + patience;
        loop {
            let Ok(line) = tokio::time::timeout_at(deadline, self.lines.next_line()).await else {
                return Ok(false);
            };
            let line = line.map_err(|error| format!("the player cannot be heard: {error}"))?;
            let Some(line) = line else {
                return Err(format!("the player ended by itself: {}", self.complaints()));
            };
            let told: Told =
                serde_json::from_str(&line).map_err(|error| format!("the player wrote {line:?}: {error}"))?;
            let (found, over) = (wanted(&told), told.is_fatal());
            self.heard.push(Heard {
                at: self.elapsed(),
                told,
            });
            if found || over {
                return Ok(found);
            }
        }
    }

    /// Lets it take its picture and close its browser.
    ///
    /// # Errors
    ///
    /// When it takes too long, or complains.
    pub(super) async fn close(&mut self) -> Result<(), String> {
        self.input = None;
        // Read on, so that it is not held up by what nobody reads.
        let ended = async {
            while let Ok(Some(_)) = self.lines.next_line().await {}
            self.child.wait().await
        };
        let Ok(status) = tokio::time::timeout(CLOSE_PATIENCE, ended).await else {
            // Fails only when it has ended meanwhile.
            let _ = self.child.kill().await;
            return Err(format!(
                "the player did not end within {} s",
                CLOSE_PATIENCE.as_secs()
            ));
        };
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the player ended with {status}: {}", self.complaints())),
            Err(error) => Err(format!("the player's end is not known: {error}")),
        }
    }

    fn complaints(&self) -> String {
        let words = std::fs::read_to_string(&self.log).unwrap_or_default();
        match words.trim() {
            "" => "it said nothing".to_owned(),
            words => words.to_owned(),
        }
    }
}
