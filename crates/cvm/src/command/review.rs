//! `cvm review list|approve|deny`.

use cvm_wire::operator::{List, Review};

use super::device::more;
use super::remote;
use crate::cli::{ListArgs, OneReview};
use crate::failure::{Done, Exit, Failure};
use crate::output;

/// Lists what waits for a human.
pub(crate) fn list(args: &ListArgs) -> Done {
    let reviews: List<Review> = remote::page(args, "/v1/reviews")?;
    output::result(args.server.output.output, &reviews, |reviews, text| {
        let rows: Vec<Vec<String>> = reviews
            .items
            .iter()
            .map(|review| {
                vec![
                    review.id.clone(),
                    review.serial_number.clone(),
                    review.state.clone(),
                    asked(review),
                    review.address.clone(),
                    review.opened_at.clone(),
                ]
            })
            .collect();
        text.table(&["REVIEW", "SERIAL", "STATE", "KEY", "FROM", "SINCE"], &rows);
        more(reviews.cursor.as_deref());
    })
}

/// Decides a review.
pub(crate) fn decide(args: &OneReview, verdict: &str) -> Done {
    let id: cvm_core::id::AttemptCode =
        args.id.parse().map_err(|error: cvm_core::id::IdError| {
            Failure::new(Exit::Usage, format!("a review's id: {error}"))
        })?;
    let client = remote::connect(&args.server)?;
    let decided = client.post(&format!("/v1/reviews/{id}:{verdict}")).fetch();
    let review: Review = decided.map_err(remote::operator_failure)?;
    output::result(args.server.output.output, &review, |review, text| {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| String::from("-"));
        text.facts(&[
            ("review", review.id.clone()),
            ("device", review.serial_number.clone()),
            ("state", review.state.clone()),
            ("key", asked(review)),
            ("bound key", or_dash(&review.bound_key)),
            ("from", review.address.clone()),
            ("since", review.opened_at.clone()),
            ("approved until", or_dash(&review.approved_until)),
        ]);
    })
}

fn asked(review: &Review) -> String {
    match (&review.key, &review.key_algorithm) {
        (Some(key), _) => key.clone(),
        (None, Some(algorithm)) => format!("made here, {algorithm}"),
        (None, None) => String::from("-"),
    }
}
