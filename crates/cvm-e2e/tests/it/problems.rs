//! Every problem that the API describes tells, at its own address, what it means and what to do.

use std::collections::BTreeSet;

use cvm_e2e::Environment;
use serde_json::Value;

/// The slugs that stand in `x-problems` anywhere in the document.
fn slugs(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_array().filter(|_| name == "x-problems") {
                    Some(named) => {
                        found.extend(named.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    None => slugs(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| slugs(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_problem_of_the_document_is_explained_at_its_address_on_both_listeners() {
    let environment = Environment::start(&[]).unwrap();
    let [device, operator] =
        [environment.device_client().unwrap(), environment.operator_client().unwrap()];
    let document = operator.request("GET", "/v1/openapi.json", &[], None).unwrap();
    let mut described = BTreeSet::new();
    slugs(&document.json().unwrap(), &mut described);
    assert!(described.len() > 30 && described.contains("access-denied"), "{described:?}");
    for slug in described {
        for client in [&device, &operator] {
            let answer = client.request("GET", &format!("/problems/{slug}"), &[], None).unwrap();
            assert_eq!(answer.status, 200, "{slug}");
            assert!(answer.head.contains("content-type: text/plain"), "{}", answer.head);
            // The title and its status, and after a blank line the meaning and the cure.
            let lines: Vec<&str> = answer.body.lines().collect();
            let [title, "", meaning, cure] = lines[..] else { panic!("{slug}: {}", answer.body) };
            assert!(title.ends_with(')') && meaning.len() > 20 && cure.ends_with('.'), "{slug}");
        }
    }
    let unknown = device.request("GET", "/problems/no-such-problem", &[], None).unwrap();
    assert_eq!((unknown.status, unknown.slug().as_str()), (404, "not-found"));
}
