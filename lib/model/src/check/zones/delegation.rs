//! What can be wrong where a zone leaves a part of itself to others.

use super::{Complaints, Read};
use crate::zone::{Data, RecordKind, ServiceHost};

pub(super) fn check(read: &Read<'_>, hosts: &[ServiceHost<'_>], complaints: &mut Complaints) {
    for cut in &read.cuts {
        if cut.is_wildcard() {
            for record in read.of(cut, RecordKind::Ns) {
                complaints.add(
                    format!("{}.name", record.at),
                    "what a wildcard stands for cannot be left to others",
                    "name what is left to them",
                );
            }
            continue;
        }
        for record in read.of(cut, RecordKind::Ns) {
            let Data::Ns(server) = &record.data else { continue };
            if server.is_within(cut) && !read.has_address(server) {
                complaints.add(
                    format!("{}.data", record.at),
                    format!("{server} has no address here, and nobody could ask it for its own"),
                    format!("add its A or AAAA record to {}.records", read.at),
                );
            }
        }
        let servers = || {
            read.of(cut, RecordKind::Ns)
                .filter_map(|record| match &record.data {
                    Data::Ns(server) => Some(server),
                    _ => None,
                })
        };
        for record in read.records.iter().filter(|record| record.owner.is_within(cut)) {
            let is_glue = matches!(record.kind, RecordKind::A | RecordKind::Aaaa)
                && servers().any(|server| *server == record.owner);
            let is_own = record.kind == RecordKind::Ns && record.owner == *cut;
            if !is_glue && !is_own {
                complaints.add(
                    &record.at,
                    format!(
                        "{} is left to the servers of {cut}, which answer for it",
                        record.owner
                    ),
                    "remove the record here, or the NS records above it",
                );
            }
        }
        for host in hosts.iter().filter(|host| host.name.is_within(cut)) {
            let (service, nth) = host.at;
            complaints.add(
                format!("services.{service}.hosts[{nth}]"),
                format!("{} is left to the servers of {cut}", host.name),
                format!(
                    "remove the NS records of {cut} from {}.records, or the host",
                    read.at
                ),
            );
        }
    }
}
