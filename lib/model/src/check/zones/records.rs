//! What can be wrong with a record by itself.

use super::{Complaints, RECORDS_MAX, Sound, TTL_MAX, check_time};
use crate::{Zone, zone::DomainName};

/// Reads the records of a zone, and complains of those that cannot be.
pub(super) fn read(zone: &Zone, origin: &DomainName, at: &str, complaints: &mut Complaints) -> Vec<Sound> {
    if zone.records.len() > RECORDS_MAX {
        complaints.add(
            format!("{at}.records"),
            format!("{} records are more than {RECORDS_MAX}", zone.records.len()),
            "make zones of their own of its parts",
        );
        return Vec::new();
    }
    let mut sound = Vec::new();
    for (nth, record) in zone.records.iter().enumerate() {
        let at = format!("{at}.records[{nth}]");
        if let Some(ttl) = record.ttl {
            check_time(format!("{at}.ttl"), ttl, TTL_MAX, complaints);
        }
        let owner = match record.owner(origin) {
            // `www.cdn.example` in `cdn.example` would be `www.cdn.example.cdn.example`.
            Ok(_) if DomainName::read(&record.name).is_ok_and(|whole| whole.is_within(origin)) => {
                complaints.add(
                    format!("{at}.name"),
                    format!("{:?} already ends in the name of the zone", record.name),
                    format!("write it relative to {origin}, and \"@\" for the zone itself"),
                );
                None
            }
            Ok(owner) => Some(owner),
            Err(error) => {
                complaints.add(
                    format!("{at}.name"),
                    error.to_string(),
                    format!("write it relative to {origin}, such as \"www\", or \"@\" for the zone itself"),
                );
                None
            }
        };
        let data = match record.read() {
            Ok(data) => Some(data),
            Err(error) => {
                complaints.add(format!("{at}.data"), error.what, error.advice);
                None
            }
        };
        if let (Some(owner), Some(data)) = (owner, data) {
            sound.push(Sound {
                at,
                owner,
                kind: record.kind,
                data,
                ttl: record.ttl.unwrap_or(zone.ttl),
            });
        }
    }
    sound
}
