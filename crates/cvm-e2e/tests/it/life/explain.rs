//! What `cvm explain` says of a refusal, to people and to machines.

use std::time::Duration;

use cvm_e2e::{Environment, Response, wait_for};
use serde_json::Value;

/// One refused request as `explain` tells it.
pub(crate) struct Explained {
    attempt: Value,
    text: String,
}

/// What is told of the device's refused request: its slug, and one refusing step, the last.
pub(crate) fn explained(environment: &Environment, serial: &str, answer: &Response) -> Explained {
    let code = answer.text("attempt");
    // It is written after the answer has left.
    let attempt = wait_for("the attempt", Duration::from_secs(30), || {
        let (_, told, _) = environment.run(&["explain", serial, "--output", "json"])?;
        let told: Value = serde_json::from_str(&told)?;
        let items = told["items"].as_array().unwrap();
        Ok(items.iter().find(|item| item["attempt"] == code.as_str()).cloned())
    })
    .unwrap();
    assert_eq!(attempt["outcome"], answer.slug().as_str(), "{attempt}");
    let steps = attempt["steps"].as_array().unwrap();
    let (last, before) = steps.split_last().unwrap_or_else(|| panic!("no step: {attempt}"));
    assert!(before.iter().all(|step| step["passed"] == true), "{attempt}");
    assert_eq!(last["passed"], false, "{attempt}");
    let text = environment.succeed(&["explain", &code]).unwrap();
    assert_eq!(text.matches("REFUSED").count(), 1, "{text}");
    assert!(!text.contains("SERIAL"), "commands are told as they are to be typed: {text}");
    Explained { attempt, text }
}

impl Explained {
    /// Which step refused.
    #[track_caller]
    pub(crate) fn refused_at(self, step: &str) -> Self {
        let steps = self.attempt["steps"].as_array().unwrap();
        assert_eq!(steps.last().unwrap()["name"], step, "{}", self.text);
        self
    }

    /// Which of several reasons for the slug.
    #[track_caller]
    pub(crate) fn because(self, reason: &str) -> Self {
        assert_eq!(self.attempt["reason"], reason, "{}", self.text);
        self
    }

    /// What its evidence names.
    #[track_caller]
    pub(crate) fn names(self, words: &str) -> Self {
        let steps = self.attempt["steps"].as_array().unwrap();
        let evidence = steps.last().unwrap()["evidence"].as_str().unwrap();
        assert!(evidence.contains(words), "{words}: {}", self.text);
        self
    }

    /// What to do, as people read it.
    #[track_caller]
    pub(crate) fn cure(self, words: &str) -> Self {
        let cure = self.text.lines().find(|line| line.contains("What to do: ")).unwrap();
        assert!(cure.contains(words), "{words}: {}", self.text);
        self
    }
}
