//! `traceparent` (W3C Trace Context, level 2) and request ids: one thread through player, edge, parent and origin.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::Rng;

/// The field's name.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add to it; passed on as it came.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Length of a version 00 value: `00-` trace id `-` parent id `-` flags (§3.2.2).
const TRACEPARENT_BYTES: usize = 55;
/// §3.2.2.5.1: someone before us records this trace.
const FLAG_SAMPLED: u8 = 0b01;
/// §3.2.2.5.2: the last seven bytes of the trace id are random.
const FLAG_RANDOM: u8 = 0b10;

/// The trace a request belongs to, and this node's part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Shared by all who handle the request; never 0.
    pub trace_id: u128,
    /// This node's own; becomes the parent of what it asks upstream; never 0.
    pub span_id: u64,
    /// Whether the trace is recorded; decided by who began it.
    pub sampled: bool,
    /// Whether `trace_id` is known to be random, which level 2 asks to be passed on.
    random: bool,
    /// Whether the client's own trace goes on; its `tracestate` is worth something only then.
    continued: bool,
}

impl Trace {
    /// Continues the trace that the request names, or begins one (§4.3): a field that is absent, malformed or there
    /// twice is answered by a new trace, sampled as `sample_new` says.
    pub fn of_request(headers: &HeaderMap, random: &mut impl Rng, sample_new: bool) -> Trace {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let received = match (lines.next(), lines.next()) {
            (Some(line), None) => parse(line.as_bytes()),
            _ => None,
        };
        let span_id = not_zero(random.random::<u64>());
        match received {
            Some((trace_id, flags)) => Trace {
                trace_id,
                span_id,
                sampled: flags & FLAG_SAMPLED != 0,
                random: flags & FLAG_RANDOM != 0,
                continued: true,
            },
            None => Trace {
                trace_id: random.random::<u128>().max(1),
                span_id,
                sampled: sample_new,
                random: true,
                continued: false,
            },
        }
    }

    /// The value that goes upstream.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(self.trace_id, &mut text[3..35]);
        write_hex(self.span_id.into(), &mut text[36..52]);
        let flags = (u8::from(self.sampled) * FLAG_SAMPLED) | (u8::from(self.random) * FLAG_RANDOM);
        write_hex(flags.into(), &mut text[53..]);
        HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes")
    }

    /// Sets the fields of a request on its way up. The `tracestate` of a trace that was not continued goes (§3.3).
    pub fn apply(&self, request: &mut HeaderMap) {
        request.insert(TRACEPARENT, self.value());
        if !self.continued {
            request.remove(TRACESTATE);
        }
    }

    /// The trace id in hexadecimal.
    #[must_use]
    pub fn trace_id_hex(&self) -> Hex128 {
        Hex128::new(self.trace_id)
    }
}

/// Trace id and flags of a field value, or `None` where it is to be ignored (§3.2.2, §4.3).
fn parse(text: &[u8]) -> Option<(u128, u8)> {
    let (known, rest) = text.split_at_checked(TRACEPARENT_BYTES)?;
    let version = hex(&known[..2])?;
    let version_fits = match version {
        0 => rest.is_empty(),
        0xff => false,
        // Later versions may add fields, after another dash.
        _ => rest.is_empty() || rest[0] == b'-',
    };
    if !version_fits || [known[2], known[35], known[52]] != [b'-'; 3] {
        return None;
    }
    let trace_id = hex(&known[3..35])?;
    let parent_id = hex(&known[36..52])?;
    let flags = u8::try_from(hex(&known[53..])?).ok()?;
    (trace_id != 0 && parent_id != 0).then_some((trace_id, flags))
}

/// The number that lower-case hexadecimal digits say; upper case is invalid (§3.2.2).
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// Fills `out` with the lowest digits of `number`.
fn write_hex(mut number: u128, out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(number & 0xf) as usize];
        number >>= 4;
    }
}

fn not_zero(number: u64) -> u64 {
    number.max(1)
}

/// The name of one request in this node's logs: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u128);

impl RequestId {
    /// A new one.
    pub fn random(random: &mut impl Rng) -> RequestId {
        RequestId(random.random())
    }

