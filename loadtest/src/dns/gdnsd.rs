//! gdnsd with its plugin geoip, which sends clients to the nearest site by their place, as our router does.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::own;
use crate::own::cities::CITIES;
use crate::own::router::{HOST, NAME_SERVER, TTL_SECONDS, ZONE, edges};
use crate::programs;

/// Writes its configuration and its zone into `folder`; `places` is the database of places. Gives where it will listen,
/// and what starts it.
///
/// # Errors
///
/// When it is not installed, or the folder cannot be written to.
pub(super) fn set_up(folder: &Path, places: &Path) -> Result<(SocketAddr, Command), String> {
    let program = programs::find("gdnsd", "gdnsd")?;
    let address = own::free_ports(1)?[0];
    own::write(&folder.join("config"), &config(folder, places, address))?;
    own::write(&folder.join("zones").join(ZONE), &zone())?;
    let mut command = Command::new(program);
    command.arg("-c").arg(folder).arg("start");
    Ok((address, command))
}

fn config(folder: &Path, places: &Path, address: SocketAddr) -> String {
    let (mut names, mut coordinates, mut sites) = (String::new(), String::new(), String::new());
    for (number, city) in CITIES.iter().enumerate() {
        let separator = if number == 0 { "" } else { ", " };
        let [first, second] = edges(number);
        let (name, north, east) = (city.name, city.latitude, city.longitude);
        // Writing to a String cannot fail.
        let _ = write!(names, "{separator}{name}");
        let _ = write!(coordinates, "{separator}{name} => [ {north}, {east} ]");
        let _ = write!(sites, "{separator}{name} => [ {first}, {second} ]");
    }
    let folder = folder.display();
    format!(
        "options => {{
  listen => {{ {address} => {{ udp_threads = 1, tcp_threads = 1 }} }}
  run_dir = {folder}/run
  state_dir = {folder}/state
}}
plugins => {{
  geoip => {{
    maps => {{
      places => {{
        geoip2_db => {places}
        datacenters => [ {names} ]
        auto_dc_coords => {{ {coordinates} }}
      }}
    }}
    resources => {{
      edges => {{
        map => places
        service_types => up
        dcmap => {{ {sites} }}
      }}
    }}
  }}
}}
",
        places = places.display(),
    )
}

fn zone() -> String {
    let host = HOST
        .strip_suffix(ZONE)
        .map_or(HOST, |host| host.trim_end_matches('.'));
    format!(
        "@ SOA ns1 hostmaster 1 3600 900 1209600 30
@ NS ns1
ns1 A {NAME_SERVER}
{host} {TTL_SECONDS}/{TTL_SECONDS} DYNA geoip!edges
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_site_is_placed_and_has_its_edges() {
        let config = config(
            Path::new("/run/g"),
            Path::new("/run/city.mmdb"),
            ([127, 0, 0, 1], 5353).into(),
        );
        for part in [
            "127.0.0.1:5353 => { udp_threads = 1, tcp_threads = 1 }",
            "run_dir = /run/g/run",
            "geoip2_db => /run/city.mmdb",
            "datacenters => [ ams, gru, iad, jnb, lax, nrt, sin, syd ]",
            "ams => [ 52.37, 4.9 ], gru => [ -23.43, -46.47 ]",
            "ams => [ 198.51.100.1, 198.51.100.2 ], gru => [ 198.51.100.3, 198.51.100.4 ]",
        ] {
            assert!(config.contains(part), "{part}:\n{config}");
        }
        assert_eq!(config.matches('{').count(), config.matches('}').count());
    }

    #[test]
    fn the_zone_has_the_steered_name() {
        assert!(zone().contains("\ndemo 30/30 DYNA geoip!edges\n"), "{}", zone());
    }
}
