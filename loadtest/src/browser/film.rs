//! The stream that is played: the demo, said over and over until it is long enough, with the tag that has it steered.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// The playlist that names all others.
const MASTER: &str = "master.m3u8";

/// About as long as a lap of the demo lasts; a shorter one makes a shorter film.
const LAP: Duration = Duration::from_secs(56);

/// The most folders and files of a stream that are copied: a minute of fMP4 has some fifty.
const MOST_FILES: usize = 1000;

/// What to make of what.
#[derive(Clone, Debug)]
pub(super) struct Film<'a> {
    /// Folder of the demo.
    pub(super) source: &'a Path,
    /// Where the player asks whereto.
    pub(super) steering: String,
    /// At least so long.
    pub(super) lasts: Duration,
}

impl Film<'_> {
    /// Writes the stream into `folder`.
    ///
    /// # Errors
    ///
    /// What cannot be read, written or understood.
    pub(super) fn write(&self, folder: &Path) -> Result<(), String> {
        let master = read(&self.source.join(MASTER))?;
        copy(self.source, folder)?;
        write(&folder.join(MASTER), &steered(&master, &self.steering)?)?;
        let laps = self.lasts.as_secs().div_ceil(LAP.as_secs());
        for rendition in entries(folder)?.iter().filter(|path| path.is_dir()) {
            for playlist in entries(rendition)? {
                if playlist.extension().is_some_and(|ending| ending == "m3u8") {
                    let text = repeated(&read(&playlist)?, laps);
                    write(
                        &playlist,
                        &text.map_err(|reason| format!("{}: {reason}", playlist.display()))?,
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// The master playlist with the tag of content steering behind its first line.
fn steered(master: &str, steering: &str) -> Result<String, String> {
    let rest = master
        .strip_prefix("#EXTM3U\n")
        .ok_or_else(|| "the master playlist does not begin with #EXTM3U".to_owned())?;
    Ok(format!(
        "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"{steering}\",PATHWAY-ID=\".\"\n{rest}"
    ))
}

/// A media playlist whose segments come `laps` times, without the last one: that is a little shorter than it says, and the
/// picture would stand at the hole behind it. Each lap has URLs of its own, so that a browser's cache has none of them
/// already.
fn repeated(playlist: &str, laps: u64) -> Result<String, String> {
    const END: &str = "#EXT-X-ENDLIST";
    const SEGMENT: &str = "#EXTINF";
    let begin = playlist.find(SEGMENT).ok_or("it has no segment")?;
    let last = playlist.rfind(SEGMENT).ok_or("it has no segment")?;
    if begin == last || !playlist[last..].contains(END) {
        return Err("it has but one segment, or no end".to_owned());
    }
    let (head, segments) = (&playlist[..begin], &playlist[begin..last]);
    let mut text = head.to_owned();
    for lap in 0..laps {
        if lap > 0 {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        for line in segments.lines().filter(|line| !line.is_empty()) {
            text.push_str(line);
            if !line.starts_with('#') {
                text.push_str(&format!("?lap={lap}"));
            }
            text.push('\n');
        }
    }
    text.push_str(END);
    text.push('\n');
    Ok(text)
}

/// Copies a folder, and the folders in it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    make(to)?;
    for path in entries(from)? {
        let place = to.join(path.file_name().unwrap_or_default());
        if !path.is_dir() {
            copy_file(&path, &place)?;
            continue;
        }
        make(&place)?;
        for file in entries(&path)?.iter().filter(|path| path.is_file()) {
            copy_file(file, &place.join(file.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), String> {
    let copied = fs::copy(from, to);
    copied
        .map(|_| ())
        .map_err(|error| format!("{} cannot be copied: {error}", from.display()))
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", folder.display());
    let listed = fs::read_dir(folder).map_err(unreadable)?.take(MOST_FILES);
    listed
        .map(|entry| entry.map(|entry| entry.path()).map_err(unreadable))
        .collect()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| {
        format!(
            "{} cannot be read: {error}; name the folder of an HLS stream with --media",
            path.display()
        )
    })
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_steered_and_said_over_and_over() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/local/media/demo");
        let folder = tempfile::tempdir().unwrap();
        let film = Film {
            source: &source,
            steering: "http://127.0.0.1:8053/steer/demo/master.m3u8".to_owned(),
            lasts: Duration::from_secs(150),
        };
        film.write(folder.path()).unwrap();
        let master = read(&folder.path().join(MASTER)).unwrap();
        let parsed = m3u8_rs::parse_master_playlist_res(master.as_bytes()).unwrap();
        assert_eq!(parsed.variants.len(), 2);
        assert!(master.contains(
            "\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"http://127.0.0.1:8053/steer/demo/master.m3u8\",PATHWAY-ID=\".\"\n"
        ));
        for rendition in ["180p", "360p", "sound"] {
            let playlist = read(&folder.path().join(rendition).join("playlist.m3u8")).unwrap();
            let parsed = m3u8_rs::parse_media_playlist_res(playlist.as_bytes()).unwrap();
            assert_eq!(parsed.segments.len(), 3 * 14, "{rendition}");
            assert!(parsed.end_list);
        }
    }

    #[test]
    fn each_lap_begins_with_a_discontinuity_and_has_its_own_urls() {
        let playlist = "#EXTM3U\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:4,\n0.m4s\n#EXTINF:4,\n1.m4s\n#EXTINF:3.9,\n2.m4s\n#EXT-X-ENDLIST\n";
        assert_eq!(
            repeated(playlist, 2).unwrap(),
            "#EXTM3U\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXTINF:4,\n0.m4s?lap=0\n#EXTINF:4,\n1.m4s?lap=0\n#EXT-X-DISCONTINUITY\n\
             #EXTINF:4,\n0.m4s?lap=1\n#EXTINF:4,\n1.m4s?lap=1\n#EXT-X-ENDLIST\n"
        );
        for broken in [
            "",
            "#EXTM3U\n",
            "#EXTM3U\n#EXTINF:4,\n0.m4s\n",
            "#EXTM3U\n#EXTINF:4,\n0.m4s\n#EXT-X-ENDLIST\n",
            "#EXT-X-ENDLIST\n#EXTINF:4,\n0.m4s\n#EXTINF:4,\n1.m4s\n",
        ] {
            assert!(repeated(broken, 2).is_err(), "{broken}");
        }
        assert!(steered("nothing", "http://a/").is_err());
    }
}
