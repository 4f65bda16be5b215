//! Numbers of the protocol: what is asked for, and how it went (IANA, "Domain Name System (DNS) Parameters").

/// The class of the Internet, the only one there is data of.
pub(super) const CLASS_IN: u16 = 1;

pub(super) const TYPE_A: u16 = 1;
pub(super) const TYPE_NS: u16 = 2;
pub(super) const TYPE_CNAME: u16 = 5;
pub(super) const TYPE_SOA: u16 = 6;
pub(super) const TYPE_AAAA: u16 = 28;
pub(super) const TYPE_OPT: u16 = 41;
pub(super) const TYPE_DS: u16 = 43;
pub(super) const TYPE_IXFR: u16 = 251;
pub(super) const TYPE_AXFR: u16 = 252;
pub(super) const TYPE_ANY: u16 = 255;

/// How a query went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Rcode {
    /// There is an answer, or the name has nothing of that type.
    NoError,
    /// The query is malformed.
    FormErr,
    /// There should be an answer, but there is none.
    ServFail,
    /// There is no such name.
    NxDomain,
    /// Another operation than a query.
    NotImp,
    /// Not for this server to say.
    Refused,
    /// A version of EDNS that is not known (RFC 6891 §6.1.3).
    BadVers,
}

impl Rcode {
    /// All of them, in the order of their discriminants.
    pub(crate) const ALL: [Rcode; 7] = [
        Rcode::NoError,
        Rcode::FormErr,
        Rcode::ServFail,
        Rcode::NxDomain,
        Rcode::NotImp,
        Rcode::Refused,
        Rcode::BadVers,
    ];

    /// Its number; what is above 15 goes into the OPT record in part.
    #[must_use]
    pub(crate) fn number(self) -> u16 {
        match self {
            Rcode::BadVers => 16,
            other => other as u16,
        }
    }

    /// As metrics have it.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Rcode::NoError => "NOERROR",
            Rcode::FormErr => "FORMERR",
            Rcode::ServFail => "SERVFAIL",
            Rcode::NxDomain => "NXDOMAIN",
            Rcode::NotImp => "NOTIMP",
            Rcode::Refused => "REFUSED",
            Rcode::BadVers => "BADVERS",
        }
    }
}

/// What was asked for, as far as metrics tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The query could not be read so far.
    Unread,
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Anything there is.
    Any,
    /// Who may issue certificates.
    Caa,
    /// An alias.
    Cname,
    /// A key to check signatures with.
    Dnskey,
    /// The key of a zone below.
    Ds,
    /// How HTTPS is spoken.
    Https,
    /// A mail exchanger.
    Mx,
    /// Name servers.
    Ns,
    /// The name of an address.
    Ptr,
    /// The start of authority.
    Soa,
    /// A service's host and port.
    Srv,
    /// Text.
    Txt,
    /// Any other.
    Other,
}

impl Kind {
    /// All of them, in the order of their discriminants, with their labels in metrics.
    pub(crate) const ALL: [(Kind, &'static str); 16] = [
        (Kind::Unread, "unread"),
        (Kind::A, "A"),
        (Kind::Aaaa, "AAAA"),
        (Kind::Any, "ANY"),
        (Kind::Caa, "CAA"),
        (Kind::Cname, "CNAME"),
        (Kind::Dnskey, "DNSKEY"),
        (Kind::Ds, "DS"),
        (Kind::Https, "HTTPS"),
        (Kind::Mx, "MX"),
        (Kind::Ns, "NS"),
        (Kind::Ptr, "PTR"),
        (Kind::Soa, "SOA"),
        (Kind::Srv, "SRV"),
        (Kind::Txt, "TXT"),
        (Kind::Other, "other"),
    ];

    /// The kind that a type's number belongs to.
    pub(super) fn of(number: u16) -> Kind {
        match number {
            TYPE_A => Kind::A,
            TYPE_NS => Kind::Ns,
            TYPE_CNAME => Kind::Cname,
            TYPE_SOA => Kind::Soa,
            12 => Kind::Ptr,
            15 => Kind::Mx,
            16 => Kind::Txt,
            TYPE_AAAA => Kind::Aaaa,
            33 => Kind::Srv,
            TYPE_DS => Kind::Ds,
            48 => Kind::Dnskey,
            65 => Kind::Https,
            TYPE_ANY => Kind::Any,
            257 => Kind::Caa,
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_by_place_stands_in_its_place() {
        for (place, rcode) in Rcode::ALL.into_iter().enumerate() {
            assert_eq!(rcode as usize, place);
        }
        for (place, (kind, label)) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "{label}");
        }
    }
}
