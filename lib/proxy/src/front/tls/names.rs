//! Which certificate serves which name (RFC 6066 §3, RFC 9525 §6.3). Pure.

use std::collections::HashMap;

/// Values by host name. The first value is also the default.
#[derive(Debug)]
pub(crate) struct Names<T> {
    exact: HashMap<Box<str>, T>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, T>,
    default: T,
}

impl<T: Clone> Names<T> {
    /// From values and the names each is for, in order of preference; `None` without any value.
    pub(crate) fn new(values: impl IntoIterator<Item = (Vec<String>, T)>) -> Option<Names<T>> {
        let mut values = values.into_iter().peekable();
        let default = values.peek()?.1.clone();
        let mut names = Names {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default,
        };
        for (hosts, value) in values {
            for host in hosts {
                let host = normal(&host);
                let (table, host) = match host.strip_prefix("*.") {
                    Some(parent) => (&mut names.wildcard, parent),
                    None => (&mut names.exact, &*host),
                };
                table.entry(host.into()).or_insert_with(|| value.clone());
            }
        }
        Some(names)
    }

    /// The value for `host`: an exact name before a wildcard, which stands for exactly one label; else the default.
    pub(crate) fn of(&self, host: Option<&str>) -> &T {
        let Some(host) = host.map(normal) else {
            return &self.default;
        };
        let parent = || {
            host.split_once('.')
                .and_then(|(_, parent)| self.wildcard.get(parent))
        };
        self.exact.get(&*host).or_else(parent).unwrap_or(&self.default)
    }
}

/// In lower case and without the dot of the root.
fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_come_before_wildcards_and_the_first_certificate_serves_the_rest() {
        let hosts = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let names = Names::new([
            (hosts(&["a.example", "*.b.example"]), 1),
            (hosts(&["*.Example", "x.b.example"]), 2),
            (hosts(&["a.example"]), 3),
        ])
        .unwrap();
        for (host, value) in [
            (Some("a.example"), 1),
            (Some("A.EXAMPLE."), 1),
            (Some("y.b.example"), 1),
            (Some("x.b.example"), 2),
            (Some("c.example"), 2),
            (Some("b.example"), 2),
            (Some("z.y.b.example"), 1),
            (Some("example"), 1),
            (Some("elsewhere"), 1),
            (None, 1),
        ] {
            assert_eq!(*names.of(host), value, "{host:?}");
        }
        let other_default = Names::new([(hosts(&["d"]), 9), (hosts(&["*.b.example"]), 8)]).unwrap();
        assert_eq!(
            *other_default.of(Some("z.y.b.example")),
            9,
            "a wildcard is one label"
        );
        assert!(Names::<u8>::new([]).is_none());
    }
}
