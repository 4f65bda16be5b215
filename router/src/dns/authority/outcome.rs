//! What became of a query, for counters and logs.

use super::{Kind, Rcode, SubnetFamily};

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// In a datagram, whose source anybody may have written.
    Udp,
    /// On a connection.
    Tcp,
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A reply was written.
    Reply(Replied),
    /// Nobody gets a reply.
    Silence(Silence),
}

/// A reply that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replied {
    /// How many bytes it has.
    pub(crate) bytes: usize,
    /// How it went.
    pub(crate) rcode: Rcode,
    /// What was asked for.
    pub(crate) kind: Kind,
    /// Whether the answer did not fit, so that the client must ask again over TCP.
    pub(crate) truncated: bool,
    /// The family of the client's network, where the query named it.
    pub(crate) subnet: Option<SubnetFamily>,
    /// Why it says what it says.
    pub(crate) why: Why,
}

/// Why a reply says what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The query breaks the rules of its format.
    Malformed,
    /// It is another operation than a query.
    Operation,
    /// It is of another version of EDNS.
    Version,
    /// It asks for another class than the Internet's.
    Class,
    /// It asks for a whole zone.
    Transfer,
    /// The name lies in no zone.
    Outside,
    /// The name has fixed records of that type.
    Fixed,
    /// The name is an alias.
    Alias,
    /// It asks for anything, which is answered by next to nothing (RFC 8482).
    Anything,
    /// Others answer for the name.
    Delegated,
    /// The name has nothing of that type.
    NoData,
    /// There is no such name.
    NoName,
    /// Addresses were chosen, or none, for the reason the decision gives.
    Steered(&'static str),
}

/// Why nobody gets a reply: whatever would be said could only serve somebody who forged the query's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Silence {
    /// There is no whole header.
    Short,
    /// It is a reply itself; two servers would talk for ever.
    Response,
    /// It came from port 0, where nobody can listen.
    Port,
}
