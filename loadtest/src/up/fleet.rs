//! Several processes as one: started in order, watched, and stopped in the opposite order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::Instant;

use super::child::Process;
use crate::client::ask;

/// Pause between two questions whether a member is ready.
const READY_POLL: Duration = Duration::from_millis(50);

/// How long one such question may take.
const READY_PATIENCE: Duration = Duration::from_secs(1);

/// How long the members of one rank may take to end after they were asked.
const END_PATIENCE: Duration = Duration::from_secs(15);

/// Lines of its log shown when a member dies.
const LAST_LINES: usize = 10;

/// A process to be started.
#[derive(Debug)]
pub(crate) struct Member {
    /// What people call it.
    pub(crate) name: String,
    /// Members of a lower rank are started first and stopped last.
    pub(crate) rank: u8,
    /// Program and arguments.
    pub(crate) command: std::process::Command,
    /// Where its output goes.
    pub(crate) log: PathBuf,
    /// Answers 200 once the member serves.
    pub(crate) ready: (SocketAddr, &'static str),
}

/// Running processes, in the order they were started.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    name: String,
    rank: u8,
    ready: (SocketAddr, &'static str),
    process: Process,
}

impl Fleet {
    /// Starts `members` rank by rank, each rank when the one before is ready. Call it on the main thread: see
    /// [`Process::start`].
    ///
    /// # Errors
    ///
    /// The first member that does not start, dies, or is not ready within `patience`, with its last lines; what was
    /// started before it is stopped.
    pub(crate) async fn start(mut members: Vec<Member>, patience: Duration) -> Result<Fleet, String> {
        members.sort_by_key(|member| member.rank);
        let deadline = Instant::now() + patience;
        let mut fleet = Fleet::default();
        let mut waiting = members.into_iter().peekable();
        while let Some(rank) = waiting.peek().map(|member| member.rank) {
            while let Some(member) = waiting.next_if(|member| member.rank == rank) {
                if let Err(reason) = fleet.add(member) {
                    fleet.stop().await;
                    return Err(reason);
                }
            }
            if let Err(reason) = fleet.ready_by(deadline, patience).await {
                fleet.stop().await;
                return Err(reason);
            }
        }
        Ok(fleet)
    }

    fn add(&mut self, member: Member) -> Result<(), String> {
        let program = member.command.get_program().to_string_lossy().into_owned();
        let process = Process::start(member.command, &member.log)
            .map_err(|error| format!("{} cannot be started from {program}: {error}", member.name))?;
        self.running.push(Running {
            name: member.name,
            rank: member.rank,
            ready: member.ready,
            process,
        });
        Ok(())
    }

    async fn ready_by(&mut self, deadline: Instant, patience: Duration) -> Result<(), String> {
        for number in 0..self.running.len() {
            let (address, path) = self.running[number].ready;
            loop {
                let answer = tokio::select! {
                    biased;
                    death = self.death() => return Err(death),
                    answer = ask(address, Method::GET, path, Bytes::new(), READY_PATIENCE) => answer,
                };
                let state = match answer {
                    Ok((status, _)) if status.is_success() => break,
                    Ok((status, text)) => format!("{status} {}", String::from_utf8_lossy(&text).trim()),
                    Err(reason) => reason,
                };
                if Instant::now() >= deadline {
                    let running = &self.running[number];
                    return Err(with_last_lines(
                        format!(
                            "{} is not ready after {} s: {state}",
                            running.name,
                            patience.as_secs()
                        ),
                        &running.process,
                    ));
                }
                tokio::select! {
                    death = self.death() => return Err(death),
                    () = tokio::time::sleep(READY_POLL) => {}
                }
            }
        }
        Ok(())
    }

    /// Returns when a member has ended: which, how, and its last lines. Cancel-safe.
    pub(crate) async fn death(&mut self) -> String {
        let ends = self.running.iter_mut().map(|running| {
            Box::pin(async {
                let status = running.process.ended().await;
                let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                with_last_lines(
                    format!("{} ended by itself: {how}", running.name),
                    &running.process,
                )
            })
        });
        first(ends.collect()).await
    }

    /// As [`Fleet::death`], and lets go of the member: the others go on. Never, when nobody is left. Cancel-safe.
    pub(crate) async fn loss(&mut self) -> String {
        let told = self.death().await;
        let mut left = Vec::new();
        for mut running in self.running.drain(..) {
            if running.process.has_ended() {
                continue;
            }
            left.push(running);
        }
        self.running = left;
        told
    }

