//! A service's header rules, compiled for the node that applies them.

use http::{HeaderMap, HeaderName, HeaderValue};
use model::{
    Complaint, Tier,
    service::{Direction, HeaderAction, HeaderRule},
    template,
};

/// Who applies the rules; what `{node}`, `{site}` and `{region}` in their values stand for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The node's name.
    pub node: &'a str,
    /// The site it stands in.
    pub site: &'a str,
    /// The site's region.
    pub region: &'a str,
    /// The tier it serves.
    pub tier: Tier,
}

/// The rules of one service at one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What happens to requests on their way up.
    pub request: Changes,
    /// What happens to responses on their way down.
    pub response: Changes,
}

/// Changes to a set of fields, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(Vec<Change>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Set(HeaderName, HeaderValue),
    Add(HeaderName, HeaderValue),
    Remove(HeaderName),
}

impl Rules {
    /// The rules of `written` that concern `place`, ready to apply.
    ///
    /// # Errors
    ///
    /// Every rule that cannot be applied, also those of the other tier: a name or a value that is not one, a value
    /// where none is meant or the reverse. The check of a snapshot finds these before, and finds more: fields that are
    /// the proxy's own.
    pub fn compile(written: &[HeaderRule], place: Place<'_>) -> Result<Rules, Vec<Complaint>> {
        let mut rules = Rules::default();
        let mut complaints = Vec::new();
        for (number, rule) in written.iter().enumerate() {
            match change(rule, place) {
                Ok(change) if rule.tier.is_none_or(|tier| tier == place.tier) => match rule.on {
                    Direction::Request => rules.request.0.push(change),
                    Direction::Response => rules.response.0.push(change),
                },
                Ok(_) => {}
                Err((key, what, advice)) => {
                    complaints.push(Complaint::new(
                        format!("header_rules[{number}].{key}"),
                        what,
                        advice,
                    ));
                }
            }
        }
        if complaints.is_empty() {
            Ok(rules)
        } else {
            Err(complaints)
        }
    }
}

impl Changes {
    /// Makes the changes.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for change in &self.0 {
            match change {
                Change::Set(name, value) => {
                    headers.insert(name, value.clone());
                }
                Change::Add(name, value) => {
                    headers.append(name, value.clone());
                }
                Change::Remove(name) => {
                    headers.remove(name);
                }
            }
        }
    }

    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The key of a rule that is wrong, what is wrong with it, and what to do.
type Fault = (&'static str, String, &'static str);

fn change(rule: &HeaderRule, place: Place<'_>) -> Result<Change, Fault> {
    let name = field_name(&rule.name)?;
    match (rule.action, &rule.value) {
        (HeaderAction::Remove, None) => Ok(Change::Remove(name)),
        (HeaderAction::Remove, Some(_)) => Err((
            "value",
            "a rule that removes a field has no value".to_owned(),
            "leave it out",
        )),
        (_, None) => Err((
            "value",
            "a rule that sets or adds a field needs a value".to_owned(),
            "give one",
        )),
        (HeaderAction::Set, Some(value)) => Ok(Change::Set(name, field_value(value, place)?)),
        (HeaderAction::Add, Some(value)) => Ok(Change::Add(name, field_value(value, place)?)),
    }
}

fn field_name(text: &str) -> Result<HeaderName, Fault> {
    text.parse().map_err(|_| {
        (
            "name",
            format!("{text:?} is not a field name"),
            "use letters, digits and dashes, such as X-Region",
        )
    })
}

fn field_value(text: &str, place: Place<'_>) -> Result<HeaderValue, Fault> {
    let Place {
        node,
        site,
        region,
        tier: _,
    } = place;
    let filled = template::expand(text, &template::Place { site, region, node });
    HeaderValue::from_str(&filled).map_err(|_| {
        (
            "value",
            format!("{filled:?} is not a field value"),
            "use printable ASCII without line breaks",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGE: Place<'_> = Place {
        node: "edge-ams-1",
        site: "ams",
        region: "eu-west",
        tier: Tier::Edge,
    };

    fn rule(on: Direction, action: HeaderAction, name: &str, value: Option<&str>) -> HeaderRule {
        HeaderRule {
            tier: None,
            on,
            action,
            name: name.to_owned(),
            value: value.map(str::to_owned),
        }
    }

    fn response(action: HeaderAction, name: &str, value: Option<&str>) -> HeaderRule {
        rule(Direction::Response, action, name, value)
    }

    fn applied(changes: &Changes, before: &[(&'static str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(*name, HeaderValue::from_str(value).expect(value));
        }
        changes.apply(&mut headers);
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect()
    }

    #[test]
    fn fields_are_set_added_and_removed_in_order_with_placeholders_filled() {
        let rules = Rules::compile(
            &[
                response(HeaderAction::Set, "X-Region", Some("{site}")),
                response(HeaderAction::Add, "X-Way", Some("{node} in {region}/{site}")),
                response(HeaderAction::Remove, "Pragma", None),
                response(HeaderAction::Set, "X-Late", Some("first")),
                response(HeaderAction::Remove, "x-late", None),
            ],
            EDGE,
        )
        .expect("good rules");
        assert!(rules.request.is_empty());
        let before = [
            ("pragma", "no-cache"),
            ("pragma", "x"),
            ("x-region", "iad"),
            ("x-region", "b"),
            ("x-way", "a"),
        ];
        let mut after = applied(&rules.response, &before);
        after.sort();
        assert_eq!(
            after,
            ["x-region: ams", "x-way: a", "x-way: edge-ams-1 in eu-west/ams"]
        );
    }

    #[test]
    fn a_rule_concerns_its_direction_and_its_tier() {
        let of_tier = |tier| HeaderRule {
            tier,
            ..rule(Direction::Request, HeaderAction::Remove, "Pragma", None)
        };
        for (tier, at_edge, at_parent) in [
            (None, true, true),
            (Some(Tier::Edge), true, false),
            (Some(Tier::Parent), false, true),
        ] {
            for (place, concerned) in [
                (EDGE, at_edge),
                (
                    Place {
                        tier: Tier::Parent,
                        ..EDGE
                    },
                    at_parent,
                ),
            ] {
                let rules = Rules::compile(&[of_tier(tier)], place).expect("a good rule");
                assert_eq!(
                    !rules.request.is_empty(),
                    concerned,
                    "{tier:?} at {:?}",
                    place.tier
                );
                assert!(rules.response.is_empty());
            }
        }
    }

    #[test]
    fn every_rule_that_cannot_be_applied_is_complained_about() {
        let faults = [
            (
                response(HeaderAction::Set, "X Region", Some("x")),
                "header_rules[0].name",
                "not a field name",
            ),
            (
                response(HeaderAction::Set, "X-A", None),
                "header_rules[1].value",
                "needs a value",
            ),
            (
                response(HeaderAction::Remove, "X-A", Some("x")),
                "header_rules[2].value",
                "has no value",
            ),
            (
                response(HeaderAction::Add, "X-A", Some("a\r\nb")),
                "header_rules[3].value",
                "not a field value",
            ),
        ];
        let written: Vec<HeaderRule> = faults.iter().map(|(rule, ..)| rule.clone()).collect();
        let complaints = Rules::compile(&written, EDGE).expect_err("all are wrong");
        assert_eq!(complaints.len(), faults.len(), "{complaints:?}");
        for (complaint, (_, at, what)) in complaints.iter().zip(&faults) {
            assert_eq!(complaint.at, *at);
            assert!(complaint.what.contains(what), "{complaint}");
        }
    }
}
