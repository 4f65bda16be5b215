//! One line of JSON, written field by field into a buffer.
//!
//! Keys are literals that need no escaping and most values are plain, so both are copied as they are; what needs care
//! goes through serde_json. That takes half the time of a derived serialiser, on a path that every request takes.

use std::{fmt::Display, io::Write};

use model::Moment;

use super::text::{self, Care};

/// A line that is being written.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    /// What stands before the next key.
    separator: u8,
}

impl<'a> Line<'a> {
    /// Begins a line.
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Line<'a> {
        Line { out, separator: b'{' }
    }

    /// Ends the line.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    /// Text from a client or upstream, treated with `care`.
    pub(super) fn text(&mut self, key: &'static str, text: &[u8], care: Care) {
        self.key(key);
        text::write(self.out, text, care);
    }

    /// The same, or `null`.
    pub(super) fn text_or_null(&mut self, key: &'static str, text: Option<&[u8]>, care: Care) {
        match text {
            Some(text) => self.text(key, text, care),
            None => self.null(key),
        }
    }

    /// A number, or `null`.
    pub(super) fn number_or_null(&mut self, key: &'static str, number: Option<u64>) {
        match number {
            Some(number) => self.number(key, number),
            None => self.null(key),
        }
    }

    /// A number.
    pub(super) fn number(&mut self, key: &'static str, number: u64) {
        self.key(key);
        self.out
            .extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, flag: bool) {
        self.key(key);
        self.out.extend_from_slice(if flag { b"true" } else { b"false" });
    }

    /// A moment, as RFC 3339 has it.
    pub(super) fn moment(&mut self, key: &'static str, moment: Moment) {
        self.literal(key, &moment.rfc3339_bytes());
    }

    /// What shows itself without anything that needs escaping, such as an address.
    pub(super) fn shown(&mut self, key: &'static str, value: impl Display) {
        self.key(key);
        write!(self.out, "\"{value}\"").expect("a Vec takes everything");
    }

    /// Bytes that need no escaping, such as digits.
    pub(super) fn literal(&mut self, key: &'static str, value: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(value);
        self.out.push(b'"');
    }

    fn null(&mut self, key: &'static str) {
        self.key(key);
        self.out.extend_from_slice(b"null");
    }

    #[inline]
    fn key(&mut self, key: &'static str) {
        self.out.extend_from_slice(&[self.separator, b'"']);
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.separator = b',';
    }
}
