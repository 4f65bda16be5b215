//! The methods that a service answers beside GET, HEAD and OPTIONS. Pure.

use http::{HeaderValue, Method};
use model::service::ANY_METHOD;

use super::ALLOWED_METHODS;

/// A service's methods, compiled.
#[derive(Clone, Debug)]
pub struct Methods {
    more: Vec<Method>,
    any: bool,
    names: HeaderValue,
}

impl Methods {
    /// Those that the service names. What is no name of a method allows nothing; the snapshot's check refuses it.
    #[must_use]
    pub fn compile(named: &[String]) -> Methods {
        let any = named.iter().any(|name| name == ANY_METHOD);
        let more: Vec<Method> = named
            .iter()
            .filter(|name| *name != ANY_METHOD)
            .filter_map(|name| Method::from_bytes(name.as_bytes()).ok())
            .collect();
        // Who takes any is known by those that people ask for.
        let usual = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let unnamed = usual.iter().filter(|method| any && !more.contains(method));
        let names: Vec<&str> = std::iter::once(ALLOWED_METHODS)
            .chain(more.iter().chain(unnamed).map(Method::as_str))
            .collect();
        let names = HeaderValue::try_from(names.join(", "));
        Methods {
            more,
            any,
            names: names.unwrap_or(HeaderValue::from_static(ALLOWED_METHODS)),
        }
    }

    /// Whether a method beside GET, HEAD and OPTIONS is answered. CONNECT and TRACE never are.
    #[must_use]
    pub fn allow(&self, method: &Method) -> bool {
        !matches!(*method, Method::CONNECT | Method::TRACE) && (self.any || self.more.contains(method))
    }

    /// All of them: the value of `Allow`.
    #[must_use]
    pub fn names(&self) -> &HeaderValue {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_answers_what_it_names_and_nothing_else() {
        for (named, method, allowed, names) in [
            (&[][..], "POST", false, "GET, HEAD, OPTIONS"),
            (&["POST", "BREW"], "POST", true, "GET, HEAD, OPTIONS, POST, BREW"),
            (&["POST", "BREW"], "BREW", true, "GET, HEAD, OPTIONS, POST, BREW"),
            (&["POST"], "post", false, "GET, HEAD, OPTIONS, POST"),
            (&["POST"], "PUT", false, "GET, HEAD, OPTIONS, POST"),
            (
                &["*"],
                "ANYTHING",
                true,
                "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
            ),
            (
                &["*"],
                "CONNECT",
                false,
                "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
            ),
            (
                &["*"],
                "TRACE",
                false,
                "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
            ),
        ] {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            let methods = Methods::compile(&named);
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(
                (methods.allow(&method), methods.names().to_str().unwrap()),
                (allowed, names),
                "{named:?} {method}"
            );
        }
    }
}
