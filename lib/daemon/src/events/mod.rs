//! Server-sent events as they come over the wire (WHATWG HTML §9.2), piece by piece, within a bound.
//!
//! The crates that read them hold an event however large it grows; what comes from another machine needs a bound.

use std::fmt;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What kind; `message` where none is named.
    pub kind: String,
    /// Its lines, joined.
    pub data: String,
    /// The id, where one is given.
    pub id: Option<String>,
}

/// An event grew larger than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The bound, bytes.
    pub most: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event is larger than {} bytes", self.most)
    }
}

impl std::error::Error for TooLarge {}

/// Reads a stream of events.
#[derive(Debug)]
pub struct Reader {
    most: usize,
    line: Vec<u8>,
    /// A carriage return came last: a line feed right after it belongs to it.
    after_return: bool,
    event: Event,
    has_data: bool,
    size: usize,
}

impl Reader {
    /// A reader of events of at most `most` bytes each, as they come over the wire. What is no UTF-8 in them is replaced.
    #[must_use]
    pub fn new(most: usize) -> Reader {
        Reader {
            most,
            line: Vec::new(),
            after_return: false,
            event: Event::default(),
            has_data: false,
            size: 0,
        }
    }

    /// Takes in the next bytes, and gives the events that they complete.
    ///
    /// # Errors
    ///
    /// When an event grows beyond the bound; the stream cannot be read on.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            self.size += piece.len();
            if self.size > self.most {
                return Err(TooLarge { most: self.most });
            }
            self.line.extend_from_slice(piece);
            let Some(end) = end else { break };
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            if line.is_empty() {
                events.extend(self.dispatch());
            } else {
                self.field(&String::from_utf8_lossy(&line));
            }
        }
        Ok(events)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            "id" => self.event.id = Some(value.to_owned()),
            // `retry`, comments (whose name is empty) and what is not known.
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.size = 0;
        let mut event = std::mem::take(&mut self.event);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        if event.kind.is_empty() {
            event.kind = "message".to_owned();
        }
        Some(event)
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b": hello\r\n\r\nid: 5-1\r\nevent: diff\r\ndata: {\"a\":1}\r\n\r\ndata: one\ndata:two\n\nevent: none\n\ndata\r\r";

    #[test]
    fn events_are_read_whatever_the_pieces() {
        let event = |kind: &str, data: &str, id: Option<&str>| Event {
            kind: kind.into(),
            data: data.into(),
            id: id.map(str::to_owned),
        };
        let expected = [
            event("diff", "{\"a\":1}", Some("5-1")),
            event("message", "one\ntwo", None),
            event("message", "", None),
        ];
        for size in 1..=TEXT.len() {
            let mut reader = Reader::new(100);
            let events: Vec<Event> = TEXT
                .chunks(size)
                .flat_map(|piece| reader.read(piece).unwrap())
                .collect();
            assert_eq!(events, expected, "pieces of {size}");
        }
    }

    #[test]
    fn an_event_beyond_the_bound_ends_the_reading() {
        let mut reader = Reader::new(10);
        assert_eq!(
            reader.read(b"data: 123\n\ndata: 123"),
            Ok(vec![Event {
                kind: "message".into(),
                data: "123".into(),
                id: None
            }])
        );
        assert_eq!(reader.read(b"45"), Err(TooLarge { most: 10 }));
    }
}
