//! Purges and several devices: what their journals know together, and which of them acknowledge.

use super::Disks;
use crate::purge::{Entry, Purges};
use std::future::Future;
use std::io;
use std::sync::Arc;

impl Disks {
    /// Shares with `purges` what the journals know of them, and has them kept from now on; devices that come later join
    /// in. Before the first look-up, once.
    pub(crate) fn join(&self, purges: &Arc<Purges>) {
        for member in &self.shared.members {
            member.join(purges);
        }
        // What the later ones knew the earlier ones must know, too.
        for opened in self.opened() {
            opened.disk.catch_up();
        }
    }

    /// Journals a purge that [`Purges`] has recorded, on every device that is written. Resolves when each has it on stable
    /// storage, or has failed or left: what a device misses is known here and in the other journals, and it is told when
    /// it is back. Fails when there is none that has it.
    pub(crate) fn record(&self, entry: Entry) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let written = self.shared.members.iter().filter_map(|member| member.writable());
        let recording: Vec<_> = written
            .map(|opened| {
                let recorded = opened.disk.record(entry);
                (opened, recorded)
            })
            .collect();
        async move {
            let mut result = Err(io::Error::other("no cache disk is written"));
            for (opened, recorded) in recording {
                let recorded = opened.unless_lost(async { recorded.await.map(Some) }).await;
                match recorded {
                    Ok(Some(())) => result = Ok(()),
                    Ok(None) if result.is_err() => result = Err(io::Error::other("the cache disk was lost")),
                    Err(error) if result.is_err() => result = Err(error),
                    Ok(None) | Err(_) => {}
                }
            }
            result
        }
    }
}
