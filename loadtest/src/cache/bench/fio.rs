//! fio on the same drive: the physical limit that ours is measured against.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::programs;

/// A job of fio.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    /// Random reads of so many bytes, so many at once.
    Read { block_bytes: u64, depth: usize },
    /// Sequential writes of 1 MiB, four at once.
    Write,
    /// Random reads beside a write of so many bytes a second; the reads count.
    Mixed {
        block_bytes: u64,
        depth: usize,
        written_per_second: u64,
    },
}

/// An installed fio and the files it may use.
#[derive(Debug)]
pub(super) struct Fio {
    program: PathBuf,
    /// What ours reads from; fio only reads it.
    read: PathBuf,
    /// Of the same size; fio writes it.
    write: PathBuf,
    bytes: u64,
}

#[derive(Deserialize)]
struct Output {
    jobs: Vec<JobOutput>,
}

#[derive(Deserialize)]
struct JobOutput {
    read: Direction,
    write: Direction,
}

#[derive(Deserialize)]
struct Direction {
    bw_bytes: f64,
}

impl Fio {
    /// # Errors
    ///
    /// When it is not installed.
    pub(super) fn find(read: &Path, bytes: u64) -> Result<Fio, String> {
        let mut write = read.as_os_str().to_owned();
        write.push(".fio");
        Ok(Fio {
            program: programs::find("fio", "fio")?,
            read: read.to_owned(),
            write: write.into(),
            bytes,
        })
    }

    /// Writes both files once, so that neither is measured on blocks that the file system has not yet made.
    ///
    /// # Errors
    ///
    /// What fio complains of.
    pub(super) async fn prepare(&self) -> Result<(), String> {
        for file in [&self.read, &self.write] {
            let arguments = [
                common("fill", file, self.bytes),
                words("--rw=write --bs=1m --iodepth=4 --end_fsync=1"),
            ];
            self.run(arguments.concat()).await?;
        }
        Ok(())
    }

    /// Bytes a second of a job that runs `seconds`.
    ///
    /// # Errors
    ///
    /// What fio complains of.
    pub(super) async fn rate(&self, job: Job, seconds: u64) -> Result<f64, String> {
        let timed = words(&format!("--time_based --runtime={seconds}"));
        let reads = |block_bytes: u64, depth: usize| {
            let own = words(&format!(
                "--rw=randread --bs={block_bytes} --iodepth={depth} --norandommap"
            ));
            [common("read", &self.read, self.bytes), own, timed.clone()].concat()
        };
        let writes = |more: &str| {
            let own = words(&format!("--rw=write --bs=1m --iodepth=4 {more}"));
            [common("write", &self.write, self.bytes), own, timed.clone()].concat()
        };
        let arguments = match job {
            Job::Read { block_bytes, depth } => reads(block_bytes, depth),
            Job::Write => writes(""),
            Job::Mixed {
                block_bytes,
                depth,
                written_per_second,
            } => [
                reads(block_bytes, depth),
                writes(&format!("--rate=,{written_per_second}")),
            ]
            .concat(),
        };
        let output = self.run(arguments).await?;
        let first = output.jobs.first().ok_or("fio reports no job")?;
        Ok(match job {
            Job::Read { .. } | Job::Mixed { .. } => first.read.bw_bytes,
            Job::Write => first.write.bw_bytes,
        })
    }

    async fn run(&self, arguments: Vec<String>) -> Result<Output, String> {
        let mut command = Command::new(&self.program);
        command
            .arg("--output-format=json")
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command
            .output()
            .await
            .map_err(|error| format!("fio cannot be run: {error}"))?;
        if !output.status.success() {
            return Err(format!("fio: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        // Notes may stand before the JSON.
        let text = String::from_utf8_lossy(&output.stdout);
        let json = text.find('{').map_or("", |at| &text[at..]);
        serde_json::from_str(json).map_err(|error| format!("fio's report cannot be read: {error}"))
    }
}

impl Drop for Fio {
    fn drop(&mut self) {
        // It was never made when preparing failed.
        let _ = std::fs::remove_file(&self.write);
    }
}

/// Options before a job's name would hold for all jobs: each repeats its own.
fn common(name: &str, file: &Path, bytes: u64) -> Vec<String> {
    let mut arguments = words(&format!(
        "--name={name} --size={bytes} --ioengine=io_uring --direct=1 --registerfiles"
    ));
    // A colon separates files.
    arguments.push(format!(
        "--filename={}",
        file.display().to_string().replace(':', "\\:")
    ));
    arguments
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_fio_is_read() {
        let text = r#"{"fio version": "fio-3.33", "jobs": [{"jobname": "read", "read": {"bw_bytes": 1000, "iops": 4.0},
            "write": {"bw_bytes": 0}}]}"#;
        let output: Output = serde_json::from_str(text).unwrap();
        assert_eq!(output.jobs[0].read.bw_bytes, 1000.0);
    }
}
