//! nginx with `proxy_cache`: files from the page cache by sendfile.

use std::process::Command;

use super::super::contestant::{DiskReads, Ground, READY_PATH, Setup, write};
use super::super::cores;
use crate::programs;
use crate::up::fleet::Member;

const NAME: &str = "nginx";

/// Writes its configuration.
///
/// # Errors
///
/// When it is not installed, or the folder cannot be written to.
pub(crate) fn set_up(ground: &Ground) -> Result<Setup, String> {
    let program = programs::find("nginx", "nginx")?;
    let config = write(
        &ground.folder,
        "nginx.conf",
        &config(ground, rustix::process::geteuid().is_root()),
    )?;
    let mut command = Command::new(program);
    command
        .arg("-p")
        .arg(&ground.folder)
        .arg("-c")
        .arg(config)
        .arg("-e")
        .arg(ground.folder.join("error.log"));
    Ok(Setup {
        members: vec![Member {
            name: NAME.to_owned(),
            rank: 0,
            command: cores::pinned(ground.cores.server, command),
            log: ground.folder.join("output.log"),
            ready: (ground.http, READY_PATH),
        }],
        measured: vec![NAME.to_owned()],
        http: ground.http,
        https: Some(ground.https),
        http2: true,
        disk_reads: DiskReads::Files(ground.folder.join("cache")),
    })
}

fn config(ground: &Ground, as_root: bool) -> String {
    // Started by root, its worker would become a user who may not read the folder.
    let user = if as_root { "user root;\n" } else { "" };
    let folder = ground.folder.display();
    format!(
        "{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  default_type application/octet-stream;
  log_format combined_time '$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\" $request_time';
  access_log {folder}/access.log combined_time buffer=64k flush=1s;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 60s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=objects:64m max_size=2g inactive=1h use_temp_path=off;
  upstream origin {{ server {origin}; keepalive 64; }}
  server {{
    listen {http};
    listen {https} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3;
    ssl_session_cache shared:sessions:10m;
    proxy_cache objects;
    proxy_cache_lock on;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    location / {{ proxy_pass http://origin; }}
  }}
}}
",
        origin = ground.origin,
        http = ground.http,
        https = ground.https,
        certificate = ground.certificate.display(),
        key = ground.key.display(),
    )
}
