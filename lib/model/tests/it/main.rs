//! The sample CDN of `conf/local` is read as a daemon reads it.

use model::{Snapshot, Tier};
use serde_json::{Value, json};

const SAMPLE: &[u8] = include_bytes!("../../../../conf/local/cdn.json");

fn sample() -> Snapshot {
    Snapshot::from_json(SAMPLE).expect("the sample meets no complaint")
}

#[test]
fn the_sample_describes_two_tiers_in_two_sites() {
    let sample = sample();
    let names = |site, tier| {
        sample
            .nodes_of(site, tier)
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("ams", Tier::Edge), ["edge-ams-1", "edge-ams-2"]);
    assert_eq!(names("ams", Tier::Parent), ["parent-ams-1"]);
    assert_eq!(names("iad", Tier::Edge), ["edge-iad-1"]);
    assert_eq!(names("iad", Tier::Parent), ["parent-iad-1"]);
    assert_eq!(sample.sites_by_distance("iad"), ["iad", "ams"]);
    assert_eq!(
        sample.service_for_host("localhost").map(|(name, _)| name),
        Some("demo")
    );
    assert_eq!(
        sample
            .service_for_host("a.b.wild.localhost")
            .map(|(name, _)| name),
        Some("wild")
    );
}

#[test]
fn the_sample_says_the_same_after_it_was_written_and_read_again() {
    let sample = sample();
    let written = serde_json::to_vec(&sample).expect("a snapshot can be written");
    assert_eq!(Snapshot::from_json(&written), Ok(sample));
}

#[test]
fn a_stray_key_in_any_object_of_the_sample_is_refused() {
    let document: Value = serde_json::from_slice(SAMPLE).expect("JSON");
    let mut objects = Vec::new();
    collect_objects(&document, String::new(), &mut objects);
    assert!(objects.len() > 20, "the sample has objects to try: {objects:?}");
    for pointer in objects {
        let mut document = document.clone();
        let object = document
            .pointer_mut(&pointer)
            .and_then(Value::as_object_mut)
            .expect("an object");
        object.insert("stray".to_owned(), json!(true));
        assert!(
            Snapshot::from_json(document.to_string().as_bytes()).is_err(),
            "a stray key at {pointer:?}"
        );
    }
}

/// The JSON pointers of all objects in `value`.
fn collect_objects(value: &Value, pointer: String, objects: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                collect_objects(value, format!("{pointer}/{key}"), objects);
            }
            objects.push(pointer);
        }
        Value::Array(list) => {
            for (nth, value) in list.iter().enumerate() {
                collect_objects(value, format!("{pointer}/{nth}"), objects);
            }
        }
        _ => {}
    }
}