    /// The id in hexadecimal.
    #[must_use]
    pub fn hex(self) -> Hex128 {
        Hex128::new(self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hex().as_str())
    }
}

/// 128 bits as 32 hexadecimal digits, on the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex128([u8; 32]);

impl Hex128 {
    /// The digits of `number`.
    #[must_use]
    pub fn new(number: u128) -> Hex128 {
        let mut digits = [0; 32];
        write_hex(number, &mut digits);
        Hex128(digits)
    }

    /// The digits as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn traced(lines: &[&str], sample_new: bool) -> Trace {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACEPARENT, HeaderValue::from_str(line).expect(line));
        }
        Trace::of_request(&headers, &mut SmallRng::seed_from_u64(7), sample_new)
    }

    #[test]
    fn a_trace_is_continued_under_a_new_span() {
        let trace = traced(&[GIVEN], false);
        assert_eq!(trace.trace_id_hex().as_str(), "0af7651916cd43dd8448eb211c80319c");
        assert!(trace.sampled);
        assert_ne!(trace.span_id, 0xb7ad_6b71_6920_3331);
        let sent = trace.value();
        let sent = sent.to_str().expect("ASCII");
        assert_eq!(
            sent,
            format!("00-0af7651916cd43dd8448eb211c80319c-{:016x}-01", trace.span_id)
        );
        assert_eq!(traced(&[sent], false).trace_id, trace.trace_id);
    }

    #[test]
    fn flags_are_kept_and_unknown_ones_are_not_invented() {
        for (flags, expected) in [
            ("00", "00"),
            ("01", "01"),
            ("02", "02"),
            ("03", "03"),
            ("ff", "03"),
            ("04", "00"),
        ] {
            let trace = traced(&[&format!("{}{flags}", &GIVEN[..53])], true);
            assert!(trace.continued, "{flags}");
            assert!(
                trace
                    .value()
                    .to_str()
                    .expect("ASCII")
                    .ends_with(&format!("-{expected}")),
                "{flags}"
            );
        }
    }

    /// §3.2.2.1: what a later version begins with is read as version 00.
    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        for value in [
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-next",
        ] {
            let trace = traced(&[value], false);
            assert!(trace.continued, "{value}");
            assert!(
                trace
                    .value()
                    .to_str()
                    .expect("ASCII")
                    .starts_with("00-0af7651916cd43dd8448eb211c80319c-")
            );
        }
    }

    #[test]
    fn what_is_malformed_begins_a_new_trace() {
        for lines in [
            &[][..],
            &[""],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-"],
            &["00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01"],
            &["00-00000000000000000000000000000000-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
            &["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            &["00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01"],
            &["cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x"],
            &[GIVEN, GIVEN],
        ] {
            for sample_new in [false, true] {
                let trace = traced(lines, sample_new);
                assert!(!trace.continued, "{lines:?}");
                assert_ne!(
                    trace.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
                    "{lines:?}"
                );
                assert_eq!(trace.sampled, sample_new);
                let flags = if sample_new { "-03" } else { "-02" };
                assert!(
                    trace.value().to_str().expect("ASCII").ends_with(flags),
                    "{lines:?}"
                );
            }
        }
    }

    #[test]
    fn tracestate_goes_with_a_trace_that_is_continued_and_only_then() {
        for (traceparent, kept) in [(GIVEN, true), ("nonsense", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, HeaderValue::from_static(traceparent));
            headers.insert(TRACESTATE, HeaderValue::from_static("congo=t61rcWkgMzE"));
            let trace = Trace::of_request(&headers, &mut SmallRng::seed_from_u64(7), false);
            trace.apply(&mut headers);
            assert_eq!(headers.contains_key(TRACESTATE), kept);
            assert_eq!(
                headers.get_all(TRACEPARENT).iter().collect::<Vec<_>>(),
                [&trace.value()]
            );
        }
    }

    #[test]
    fn request_ids_are_32_digits_and_differ() {
        let mut random = SmallRng::seed_from_u64(7);
        let ids = [RequestId::random(&mut random), RequestId::random(&mut random)];
        assert_ne!(ids[0], ids[1]);
        assert_eq!(RequestId(0xab).to_string(), "000000000000000000000000000000ab");
    }
}