    /// Whether nobody is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The process ids by name.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (&str, i32)> {
        self.running
            .iter()
            .map(|running| (running.name.as_str(), running.process.id()))
    }

    /// Stops rank by rank, the last started first. What does not end in time is killed. Returns the names of those.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        let mut killed = Vec::new();
        while let Some(rank) = self.running.iter().map(|running| running.rank).max() {
            let (mut ending, rest): (Vec<_>, Vec<_>) =
                self.running.into_iter().partition(|other| other.rank == rank);
            self.running = rest;
            for running in &ending {
                running.process.ask_to_end();
            }
            let deadline = Instant::now() + END_PATIENCE;
            for running in &mut ending {
                if !running
                    .process
                    .end_within(deadline.saturating_duration_since(Instant::now()))
                    .await
                {
                    killed.push(running.name.clone());
                }
            }
        }
        killed
    }
}

fn with_last_lines(what: String, process: &Process) -> String {
    let lines = process.last_lines(LAST_LINES);
    if lines.is_empty() {
        return format!("{what}; it wrote nothing");
    }
    format!(
        "{what}; the end of {}:\n  {}",
        process.log().display(),
        lines.join("\n  ")
    )
}

/// The first of `futures` to be done; never, when there are none.
async fn first<F: Future<Output = String> + Unpin>(mut futures: Vec<F>) -> String {
    std::future::poll_fn(|context| {
        futures
            .iter_mut()
            .map(|future| std::pin::Pin::new(future).poll(context))
            .find(std::task::Poll::is_ready)
            .unwrap_or(std::task::Poll::Pending)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn member(name: &str, rank: u8, folder: &std::path::Path, script: &str, ready: SocketAddr) -> Member {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", script]);
        Member {
            name: name.to_owned(),
            rank,
            command,
            log: folder.join(format!("{name}.log")),
            ready: (ready, "/ready"),
        }
    }

    /// Something that says it is ready, in place of a daemon's admin port.
    async fn ready() -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .await;
            }
        });
        address
    }

    #[tokio::test]
    async fn members_stop_in_the_opposite_order() {
        let folder = tempfile::tempdir().unwrap();
        let order = folder.path().join("order");
        let script = |name: &str| {
            format!(
                "trap 'echo {name} >> {}; exit 0' TERM; while :; do sleep 0.05; done",
                order.display()
            )
        };
        let address = ready().await;
        let members = ["edge", "parent", "origin"].into_iter().zip([2, 1, 0]);
        let members = members
            .map(|(name, rank)| member(name, rank, folder.path(), &script(name), address))
            .collect();
        let fleet = Fleet::start(members, PATIENCE).await.unwrap();
        assert_eq!(
            fleet.ids().map(|(name, _)| name).collect::<Vec<_>>(),
            ["origin", "parent", "edge"]
        );
        // A shell that has not come to its trap yet dies of the signal, which is an end as well; wait for the traps.
        tokio::time::timeout(PATIENCE, async {
            let caught = |id: i32| std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            while !fleet.ids().all(|(_, id)| {
                caught(id)
                    .lines()
                    .any(|line| line.starts_with("SigCgt") && !line.ends_with("0000"))
            }) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
        assert!(fleet.stop().await.is_empty());
        assert_eq!(std::fs::read_to_string(order).unwrap(), "edge\nparent\norigin\n");
    }

    #[tokio::test]
    async fn a_member_that_dies_is_named_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = "127.0.0.1:1".parse().unwrap();
        let members = vec![member(
            "edge-x",
            0,
            folder.path(),
            "echo the disk is gone >&2; exit 3",
            nobody,
        )];
        let reason = Fleet::start(members, PATIENCE).await.unwrap_err();
        for part in ["edge-x", "exit status: 3", "the disk is gone"] {
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[tokio::test]
    async fn a_member_that_is_never_ready_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = "127.0.0.1:1".parse().unwrap();
        let members = vec![member(
            "edge-x",
            0,
            folder.path(),
            "exec tail -f /dev/null",
            nobody,
        )];
        let reason = Fleet::start(members, Duration::from_millis(200))
            .await
            .unwrap_err();
        assert!(reason.contains("edge-x is not ready"), "{reason}");
    }
}
