//! Our own edge, with a parent between it and the origin as strict parenting has it. Only the edge is measured.

use std::path::Path;

use model::Tier;

use super::case::RAM_BYTES;
use super::contestant::{DiskReads, Setup};
use super::cores::{self, Cores};
use crate::content::Library;
use crate::own::{self, Wishes};
use crate::up;
use crate::up::plan::Plan;

/// The cache on disk of the edge, and of its parent; the set on disk and the misses of all rounds fit.
const DISK_BYTES: u64 = 2 << 30;

/// The parent keeps nothing for long: misses of the edge are new to it as well.
const PARENT_RAM_BYTES: u64 = 64 << 20;

/// Writes the configuration of edge, parent and origin into `folder`.
///
/// # Errors
///
/// What cannot be written, or which program is not built.
pub(super) fn set_up(folder: &Path, cores: Cores) -> Result<(Setup, Plan), String> {
    let wishes = Wishes {
        edges: 1,
        edge_ram_bytes: RAM_BYTES,
        disk_bytes: DISK_BYTES,
        parent_ram_bytes: PARENT_RAM_BYTES,
        threads: 1,
        library: Library {
            titles: 1,
            segments: 1,
        },
    };
    let mut plan = own::plan(folder, &wishes)?;
    // Traffic Server stores nothing that says `Pragma: no-cache`; an hour outlasts any comparison.
    plan.origin_arguments = ["--no-pragma", "--cache-control", "public, max-age=3600"]
        .map(str::to_owned)
        .into();
    let edge = plan.nodes.iter().find(|node| node.tier == Tier::Edge);
    let edge = edge.and_then(|edge| Some((edge.name.clone(), edge.http?, edge.https?)));
    let (name, http, https) = edge.ok_or("the plan has no edge")?;
    let mut members = plan.members(&up::programs()?)?;
    for member in &mut members {
        let core = if member.name == name {
            cores.server
        } else {
            cores.load
        };
        let command = std::mem::replace(&mut member.command, std::process::Command::new("false"));
        member.command = cores::pinned(core, command);
    }
    let setup = Setup {
        members,
        measured: vec![name],
        http,
        https: Some(https),
        http2: true,
        disk_reads: DiskReads::Direct,
    };
    Ok((setup, plan))
}
