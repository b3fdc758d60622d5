//! The traces of a file, and by which profile each is run.

use std::collections::BTreeSet;

use serde_json::Value;

/// A trace.
pub(super) struct Trace {
    /// Which of the file's; names are made of it that no other trace has.
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) steps: Vec<Value>,
    policy: String,
    config: Value,
}

/// The traces that are named after the sentence they test: walks are for in-process runs.
pub(super) fn named_traces(text: &str) -> Vec<Trace> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let traces = lines.filter(|line| line.get("steps").is_some()).enumerate();
    let traces = traces.map(|(number, trace)| Trace {
        number,
        name: trace["name"].as_str().unwrap().to_owned(),
        steps: trace["steps"].as_array().unwrap().clone(),
        policy: trace["policy"].as_str().unwrap().to_owned(),
        config: trace["config"].clone(),
    });
    traces.filter(|trace| !trace.name.starts_with("walk ")).collect()
}

impl Trace {
    pub(super) fn sets_clock(&self) -> bool {
        self.steps.iter().any(|step| step["act"] == "clock")
    }

    /// The second of a step.
    pub(super) fn at(&self, step: usize) -> i64 {
        self.steps[step]["at"].as_i64().unwrap()
    }

    /// The trace's own name for what it calls `label`.
    pub(super) fn own(&self, label: &str) -> String {
        format!("{label}-{}", self.number)
    }

    /// What the profile is called that has the trace's rules.
    pub(super) fn profile(&self) -> String {
        let mut name = self.policy.clone();
        for (key, value) in self.config.as_object().unwrap() {
            let key = key.replace('_', "-");
            name.push_str(&format!("-{key}-{value}"));
        }
        name
    }

    fn profile_toml(&self) -> String {
        let (name, policy) = (self.profile(), &self.policy);
        let mut text = format!("\n[[profile]]\nname = \"{name}\"\nreissue = \"{policy}\"\n");
        for (key, value) in self.config.as_object().unwrap() {
            let line = match value.as_i64() {
                Some(seconds) => format!("{key} = \"{seconds}s\"\n"),
                None => format!("{key} = {value}\n"),
            };
            text.push_str(&line);
        }
        text
    }
}

/// A profile for every policy and configuration that the traces have.
pub(super) fn profiles_toml(traces: &[Trace]) -> String {
    traces.iter().map(Trace::profile_toml).collect::<BTreeSet<_>>().into_iter().collect()
}
