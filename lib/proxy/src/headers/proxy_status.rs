//! `Proxy-Status` (RFC 9209): what went wrong between this node and the next, and the status that says so.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{
    cache_status::field_value,
    structured::{put_string, put_token_or_string},
};

/// The field's name.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Room for a usual member, so that writing one allocates once.
const USUAL_BYTES: usize = 128;

/// One member of the list: what one proxy met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyStatus<'a> {
    /// The proxy's name.
    pub proxy: &'a str,
    /// What went wrong (§2.1.1).
    pub error: ErrorType,
    /// Who was asked: the name of a node or an origin's host (§2.1.2). Origins are shown to clients by name only.
    pub next_hop: Option<&'a str>,
    /// What the next hop answered, where it did (§2.1.4).
    pub received_status: Option<StatusCode>,
    /// Anything that helps an operator and that anyone may know (§2.1.5).
    pub details: Option<&'a str>,
}

/// Declares the error types as one table: variant, token (RFC 9209 §2.3), status sent to the client.
macro_rules! error_types {
    ($($(#[$doc:meta])* $variant:ident, $token:literal, $status:ident;)*) => {
        /// A kind of failure (RFC 9209 §2.3), with the status that RFC recommends for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorType { $($(#[$doc])* $variant,)* }

        impl ErrorType {
            /// All of them.
            pub const ALL: &[ErrorType] = &[$(ErrorType::$variant,)*];

            /// The token that stands for it.
            #[must_use]
            pub fn token(self) -> &'static str {
                match self { $(ErrorType::$variant => $token,)* }
            }

            /// The status a client is answered with.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(ErrorType::$variant => StatusCode::$status,)* }
            }

            /// The type a token stands for.
            #[must_use]
            pub fn from_token(token: &str) -> Option<ErrorType> {
                match token { $($token => Some(ErrorType::$variant),)* _ => None }
            }
        }
    };
}

error_types! {
    /// No answer from the name servers in time.
    DnsTimeout, "dns_timeout", GATEWAY_TIMEOUT;
    /// The name servers answered with an error or with no address.
    DnsError, "dns_error", BAD_GATEWAY;
    /// There is nowhere to send the request.
    DestinationNotFound, "destination_not_found", INTERNAL_SERVER_ERROR;
    /// All that could be asked is known to be down.
    DestinationUnavailable, "destination_unavailable", SERVICE_UNAVAILABLE;
    /// The name resolves to addresses that the service does not allow.
    DestinationIpProhibited, "destination_ip_prohibited", BAD_GATEWAY;
    /// No route to the address.
    DestinationIpUnroutable, "destination_ip_unroutable", BAD_GATEWAY;
    /// The next hop refused the connection.
    ConnectionRefused, "connection_refused", BAD_GATEWAY;
    /// The connection ended before the answer did.
    ConnectionTerminated, "connection_terminated", BAD_GATEWAY;
    /// The connection was not made in time.
    ConnectionTimeout, "connection_timeout", GATEWAY_TIMEOUT;
    /// The next hop went silent in the middle of its answer.
    ConnectionReadTimeout, "connection_read_timeout", GATEWAY_TIMEOUT;
    /// The next hop stopped taking the request.
    ConnectionWriteTimeout, "connection_write_timeout", GATEWAY_TIMEOUT;
    /// This node's own limit of connections to the next hop is reached.
    ConnectionLimitReached, "connection_limit_reached", SERVICE_UNAVAILABLE;
    /// TLS could not be agreed on.
    TlsProtocolError, "tls_protocol_error", BAD_GATEWAY;
    /// The next hop's certificate was not accepted.
    TlsCertificateError, "tls_certificate_error", BAD_GATEWAY;
    /// The next hop ended TLS with an alert.
    TlsAlertReceived, "tls_alert_received", BAD_GATEWAY;
    /// The client's request is wrong.
    HttpRequestError, "http_request_error", BAD_REQUEST;
    /// The client may not have it.
    HttpRequestDenied, "http_request_denied", FORBIDDEN;
    /// The answer ended before its length.
    HttpResponseIncomplete, "http_response_incomplete", BAD_GATEWAY;
    /// The answer's head is larger than this node accepts.
    HttpResponseHeaderSectionSize, "http_response_header_section_size", BAD_GATEWAY;
    /// The answer's body is larger than this node accepts.
    HttpResponseBodySize, "http_response_body_size", BAD_GATEWAY;
    /// The answer's transfer coding could not be decoded.
    HttpResponseTransferCoding, "http_response_transfer_coding", BAD_GATEWAY;
    /// No answer from the next hop in time.
    HttpResponseTimeout, "http_response_timeout", GATEWAY_TIMEOUT;
    /// The next hop does not speak HTTP as it should.
    HttpProtocolError, "http_protocol_error", BAD_GATEWAY;
    /// This node made an answer of its own for a reason of its own.
    ProxyInternalResponse, "proxy_internal_response", SERVICE_UNAVAILABLE;
    /// This node failed.
    ProxyInternalError, "proxy_internal_error", INTERNAL_SERVER_ERROR;
    /// This node is configured wrongly.
    ProxyConfigurationError, "proxy_configuration_error", INTERNAL_SERVER_ERROR;
    /// The request went round in a circle. The RFC recommends 502; 508 (RFC 5842 §7.2) says what happened to those
    /// who see the status alone, and keeps retries away.
    ProxyLoopDetected, "proxy_loop_detected", LOOP_DETECTED;
}

