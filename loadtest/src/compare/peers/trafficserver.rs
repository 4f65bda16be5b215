//! Apache Traffic Server: one event thread, its RAM cache, one file as cache disk (read through the page cache: it opens
//! files without O_DIRECT).

use std::process::Command;

use super::super::case::RAM_BYTES;
use super::super::contestant::{DiskReads, Ground, READY_PATH, Setup, write};
use super::super::cores;
use crate::programs;
use crate::up::fleet::Member;

const NAME: &str = "trafficserver";

/// The cache on disk; the set on disk and the misses of all rounds fit.
const DISK: &str = "2G";

/// Files that it reads and that may be empty.
const EMPTY: [&str; 6] = [
    "plugin.config",
    "parent.config",
    "cache.config",
    "hosting.config",
    "volume.config",
    "splitdns.config",
];

/// Writes its configuration.
///
/// # Errors
///
/// When it is not installed, or the folder cannot be written to.
pub(crate) fn set_up(ground: &Ground) -> Result<Setup, String> {
    let program = programs::find("traffic_server", "trafficserver")?;
    let folder = &ground.folder;
    let root = write(folder, "runroot.yaml", &run_root(ground))?;
    for name in ["run", "log", "cache", "var"] {
        let path = folder.join(name);
        std::fs::create_dir_all(&path)
            .map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
    }
    for name in EMPTY {
        write(folder, &format!("etc/{name}"), "")?;
    }
    write(folder, "etc/records.config", &records(ground))?;
    write(
        folder,
        "etc/remap.config",
        &format!("map / http://{}/\n", ground.origin),
    )?;
    write(
        folder,
        "etc/storage.config",
        &format!("{}/cache {DISK}\n", folder.display()),
    )?;
    let pair = format!(
        "dest_ip=* ssl_cert_name={} ssl_key_name={}\n",
        ground.certificate.display(),
        ground.key.display()
    );
    write(folder, "etc/ssl_multicert.config", &pair)?;
    write(folder, "etc/sni.yaml", "sni: []\n")?;
    write(
        folder,
        "etc/ip_allow.yaml",
        "ip_allow:\n  - apply: in\n    ip_addrs: 127.0.0.1\n    action: allow\n    methods: ALL\n",
    )?;
    write(folder, "etc/logging.yaml", LOGGING)?;
    let mut command = Command::new(program);
    command.arg(format!("--run-root={}", root.display()));
    Ok(Setup {
        members: vec![Member {
            name: NAME.to_owned(),
            rank: 0,
            command: cores::pinned(ground.cores.server, command),
            log: folder.join("output.log"),
            ready: (ground.http, READY_PATH),
        }],
        measured: vec![NAME.to_owned()],
        http: ground.http,
        https: Some(ground.https),
        http2: true,
        disk_reads: DiskReads::Files(folder.join("cache")),
    })
}

const LOGGING: &str = "logging:
  formats:
    - name: combined
      format: '%<chi> - %<caun> [%<cqtn>] \"%<cqtx>\" %<pssc> %<pscl> \"%<{Referer}cqh>\" \"%<{User-Agent}cqh>\"'
  logs:
    - filename: access
      format: combined
      mode: ascii
";

fn run_root(ground: &Ground) -> String {
    let folder = ground.folder.display();
    format!(
        "prefix: {folder}
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: {folder}/etc
datadir: {folder}/var
includedir: /usr/include
libdir: /usr/lib
libexecdir: /usr/lib/trafficserver/modules
localstatedir: {folder}/run
runtimedir: {folder}/run
logdir: {folder}/log
mandir: /usr/share/man
infodir: /usr/share/info
cachedir: {folder}/cache
"
    )
}

fn records(ground: &Ground) -> String {
    let (http, https) = (ground.http, ground.https);
    format!(
        "CONFIG proxy.config.http.server_ports STRING {}:ip-in={} {}:ssl:ip-in={}
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.task_threads INT 1
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.crash_log_helper STRING NULL
CONFIG proxy.config.cache.ram_cache.size INT {RAM_BYTES}
CONFIG proxy.config.cache.ram_cache_cutoff INT 4194304
CONFIG proxy.config.reverse_proxy.enabled INT 1
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 60
CONFIG proxy.config.ssl.server.cert.path STRING /
CONFIG proxy.config.ssl.server.private_key.path STRING /
CONFIG proxy.config.ssl.TLSv1 INT 0
CONFIG proxy.config.ssl.TLSv1_1 INT 0
CONFIG proxy.config.ssl.TLSv1_2 INT 0
CONFIG proxy.config.log.logging_enabled INT 3
CONFIG proxy.config.log.max_space_mb_for_logs INT 4096
",
        http.port(),
        http.ip(),
        https.port(),
        https.ip(),
    )
}
