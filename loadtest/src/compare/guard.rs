//! Servers that fork leave children when their first process is killed. A guard ends the whole process group of such a
//! server if we end without having stopped it, even by SIGKILL: it waits on a pipe that closes with us.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Waits for the end of its standard input, then kills the group that is its argument.
const SCRIPT: &str = "read line; kill -s KILL -- \"-$0\"";

/// A running guard.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// Guards the process group of `leader`.
    ///
    /// # Errors
    ///
    /// When no shell can be started.
    pub(crate) fn start(leader: i32) -> io::Result<Guard> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, &leader.to_string()]).process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Whoever drops a guard has stopped the server, or is about to: it must not kill a group of the same number later.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_guard_whose_pipe_closes_kills_the_group_and_no_other() {
        let group = |script: &str| {
            Command::new("/bin/sh")
                .args(["-c", script])
                .process_group(0)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        let mut server = group("tail -f /dev/null & wait");
        let mut bystander = group("exec tail -f /dev/null");
        let mut guard = Guard::start(i32::try_from(server.id()).unwrap()).unwrap();
        drop(guard.0.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the group lives");
            std::thread::yield_now();
        }
        assert!(bystander.try_wait().unwrap().is_none());
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }
}
