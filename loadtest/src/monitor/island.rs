//! A network namespace of our own with one address, joined to this machine by a pair of virtual interfaces, and cut off
//! at will; and a small file system that can be filled.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rand::Rng;

use crate::programs;

/// The range for private use in which islands lie; each takes a /30 of it.
const RANGE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 0);

/// As many as there are /30 in the range.
const NUMBERS: u32 = 1 << 14;

/// A network namespace; gone when dropped.
#[derive(Debug)]
pub(crate) struct Island {
    ip: PathBuf,
    name: String,
    /// This side's address.
    pub(crate) here: Ipv4Addr,
    /// The one on the island.
    pub(crate) there: Ipv4Addr,
}

impl Island {
    /// Makes one. It takes root.
    ///
    /// # Errors
    ///
    /// What cannot be made.
    pub(crate) fn new() -> Result<Island, String> {
        let ip = programs::find("ip", "iproute2")?;
        // By chance, as others on this machine may have one too, and process ids are not unique among containers.
        let number = rand::rng().random_range(0..NUMBERS);
        let (here, there) = addresses(number);
        let island = Island {
            ip,
            name: format!("millrace-{number}"),
            here,
            there,
        };
        let (near, far) = (format!("mr{number}a"), format!("mr{number}b"));
        let (here, there) = (format!("{here}/30"), format!("{there}/30"));
        island.run(&["netns", "add", &island.name])?;
        island.run(&[
            "link",
            "add",
            &near,
            "type",
            "veth",
            "peer",
            "name",
            &far,
            "netns",
            &island.name,
        ])?;
        island.run(&["addr", "add", &here, "dev", &near])?;
        island.run(&["link", "set", &near, "up"])?;
        island.run(&["-n", &island.name, "addr", "add", &there, "dev", &far])?;
        island.run(&["-n", &island.name, "link", "set", &far, "up"])?;
        island.run(&["-n", &island.name, "link", "set", "lo", "up"])?;
        Ok(island)
    }

    /// The command that runs program and arguments of `command` on the island.
    pub(crate) fn command(&self, command: &Command) -> Command {
        let mut there = Command::new(&self.ip);
        there
            .args(["netns", "exec", &self.name])
            .arg(command.get_program())
            .args(command.get_args());
        there
    }

    /// Whether what is on the island answers: cut off, it hears everything and nothing it says arrives.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(crate) fn cut_off(&self, cut: bool) -> Result<(), String> {
        let here = format!("{}/32", self.here);
        let verb = if cut { "add" } else { "del" };
        self.run(&["-n", &self.name, "route", verb, "blackhole", &here])
    }

    fn run(&self, arguments: &[&str]) -> Result<(), String> {
        run(Command::new(&self.ip).args(arguments))
    }
}

/// The addresses of an island: this side's, and its own.
fn addresses(number: u32) -> (Ipv4Addr, Ipv4Addr) {
    let network = RANGE.to_bits() + 4 * (number % NUMBERS);
    (Ipv4Addr::from_bits(network + 1), Ipv4Addr::from_bits(network + 2))
}

impl Drop for Island {
    fn drop(&mut self) {
        // The interfaces go with it.
        let _ = self.run(&["netns", "del", &self.name]);
    }
}

/// A file system in RAM; gone when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `mebibytes` at `place`. It takes root.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(crate) fn mount(place: &Path, mebibytes: u64) -> Result<SmallDisk, String> {
        std::fs::create_dir_all(place)
            .map_err(|error| format!("{} cannot be made: {error}", place.display()))?;
        let mount = programs::find("mount", "mount")?;
        let size = format!("size={mebibytes}m");
        run(Command::new(mount)
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(place))?;
        Ok(SmallDisk {
            place: place.to_owned(),
        })
    }

    /// Takes away a part of `file` that lies on it and gives all room to another file, so that nothing can be written to
    /// that part any more.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(crate) fn fill(&self, file: &Path, from_mebibytes: u64) -> Result<(), String> {
        let fallocate = programs::find("fallocate", "util-linux")?;
        let offset = format!("{from_mebibytes}MiB");
        let whole = std::fs::metadata(file)
            .map_err(|error| format!("{}: {error}", file.display()))?
            .len();
        let length = whole.saturating_sub(from_mebibytes << 20).to_string();
        run(Command::new(fallocate)
            .args(["--punch-hole", "--offset", &offset, "--length", &length])
            .arg(file))?;
        let filler = self.place.join("filler");
        let written = std::fs::File::create(&filler)
            .and_then(|mut file| std::io::copy(&mut std::io::repeat(1), &mut file));
        match written {
            // That is what it is for.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(()),
            Err(error) => Err(format!("{} cannot be filled: {error}", self.place.display())),
            Ok(_) => Err(format!("{} has no end", self.place.display())),
        }
    }

    /// Gives the room back.
    pub(crate) fn empty(&self) {
        let _ = std::fs::remove_file(self.place.join("filler"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Ok(umount) = programs::find("umount", "mount") {
            let _ = run(Command::new(umount).arg("-l").arg(&self.place));
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command:?} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {} (it takes root)", words.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn islands_lie_apart_inside_their_range() {
        let of = |number| {
            let (here, there) = addresses(number);
            format!("{here} {there}")
        };
        assert_eq!(of(0), "10.77.0.1 10.77.0.2");
        assert_eq!(of(1), "10.77.0.5 10.77.0.6");
        assert_eq!(of(NUMBERS - 1), "10.77.255.253 10.77.255.254");
    }
}
