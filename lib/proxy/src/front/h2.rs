//! HTTP/2 as the front door wants it: the bounds that the application gives the crate `h2`.

use std::time::Duration;

use h2::server::Builder;

use super::config::FrontConfig;

/// Requests one client may have open at once: browsers open as many as they are let, players a handful.
pub const MOST_STREAMS: u32 = 128;

/// Streams that a client reset before they were looked at; one more ends the connection ("rapid reset",
/// CVE-2023-44487).
pub const MOST_PENDING_RESETS: usize = 20;

/// Streams that had to be reset for the client's faults before the connection ends ("made you reset",
/// CVE-2025-8671).
pub const MOST_FAULTY_STREAMS: usize = 256;

/// Bytes of answers queued for one stream: two reads from the cache, so that one waits while one is sent.
pub const SEND_BUFFER_BYTES: usize = 512 * 1024;

/// Bytes of a request's body that a client may send ahead.
pub const REQUEST_WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes of the table that compresses fields, per connection (RFC 7541 §4.2).
pub const FIELD_TABLE_BYTES: u32 = 4096;

/// How long a reset stream is remembered, so that frames on their way to it are no fault.
const RESET_MEMORY: Duration = Duration::from_secs(1);

/// How connections are served.
#[must_use]
pub fn options(config: &FrontConfig) -> Builder {
    let mut options = Builder::new();
    options
        .max_header_list_size(u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(MOST_STREAMS)
        .max_pending_accept_reset_streams(MOST_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MOST_FAULTY_STREAMS))
        .max_concurrent_reset_streams(MOST_STREAMS as usize)
        .reset_stream_duration(RESET_MEMORY)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .initial_window_size(REQUEST_WINDOW_BYTES)
        .initial_connection_window_size(4 * REQUEST_WINDOW_BYTES)
        .header_table_size(FIELD_TABLE_BYTES);
    options
}
