//! A daemon under test: a real process with real files, killed when dropped.

mod binary;
mod metrics;
mod output;
mod readings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, Request, Response};
use crate::{machine, within};
use output::Output;

pub use binary::Binary;
pub use metrics::Metrics;
pub use readings::Readings;

/// Until a daemon must say that it is ready. A debug build on a busy machine needs a second or two.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// Until a killed process must be gone.
const GONE_DEADLINE: Duration = Duration::from_secs(10);

/// A daemon, running or ended.
pub struct Daemon {
    binary: PathBuf,
    name: String,
    config: PathBuf,
    admin: SocketAddr,
    running: Option<Running>,
    errors: Output,
    output: Output,
}

struct Running {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

/// How a process ended, with everything it wrote.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub output: Vec<String>,
    /// Its standard error.
    pub errors: Vec<String>,
}

/// Runs a binary to its end, as for `--check` and `--version`.
///
/// # Panics
///
/// When it does not end within `deadline`.
#[must_use]
#[track_caller]
pub fn run_to_end(binary: &Binary, arguments: &[&str], deadline: Duration) -> Ended {
    let (output, errors) = (Output::default(), Output::default());
    let mut running = spawn(&binary.found(), arguments, &output, &errors);
    let status = wait(&mut running.child, deadline);
    if status.is_none() {
        // It is ours, and it has to go before we complain.
        let _ = running.child.kill();
        let _ = running.child.wait();
    }
    running.finish_reading();
    let Some(status) = status else {
        panic!(
            "{} {arguments:?} still runs after {deadline:?}:\n{}",
            binary.name,
            errors.lines().join("\n")
        );
    };
    Ended {
        status,
        output: output.lines(),
        errors: errors.lines(),
    }
}

fn spawn(binary: &Path, arguments: &[&str], output: &Output, errors: &Output) -> Running {
    machine::raise_open_files();
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
    let readers = vec![
        output.follow(child.stdout.take().expect("stdout is piped")),
        errors.follow(child.stderr.take().expect("stderr is piped")),
    ];
    Running { child, readers }
}

fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    within(deadline, || {
        child.try_wait().expect("a child of ours can be waited for")
    })
    .ok()
}

impl Running {
    fn finish_reading(self) {
        for reader in self.readers {
            reader.join().expect("a reader of output does not panic");
        }
    }
}

impl Daemon {
    /// Starts `binary --config <config>`, which will serve its admin port at `admin`. It need not be ready yet.
    #[must_use]
    pub fn launch(name: &str, binary: &Binary, config: &Path, admin: SocketAddr) -> Daemon {
        let mut daemon = Daemon {
            binary: binary.found(),
            name: name.to_owned(),
            config: config.to_owned(),
            admin,
            running: None,
            errors: Output::default(),
            output: Output::default(),
        };
        daemon.launch_again();
        daemon
    }

    /// Starts it again after it ended, with the same files; [`Daemon::await_ready`] comes next.
    ///
    /// # Panics
    ///
    /// When it still runs.
    pub fn launch_again(&mut self) {
        assert!(self.running.is_none(), "{} still runs", self.name);
        let config = self.config.to_str().expect("a test's paths are text");
        self.running = Some(spawn(
            &self.binary,
            &["--config", config],
            &self.output,
            &self.errors,
        ));
    }

    /// Waits until `/ready` answers 200.
    ///
    /// # Panics
    ///
    /// When the process ends or the deadline passes first.
    #[track_caller]
    pub fn await_ready(&mut self) {
        let outcome = within(READY_DEADLINE, || match self.has_ended() {
            Some(status) => Ok(Err(status)),
            None => match self.admin("/ready") {
                Ok(response) if response.status() == 200 => Ok(Ok(())),
                Ok(response) => Err(String::from_utf8_lossy(&response.body).into_owned()),
                Err(error) => Err(error.to_string()),
            },
        });
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(status)) => panic!("{} ended before it was ready: {status}", self.name),
            Err(reason) => panic!("{} was not ready within {READY_DEADLINE:?}: {reason}", self.name),
        }
    }

    /// Asks the admin port.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub fn admin(&self, path: &str) -> Result<Response, crate::client::ClientError> {
        Client::plain(self.admin)
            .patience(Duration::from_secs(5))
            .try_send(&Request::get(path))
    }

    /// All metrics now.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    #[must_use]
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let response = self
            .admin("/metrics")
            .unwrap_or_else(|error| panic!("{} /metrics: {error}", self.name));
        let text = String::from_utf8_lossy(&response.body).into_owned();
        Metrics::parse(&text).unwrap_or_else(|error| panic!("{} /metrics: {error}", self.name))
    }

    /// The sum of the series of one metric that carry these labels, now.
    ///
    /// # Panics
    ///
    /// When the metrics cannot be read.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().sum(name, labels)
    }

    /// Memory and processor time now.
    ///
    /// # Panics
    ///
    /// When it does not run.
    #[must_use]
    #[track_caller]
    pub fn readings(&self) -> Readings {
        Readings::of(self.process_id()).unwrap_or_else(|| panic!("{} has ended", self.name))
    }

    /// Its process id.
    ///
    /// # Panics
    ///
    /// When it does not run.
    #[must_use]
    #[track_caller]
    pub fn process_id(&self) -> u32 {
        self.running
            .as_ref()
            .unwrap_or_else(|| panic!("{} does not run", self.name))
            .child
            .id()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it has written to its standard error, over all its starts.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        self.errors.lines()
    }

    /// How it ended, if it did by itself.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.running
            .as_mut()?
            .child
            .try_wait()
            .expect("a child of ours can be waited for")
    }

    /// SIGTERM: drain and end.
    #[track_caller]
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGHUP: read again what may change.
    #[track_caller]
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// SIGSTOP: alive by every sign but an answer.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: undoes [`Daemon::freeze`].
    #[track_caller]
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process_id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id is a pid");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it still runs after `deadline`.
    #[track_caller]
    pub fn await_end(&mut self, deadline: Duration) -> ExitStatus {
        let running = self
            .running
            .as_mut()
            .unwrap_or_else(|| panic!("{} does not run", self.name));
        let status = wait(&mut running.child, deadline);
        let status = status.unwrap_or_else(|| panic!("{} still runs after {deadline:?}", self.name));
        self.running.take().expect("it ran a line ago").finish_reading();
        status
    }

    /// SIGKILL, as the kernel or an operator in a hurry does it.
    pub fn kill9(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        // It may have ended in the meantime, which is as good.
        let _ = running.child.kill();
        assert!(
            wait(&mut running.child, GONE_DEADLINE).is_some(),
            "{} survived SIGKILL",
            self.name
        );
        running.finish_reading();
    }
}

impl Drop for Daemon {
    /// Kills it. A daemon that ended unasked or that panicked fails its test.
    fn drop(&mut self) {
        let ended_by_itself = self.has_ended();
        self.kill9();
        let errors = self.errors.lines();
        if std::thread::panicking() {
            let end =
                ended_by_itself.map_or("was running".to_owned(), |status| format!("had ended: {status}"));
            println!("---- {} ({end}) wrote:", self.name);
            self.output
                .lines()
                .iter()
                .chain(&errors)
                .for_each(|line| println!("{line}"));
            return;
        }
        let panicked = errors.iter().find(|line| line.contains("panicked at"));
        assert!(panicked.is_none(), "a {} panicked: {panicked:?}", self.name);
        assert!(
            ended_by_itself.is_none(),
            "{} ended unasked: {ended_by_itself:?}\n{}",
            self.name,
            errors.join("\n")
        );
    }
}
