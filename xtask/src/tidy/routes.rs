//! Every route has an authorisation test: the OpenAPI document against the tests that name it.

use serde_json::Value;

use super::Finding;
use super::tree::Tree;

const DOCUMENT: &str = "crates/cvm-api/openapi.json";
const TESTS: &str = "crates/cvm-e2e/tests/it/authorization.rs";
const METHODS: [&str; 8] = ["delete", "get", "head", "options", "patch", "post", "put", "trace"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let (document, tests) = match (tree.get(DOCUMENT), tree.get(TESTS)) {
        (Some(document), Some(tests)) => (document, tests),
        (document, tests) => {
            let missing = [(DOCUMENT, document), (TESTS, tests)].into_iter();
            return missing
                .filter(|(_, text)| text.is_none())
                .map(|(path, _)| Finding::new(path, "is missing", "write it"))
                .collect();
        }
    };
    let Some(operations) = operations(document) else {
        let cure = "mend it: JSON with an object `paths` is expected";
        return vec![Finding::new(DOCUMENT, "lists no operations", cure)];
    };
    let untested = operations.iter().filter(|operation| !tests.contains(&format!("{operation:?}")));
    untested
        .map(|operation| {
            let problem = format!("{operation} has no authorisation test");
            let cure = format!("test who may call it, naming it by the literal {operation:?}");
            Finding::new(TESTS, problem, cure)
        })
        .collect()
}

/// The operations of an OpenAPI document, as `METHOD /path`.
fn operations(document: &str) -> Option<Vec<String>> {
    let document: Value = serde_json::from_str(document).ok()?;
    let mut operations = Vec::new();
    for (path, item) in document.get("paths")?.as_object()? {
        for method in item.as_object()?.keys().filter(|key| METHODS.contains(&key.as_str())) {
            operations.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    (!operations.is_empty()).then_some(operations)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{ "paths": { "/v1/things/{name}": {
        "parameters": [], "get": {}, "delete": {}
    } } }"#;

    #[test]
    fn an_operation_without_its_literal_is_a_finding() {
        let tests = r#"check("GET /v1/things/{name}"); check("DELETE /v1/things/{name}/x");"#;
        let findings = check(&Tree::of(&[(DOCUMENT, TWO), (TESTS, tests)]));
        let problems: Vec<&str> = findings.iter().map(|finding| finding.problem.as_str()).collect();
        assert_eq!(problems, ["DELETE /v1/things/{name} has no authorisation test"]);
    }

    #[test]
    fn a_missing_or_empty_file_is_a_finding() {
        assert_eq!(check(&Tree::default()).len(), 2);
        assert_eq!(check(&Tree::of(&[(DOCUMENT, TWO)])).len(), 1);
        assert_eq!(check(&Tree::of(&[(DOCUMENT, r#"{"paths":{}}"#), (TESTS, "")])).len(), 1);
    }
}
