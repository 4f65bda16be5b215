//! A running `millrace-loadtest`, and a folder that describes a small CDN for it.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use model::Tier;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testkit::cdn::Cdn;
use testkit::ports::Port;
use testkit::process::Binary;
use testkit::{eventually, within};

/// Debug builds on a busy machine take their time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) fn program() -> Command {
    // The daemons are expected beside it: they are built when they are not there yet.
    let _ = Binary::of("edge", "millrace-edge").found();
    let _ = Binary::of("parent", "millrace-parent").found();
    Command::new(env!("CARGO_BIN_EXE_millrace-loadtest"))
}

/// A CDN of one edge and one parent, described as `conf/local/` is.
pub(crate) struct Described {
    pub(crate) cdn: Cdn,
    pub(crate) origin: Port,
    pub(crate) folder: TempDir,
}

impl Described {
    pub(crate) fn new() -> Described {
        let origin = Port::claim();
        let url = format!("http://{}", origin.address());
        let builder = Cdn::builder().parents("ams", 1).edges("ams", 1);
        let cdn = builder
            .service("demo", move |service| service.origins[0].url = url)
            .prepare();
        let folder = tempfile::tempdir().unwrap();
        let document = serde_json::to_vec(cdn.snapshot()).unwrap();
        std::fs::write(folder.path().join("cdn.json"), document).unwrap();
        std::fs::create_dir(folder.path().join("media")).unwrap();
        std::fs::write(folder.path().join("media/hello.txt"), "hello").unwrap();
        for node in cdn.snapshot().nodes.keys() {
            std::fs::copy(cdn.config(node), folder.path().join(format!("{node}.toml"))).unwrap();
        }
        Described { cdn, origin, folder }
    }

    /// `up` on this CDN.
    pub(crate) fn up(&self) -> Running {
        let mut command = program();
        command.arg("up").arg("--conf").arg(self.folder.path());
        command.arg("--state").arg(self.folder.path().join("state"));
        command.arg("--origin").arg(self.origin.address().to_string());
        Running::start(command, self.folder.path())
    }

    /// Waits until nobody listens on any of its ports any more.
    pub(crate) fn expect_free_ports(&self) {
        let nodes = self.cdn.snapshot().nodes.iter();
        let listening = nodes.flat_map(|(name, node)| {
            assert!(matches!(node.tier, Tier::Edge | Tier::Parent));
            [node.http, node.https, Some(self.cdn.addresses(name).admin)]
        });
        for address in listening.flatten().chain([self.origin.address()]) {
            eventually(DEADLINE, || {
                TcpListener::bind(address)
                    .map(drop)
                    .map_err(|error| format!("{address}: {error}"))
            });
        }
    }
}

/// A started program with its outputs in files.
pub(crate) struct Running {
    child: Child,
    output: std::path::PathBuf,
}

impl Running {
    fn start(mut command: Command, folder: &Path) -> Running {
        let output = folder.join("output");
        let file = File::create(&output).unwrap();
        let child = command
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Running { child, output }
    }

    /// What it printed so far, on both outputs.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Waits until it printed `text`.
    #[track_caller]
    pub(crate) fn await_text(&mut self, text: &str) {
        let seen = within(DEADLINE, || match self.child.try_wait() {
            _ if self.output().contains(text) => Ok(Ok(())),
            Ok(Some(status)) => Ok(Err(format!("it ended with {status}"))),
            _ => Err("not printed yet"),
        });
        if let Ok(Err(reason)) | Err(reason) = seen {
            panic!("no {text:?}: {reason}\n{}", self.output());
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn await_end(&mut self) -> ExitStatus {
        eventually(DEADLINE, || self.child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