impl<'a> ProxyStatus<'a> {
    /// `proxy` met `error`.
    #[must_use]
    pub fn new(proxy: &'a str, error: ErrorType) -> ProxyStatus<'a> {
        ProxyStatus {
            proxy,
            error,
            next_hop: None,
            received_status: None,
            details: None,
        }
    }

    /// Writes the member, without a line end.
    pub fn write(&self, out: &mut impl BufMut) {
        put_token_or_string(out, self.proxy);
        out.put_slice(b"; error=");
        out.put_slice(self.error.token().as_bytes());
        if let Some(next_hop) = self.next_hop {
            out.put_slice(b"; next-hop=");
            put_token_or_string(out, next_hop);
        }
        if let Some(status) = self.received_status {
            out.put_slice(b"; received-status=");
            out.put_slice(status.as_str().as_bytes());
        }
        if let Some(details) = self.details {
            out.put_slice(b"; details=");
            put_string(out, details);
        }
    }

    /// The member as a field value.
    #[must_use]
    pub fn value(&self) -> HeaderValue {
        let mut out = BytesMut::with_capacity(USUAL_BYTES);
        self.write(&mut out);
        field_value(out.freeze())
    }

    /// Appends the member to a response: after the proxies nearer to the origin (RFC 9209 §2).
    pub fn append(&self, response: &mut HeaderMap) {
        response.append(PROXY_STATUS, self.value());
    }
}

#[cfg(test)]
mod tests {
    use sfv::{BareItem, ListEntry, Parser};

    use super::*;

    #[test]
    fn the_statuses_are_those_the_rfc_recommends() {
        let expected = [
            ("dns_timeout", 504),
            ("dns_error", 502),
            ("destination_unavailable", 503),
            ("destination_ip_prohibited", 502),
            ("connection_refused", 502),
            ("connection_terminated", 502),
            ("connection_timeout", 504),
            ("connection_limit_reached", 503),
            ("tls_certificate_error", 502),
            ("http_request_error", 400),
            ("http_response_incomplete", 502),
            ("http_response_timeout", 504),
            ("proxy_internal_error", 500),
            ("proxy_loop_detected", 508),
        ];
        for (token, status) in expected {
            let error = ErrorType::from_token(token).expect(token);
            assert_eq!(error.status().as_u16(), status, "{token}");
        }
        for error in ErrorType::ALL {
            assert_eq!(ErrorType::from_token(error.token()), Some(*error));
            assert!(error.status().is_client_error() || error.status().is_server_error());
        }
        assert_eq!(ErrorType::from_token("on_fire"), None);
    }

    #[test]
    fn a_strict_parser_reads_back_what_was_said() {
        let status = ProxyStatus {
            proxy: "edge-ams-1",
            error: ErrorType::HttpResponseIncomplete,
            next_hop: Some("origin.example.com:8443"),
            received_status: Some(StatusCode::OK),
            details: Some("4096 of 8192 bytes: \"reset\""),
        };
        assert_eq!(
            status.value(),
            "edge-ams-1; error=http_response_incomplete; next-hop=origin.example.com:8443; \
             received-status=200; details=\"4096 of 8192 bytes: \\\"reset\\\"\""
        );
        let list = Parser::parse_list(status.value().as_bytes()).expect("a list");
        let ListEntry::Item(item) = &list[0] else {
            panic!("not an item: {list:?}")
        };
        assert_eq!(
            item.params["error"],
            BareItem::Token("http_response_incomplete".to_owned())
        );
        assert_eq!(item.params["received-status"], BareItem::Integer(200));
        assert_eq!(
            item.params["details"],
            BareItem::String("4096 of 8192 bytes: \"reset\"".to_owned())
        );
    }

    #[test]
    fn a_member_follows_those_of_the_proxies_before() {
        let mut headers = HeaderMap::new();
        let mut parent = ProxyStatus::new("parent-ams-1", ErrorType::ConnectionRefused);
        parent.next_hop = Some("10.0.0.5");
        parent.append(&mut headers);
        ProxyStatus::new("edge-ams-1", ErrorType::DestinationUnavailable).append(&mut headers);
        let lines: Vec<_> = headers.get_all(PROXY_STATUS).iter().collect();
        assert_eq!(
            lines,
            [
                "parent-ams-1; error=connection_refused; next-hop=\"10.0.0.5\"",
                "edge-ams-1; error=destination_unavailable"
            ]
        );
    }
}
