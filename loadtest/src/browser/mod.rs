//! A real player in a real browser is steered: hls.js in headless Chromium plays from one place of a CDN of our own, that
//! place is taken out of use or drained, and the player goes on from another.

mod cdn;
mod film;
mod findings;
mod player;
mod project;
mod scene;
mod told;

use std::path::PathBuf;
use std::time::Duration;

use self::cdn::Cdn;
use self::film::Film;
use self::findings::Story;
use self::player::Player;
use self::project::Project;
use self::scene::Scene;
use self::told::{Places, Told};
use crate::measure::{self, Measure};
use crate::own::Folder;

/// Until the picture moves: Chromium starts meanwhile.
const START_PATIENCE: Duration = Duration::from_secs(90);

/// Until the player has moved elsewhere; after so long it never will.
const MOVE_PATIENCE: Duration = Duration::from_secs(60);

/// A picture that is this far moves.
const MOVING_SECONDS: f64 = 0.5;

/// What to play, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds that are played before something happens, and again after the player has moved
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=600))]
    seconds: u64,
    /// What happens; each in turn, where several are named
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["site-taken-out", "edge-taken-out", "site-drained", "edge-drained"])]
    scenes: Vec<Scene>,
    /// Folder of the HLS stream that is played, with its master.m3u8; a minute of fMP4
    #[arg(long, default_value = "conf/local/media/demo")]
    media: PathBuf,
    /// Write a picture of the last player's page here at the end, as PNG
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Print a list of measures instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs it. Call it on the main thread.
///
/// # Errors
///
/// What does not start, a player that does not move, or one that gave up.
pub(crate) async fn run(options: &Options) -> Result<(), String> {
    let project = Project::install().await?;
    let mut measures = Vec::new();
    let mut errors = Vec::new();
    let mut verdicts = Vec::new();
    for scene in &options.scenes {
        let outcome = show(*scene, options, &project).await?;
        measures.extend(outcome.measures);
        errors.extend(outcome.errors);
        verdicts.extend(outcome.verdict.err());
    }
    if options.json {
        println!("{}", measure::json(&measures));
    } else {
        print!("{}", measure::render(&measures));
    }
    for line in errors {
        eprintln!("{line}");
    }
    match verdicts.is_empty() {
        true => Ok(()),
        false => Err(verdicts.join("\n")),
    }
}

/// What one scene came to.
struct Outcome {
    measures: Vec<Measure>,
    errors: Vec<String>,
    verdict: Result<(), String>,
}

/// Plays one scene on a CDN of its own.
async fn show(scene: Scene, options: &Options, project: &Project) -> Result<Outcome, String> {
    let folder = Folder::new(None)?;
    let mut cdn = Cdn::write(folder.path())?;
    let film = Film {
        source: &options.media,
        steering: cdn.steering(),
        lasts: Duration::from_secs(2 * options.seconds) + START_PATIENCE + MOVE_PATIENCE,
    };
    film.write(&cdn.media().join(cdn::TITLE))?;
    project.write_page(&cdn.media().join(cdn::PAGE))?;
    eprintln!(
        "{}: starting a CDN of two sites, three monitors and a router …",
        scene.name()
    );
    cdn.start().await?;
    let mut player = Player::start(project, &cdn.page(), options.picture.as_deref())?;
    let places = scene.places();
    let changed = play(scene, options, &cdn, &mut player, &places).await;
    let closed = player.close().await;
    cdn.stop().await;
    let changed = changed?;
    closed?;
    let story = Story {
        scene,
        heard: player.heard(),
        left: &changed.place,
        changed_at: changed.at,
        places: &places,
    };
    Ok(Outcome {
        measures: story.measures(),
        errors: story.errors(),
        verdict: story.verdict(),
    })
}

/// To which place something happened, and when by the player's clock.
struct Change {
    place: String,
    at: Duration,
}

/// Plays, lets it happen to the place that is played from, and plays on.
async fn play(
    scene: Scene,
    options: &Options,
    cdn: &Cdn,
    player: &mut Player,
    places: &Places,
) -> Result<Change, String> {
    let seconds = Duration::from_secs(options.seconds);
    let moving = |told: &Told| matches!(told, Told::Position { time, .. } if *time > MOVING_SECONDS);
    if !player.listen(START_PATIENCE, moving).await? {
        return Err(format!(
            "nothing was played within {} s; {}",
            START_PATIENCE.as_secs(),
            player.last_error()
        ));
    }
    player.listen(seconds, |_| false).await?;
    let place = player
        .heard()
        .iter()
        .rev()
        .find_map(|heard| heard.told.fragment_of(places))
        .ok_or_else(|| "no fragment came from an edge of this CDN".to_owned())?
        .to_owned();
    eprintln!("{}: now, while {place} is played from …", scene.name());
    let at = player.elapsed();
    scene.happen(cdn, &place)?;
    let elsewhere = |told: &Told| told.fragment_of(places).is_some_and(|other| other != place);
    if player.listen(MOVE_PATIENCE, elsewhere).await? {
        player.listen(seconds, |_| false).await?;
    }
    Ok(Change { place, at })
}
