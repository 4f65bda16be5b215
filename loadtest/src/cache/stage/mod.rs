//! One edge that is made to suffer, with a parent and an origin behind it, and clients that check every byte.

mod client;
mod objects;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use model::Tier;
use tokio::time::Instant;

pub(super) use self::client::{Answer, Client};
pub(super) use self::objects::{Object, Objects};
use crate::client::ask;
use crate::content::Library;
pub(super) use crate::own::SERVICE;
use crate::own::{self, Folder, Wishes};
use crate::up;
use crate::up::child::Process;
use crate::up::fleet::{Fleet, Member};
use crate::up::plan::{NodePlan, Plan};

/// The least RAM for objects that an edge takes: what it answers comes from its disk.
const EDGE_RAM_BYTES: u64 = 16 << 20;

/// The parent keeps everything, so that the origin sees each object once.
const PARENT_RAM_BYTES: u64 = 64 << 20;

/// Threads of each daemon.
const THREADS: usize = 2;

/// How long a daemon may take to be ready, on a machine that does much else.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two questions whether the edge answers.
const POLL: Duration = Duration::from_millis(5);

/// How long one such question may take.
const POLL_PATIENCE: Duration = Duration::from_secs(2);

/// The titles of the origin are not asked for.
const LIBRARY: Library = Library {
    titles: 1,
    segments: 1,
};

/// A running CDN of one edge. Everything ends when it is dropped.
pub(super) struct Stage {
    plan: Plan,
    programs: PathBuf,
    behind: Fleet,
    edge: Option<Process>,
    folder: Folder,
}

impl Stage {
    /// Starts the parent and the origin, not yet the edge, whose disk will have `disk_bytes`. Call it on the main thread.
    ///
    /// # Errors
    ///
    /// What does not start.
    pub(super) async fn start(place: Option<&Path>, disk_bytes: u64) -> Result<Stage, String> {
        let folder = Folder::new(place)?;
        let wishes = Wishes {
            edges: 1,
            edge_ram_bytes: EDGE_RAM_BYTES,
            disk_bytes,
            parent_ram_bytes: PARENT_RAM_BYTES,
            threads: THREADS,
            library: LIBRARY,
        };
        let plan = own::plan(folder.path(), &wishes)?;
        let programs = up::programs()?;
        let mut members = plan.members(&programs)?;
        let edge = edge_of(&plan)?.name.clone();
        members.retain(|member| member.name != edge);
        let behind = Fleet::start(members, READY_PATIENCE).await?;
        Ok(Stage {
            plan,
            programs,
            behind,
            edge: None,
            folder,
        })
    }

    /// Starts the edge and returns at once. Call it on the main thread.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub(super) fn start_edge(&mut self) -> Result<(), String> {
        let member = self.edge_member()?;
        let process = Process::start(member.command, &member.log)
            .map_err(|error| format!("{} cannot be started: {error}", member.name))?;
        self.edge = Some(process);
        Ok(())
    }

    /// Returns when the edge says that it is ready.
    ///
    /// # Errors
    ///
    /// When it ended or does not get ready.
    pub(super) async fn edge_ready(&mut self) -> Result<(), String> {
        let admin = edge_of(&self.plan)?.admin;
        let edge = self.edge.as_mut().ok_or("the edge was not started")?;
        let ready = async {
            while !matches!(
                ask(admin, Method::GET, "/ready", Bytes::new(), POLL_PATIENCE).await,
                Ok((status, _)) if status.is_success()
            ) {
                tokio::time::sleep(POLL).await;
            }
        };
        let ended = tokio::select! {
            () = ready => return Ok(()),
            ended = edge.ended() => format!("{ended:?}"),
            () = tokio::time::sleep(READY_PATIENCE) => "not ready in time".to_owned(),
        };
        Err(format!("the edge: {ended}; {}", edge.last_lines(5).join("\n")))
    }

    /// SIGKILL, and the end of the process awaited.
    pub(super) async fn kill_edge(&mut self) {
        if let Some(mut edge) = self.edge.take() {
            edge.end_within(Duration::ZERO).await;
        }
    }

    /// Ends the edge in order.
    pub(super) async fn end_edge(&mut self) {
        if let Some(mut edge) = self.edge.take() {
            edge.ask_to_end();
            edge.end_within(READY_PATIENCE).await;
        }
    }

    /// Ends everything in order.
    pub(super) async fn stop(mut self) {
        self.end_edge().await;
        self.behind.stop().await;
    }

    /// A client of the edge.
    ///
    /// # Errors
    ///
    /// When the edge does not listen for plain HTTP.
    pub(super) fn client(&self) -> Result<Client, String> {
        let http = edge_of(&self.plan)?
            .http
            .ok_or("the edge listens for no plain HTTP")?;
        Ok(Client::new(http))
    }

    /// The edge's admin port.
    ///
    /// # Errors
    ///
    /// When there is no edge.
    pub(super) fn admin(&self) -> Result<SocketAddr, String> {
        Ok(edge_of(&self.plan)?.admin)
    }

    /// The file that is the edge's disk.
    ///
    /// # Errors
    ///
    /// When there is no edge.
    pub(super) fn device(&self) -> Result<PathBuf, String> {
        Ok(self
            .folder
            .path()
            .join(&edge_of(&self.plan)?.name)
            .join("cache.img"))
    }

    fn edge_member(&self) -> Result<Member, String> {
        let name = &edge_of(&self.plan)?.name;
        let members = self.plan.members(&self.programs)?;
        members
            .into_iter()
            .find(|member| member.name == *name)
            .ok_or_else(|| "the plan has no edge".to_owned())
    }
}

fn edge_of(plan: &Plan) -> Result<&NodePlan, String> {
    let edge = plan.nodes.iter().find(|node| node.tier == Tier::Edge);
    edge.ok_or_else(|| "the plan has no edge".to_owned())
}

/// Asks for `object` until there is an answer. How long that took since `since`, if the edge had the object.
///
/// # Errors
///
/// When there is none in time, or something wrong was served.
pub(super) async fn first_hit(
    client: &mut Client,
    object: Object,
    since: Instant,
) -> Result<Option<Duration>, String> {
    loop {
        match client.fetch(object).await {
            Answer::Right { hit } => return Ok(hit.then(|| since.elapsed())),
            Answer::Wrong(how) => return Err(how),
            Answer::Failed(how) if since.elapsed() > READY_PATIENCE => return Err(how),
            Answer::Failed(_) => tokio::time::sleep(POLL).await,
        }
    }
}
