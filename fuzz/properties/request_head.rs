//! The head of an HTTP/1 request: however it comes in, it is read as one thing or refused.

use bytes::Bytes;

use super::request::RequestHead;
use super::scan::{HeadFault, HeadScan, MOST_FIELDS, Progress};

/// The largest head, as the front door has it by default.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Bytes at once and in pieces are read alike; what is taken apart is no more than came, and says the same when it is
/// written down and read again.
pub fn holds(bytes: &[u8]) {
    let at_once = read(bytes, bytes.len().max(1));
    for step in [1, 7] {
        assert_eq!(said(&read(bytes, step)), said(&at_once), "in pieces of {step}");
    }
    let Ok(Some(head)) = at_once else { return };
    assert!(head.fields.len() <= MOST_FIELDS);
    assert!(head.target().len() <= bytes.len());
    let mut written = format!("{} ", head.method).into_bytes();
    match head.authority() {
        // The absolute form; its path may be empty.
        Some(authority) if !head.fields.contains_key("host") => {
            written.extend_from_slice(format!("http://{authority}{}", head.target()).as_bytes());
        }
        _ if head.target().is_empty() => return,
        _ => written.extend_from_slice(head.target().as_bytes()),
    }
    written.extend_from_slice(format!(" {:?}\r\n", head.version).as_bytes());
    for (name, value) in &head.fields {
        written.extend_from_slice(name.as_str().as_bytes());
        written.extend_from_slice(b": ");
        written.extend_from_slice(value.as_bytes());
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(b"\r\n");
    let again = read(&written, written.len());
    let (Ok(Some(again)), true) = (again, written.len() < HEAD_BYTES_MAX) else {
        assert!(
            written.len() >= HEAD_BYTES_MAX,
            "what was read cannot be read again: {written:?}"
        );
        return;
    };
    assert_eq!(
        (again.method, again.version, again.framing),
        (head.method, head.version, head.framing)
    );
    assert_eq!(again.fields, head.fields);
}

/// What reading came to, to be compared.
fn said(read: &Result<Option<RequestHead>, HeadFault>) -> String {
    match read {
        Ok(Some(head)) => format!(
            "{} {:?} {:?} {:?} {:?} {:?}",
            head.method,
            head.target(),
            head.authority(),
            head.version,
            head.fields,
            head.framing
        ),
        Ok(None) => "nothing yet".to_owned(),
        // Which of several faults is found first hinges on how much was there.
        Err(_) => "refused".to_owned(),
    }
}

/// Reads a head that comes in pieces of `step` bytes, and takes it apart.
fn read(bytes: &[u8], step: usize) -> Result<Option<RequestHead>, HeadFault> {
    let mut scan = HeadScan::new(HEAD_BYTES_MAX);
    let mut there = 0;
    while there < bytes.len() {
        there = (there + step).min(bytes.len());
        if let Progress::Complete { length, framing } = scan.advance(&bytes[..there])? {
            assert!(length <= there && length <= HEAD_BYTES_MAX);
            let head = Bytes::copy_from_slice(&bytes[..length]);
            return RequestHead::take_apart(head, &scan, framing).map(Some);
        }
    }
    Ok(None)
}
