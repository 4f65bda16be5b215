//! From drafts to the table: every record becomes the bytes that are sent.

use std::collections::HashMap;

use model::{
    Snapshot,
    zone::{Data, DomainName, RecordKind, Zone},
};

use super::super::code;
use super::{
    Apex, Cut, Entry, Glue, Node, Set, Zones,
    draft::{Draft, Drafts, Fixed, has_addresses, seconds},
    image,
};

impl Zones {
    /// Compiles the zones of a snapshot that met no complaint, with the hosts of services that lie inside them.
    #[must_use]
    pub(crate) fn compile(snapshot: &Snapshot) -> Zones {
        let drafts = Drafts::of(snapshot);
        let mut zones = Zones::default();
        let mut cuts = HashMap::new();
        for (origin, zone) in &drafts.zones {
            zones.apexes.push(apex(snapshot, origin, zone, &drafts));
        }
        for (name, draft) in &drafts.names {
            if draft.cut.as_ref() == Some(name) {
                cuts.insert(name, zones.cuts.len() as u32);
                zones.cuts.push(cut(name, &draft.own, &drafts));
            }
        }
        zones.deepest = drafts.names.keys().map(DomainName::labels).max().unwrap_or(0);
        for (name, draft) in &drafts.names {
            let (origin, zone) = &drafts.zones[draft.zone as usize];
            let is_apex = origin == name;
            let mut node = node(draft, &drafts);
            node.cut = draft.cut.as_ref().and_then(|cut| cuts.get(cut).copied());
            node.is_apex = is_apex;
            node.is_cut = draft.cut.as_ref() == Some(name);
            if is_apex {
                node.own
                    .sets
                    .extend(sets_of_apex(snapshot, origin, zone, &drafts));
            }
            zones.names.insert(name.wire().into(), node);
        }
        zones
    }
}

fn node(draft: &Draft, drafts: &Drafts<'_>) -> Node {
    let mut node = Node {
        apex: draft.zone,
        cut: None,
        is_cut: false,
        is_apex: false,
        own: Entry::default(),
        below: None,
    };
    if draft.cut.is_none() {
        node.own = Entry {
            sets: sets(&draft.own, drafts),
            steered: draft.steered,
        };
        let below = Entry {
            sets: sets(&draft.wildcard, drafts),
            steered: draft.cover.filter(|_| !has_addresses(&draft.wildcard)),
        };
        node.below = (!below.sets.is_empty() || below.steered.is_some()).then_some(below);
    }
    node
}

fn sets(fixed: &Fixed, drafts: &Drafts<'_>) -> Vec<Set> {
    let set = |(kind, (ttl, list)): (&RecordKind, &(u32, Vec<Data>))| {
        let records = list
            .iter()
            .flat_map(|data| image::behind_question(kind.number(), *ttl, &image::data_of(data)));
        Set {
            kind: kind.number(),
            count: list.len() as u16,
            image: records.collect(),
            glue: glue(list.iter().filter_map(server), drafts),
        }
    };
    fixed.iter().map(set).collect()
}

fn server(data: &Data) -> Option<&DomainName> {
    match data {
        Data::Ns(server) => Some(server),
        _ => None,
    }
}

/// The addresses that are known here of name servers.
fn glue<'a>(servers: impl Iterator<Item = &'a DomainName>, drafts: &Drafts<'_>) -> Glue {
    let mut glue = Glue::default();
    let mut image = Vec::new();
    for server in servers {
        let Some(draft) = drafts.names.get(server) else {
            continue;
        };
        for kind in [RecordKind::A, RecordKind::Aaaa] {
            let (ttl, list) = draft
                .own
                .get(&kind)
                .map_or((0, &[][..]), |(ttl, list)| (*ttl, list));
            for data in list {
                image.extend(image::whole(server, kind.number(), ttl, &image::data_of(data)));
                glue.count += 1;
            }
        }
    }
    glue.image = image.into();
    glue
}

fn cut(name: &DomainName, own: &Fixed, drafts: &Drafts<'_>) -> Cut {
    let (ttl, list) = own
        .get(&RecordKind::Ns)
        .map_or((0, &[][..]), |(ttl, list)| (*ttl, list));
    Cut {
        name_bytes: name.wire().len(),
        servers: list
            .iter()
            .map(|data| image::behind_owner(code::TYPE_NS, ttl, &image::data_of(data)).into())
            .collect(),
        glue: glue(list.iter().filter_map(server), drafts),
    }
}

fn apex(snapshot: &Snapshot, origin: &DomainName, zone: &Zone, drafts: &Drafts<'_>) -> Apex {
    let above = origin.and_above().skip(1).find_map(|name| {
        let place = drafts.zones.iter().position(|(origin, _)| *origin == name)?;
        u32::try_from(place).ok()
    });
    let negative_ttl = seconds(zone.soa.negative_ttl).min(seconds(zone.ttl));
    Apex {
        name_bytes: origin.wire().len(),
        negative: image::behind_owner(code::TYPE_SOA, negative_ttl, &start(snapshot, origin, zone)).into(),
        above,
    }
}

/// What every zone has at its name: its start and its servers.
fn sets_of_apex(snapshot: &Snapshot, origin: &DomainName, zone: &Zone, drafts: &Drafts<'_>) -> [Set; 2] {
    let ttl = seconds(zone.ttl);
    let servers: Vec<DomainName> = servers(zone).collect();
    let start = image::behind_question(code::TYPE_SOA, ttl, &start(snapshot, origin, zone));
    let names = servers
        .iter()
        .flat_map(|server| image::behind_question(code::TYPE_NS, ttl, server.wire()));
    [
        Set {
            kind: code::TYPE_SOA,
            count: 1,
            image: start.into(),
            glue: Glue::default(),
        },
        Set {
            kind: code::TYPE_NS,
            count: servers.len() as u16,
            image: names.collect(),
            glue: glue(servers.iter(), drafts),
        },
    ]
}

fn servers(zone: &Zone) -> impl Iterator<Item = DomainName> {
    zone.ns.iter().filter_map(|server| DomainName::read(server).ok())
}

/// The data of the start of authority.
fn start(snapshot: &Snapshot, origin: &DomainName, zone: &Zone) -> Vec<u8> {
    let soa = &zone.soa;
    let read = |name: &Option<String>| name.as_deref().and_then(|name| DomainName::read(name).ok());
    let mname = read(&soa.mname).or_else(|| servers(zone).next());
    let rname = read(&soa.rname).or_else(|| origin.below("hostmaster").ok());
    // Serial numbers live in a circle (RFC 1982).
    let serial = soa.serial.unwrap_or(snapshot.number as u32);
    image::start_of_authority(
        mname.as_ref().unwrap_or(origin),
        rname.as_ref().unwrap_or(origin),
        [
            serial,
            seconds(soa.refresh),
            seconds(soa.retry),
            seconds(soa.expire),
            seconds(soa.negative_ttl),
        ],
    )
}
