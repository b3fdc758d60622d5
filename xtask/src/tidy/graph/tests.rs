use serde_json::json;

use super::*;

/// A workspace of one member, `app`: two versions of `log` below it, a second `http` below its
/// tests, and `ring`, which `log` could use but does not.
fn metadata() -> Value {
    let dependency = |name: &str, kind: Value, optional: bool| json!({ "name": name, "kind": kind, "optional": optional });
    let package = |id: &str, name: &str, dependencies: Value| {
        let source = if name == "app" { Value::Null } else { json!("registry") };
        json!({
            "id": id, "name": name, "version": "1.0.0", "license": "MIT", "source": source,
            "dependencies": dependencies, "features": { "std": ["ring?/std"] },
        })
    };
    let edge = |id: &str, kind: Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
    let node = |id: &str, deps: Value| json!({ "id": id, "features": ["std"], "deps": deps });
    json!({
        "packages": [
            package("app", "app", json!([
                dependency("app", json!("dev"), false),
                dependency("http", Value::Null, false),
                dependency("http", json!("dev"), false),
                dependency("log", Value::Null, false),
            ])),
            package("http1", "http", json!([dependency("log", Value::Null, false)])),
            package("http2", "http", json!([])),
            package("log1", "log", json!([dependency("ring", Value::Null, true)])),
            package("log2", "log", json!([])),
            package("ring", "ring", json!([])),
        ],
        "workspace_members": ["app"],
        "resolve": { "nodes": [
            node("app", json!([
                edge("http1", Value::Null), edge("http2", json!("dev")), edge("log1", Value::Null),
            ])),
            node("http1", json!([edge("log2", Value::Null)])),
            node("http2", json!([])),
            node("log1", json!([edge("ring", Value::Null)])),
            node("log2", json!([])),
            node("ring", json!([])),
        ] },
    })
}

#[test]
fn crates_are_doubled_by_normal_dependencies_alone() {
    let graph = Graph::parse(&metadata()).unwrap();
    assert_eq!(graph.doubled, BTreeSet::from(["log".to_owned()]));
}

#[test]
fn members_are_not_external_and_declared_edges_join_members() {
    let graph = Graph::parse(&metadata()).unwrap();
    let names: Vec<&str> = graph.external.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["http", "http", "log", "log"]);
    let [edge] = graph.declared.as_slice() else { panic!("{:?}", graph.declared) };
    assert_eq!((edge.from.as_str(), edge.to.as_str(), edge.kind), ("app", "app", Kind::Dev));
}

#[test]
fn what_nothing_turns_on_is_not_in_the_graph() {
    let graph = Graph::parse(&metadata()).unwrap();
    assert!(graph.resolved.iter().all(|edge| edge.to != "ring"));
    assert_eq!(graph.resolved.len(), 4);
}
