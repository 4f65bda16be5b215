//! A network namespace of our own with one address, joined to this machine by a pair of virtual interfaces, and cut off
//! at will; and a small file system that can be filled.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::programs;

/// This side's address, and the one on the island. They lie in a range for private use, on interfaces that only we have.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const THERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// A network namespace; gone when dropped.
#[derive(Debug)]
pub(crate) struct Island {
    ip: PathBuf,
    name: String,
}

impl Island {
    /// Makes one. It takes root.
    ///
    /// # Errors
    ///
    /// What cannot be made.
    pub(crate) fn new() -> Result<Island, String> {
        let ip = programs::find("ip", "iproute2")?;
        let id = std::process::id();
        let island = Island {
            ip,
            name: format!("millrace-{id}"),
        };
        let (near, far) = (format!("mr{id}a"), format!("mr{id}b"));
        let (here, there) = (format!("{HERE}/30"), format!("{THERE}/30"));
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

    /// The command that runs `program` on the island.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Whether what is on the island answers: cut off, it hears everything and nothing it says arrives.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(crate) fn cut_off(&self, cut: bool) -> Result<(), String> {
        let here = format!("{HERE}/32");
        let verb = if cut { "add" } else { "del" };
        self.run(&["-n", &self.name, "route", verb, "blackhole", &here])
    }

    fn run(&self, arguments: &[&str]) -> Result<(), String> {
        run(Command::new(&self.ip).args(arguments))
    }
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
