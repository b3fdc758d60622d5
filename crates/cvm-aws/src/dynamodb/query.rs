//! Reading lists: a stretch of one partition, and several partitions merged into one order.

use std::collections::VecDeque;

use futures_util::future::try_join_all;

use super::calls::Calls;
use super::expression::Placeholders;
use super::failure::Failure;
use super::item::{Item, text};
use super::key::{Index, Key, PK, SK, behind};

/// How many more keys than its share a partition is asked for at first, so that few are asked twice.
const SPARE: usize = 4;

/// What is read of one partition.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    /// Of the table itself where `None`.
    pub(super) index: Option<Index>,
    pub(super) partition: String,
    /// The first sort key; from the beginning where `None`.
    pub(super) from: Option<String>,
    /// The last sort key; to the end where `None`.
    pub(super) until: Option<String>,
    pub(super) order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Falling,
    Rising,
}

/// Somewhere in an index: its sort key there, and the item's own key.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) place: String,
    pub(super) key: Key,
}

impl Stretch {
    /// All of a partition of the table.
    pub(super) fn of(partition: impl Into<String>) -> Self {
        let (index, partition) = (None, partition.into());
        Self { index, partition, from: None, until: None, order: Order::Rising }
    }

    /// All of a partition of an index.
    pub(super) fn in_index(index: Index, partition: impl Into<String>) -> Self {
        Self { index: Some(index), ..Self::of(partition) }
    }

    /// What lies behind `key`.
    pub(super) fn after(self, key: Option<&str>) -> Self {
        Self { from: key.map(behind), ..self }
    }

    fn names(&self) -> (&'static str, &'static str) {
        self.index.map_or((PK, SK), |index| (index.pk(), index.sk()))
    }

    fn condition(&self, places: &mut Placeholders) -> String {
        let (pk, sk) = self.names();
        let partition = places.name(pk);
        let partition = format!("{partition} = {}", places.value(text(&self.partition)));
        let mut bound = |value: &String| places.value(text(value));
        let (from, until) =
            (self.from.as_ref().map(&mut bound), self.until.as_ref().map(&mut bound));
        let bounds = match (from, until) {
            (None, None) => return partition,
            (Some(from), None) => format!(">= {from}"),
            (None, Some(until)) => format!("<= {until}"),
            (Some(from), Some(until)) => format!("BETWEEN {from} AND {until}"),
        };
        format!("{partition} AND {} {bounds}", places.name(sk))
    }
}

impl Calls {
    /// The first items of the stretch, `limit` of them at most.
    pub(super) async fn query(
        &self,
        stretch: &Stretch,
        limit: usize,
    ) -> Result<Vec<Item>, Failure> {
        let mut items = Vec::new();
        // Between bounds that are no bounds nothing lies, and to ask would be an error.
        if stretch.from.is_some() && stretch.until.is_some() && stretch.from > stretch.until {
            return Ok(items);
        }
        let mut places = Placeholders::default();
        let condition = stretch.condition(&mut places);
        let (names, values) = places.into_maps();
        let mut start = None;
        loop {
            let room = limit.saturating_sub(items.len());
            let call = self.client.query().table_name(&self.table);
            let call = call.set_index_name(stretch.index.map(|index| index.name().to_owned()));
            let call = call.consistent_read(stretch.index.is_none());
            let call = call.scan_index_forward(stretch.order == Order::Rising);
            let call = call.key_condition_expression(&condition).set_exclusive_start_key(start);
            let call = call.set_expression_attribute_names(names.clone());
            let call = call.set_expression_attribute_values(values.clone());
            let call = call.limit(i32::try_from(room).unwrap_or(i32::MAX));
            let answer = call.send().await;
            let answer = answer.map_err(|error| Failure::of("reading a list", error))?;
            items.extend(answer.items.unwrap_or_default().into_iter().map(Item));
            start = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() || items.len() >= limit {
                return Ok(items);
            }
        }
    }

    /// What the stretches have, one behind the other, `limit` at most.
    pub(super) async fn chained(
        &self,
        stretches: impl IntoIterator<Item = Stretch>,
        limit: usize,
    ) -> Result<Vec<Item>, Failure> {
        let mut items = Vec::new();
        for stretch in stretches {
            items.extend(self.query(&stretch, limit.saturating_sub(items.len())).await?);
            if items.len() >= limit {
                break;
            }
        }
        Ok(items)
    }

    /// What the stretches of one index have, in order of their places, `limit` at most. Each is asked
    /// for its share and a few more at first, and again only where it runs dry.
    pub(super) async fn merged(
        &self,
        stretches: Vec<Stretch>,
        limit: usize,
    ) -> Result<Vec<Found>, Failure> {
        let share = limit.div_ceil(stretches.len().max(1)) + SPARE;
        let mut parts: Vec<_> = stretches.into_iter().map(Part::new).collect();
        try_join_all(parts.iter_mut().map(|part| part.fill(self, share))).await?;
        let mut merged = Vec::new();
        while merged.len() < limit {
            try_join_all(parts.iter_mut().map(|part| part.fill(self, share))).await?;
            let first = parts.iter_mut().filter(|part| !part.found.is_empty());
            let first = first.min_by(|a, b| a.first().cmp(&b.first()));
            let Some(next) = first.and_then(|part| part.found.pop_front()) else { break };
            merged.push(next);
        }
        Ok(merged)
    }
}

/// A stretch and what was read of it and not taken yet.
struct Part {
    rest: Option<Stretch>,
    found: VecDeque<Found>,
}

impl Part {
    fn new(stretch: Stretch) -> Self {
        Self { rest: Some(stretch), found: VecDeque::new() }
    }

    fn first(&self) -> Option<&str> {
        self.found.front().map(|found| found.place.as_str())
    }

    /// Reads on where nothing is left to take.
    async fn fill(&mut self, calls: &Calls, share: usize) -> Result<(), Failure> {
        if !self.found.is_empty() {
            return Ok(());
        }
        let Some(stretch) = self.rest.take() else { return Ok(()) };
        let items = calls.query(&stretch, share).await?;
        let is_full = items.len() >= share;
        let (_, sk) = stretch.names();
        for item in items {
            self.found.push_back(Found { place: item.text(sk)?.to_owned(), key: item.key()? });
        }
        let last = self.found.back().map(|found| found.place.clone());
        self.rest = last.filter(|_| is_full).map(|last| stretch.after(Some(&last)));
        Ok(())
    }
}
