//! What must hold of any bytes. Each property is a function that panics where it does not; the fuzz targets call it
//! with bytes that reach new code, and tests of the rooms call it with a bounded number of random ones and with the corpus.
//!
//! The readers of HTTP/1 and of events are small files without dependencies of their own, and what answers queries of
//! DNS is a folder that needs the model alone. They are taken in by path, so that fuzzing them does not build a whole
//! proxy or router.
#![allow(dead_code, unreachable_pub, reason = "files that are taken in by path have more than is used here")]

#[path = "../properties/policy.rs"]
pub mod policy;

#[path = "../properties/request_head.rs"]
pub mod request_head;

#[path = "../properties/chunked_body.rs"]
pub mod chunked_body;

#[path = "../properties/events.rs"]
pub mod event_stream;

#[path = "../../lib/daemon/src/events/mod.rs"]
mod events;

#[path = "../properties/dns_query.rs"]
pub mod dns_query;

#[path = "../../router/src/dns/authority/mod.rs"]
mod authority;

#[path = "../properties/proxied.rs"]
pub mod proxied;

#[path = "../../router/src/http/client.rs"]
mod client;

#[path = "../../lib/proxy/src/framing/mod.rs"]
mod framing;
mod headers;
#[path = "../../lib/proxy/src/front/http1/request.rs"]
mod request;
#[path = "../../lib/proxy/src/front/http1/scan.rs"]
mod scan;
