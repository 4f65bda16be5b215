//! Where clients are: from an address to a ranking of sites, compiled off-line into one longest-prefix table.
//!
//! Evidence in order: the operator's coverage zones, deep ones first ([`coverage`]), measured latency ([`latency`]),
//! the distance from where the database says the client is ([`database`], [`place`]), and a default. Each source
//! becomes a line of steps ([`layer`]), these are laid over one another ([`overlay`]), and what is answered alike is
//! joined ([`runs`]), so that scopes are as short as they truthfully can be. The country of an address comes from the
//! database whatever else is known, and nets of different countries are never joined.
//!
//! Nothing here knows DNS or health, and nothing keeps a database: a [`Table`] is compiled for one snapshot and swapped
//! whole. [`compile`] takes a second for a million nets and belongs on a thread of its own.

mod complaints;
mod coverage;
mod database;
mod latency;
mod layer;
pub(crate) mod loader;
mod overlay;
pub(crate) mod place;
mod prefix;
pub(crate) mod ranking;
mod runs;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use model::Snapshot;

use database::Database;
use latency::Measured;
use place::Sites;
use table::Table;

/// The bytes of a source, and what to call it in complaints: its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// What complaints begin with.
    pub(crate) name: &'a str,
    /// All of it.
    pub(crate) bytes: &'a [u8],
}

/// What a table is compiled from, each where there is one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sources<'a> {
    /// An mmdb of cities or countries; see [`database`].
    pub(crate) database: Option<Source<'a>>,
    /// Coverage zones in JSON; see [`coverage`].
    pub(crate) coverage: Option<Source<'a>>,
    /// Measured latency in CSV; see [`latency`].
    pub(crate) latency: Option<Source<'a>>,
    /// The same, from the edges. What the other says of a prefix counts.
    pub(crate) measured: Option<Source<'a>>,
}

/// Compiles the table for the sites of `snapshot`. The same sources give the same table.
///
/// # Errors
///
/// Every complaint about every source; the table in use stays good.
pub(crate) fn compile(snapshot: &Snapshot, sources: Sources<'_>) -> Result<Table, Vec<String>> {
    let sites = Sites::of(snapshot)?;
    let coverage = sources.coverage.map(|source| coverage::read(source, &sites));
    let measured = sources.latency.map(|source| latency::read(source, &sites));
    let by_edges = sources.measured.map(|source| latency::read(source, &sites));
    let database = sources.database.map(Database::read);
    let mut complaints = Vec::new();
    let coverage = told(coverage, &mut complaints).unwrap_or_default();
    let mut measured: Measured = told(measured, &mut complaints).unwrap_or_default();
    measured.add(told(by_edges, &mut complaints).unwrap_or_default());
    let database = told(database, &mut complaints).unwrap_or_else(Database::empty);
    if complaints.is_empty() {
        Ok(Table::new(sites, coverage, &measured, &database))
    } else {
        Err(complaints)
    }
}

fn told<T>(read: Option<Result<T, Vec<String>>>, complaints: &mut Vec<String>) -> Option<T> {
    match read? {
        Ok(value) => Some(value),
        Err(more) => {
            complaints.extend(more);
            None
        }
    }
}
