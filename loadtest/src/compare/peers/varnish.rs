//! Varnish with varnishncsa, which writes its access log. It has no TLS of its own.

use std::process::Command;

use super::super::case::RAM_BYTES;
use super::super::contestant::{DiskReads, Ground, READY_PATH, Setup, write};
use super::super::cores;
use crate::programs;
use crate::up::fleet::Member;

const SERVER: &str = "varnishd";
const LOGGER: &str = "varnishncsa";

/// Writes its configuration.
///
/// # Errors
///
/// When it is not installed, or the folder cannot be written to.
pub(crate) fn set_up(ground: &Ground) -> Result<Setup, String> {
    let program = programs::find(SERVER, "varnish")?;
    let logger = programs::find(LOGGER, "varnish")?;
    let folder = &ground.folder;
    let vcl = write(folder, "default.vcl", &vcl(ground))?;
    let work = folder.join("work");
    let mut command = Command::new(program);
    command
        .args(["-F", "-j", "none", "-n"])
        .arg(&work)
        .arg("-f")
        .arg(vcl)
        .arg("-a")
        .arg(ground.http.to_string());
    command.args(["-p", "thread_pools=1", "-s", &format!("ram=malloc,{RAM_BYTES}b")]);
    command
        .arg("-s")
        .arg(format!("disk=file,{}/disk,2g", folder.display()));
    let mut log = Command::new(logger);
    log.arg("-n").arg(&work).arg("-w").arg(folder.join("access.log"));
    let member = |name: &str, rank, command| Member {
        name: name.to_owned(),
        rank,
        command: cores::pinned(ground.cores.server, command),
        log: folder.join(format!("{name}.log")),
        ready: (ground.http, READY_PATH),
    };
    Ok(Setup {
        members: vec![member(SERVER, 0, command), member(LOGGER, 1, log)],
        // The log is part of its work, as it is of the others'.
        measured: vec![SERVER.to_owned(), LOGGER.to_owned()],
        http: ground.http,
        https: None,
        http2: false,
        disk_reads: DiskReads::Mapped,
    })
}

fn vcl(ground: &Ground) -> String {
    format!(
        "vcl 4.1;
backend origin {{ .host = \"{}\"; .port = \"{}\"; }}
sub vcl_backend_response {{
  set beresp.storage = storage.ram;
  if (bereq.url ~ \"^/objects/(disk|miss)-\") {{ set beresp.storage = storage.disk; }}
}}
",
        ground.origin.ip(),
        ground.origin.port()
    )
}
