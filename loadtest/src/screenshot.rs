//! A picture of a page as people see it: headless Chromium opens it and writes a PNG.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::own::Folder;
use crate::programs;

/// Until the picture is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// What Chromium would ask of the world in the background is left out; it runs as root and without a GPU here and there.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// What to look at.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The page
    #[arg(default_value = "http://127.0.0.1:8070/")]
    url: String,
    /// Where the picture goes
    #[arg(long, default_value = "page.png")]
    out: PathBuf,
    /// Its size in pixels, WIDTHxHEIGHT
    #[arg(long, default_value = "1400x1100", value_parser = size)]
    size: (u32, u32),
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('x').and_then(|(width, height)| {
        let within = |text: &str| text.parse().ok().filter(|pixels| (100..=10_000).contains(pixels));
        Some((within(width)?, within(height)?))
    });
    parsed.ok_or_else(|| "write it as 1400x1100, each from 100 to 10000".to_owned())
}

/// Takes the picture.
///
/// # Errors
///
/// What is missing, or went wrong.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let chromium = programs::provide("chromium", "chromium").await?;
    let profile = Folder::new(None)?;
    let (width, height) = options.size;
    let running = Command::new(chromium)
        .args(ARGUMENTS)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--screenshot={}", options.out.display()))
        .arg(&options.url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, running)
        .await
        .map_err(|_| format!("Chromium took no picture within {} s", PATIENCE.as_secs()))?
        .map_err(|error| format!("Chromium cannot be run: {error}"))?;
    if !options.out.is_file() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("Chromium took no picture: {}", words.trim()));
    }
    println!("{} shows {}", options.out.display(), options.url);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_numbers_within_reason() {
        assert_eq!(size("1400x1100"), Ok((1400, 1100)));
        for wrong in ["", "1400", "1400x", "0x10", "99999x100", "axb"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
