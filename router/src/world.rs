//! All that answers are made of, whatever protocol they go out by. Immutable, and swapped whole.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use model::Country;
use xxhash_rust::xxh3::xxh3_64;

use crate::decide::{
    self, Decision, EdgeId, Evidence, Family, Key, PREFIX_BITS_V4, PREFIX_BITS_V6, Question, Reason,
    ServiceId, SiteId, Step,
};
use crate::dns;
use crate::dns::authority::Zones;
use crate::dns::authority::steer::{self, Addresses, Asked, Steer, Steered, Verdict};
use crate::geo::ranking;
use crate::geo::table::{Found, Table};
use crate::memo::{self, About, Decided};
use crate::routes::{Protocol, Routes};
use crate::tallies::Tallies;

/// The world.
pub(crate) struct World {
    /// Its own: no two worlds of a process have the same.
    pub(crate) number: u64,
    pub(crate) zones: Arc<Zones>,
    pub(crate) table: Arc<Table>,
    /// The fleet, who is up, and who should get how much.
    pub(crate) present: decide::World,
    pub(crate) routes: Arc<Routes>,
    pub(crate) tallies: Arc<Tallies>,
    /// One decision in so many is logged; 0 is none.
    pub(crate) logged: u32,
}

/// What was decided, for counters, tallies and the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) protocol: Protocol,
    pub(crate) service: ServiceId,
    pub(crate) key: u64,
    pub(crate) reason: Reason,
    /// Where it leads: a site, and its first node.
    pub(crate) site: Option<SiteId>,
    edge: Option<EdgeId>,
    /// The client's own network took part.
    by_prefix: bool,
    found: Found,
}

thread_local! {
    /// Decisions of this thread since it last logged one.
    static UNLOGGED: Cell<u32> = const { Cell::new(0) };
}

impl Outcome {
    pub(crate) fn of(protocol: Protocol, wish: Wish, decision: &Decision<'_>, found: Found) -> Outcome {
        Outcome {
            protocol,
            service: wish.service,
            key: wish.key.hash(),
            reason: decision.reason,
            site: decision.site,
            edge: decision.nodes.first().map(|choice| choice.edge),
            by_prefix: decision.by_prefix,
            found,
        }
    }
}

/// A question without where its asker is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) service: ServiceId,
    pub(crate) key: Key,
    pub(crate) wants: Option<Family>,
}

impl World {
    /// Decides where `client` goes, and gives what is known of where it is.
    pub(crate) fn place(&self, client: IpAddr, wish: Wish) -> (Decision<'_>, Found) {
        let found = self.table.find(client);
        (
            decide::decide(&self.present, &self.question(client, wish, found)),
            found,
        )
    }

    /// The same, with every step.
    pub(crate) fn explain(&self, client: IpAddr, wish: Wish) -> (Decision<'_>, Found, Vec<Step>) {
        let found = self.table.find(client);
        let (decision, steps) = decide::explain(&self.present, &self.question(client, wish, found));
        (decision, found, steps)
    }

    /// The first node that `client` would have at `site`, whatever site was chosen.
    pub(crate) fn first_node(
        &self,
        client: IpAddr,
        wish: Wish,
        found: Found,
        site: SiteId,
    ) -> Option<EdgeId> {
        let nodes = decide::at(&self.present, site, &self.question(client, wish, found));
        nodes.first().map(|choice| choice.edge)
    }

    /// Counts what was decided for `client`, and logs one of many.
    ///
    /// A name is one key for all that a resolver's clients want. Where it is not known how busy edges are, nothing says
    /// that it is too much for one, and answers that are the same for everybody can be kept for everybody.
    pub(crate) fn told(&self, outcome: &Outcome, client: IpAddr) {
        self.routes.count(outcome.protocol, outcome.reason, outcome.site);
        match (outcome.protocol, outcome.site) {
            (Protocol::Dns, Some(site)) if self.present.load_is_known(site) => {
                self.tallies.sample(site, outcome.key);
            }
            (Protocol::Dns, _) | (_, None) => {}
            (_, Some(site)) => self.tallies.count(site, outcome.key),
        }
        let unlogged = UNLOGGED.get() + 1;
        let due = self.logged > 0 && unlogged >= self.logged;
        UNLOGGED.set(if due { 0 } else { unlogged % u32::MAX });
        if due {
            self.log(outcome, client);
        }
    }

    #[cold]
    fn log(&self, outcome: &Outcome, client: IpAddr) {
        let fleet = &self.present.fleet;
        let node = outcome
            .site
            .zip(outcome.edge)
            .and_then(|(site, edge)| fleet.edge(site, edge));
        tracing::info!(
            protocol = outcome.protocol.as_str(),
            %client,
            service = fleet.service(outcome.service).map(|service| &*service.name),
            reason = outcome.reason.as_str(),
            evidence = self.table.ranking(outcome.found.ranking).evidence().word(),
            country = outcome.found.country.and_then(country).map(tracing::field::display),
            site = outcome.site.map(|site| self.present.site_name(site)),
            node = node.map(|node| &*node.name),
            "decided"
        );
    }

