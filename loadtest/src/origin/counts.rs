//! How often the origin was asked for what.

use std::collections::BTreeMap;

use serde::Serialize;

/// Paths counted one by one; requests for further ones are counted together.
const MOST_PATHS: usize = 200_000;

/// Requests since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// All of them, whatever became of them.
    pub(crate) requests: u64,
    /// Those answered with 304.
    pub(crate) not_modified: u64,
    /// Bytes of bodies handed to the sockets.
    pub(crate) body_bytes: u64,
    /// Requests for paths beyond the bound of `by_path`.
    pub(crate) uncounted_paths: u64,
    /// By path, without query.
    pub(crate) by_path: BTreeMap<String, u64>,
}

impl Counts {
    /// One more request for `path`.
    pub(crate) fn count(&mut self, path: &str) {
        self.requests += 1;
        if let Some(count) = self.by_path.get_mut(path) {
            *count += 1;
        } else if self.by_path.len() < MOST_PATHS {
            self.by_path.insert(path.to_owned(), 1);
        } else {
            self.uncounted_paths += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_path_up_to_the_bound() {
        let mut counts = Counts::default();
        for number in 0..MOST_PATHS {
            counts.count(&format!("/{number}"));
        }
        counts.count("/7");
        counts.count("/more");
        assert_eq!(counts.by_path["/7"], 2);
        assert_eq!(counts.by_path.len(), MOST_PATHS);
        assert_eq!(
            (counts.requests, counts.uncounted_paths),
            (MOST_PATHS as u64 + 2, 1)
        );
    }
}
