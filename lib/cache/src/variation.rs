//! What lies under the key of a URL whose answers vary: no answer, but by what they vary and which are kept.
//!
//! It is a [`Head`](crate::Head) without a body, so that it is found, purged, kept on disk and recovered like any other.
//! Its fields are its record: one `vary` with the names, and a `variant` for each answer that is kept, the oldest first,
//! with what follows the URL's own text in its key.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    key::Key,
    policy::vary::{Names, VARIANT_MARK},
};

/// Variants that are kept of one URL: every normal form of `Accept-Encoding` that players have, in eight languages. Beyond
/// it the one that was stored first goes: what is asked for now is likelier to be asked for again, and where every
/// request differs no choice helps.
pub const VARIANTS_MAX: usize = 32;

const VARIANT: HeaderName = HeaderName::from_static("variant");

/// By what the answers of one URL vary, and which are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variation {
    names: Names,
    /// What follows the mark in the variants' keys, the oldest first.
    variants: Vec<Box<str>>,
}

impl Variation {
    /// Answers that vary by `names`, of which none is kept yet.
    pub(crate) fn new(names: Names) -> Variation {
        Variation {
            names,
            variants: Vec::new(),
        }
    }

    /// The fields that the answers vary by.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.variants.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.variants.is_empty()
    }

    /// The keys of the variants of `primary`.
    pub(crate) fn keys(&self, primary: &Key) -> impl Iterator<Item = Key> {
        self.variants.iter().map(move |variant| {
            let text = [primary.text(), variant].join(&String::from(VARIANT_MARK));
            Key::from_text(text)
        })
    }

    pub(crate) fn has(&self, variant: &Key) -> bool {
        suffix(variant).is_some_and(|suffix| self.variants.iter().any(|own| **own == *suffix))
    }

    /// Takes `variant` in. What had to go for it is returned.
    pub(crate) fn add(&mut self, primary: &Key, variant: &Key) -> Option<Key> {
        if self.has(variant) {
            return None;
        }
        self.variants.push(suffix(variant)?.into());
        (self.variants.len() > VARIANTS_MAX).then(|| {
            let oldest = Variation {
                names: Names::default(),
                variants: vec![self.variants.remove(0)],
            };
            oldest.keys(primary).next()
        })?
    }

    /// Memory it holds: an estimate from above.
    pub(crate) fn memory_bytes(&self) -> usize {
        let variants: usize = self.variants.iter().map(|variant| variant.len() + 16).sum();
        size_of::<Variation>() + variants + self.names.iter().count() * 64
    }

    /// The fields that it is kept as.
    pub(crate) fn to_fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        // Names and keys' texts are visible characters, which any value may hold.
        fields.extend(
            HeaderValue::from_str(&self.names.list())
                .ok()
                .map(|list| (header::VARY, list)),
        );
        for variant in &self.variants {
            if let Ok(variant) = HeaderValue::from_str(variant) {
                fields.append(VARIANT, variant);
            }
        }
        fields
    }

    /// What [`Variation::to_fields`] wrote; `None` when it did not.
    pub(crate) fn from_fields(fields: &HeaderMap) -> Option<Variation> {
        let names = Names::from_list(fields.get(header::VARY)?.as_bytes())?;
        let variants = fields.get_all(VARIANT).iter();
        let variants: Vec<Box<str>> = variants
            .map(|variant| variant.to_str().ok().map(Box::from))
            .collect::<Option<_>>()?;
        (!names.is_empty() && variants.len() <= VARIANTS_MAX).then_some(Variation { names, variants })
    }
}

fn suffix(variant: &Key) -> Option<&str> {
    variant.text().split_once(VARIANT_MARK).map(|(_, suffix)| suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variation() -> Variation {
        let mut vary = HeaderMap::new();
        vary.insert(header::VARY, HeaderValue::from_static("origin, accept-encoding"));
        Variation::new(Names::of(&vary).unwrap())
    }

    #[test]
    fn a_variation_survives_its_fields() {
        let primary = Key::new("demo", "/a");
        let mut variation = variation();
        for number in 0..3 {
            let variant = Key::from_text(format!("demo/a#accept-encoding=gzip&origin={number}#%20"));
            assert_eq!(variation.add(&primary, &variant), None);
            assert_eq!(variation.add(&primary, &variant), None, "it is there already");
        }
        assert_eq!(
            Variation::from_fields(&variation.to_fields()),
            Some(variation.clone())
        );
        let texts: Vec<_> = variation
            .keys(&primary)
            .map(|key| key.text().to_owned())
            .collect();
        assert_eq!(texts[2], "demo/a#accept-encoding=gzip&origin=2#%20");
        assert_eq!(Variation::from_fields(&HeaderMap::new()), None);
    }

    #[test]
    fn beyond_the_bound_the_oldest_goes() {
        let primary = Key::new("demo", "/a");
        let variant = |number: usize| Key::from_text(format!("demo/a#origin={number}"));
        let mut variation = variation();
        for number in 0..VARIANTS_MAX {
            assert_eq!(variation.add(&primary, &variant(number)), None);
        }
        assert_eq!(variation.add(&primary, &variant(VARIANTS_MAX)), Some(variant(0)));
        assert_eq!(variation.len(), VARIANTS_MAX);
        assert!(!variation.has(&variant(0)) && variation.has(&variant(VARIANTS_MAX)));
    }
}