    fn question(&self, client: IpAddr, wish: Wish, found: Found) -> Question<'_> {
        let ranking = self.table.ranking(found.ranking);
        Question {
            client,
            ranking: ranking.sites(),
            evidence: evidence(ranking.evidence()),
            country: found.country.and_then(country),
            service: wish.service,
            key: wish.key,
            wants: wish.wants,
        }
    }

    /// The prefix length, in the client's family, of the network for which a decision holds (RFC 7871 §7.2.1).
    pub(crate) fn scope(client: IpAddr, decision: &Decision<'_>, found: Found) -> u8 {
        let own = match client {
            IpAddr::V4(_) => PREFIX_BITS_V4,
            // An IPv4 address that is written as one of IPv6 is told apart by its last 32 bits.
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => 96 + PREFIX_BITS_V4,
            IpAddr::V6(_) => PREFIX_BITS_V6,
        };
        if decision.by_prefix {
            found.scope.max(own)
        } else {
            found.scope
        }
    }
}

/// The code of a country, where it is one.
pub(crate) fn country(code: [u8; 2]) -> Option<Country> {
    Country::new(std::str::from_utf8(&code).ok()?)
}

fn evidence(of: ranking::Evidence) -> Evidence {
    match of {
        ranking::Evidence::Coverage { .. } => Evidence::Coverage,
        ranking::Evidence::Latency => Evidence::Latency,
        ranking::Evidence::Geography => Evidence::Geography,
        ranking::Evidence::Default => Evidence::Default,
    }
}

impl dns::World for World {
    fn zones(&self) -> &Zones {
        &self.zones
    }
}

impl Steer for World {
    fn steer(&self, asked: &Asked<'_>, addresses: &mut Addresses) -> Steered {
        let found = self.table.find(asked.client);
        let wish = World::wish_of(asked);
        let about = About {
            world: self.number,
            service: asked.service.0,
            host: wish.key.hash(),
            family: wish.wants.unwrap_or(Family::Ipv4),
            ranking: found.ranking,
            country: found.country,
        };
        if let Some(known) = memo::recall(&about) {
            *addresses = known.addresses;
            self.told(
                &Outcome {
                    found,
                    ..known.outcome
                },
                asked.client,
            );
            return Steered {
                scope: found.scope,
                ..known.steered
            };
        }
        let (steered, outcome) = self.addresses(asked, addresses);
        if !outcome.by_prefix {
            let decided = Decided {
                steered,
                addresses: *addresses,
                outcome,
            };
            memo::remember(about, decided);
        }
        self.told(&outcome, asked.client);
        steered
    }
}

impl World {
    /// What DNS asks for.
    pub(crate) fn wish_of(asked: &Asked<'_>) -> Wish {
        Wish {
            service: ServiceId(asked.service.0),
            key: Key::Host(xxh3_64(asked.host)),
            wants: Some(match asked.family {
                steer::Family::V4 => Family::Ipv4,
                steer::Family::V6 => Family::Ipv6,
            }),
        }
    }

    /// What DNS answers, and what was decided for it.
    pub(crate) fn addresses(&self, asked: &Asked<'_>, addresses: &mut Addresses) -> (Steered, Outcome) {
        let wish = World::wish_of(asked);
        let family = wish.wants.unwrap_or(Family::Ipv4);
        let (decision, found) = self.place(asked.client, wish);
        let service = self.present.fleet.service(wish.service);
        let answers = service.map_or(1, |service| service.answers);
        let ips = decision.site.into_iter().flat_map(|site| {
            let edges = decision.nodes.iter();
            edges.filter_map(move |choice| self.present.fleet.edge(site, choice.edge)?.ip(family))
        });
        let instead = decision.instead.iter().flat_map(|target| &target.addresses);
        let of_family = instead.filter(|ip| ip.is_ipv4() == (family == Family::Ipv4));
        for ip in ips.take(answers).chain(of_family.copied()) {
            // Nodes may share an address, and a set of records has each once (RFC 2181 §5).
            if !addresses.as_slice().contains(&ip) && !addresses.push(ip) {
                break;
            }
        }
        // Resolvers hold what is absent for everybody (RFC 7871 §7.4), and this is so for some, or for a while: where a
        // place outside has no addresses, nothing is said that is kept for long.
        let leads_nowhere = decision.instead.is_some_and(|target| target.addresses.is_empty());
        let verdict = match decision.reason {
            Reason::Blocked => Verdict::Refused,
            Reason::Nothing => Verdict::Failed,
            Reason::Elsewhere if leads_nowhere => Verdict::Refused,
            Reason::Bypass if leads_nowhere => Verdict::Failed,
            Reason::Disabled => Verdict::NoData,
            _ => Verdict::Addresses,
        };
        let steered = Steered {
            verdict,
            ttl: service.map_or(0, |service| {
                u32::try_from(service.ttl.as_secs()).unwrap_or(u32::MAX)
            }),
            scope: World::scope(asked.client, &decision, found),
            reason: decision.reason.as_str(),
        };
        (steered, Outcome::of(Protocol::Dns, wish, &decision, found))
    }
}
