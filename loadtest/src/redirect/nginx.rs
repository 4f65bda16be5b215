//! nginx that redirects everything to one name: one worker, no access log.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::{own, programs};

/// Writes its configuration into `folder`. Gives where it will listen, and what starts it.
///
/// # Errors
///
/// When it is not installed, or the folder cannot be written to.
pub(super) fn set_up(folder: &Path) -> Result<(SocketAddr, Command), String> {
    let program = programs::find("nginx", "nginx")?;
    let address = own::free_ports(1)?[0];
    let path = folder.join("nginx.conf");
    own::write(
        &path,
        &config(folder, address, rustix::process::geteuid().is_root()),
    )?;
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-c").arg(path);
    command.arg("-e").arg(folder.join("error.log"));
    Ok((address, command))
}

fn config(folder: &Path, address: SocketAddr, as_root: bool) -> String {
    // Started by root, its worker would become a user who may not read the folder.
    let user = if as_root { "user root;\n" } else { "" };
    let folder = folder.display();
    format!(
        "{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 60s;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {address};
    location / {{
      add_header Cache-Control no-store;
      return 302 http://edge.example$request_uri;
    }}
  }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_redirects_and_becomes_nobody_else() {
        let config = |as_root| config(Path::new("/run/n"), ([127, 0, 0, 1], 8080).into(), as_root);
        let text = config(false);
        for part in [
            "listen 127.0.0.1:8080;",
            "return 302 http://edge.example$request_uri;",
            "Cache-Control no-store;",
            "pid /run/n/nginx.pid;",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(text.starts_with("daemon off;"));
        assert!(config(true).starts_with("user root;\n"));
    }
}
