//! Configuration: a TOML file is read once, every mistake in it is told at once, and what was written becomes values.
//!
//! ```no_run
//! # use std::path::Path;
//! # use daemon::config::{Complaints, Table, load_as};
//! struct Settings { threads: usize, name: String }
//!
//! fn settings(root: &Table<'_>) -> Option<Settings> {
//!     let threads = root.or("threads", 0); // every key is asked for before the first `?`
//!     let name = root.required("name");
//!     Some(Settings { threads, name: name? })
//! }
//!
//! fn read(path: &Path) -> Result<Settings, Complaints> {
//!     let (settings, _shown) = load_as(path, settings)?;
//!     Ok(settings)
//! }
//! ```
//!
//! A key nobody asked for is a mistake like any other. `None` from a reader of this module always stands for a
//! complaint that was recorded, so that the next key can be read before anyone gives up.

mod complaint;
mod document;
mod expectation;
mod secret;
mod table;

pub use complaint::{Complaint, Complaints};
pub use document::{Document, load, load_as};
pub use secret::Secret;
pub use table::Table;
