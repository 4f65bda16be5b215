//! A server that is measured: one process and what it starts, on one core, with what it has cost so far.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use crate::compare::cores;
use crate::compare::guard::Guard;
use crate::memory;
use crate::up::child::Process;

/// How long a server may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks whether it is.
const READY_POLL: Duration = Duration::from_millis(50);

/// How long it may take to end after it was asked to.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Lines of its log that are shown when it does not serve.
const LAST_LINES: usize = 10;

/// Where servers are started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand<'a> {
    /// The core they share.
    pub(crate) core: usize,
    /// The folder of their logs.
    pub(crate) logs: &'a Path,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// What people call it.
    pub(crate) name: &'static str,
    /// Where it is asked.
    pub(crate) address: SocketAddr,
    process: Process,
    /// Dropped with the process; see [`Guard`].
    _guard: Guard,
}

impl Stand<'_> {
    /// Starts `command` and waits until `serves` holds of its address. Call it on the main thread: see
    /// [`Process::start`].
    ///
    /// # Errors
    ///
    /// What kept it from serving, with its last lines.
    pub(crate) async fn start(
        &self,
        name: &'static str,
        address: SocketAddr,
        command: Command,
        serves: impl AsyncFn(SocketAddr) -> Result<(), String>,
    ) -> Result<Server, String> {
        let process = Process::start(
            cores::pinned(self.core, command),
            &self.logs.join(format!("{name}.log")),
        )
        .map_err(|error| format!("{name} cannot be started: {error}"))?;
        let guard =
            Guard::start(process.id()).map_err(|error| format!("{name} cannot be guarded: {error}"))?;
        let mut server = Server {
            name,
            address,
            process,
            _guard: guard,
        };
        server.wait_until(serves).await?;
        Ok(server)
    }
}

impl Server {
    async fn wait_until(
        &mut self,
        serves: impl AsyncFn(SocketAddr) -> Result<(), String>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            let state = tokio::select! {
                biased;
                _ = self.process.ended() => return Err(self.with_last_lines("ended by itself")),
                state = serves(self.address) => state,
            };
            let Err(reason) = state else { return Ok(()) };
            if Instant::now() >= deadline {
                let seconds = READY_PATIENCE.as_secs();
                return Err(self.with_last_lines(&format!("does not serve after {seconds} s: {reason}")));
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    fn with_last_lines(&self, what: &str) -> String {
        let lines = self.process.last_lines(LAST_LINES);
        format!("{} {what}; it wrote:\n  {}", self.name, lines.join("\n  "))
    }

    /// Processor time that it and all it started have used, in all their threads.
    ///
    /// # Errors
    ///
    /// When one of them is gone.
    pub(crate) fn processor_time(&self) -> Result<Duration, String> {
        memory::family(self.process.id())
            .into_iter()
            .map(memory::processor_time)
            .sum()
    }

    /// Stops it.
    pub(crate) async fn stop(mut self) {
        self.process.ask_to_end();
        self.process.end_within(END_PATIENCE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::cores::Cores;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_server_that_serves_has_its_time_counted_and_one_that_ends_is_named_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let Ok(cores) = Cores::pick() else { return }; // a machine of one core compares nothing
        let stand = Stand {
            core: cores.server,
            logs: folder.path(),
        };
        let nobody = ([127, 0, 0, 1], 1).into();
        let serves = async |_| Ok(());
        let server = stand
            .start("idle", nobody, shell("exec tail -f /dev/null"), serves)
            .await
            .unwrap();
        server.processor_time().unwrap();
        server.stop().await;
        let never = async |_| Err("not yet".to_owned());
        let reason = stand
            .start("short", nobody, shell("echo no port is free; exit 3"), never)
            .await
            .unwrap_err();
        assert!(
            reason.contains("short ended by itself") && reason.contains("no port is free"),
            "{reason}"
        );
    }
}
