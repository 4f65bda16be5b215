//! How sites are named inside the router: geography ranks them, the decision chooses among them.

/// A site: its place among the sites of the snapshot in name order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SiteId(pub(crate) u16);
