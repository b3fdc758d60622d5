//! Which optional dependencies are really there.
//!
//! `cargo metadata` also lists one that only a weak feature (`ring?/alloc`) names, although nothing
//! turns it on and nothing builds it (rust-lang/cargo#10801); such an edge must not count.

use serde_json::Value;

use super::text;

/// Whether a node of the graph uses the package of this name, as a dependency of this kind.
pub(super) fn is_active(node: &Value, package: &Value, name: &str, kind: &Value) -> Option<bool> {
    for dependency in package.get("dependencies")?.as_array()? {
        if text(dependency, "name")? != name || dependency.get("kind")? != kind {
            continue;
        }
        let key = text(dependency, "rename").unwrap_or(name);
        if !dependency.get("optional")?.as_bool()? || is_turned_on(node, package, key)? {
            return Some(true);
        }
    }
    Some(false)
}

/// Whether an enabled feature asks for the dependency by `dep:key` or `key/feature`.
fn is_turned_on(node: &Value, package: &Value, key: &str) -> Option<bool> {
    let features = package.get("features")?;
    for enabled in node.get("features")?.as_array()? {
        let Some(asks) = features.get(enabled.as_str()?).and_then(Value::as_array) else {
            continue;
        };
        let mut asks = asks.iter().filter_map(Value::as_str);
        if asks.any(|ask| {
            ask.strip_prefix("dep:") == Some(key)
                || ask.split_once('/').is_some_and(|(dependency, _)| dependency == key)
        }) {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_ring_active(enabled: &[&str]) -> bool {
        let package = json!({
            "dependencies": [
                { "name": "ring", "kind": null, "rename": null, "optional": true },
                { "name": "ring", "kind": "dev", "rename": null, "optional": false },
            ],
            "features": { "weak": ["ring?/alloc"], "named": ["dep:ring"], "strong": ["ring/std"] },
        });
        is_active(&json!({ "features": enabled }), &package, "ring", &Value::Null).unwrap()
    }

    #[test]
    fn a_weak_feature_does_not_turn_a_dependency_on() {
        assert!(!is_ring_active(&[]));
        assert!(!is_ring_active(&["weak"]));
        assert!(is_ring_active(&["weak", "named"]));
        assert!(is_ring_active(&["strong"]));
    }

    #[test]
    fn a_renamed_dependency_is_turned_on_by_its_new_name() {
        let package = json!({
            "dependencies": [{ "name": "ring", "kind": null, "rename": "r", "optional": true }],
            "features": { "r": ["dep:r"] },
        });
        let node = json!({ "features": ["r"] });
        assert_eq!(is_active(&node, &package, "ring", &Value::Null), Some(true));
    }
}
