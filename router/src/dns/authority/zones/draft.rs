//! The names of all zones while they are put together: what stands at each, and what follows from wildcards and
//! delegations above it.

use std::collections::BTreeMap;

use model::{
    Snapshot,
    zone::{Data, DomainName, RecordKind, Zone, innermost},
};

use super::super::steer::ServiceId;

/// Fixed records of one name by type, with their time to live.
pub(super) type Fixed = BTreeMap<RecordKind, (u32, Vec<Data>)>;

/// What stands at a name.
#[derive(Default)]
pub(super) struct Draft {
    /// The place of its zone in [`Drafts::zones`].
    pub(super) zone: u32,
    pub(super) own: Fixed,
    /// The service whose addresses it has.
    pub(super) steered: Option<ServiceId>,
    /// The records of the wildcard right below it, which stands for names that do not exist (RFC 4592).
    pub(super) wildcard: Fixed,
    /// The service of the nearest wildcard among hosts, at it or above: it holds for everything below, as edges have it.
    pub(super) cover: Option<ServiceId>,
    /// The delegation at it or above it.
    pub(super) cut: Option<DomainName>,
}

/// All names.
pub(super) struct Drafts<'a> {
    pub(super) zones: Vec<(DomainName, &'a Zone)>,
    pub(super) names: BTreeMap<DomainName, Draft>,
}

impl<'a> Drafts<'a> {
    /// Puts the zones of a snapshot together. What its check would complain of is left out.
    pub(super) fn of(snapshot: &'a Snapshot) -> Drafts<'a> {
        let by_domain = snapshot.zones_by_domain();
        let mut drafts = Drafts {
            zones: by_domain
                .iter()
                .map(|(origin, (_, zone))| (origin.clone(), *zone))
                .collect(),
            names: BTreeMap::new(),
        };
        let numbers: BTreeMap<DomainName, u32> = by_domain.into_keys().zip(0..).collect();
        for (origin, zone) in drafts.zones.clone() {
            drafts.plant(&numbers, &origin);
            for record in &zone.records {
                let (Ok(owner), Ok(data)) = (record.owner(&origin), record.read()) else {
                    continue;
                };
                let ttl = seconds(record.ttl.unwrap_or(zone.ttl));
                let is_ours = innermost(&numbers, &owner).is_some_and(|(home, _)| *home == origin);
                if let Some((draft, wildcard)) = drafts.place(&numbers, &owner).filter(|_| is_ours) {
                    let fixed = if wildcard {
                        &mut draft.wildcard
                    } else {
                        &mut draft.own
                    };
                    fixed.entry(record.kind).or_insert((ttl, Vec::new())).1.push(data);
                }
            }
        }
        for host in snapshot.service_hosts() {
            if let Some((draft, wildcard)) = drafts.place(&numbers, &host.name) {
                let service = if wildcard {
                    &mut draft.cover
                } else {
                    &mut draft.steered
                };
                service.get_or_insert(ServiceId(host.service));
            }
        }
        drafts.name_nodes(snapshot, &numbers);
        drafts.inherit(&numbers);
        drafts
    }

    /// Gives the nodes the names by which redirects lead to them. What the operator wrote for such a name stays.
    fn name_nodes(&mut self, snapshot: &Snapshot, numbers: &BTreeMap<DomainName, u32>) {
        for (name, node, ttl) in snapshot.node_hosts() {
            let Some((draft, false)) = self.place(numbers, &name) else {
                continue;
            };
            if has_addresses(&draft.own) {
                continue;
            }
            let (ipv4, ipv6) = node.service_ips();
            for data in ipv4.map(Data::A).into_iter().chain(ipv6.map(Data::Aaaa)) {
                let kind = match data {
                    Data::A(_) => RecordKind::A,
                    _ => RecordKind::Aaaa,
                };
                draft.own.insert(kind, (seconds(ttl), vec![data]));
            }
        }
    }

    /// The draft of `name`, or that of the name right above where `name` is a wildcard (then `true`). `None` outside
    /// all zones.
    fn place(
        &mut self,
        numbers: &BTreeMap<DomainName, u32>,
        name: &DomainName,
    ) -> Option<(&mut Draft, bool)> {
        let wildcard = name.is_wildcard();
        let at = if wildcard { name.parent()? } else { name.clone() };
        self.plant(numbers, &at);
        self.names.get_mut(&at).map(|draft| (draft, wildcard))
    }

    /// Makes `name` exist, and all that lies between it and its zone; and where that zone lies in another, the same there.
    fn plant(&mut self, numbers: &BTreeMap<DomainName, u32>, name: &DomainName) {
        for name in name.and_above() {
            let Some((_, zone)) = innermost(numbers, &name) else {
                break;
            };
            self.names.entry(name).or_insert(Draft {
                zone: *zone,
                ..Draft::default()
            });
        }
    }

    /// Hands what wildcards of hosts and delegations say down to the names below, from the top.
    fn inherit(&mut self, numbers: &BTreeMap<DomainName, u32>) {
        let mut order: Vec<DomainName> = self.names.keys().cloned().collect();
        order.sort_by_key(DomainName::labels);
        for name in order {
            let is_apex = numbers.contains_key(&name);
            let above = name
                .parent()
                .filter(|_| !is_apex)
                .and_then(|parent| self.names.get(&parent))
                .map(|above| (above.cover, above.cut.clone()));
            let (cover, cut) = above.unwrap_or_default();
            let Some(draft) = self.names.get_mut(&name) else {
                continue;
            };
            draft.cut = cut.or_else(|| {
                let is_cut = !is_apex && draft.own.contains_key(&RecordKind::Ns);
                is_cut.then(|| name.clone())
            });
            if !has_addresses(&draft.own) {
                draft.steered = draft.steered.or(cover);
            }
            draft.cover = draft.cover.or(cover);
        }
    }
}

/// Whether fixed records leave no room for addresses of the CDN's choice.
pub(super) fn has_addresses(fixed: &Fixed) -> bool {
    fixed.keys().any(|kind| !kind.suits_a_steered_name())
}

/// A time as it is sent.
pub(super) fn seconds(period: model::Period) -> u32 {
    u32::try_from(period.0.as_secs()).unwrap_or(u32::MAX)
}
