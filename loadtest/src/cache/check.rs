//! A device file verified offline: what it holds, and whether every checksum is right.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cache::disk::inspect::{Contents, Extent, Report, inspect};
use cache::disk::{Device, FileDevice};
use serde_json::json;

use crate::table;

/// Damaged places that are listed; all of them are counted.
const MOST_LISTED: usize = 50;

/// Which file.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The cache's file or block device; no daemon may be using it
    file: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Verifies and reports.
///
/// # Errors
///
/// When the file cannot be read, is in use or not ours, or when anything in it is damaged.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let report = check(&options.file)?;
    if options.json {
        println!("{:#}", as_json(&report));
    } else {
        print!("{}", as_text(&report));
    }
    match report.damage.len() {
        0 => Ok(()),
        count => Err(format!("{}: {count} damaged places", options.file.display())),
    }
}

fn check(file: &Path) -> Result<Report, String> {
    let path = file.display();
    let bytes = size_of(file).map_err(|error| format!("{path} cannot be read: {error}"))?;
    if bytes == 0 {
        return Err(format!("{path} is empty"));
    }
    let device = FileDevice::open(file, bytes).map_err(|error| error.to_string())?;
    // Whoever writes to it would look like damage.
    device.lock(Duration::ZERO).map_err(|error| error.to_string())?;
    inspect(&device, &mut |_| {}).map_err(|refusal| match std::error::Error::source(&refusal) {
        Some(cause) => format!("{path}: {refusal}: {cause}"),
        None => format!("{path}: {refusal}"),
    })
}

/// The length of a file, or of the device behind it.
fn size_of(file: &Path) -> std::io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    std::fs::File::open(file)?.seek(SeekFrom::End(0))
}

fn as_text(report: &Report) -> String {
    let rows: Vec<Vec<String>> = classes(report)
        .map(|(class, contents)| {
            vec![
                class.to_owned(),
                contents.sealed_regions.to_string(),
                contents.open_regions.to_string(),
                contents.heads.to_string(),
                contents.parts.to_string(),
                contents.tombstones.to_string(),
                contents.record_bytes.to_string(),
            ]
        })
        .collect();
    let mut text = format!(
        "format {}, device {:032x}, {} regions of {} bytes, {} of them empty, {} blocks of purges\n\n{}",
        report.format_version,
        report.uuid,
        report.region_count,
        report.region_bytes,
        report.empty_regions,
        report.journal_blocks,
        table::render(
            &["log", "sealed", "open", "heads", "parts", "tombstones", "bytes"],
            &rows
        )
    );
    for extent in report.damage.iter().take(MOST_LISTED) {
        text.push_str(&format!(
            "damaged: {} of {} bytes at {}\n",
            extent.piece, extent.bytes, extent.offset
        ));
    }
    if report.damage.len() > MOST_LISTED {
        text.push_str(&format!("damaged: {} more\n", report.damage.len() - MOST_LISTED));
    }
    text
}

fn as_json(report: &Report) -> serde_json::Value {
    let contents: serde_json::Map<String, serde_json::Value> = classes(report)
        .map(|(class, contents)| {
            let value = json!({
                "sealed_regions": contents.sealed_regions, "open_regions": contents.open_regions,
                "heads": contents.heads, "parts": contents.parts, "tombstones": contents.tombstones,
                "record_bytes": contents.record_bytes,
            });
            (class.to_owned(), value)
        })
        .collect();
    let damage = |extent: &Extent| json!({ "piece": extent.piece.to_string(), "offset": extent.offset, "bytes": extent.bytes });
    json!({
        "format_version": report.format_version,
        "uuid": format!("{:032x}", report.uuid),
        "region_bytes": report.region_bytes,
        "region_count": report.region_count,
        "empty_regions": report.empty_regions,
        "journal_blocks": report.journal_blocks,
        "logs": contents,
        "damage_count": report.damage.len(),
        "damage": report.damage.iter().take(MOST_LISTED).map(damage).collect::<Vec<_>>(),
    })
}

fn classes(report: &Report) -> impl Iterator<Item = (&'static str, &Contents)> {
    ["S", "M"].into_iter().zip(&report.classes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use bytes::Bytes;
    use cache::disk::{Disk, DiskMetrics, Fate, Options as DiskOptions};
    use prometheus::Registry;

    use super::*;

    const REGION_BYTES: u64 = 256 << 10;

    /// A file with one object, closed properly.
    fn filled(path: &Path) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let device = FileDevice::open(path, (1 << 20) + 8 * REGION_BYTES).unwrap();
            let options = DiskOptions {
                region_bytes: REGION_BYTES,
                ..DiskOptions::default()
            };
            let metrics = DiskMetrics::register(&Registry::new(), "test").unwrap();
            let disk = Disk::open(std::sync::Arc::new(device), options, metrics).unwrap();
            let part = disk.put_part(7, 1, 0, vec![Bytes::from(vec![7; 50_000])]);
            assert_eq!(part.await, Fate::Committed);
            assert!(
                check(path).unwrap_err().contains("another process"),
                "it is in use"
            );
            disk.close().await;
        });
    }

    #[test]
    fn a_sound_file_is_described_and_a_damaged_one_refused_with_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.img");
        filled(&path);
        let report = check(&path).unwrap();
        assert_eq!(as_json(&report)["damage_count"], 0);
        assert_eq!(
            report.classes.iter().map(|contents| contents.parts).sum::<u64>(),
            1
        );
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let place = (1 << 20) + 4096 + 20_000;
        file.write_all_at(b"x", place).unwrap();
        let text = as_text(&check(&path).unwrap());
        assert!(text.contains("damaged: body of 32768 bytes at "), "{text}");
        let options = Options {
            file: path,
            json: false,
        };
        assert!(run(&options).unwrap_err().contains("1 damaged place"));
    }

    #[test]
    fn what_is_no_cache_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other");
        assert!(check(&path).unwrap_err().contains("cannot be read"));
        std::fs::write(&path, vec![1; 3 << 20]).unwrap();
        assert!(check(&path).unwrap_err().contains("neither superblock"));
    }
}
