//! A process that does not outlive the one that started it, and the tail of its log.
#![expect(
    unsafe_code,
    reason = "the death signal has to be asked for between fork and exec"
)]

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use tokio::process::{Child, Command};

/// How much of the end of a log is read to show its last lines.
const TAIL_BYTES: u64 = 16 << 10;

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both outputs into the file `log`, emptied first.
    ///
    /// The kernel kills the process when the *thread* that called this ends: call it from the main thread. It stands in
    /// a process group of its own, so that Ctrl-C in a terminal reaches us alone and we end things in order.
    ///
    /// # Errors
    ///
    /// When the log cannot be made or the program not be run.
    pub(crate) fn start(mut command: std::process::Command, log: &Path) -> io::Result<Process> {
        use std::os::unix::process::CommandExt;
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(log, "")?;
        let output = OpenOptions::new().append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let us = rustix::process::getpid();
        let ask_for_death_signal = move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // We may have died before the line above took effect; then nobody is left to end this process.
            if getppid() == Some(us) {
                Ok(())
            } else {
                Err(io::ErrorKind::NotConnected.into())
            }
        };
        // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes two system calls
        // (prctl, getppid) through rustix, which neither allocate nor lock, and builds errors that hold no allocation.
        unsafe {
            command.pre_exec(ask_for_death_signal);
        }
        let child = Command::from(command).kill_on_drop(true).spawn()?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Process {
            child,
            pid,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Returns when it has ended, however it did. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Whether it has ended, however it did.
    pub(crate) fn has_ended(&mut self) -> bool {
        // What cannot be asked is nobody's process any more.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end (SIGTERM).
    pub(crate) fn ask_to_end(&self) {
        // It may have ended already; then there is nothing to ask.
        if self.child.id().is_some() {
            let _ = kill_process(self.pid, Signal::TERM);
        }
    }

    /// Waits for its end until `patience` is over, then kills it. `false`: it had to be killed.
    pub(crate) async fn end_within(&mut self, patience: Duration) -> bool {
        if tokio::time::timeout(patience, self.child.wait()).await.is_ok() {
            return true;
        }
        // Fails only when it has ended meanwhile.
        let _ = self.child.kill().await;
        false
    }

    /// The last `count` lines it wrote.
    pub(crate) fn last_lines(&self, count: usize) -> Vec<String> {
        tail(&self.log, count).unwrap_or_default()
    }
}

fn tail(log: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> std::process::Command {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_process_that_ends_leaves_its_status_and_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(
            shell("seq 1 9000; echo last >&2; exit 7"),
            &folder.path().join("logs/a.log"),
        )
        .unwrap();
        assert_eq!(process.ended().await.unwrap().code(), Some(7));
        assert_eq!(process.last_lines(3), ["8999", "9000", "last"]);
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_request_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(
            shell("trap '' TERM; echo deaf; while :; do sleep 0.05; done"),
            &folder.path().join("a.log"),
        )
        .unwrap();
        tokio::time::timeout(Duration::from_secs(20), async {
            while process.last_lines(1).is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        process.ask_to_end();
        assert!(!process.end_within(Duration::from_millis(100)).await);
    }

    #[tokio::test]
    async fn a_process_that_heeds_the_request_ends_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut process =
            Process::start(shell("exec tail -f /dev/null"), &folder.path().join("a.log")).unwrap();
        process.ask_to_end();
        assert!(process.end_within(Duration::from_secs(20)).await);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let command = std::process::Command::new(folder.path().join("missing"));
        assert!(Process::start(command, &folder.path().join("a.log")).is_err());
    }
}
