//! Conditions and updates as DynamoDB writes them: every name and every value by a placeholder, so
//! that no reserved word is met and no value is ever part of an expression.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::Attributes;
use super::key::PK;

/// What must hold of an item.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// There is no such item.
    Absent,
    /// All of these.
    All(Vec<Self>),
    /// One of these.
    Any(Vec<Self>),
    /// The attribute is less.
    Below(&'static str, AttributeValue),
    /// The attribute is this.
    Is(&'static str, AttributeValue),
    /// The item has no such attribute.
    Lacks(&'static str),
}

/// What happens to an item's attributes.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    pub(super) add: Vec<(&'static str, AttributeValue)>,
    pub(super) remove: Vec<&'static str>,
    pub(super) set: Vec<(&'static str, AttributeValue)>,
    /// Set where the item has none.
    pub(super) set_once: Vec<(&'static str, AttributeValue)>,
}

/// Names and values behind the placeholders of one request.
#[derive(Default)]
pub(super) struct Placeholders {
    names: HashMap<String, String>,
    values: Attributes,
}

impl Placeholders {
    pub(super) fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    pub(super) fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    /// Both, or nothing where there is none: an empty map is refused.
    pub(super) fn into_maps(self) -> (Option<HashMap<String, String>>, Option<Attributes>) {
        (
            Some(self.names).filter(|names| !names.is_empty()),
            Some(self.values).filter(|values| !values.is_empty()),
        )
    }

    pub(super) fn condition(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::Absent => format!("attribute_not_exists({})", self.name(PK)),
            Condition::All(all) => self.joined(all, " AND "),
            Condition::Any(any) => self.joined(any, " OR "),
            Condition::Below(name, value) => self.compared(name, "<", value),
            Condition::Is(name, value) => self.compared(name, "=", value),
            Condition::Lacks(name) => format!("attribute_not_exists({})", self.name(name)),
        }
    }

    fn joined(&mut self, parts: &[Condition], word: &str) -> String {
        let parts: Vec<_> = parts.iter().map(|part| self.condition(part)).collect();
        format!("({})", parts.join(word))
    }

    fn compared(&mut self, name: &str, sign: &str, value: &AttributeValue) -> String {
        format!("{} {sign} {}", self.name(name), self.value(value.clone()))
    }

    pub(super) fn changes(&mut self, changes: &Changes) -> String {
        let mut set: Vec<_> =
            changes.set.iter().map(|(name, value)| self.compared(name, "=", value)).collect();
        for (name, value) in &changes.set_once {
            let name = self.name(name);
            set.push(format!("{name} = if_not_exists({name}, {})", self.value(value.clone())));
        }
        let add: Vec<_> = changes
            .add
            .iter()
            .map(|(name, value)| format!("{} {}", self.name(name), self.value(value.clone())))
            .collect();
        let remove: Vec<_> = changes.remove.iter().map(|name| self.name(name)).collect();
        let clauses = [("SET", set), ("ADD", add), ("REMOVE", remove)];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        let clauses: Vec<_> =
            clauses.map(|(word, parts)| format!("{word} {}", parts.join(", "))).collect();
        clauses.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::item::{number, text};
    use super::*;

    #[test]
    fn a_condition_names_nothing_but_placeholders() {
        let mut places = Placeholders::default();
        let holder = Condition::Is("holder", text("A"));
        let condition = Condition::All(vec![
            Condition::Any(vec![Condition::Absent, holder]),
            Condition::Below("at", number(5)),
        ]);
        let written = places.condition(&condition);
        assert_eq!(written, "((attribute_not_exists(#pk) OR #holder = :0) AND #at < :1)");
        let (names, values) = places.into_maps();
        assert_eq!(names.map(|names| names.len()), Some(3));
        assert_eq!(values.map(|values| values.len()), Some(2));
    }

    #[test]
    fn changes_have_a_clause_of_each_kind_that_they_need() {
        let mut places = Placeholders::default();
        let changes = Changes {
            add: vec![("count", number(1))],
            remove: vec!["gone", "away"],
            set: vec![("state", text("current"))],
            set_once: vec![("made_at", number(7))],
        };
        let wanted = "SET #state = :0, #made_at = if_not_exists(#made_at, :1) ADD #count :2 \
                      REMOVE #gone, #away";
        assert_eq!(places.changes(&changes), wanted);
    }
}
