//! Which fields of a response are kept with it (RFC 9111 §3.1, RFC 9110 §7.6.1).

use http::{HeaderMap, HeaderName, header};

use super::{directives::members, targeted::withheld};

/// Fields that belong to one connection or one hop, and `Age`, which is made anew for each answer.
const NOT_STORED: [HeaderName; 12] = [
    header::AGE,
    header::CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What is stored of a response's fields: all but those of one hop, those that `Connection` names, those that
/// `private` and `no-cache` name, and `Age`.
#[must_use]
pub fn storable_fields(response: &HeaderMap) -> HeaderMap {
    let mut fields = response.clone();
    for named in response
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| members(value.as_bytes()))
    {
        if let Ok(name) = HeaderName::from_bytes(named) {
            fields.remove(name);
        }
    }
    for name in withheld(response) {
        fields.remove(name);
    }
    for name in NOT_STORED {
        fields.remove(name);
    }
    fields
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        fields
    }

    /// RFC 9111 §3.1.
    #[test]
    fn what_belongs_to_one_hop_is_not_stored() {
        let response = fields(&[
            ("age", "10"),
            (
                "cache-control",
                "max-age=15, private=\"x-mine\", no-cache=\"x-asked\"",
            ),
            ("connection", "close, X-Hop"),
            ("connection", "x-other-hop, not a name"),
            ("content-length", "5"),
            ("content-type", "video/mp4"),
            ("etag", "\"a\""),
            ("http2-settings", "x"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authentication-info", "x"),
            ("proxy-authorization", "x"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("via", "1.1 parent"),
            ("x-asked", "1"),
            ("x-hop", "1"),
            ("x-mine", "1"),
            ("x-other-hop", "2"),
            ("x-kept", "one"),
            ("x-kept", "two"),
        ]);
        let kept = fields(&[
            (
                "cache-control",
                "max-age=15, private=\"x-mine\", no-cache=\"x-asked\"",
            ),
            ("content-length", "5"),
            ("content-type", "video/mp4"),
            ("etag", "\"a\""),
            ("via", "1.1 parent"),
            ("x-kept", "one"),
            ("x-kept", "two"),
        ]);
        assert_eq!(storable_fields(&response), kept);
    }
}
