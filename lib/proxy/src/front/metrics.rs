//! What the front door counts. The help texts tell an operator whether to worry.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Counters and gauges of the front door.
pub(crate) struct Metrics {
    /// Connections open now.
    pub(crate) open: IntGauge,
    /// Connections accepted on plain addresses.
    pub(crate) accepted_http: IntCounter,
    /// Connections accepted on TLS addresses.
    pub(crate) accepted_https: IntCounter,
    /// Connections or requests turned away before a request reached the application, by reason.
    refused: IntCounterVec,
    /// Errors of `accept`, by reason.
    accept_errors: IntCounterVec,
    /// Connections closed because no next request came.
    pub(crate) idle_closed: IntCounter,
    /// Connections still busy when a drain ran out of time.
    pub(crate) cut: IntCounter,
    /// TLS handshakes by result.
    handshakes: IntCounterVec,
    /// Established TLS connections by version and protocol.
    tls_connections: IntCounterVec,
    /// When each certificate expires.
    pub(crate) certificate_expiry: IntGaugeVec,
    /// Certificate reloads by result.
    pub(crate) reloads: IntCounterVec,
}

impl Metrics {
    /// Registers every metric of the front door.
    ///
    /// # Errors
    /// When one of the names is registered already: one front door a registry.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Metrics> {
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(format!("millrace_front_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let family = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let family = IntCounterVec::new(Opts::new(format!("millrace_front_{name}"), help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok(family)
        };
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(format!("millrace_front_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let accepted = family(
            "accepted_total",
            "Connections accepted, by kind of address. Those over max_connections are counted too, and refused.",
            &["listener"],
        )?;
        let certificate_expiry = IntGaugeVec::new(
            Opts::new(
                "millrace_front_certificate_expiry_seconds",
                "When a certificate file in use expires, as seconds since the Unix epoch. Alert two weeks before.",
            ),
            &["certificate"],
        )?;
        registry.register(Box::new(certificate_expiry.clone()))?;
        Ok(Metrics {
            open: gauge(
                "connections",
                "Client connections open now. At max_connections new ones are refused: raise it or add nodes.",
            )?,
            accepted_http: accepted.with_label_values(&["http"]),
            accepted_https: accepted.with_label_values(&["https"]),
            refused: family(
                "refused_total",
                "Connections turned away before a request reached the access log, by reason. connection_cap: at \
                 max_connections, clients are lost. header_timeout, body_timeout and send_timeout: slow or dead clients, an \
                 attack when many. body_cut_short: clients that left in the middle of an upload. The others are malformed requests.",
                &["reason"],
            )?,
            accept_errors: family(
                "accept_errors_total",
                "Failures to accept a connection, by reason. out_of_files: raise the limit of open files at once.",
                &["reason"],
            )?,
            idle_closed: counter(
                "idle_closed_total",
                "Connections closed because no request came within idle_timeout. Normal.",
            )?,
            cut: counter(
                "cut_total",
                "Connections still busy when a drain ran out of time. Any means failed requests: raise drain_timeout.",
            )?,
            handshakes: family(
                "tls_handshakes_total",
                "TLS handshakes by result. full and resumed succeeded; a falling share of resumed costs CPU. version: \
                 clients without TLS 1.3, which are refused.",
                &["result"],
            )?,
            tls_connections: family(
                "tls_connections_total",
                "TLS connections established, by TLS version and protocol (none: the client offered no ALPN).",
                &["version", "alpn"],
            )?,
            certificate_expiry,
            reloads: family(
                "certificate_reloads_total",
                "Certificate reloads by result. On error the old certificates stay in use: see the log.",
                &["result"],
            )?,
        })
    }

    /// Counts a refusal.
    pub(crate) fn refuse(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// Counts a failed `accept`.
    pub(crate) fn accept_failed(&self, reason: &'static str) {
        self.accept_errors.with_label_values(&[reason]).inc();
    }

    /// Counts a handshake that ended in `result`.
    pub(crate) fn handshake(&self, result: &'static str) {
        self.handshakes.with_label_values(&[result]).inc();
    }

    /// Counts an established TLS connection.
    pub(crate) fn tls_connection(&self, version: &'static str, alpn: &'static str) {
        self.tls_connections.with_label_values(&[version, alpn]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_carries_our_prefix_and_a_help_text_and_registers_once() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        metrics.refuse("connection_cap");
        metrics.accept_failed("out_of_files");
        metrics.handshake("full");
        metrics.tls_connection("TLSv1.3", "h2");
        metrics.certificate_expiry.with_label_values(&["a.pem"]).set(1);
        metrics.reloads.with_label_values(&["ok"]).inc();
        let families = registry.gather();
        assert_eq!(families.len(), 10);
        for family in families {
            assert!(family.name().starts_with("millrace_front_"), "{}", family.name());
            assert!(family.help().len() > 20, "{}", family.name());
        }
        assert!(Metrics::new(&registry).is_err());
    }
}
