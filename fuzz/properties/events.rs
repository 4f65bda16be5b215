//! A stream of server-sent events: the same events whatever the pieces, and none larger than the bound.

use super::events::{Event, Reader};

/// The bound on one event.
const MOST: usize = 256;

/// Bytes at once and in pieces are read alike; what is read and written down again is the same.
pub fn holds(bytes: &[u8]) {
    let at_once = read(bytes, bytes.len().max(1));
    for step in [1, 7] {
        assert_eq!(read(bytes, step), at_once, "in pieces of {step}");
    }
    let (events, _) = at_once;
    for event in &events {
        // What is no UTF-8 is replaced, at three bytes for one.
        assert!(event.data.len() <= 3 * MOST && event.kind.len() <= 3 * MOST);
        assert!(!event.kind.is_empty());
    }
    let written: String = events.iter().map(write).collect();
    let again = read(written.as_bytes(), 5).0;
    if events
        .iter()
        .all(|event| is_plain(event) && write(event).len() <= MOST)
    {
        assert_eq!(again, events);
    }
}

/// Whether an event reads back as it was: the replacement of broken UTF-8 is longer than what it stands for.
fn is_plain(event: &Event) -> bool {
    let texts = [Some(&event.kind), event.id.as_ref(), Some(&event.data)];
    texts.into_iter().flatten().all(|text| !text.contains('\u{fffd}'))
}

/// The events before the end of the bytes, unless one was too large.
fn read(bytes: &[u8], step: usize) -> (Vec<Event>, bool) {
    let mut reader = Reader::new(MOST);
    let mut events = Vec::new();
    for piece in bytes.chunks(step) {
        match reader.read(piece) {
            Ok(read) => events.extend(read),
            // What came with it in one piece is lost with the stream.
            Err(_) => return (Vec::new(), true),
        }
    }
    (events, false)
}

fn write(event: &Event) -> String {
    let id = event
        .id
        .as_ref()
        .map(|id| format!("id: {id}\n"))
        .unwrap_or_default();
    let data: String = event
        .data
        .split('\n')
        .map(|line| format!("data: {line}\n"))
        .collect();
    format!("{id}event: {}\n{data}\n", event.kind)
}
