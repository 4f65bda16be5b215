//! Which site: the best that is up, unless the client is one of those for whom it has no room.

use super::decision::{Reason, SITES_CONSIDERED};
use super::draw::{self, ClientPrefix};
use super::explain::{Listener, Step};
use super::few::Few;
use super::fleet::SiteId;
use super::question::Question;
use super::world::{SiteNow, World};

/// Which site a client goes to.
pub(super) struct SiteChoice {
    pub(super) site: SiteId,
    /// The others that serve and suit the client.
    pub(super) others: Few<SiteId, SITES_CONSIDERED>,
    pub(super) reason: Reason,
    pub(super) by_prefix: bool,
}

/// Chooses a site; `None` where none serves. `service` is the hash of the service.
pub(super) fn choose<L: Listener>(
    world: &World,
    question: &Question<'_>,
    service: u64,
    listener: &mut L,
) -> Option<SiteChoice> {
    let near = nearest_that_serve(world, question, listener);
    let home = *near.first()?;
    let (site, by_prefix) = stay_or_spill(world, question, service, &near, home, listener);
    let reason = if world.panic {
        Reason::Panic
    } else if question.ranking.first().is_some_and(|first| *first != home) {
        Reason::Failover
    } else if site != home {
        Reason::Spill
    } else {
        Reason::from(question.evidence)
    };
    let mut others = Few::default();
    for other in near.iter().filter(|other| **other != site) {
        others.push(*other);
    }
    Some(SiteChoice {
        site,
        others,
        reason,
        by_prefix,
    })
}

/// The first few sites that serve: of the ranking, and after it of all others by their distance from its first.
fn nearest_that_serve<L: Listener>(
    world: &World,
    question: &Question<'_>,
    listener: &mut L,
) -> Few<SiteId, SITES_CONSIDERED> {
    let mut near: Few<SiteId, SITES_CONSIDERED> = Few::default();
    let first = question.ranking.first().copied().unwrap_or_default();
    let unranked = world.fleet.site(first).map_or(&[][..], |site| &site.neighbours);
    let begin = if question.ranking.is_empty() {
        &[SiteId(0)][..]
    } else {
        question.ranking
    };
    let not_ranked = unranked.iter().filter(|site| !begin.contains(site));
    for site in begin.iter().chain(not_ranked) {
        if near.is_full() {
            break;
        }
        if world.site(*site).is_some_and(|now| now.serves(question.wants)) {
            near.push(*site);
        } else {
            listener.hear(|| Step::SiteDown {
                site: world.site_name(*site),
            });
        }
    }
    near
}

/// Where a client goes whose own site is `home`, and whether its prefix had a say in that.
fn stay_or_spill<L: Listener>(
    world: &World,
    question: &Question<'_>,
    service: u64,
    near: &[SiteId],
    home: SiteId,
    listener: &mut L,
) -> (SiteId, bool) {
    let client = ClientPrefix::of(question.client);
    let known = |site: SiteId| Some((world.site(site)?, world.fleet.site(site)?.hash));
    let Some((now, hash)) = known(home) else {
        return (home, false);
    };
    let accept = now.share.accept;
    let drawn = (accept < 1.0).then(|| draw::stay(client, service, hash));
    let stays = drawn.is_none_or(|drawn| drawn < accept);
    listener.hear(|| Step::Stays {
        site: world.site_name(home),
        drawn,
        accept,
        headroom: now.share.headroom,
        stays,
    });
    if stays {
        return (home, drawn.is_some());
    }
    for host in near.iter().copied().filter(|site| *site != home) {
        let Some((now, hash)) = known(host) else { continue };
        let take_in = take_in_of(now);
        let drawn = (take_in > 0.0 && take_in < 1.0).then(|| draw::take_in(client, service, hash));
        let taken_in = drawn.map_or(take_in >= 1.0, |drawn| drawn < take_in);
        listener.hear(|| Step::TakenIn {
            site: world.site_name(host),
            drawn,
            take_in,
            headroom: now.share.headroom,
            taken_in,
        });
        if taken_in {
            return (host, true);
        }
    }
    listener.hear(|| Step::Kept {
        site: world.site_name(home),
    });
    (home, true)
}

/// A site that sheds clients of its own takes in nobody else's.
fn take_in_of(now: &SiteNow) -> f64 {
    if now.share.accept < 1.0 {
        0.0
    } else {
        now.share.take_in
    }
}
