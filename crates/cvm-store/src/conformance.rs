//! The contracts of the store's ports as code: a named check for each sentence.
//!
//! [`conformance!`](crate::conformance!) makes a test of each, for whatever opens an empty store.

mod attempts;
mod commits;
mod filters;
pub mod given;
mod journal;
mod keys;
mod lists;
mod many;
mod nonces;
mod operators;
mod reads;
mod revocations;
mod simple;
mod sweeper;

use std::pin::Pin;

use crate::Stores;

/// A check, run on an empty store of its own; it panics where the store breaks the contract.
pub type Check = fn(Stores) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! checks {
    ($($module:ident { $($name:ident)* })*) => {
        $(pub use $module::{$($name),*};)*

        /// All checks by name.
        #[must_use]
        pub fn all() -> Vec<(&'static str, Check)> {
            vec![$($((stringify!($name), (|stores| Box::pin($name(stores))) as Check)),*),*]
        }

        #[doc(hidden)]
        #[macro_export]
        macro_rules! conformance {
            ($open:expr) => {
                $crate::conformance_tests! { ($open) $($($name)*)* }
            };
        }
    };
}

/// One test for each name.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    (($open:expr) $($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let (stores, _kept) = ($open)();
            $crate::conformance::$name(stores).await;
        }
    )*};
}

checks! {
    attempts {
        a_code_that_was_overwritten_is_not_known
        an_attempt_is_found_by_its_code
        attempts_on_unknown_serial_numbers_are_counted_by_address
        the_last_32_attempts_are_kept_newest_first
        unknown_attempts_before_the_asked_time_are_not_counted
    }
    commits {
        a_certificate_of_another_device_is_not_touched
        a_certificate_that_is_there_is_not_inserted_again
        a_new_record_has_version_one
        a_record_comes_back_whole
        a_refused_change_writes_nothing
        a_serial_number_that_is_taken_is_a_conflict
        a_version_of_a_record_that_is_not_there_is_a_conflict
        a_version_that_moved_is_a_conflict
        an_end_is_written_to_the_certificate
        all_that_a_change_says_of_one_certificate_holds
        an_expired_certificate_ended_by_its_not_after
        conflicts_in_a_group_change_nothing_of_the_others
        each_commit_writes_the_next_version
        of_concurrent_commits_of_one_version_one_wins
        the_first_use_makes_a_certificate_the_current_one
    }
    filters {
        a_filtered_list_has_the_devices_of_a_state
        a_filtered_list_is_in_order_of_its_place
        a_filtered_walk_is_complete_while_devices_come
        a_place_that_no_list_can_have_ends_a_filtered_list
        a_record_that_moves_is_listed_where_it_is
        disabled_devices_are_listed_whatever_their_state
        expiring_devices_are_the_active_ones_whose_end_is_in_the_span
        no_more_devices_are_outlived_than_a_sweep_takes
        outlived_devices_are_issued_or_active_ones_whose_end_is_over
        registered_devices_are_found_among_many_that_are_so_no_more
        registered_devices_are_in_the_order_in_which_they_were
    }
    journal {
        a_decision_is_recorded_without_a_change
        a_refused_change_has_no_row
        a_row_comes_back_whole
        concurrent_rows_have_numbers_from_one_up_without_a_gap
        the_rows_of_a_change_are_in_its_commit
    }
    keys {
        a_compromised_key_is_nobodys_for_ever
        a_device_releases_its_keys_and_no_others
        a_key_is_another_devices_for_ever
        a_key_is_owned_from_the_commit_on
        a_key_that_is_owned_again_after_its_release_is_owned
        a_key_that_nobody_owns_is_nobodys_after_not_others
        a_name_given_up_is_free
        a_released_key_may_become_anothers
        a_name_that_is_a_serial_number_is_one_devices_too
        a_spent_token_is_spent_for_its_device
        a_thing_is_made_once
        a_thing_is_removed_by_its_device_only
        a_thing_that_was_left_behind_takes_its_name
        a_tombstones_thing_name_is_taken
        another_devices_thing_name_is_taken
        of_concurrent_owners_of_one_key_one_wins
        of_concurrent_devices_with_one_thing_name_one_wins
        owning_ones_own_key_again_changes_nothing
        the_thing_of_another_device_is_taken
        two_rules_hold_together_or_not_at_all
        two_rules_may_be_about_one_key
    }
    lists {
        a_devices_certificates_are_oldest_first
        a_key_that_the_list_cannot_have_ends_it
        a_page_has_no_more_than_its_limit
        a_walk_is_complete_and_without_duplicates_while_devices_come
        certificates_are_in_order_of_their_id
        devices_are_in_byte_order_of_their_serial_number
        policies_are_in_order_of_their_name
        the_journal_is_in_order_of_writer_and_number
    }
    many {
        each_of_many_changes_has_its_own_answer_at_its_place
        each_of_many_changes_sees_what_those_before_it_wrote
        many_records_come_in_the_order_in_which_they_are_asked_for
        of_nothing_nothing_comes
    }
    nonces {
        a_nonce_is_first_used_once
        a_use_is_known_until_the_nonce_is_good_no_more
        of_concurrent_uses_of_one_nonce_one_is_the_first
    }
    operators {
        a_credential_that_time_ended_holds_no_name
        a_live_credentials_name_is_taken
        a_refused_credential_writes_nothing
        a_revocation_is_in_one_commit_with_its_row
        a_revoked_credential_stays_as_it_is
        a_revoked_credentials_name_is_free
        an_admin_token_comes_back_whole
        an_admin_token_is_added_once
        an_admin_token_is_found_by_its_hash_and_its_id
        an_admin_tokens_id_is_not_given_twice
        an_unknown_credential_cannot_be_revoked
        credentials_are_in_order_of_their_id
        of_concurrent_credentials_of_one_name_one_is_added
        of_two_owners_who_revoke_each_other_one_remains
        the_last_live_owner_is_not_revoked
    }
    reads {
        a_holding_has_the_certificate_its_device_and_the_keys_owner
        reads_see_what_was_acknowledged_before_them
        what_is_not_there_is_none
    }
    revocations {
        a_crl_comes_back_whole
        a_crl_is_replaced_by_a_higher_number_only
        a_crl_is_stale_from_the_next_change_on
        a_refused_end_counts_nothing
        a_shard_counts_its_changes
        a_shard_lists_what_ended_otherwise_than_by_its_not_after
        changed_shards_are_due_then_old_ones
        shards_and_issuers_are_apart
        what_expired_before_the_asked_time_is_left_out
    }
    simple {
        a_policy_is_put_in_place_of_its_namesake
        a_store_that_is_open_is_ready
        the_mark_is_set_forward_and_back_with_its_row
        the_mark_never_falls
        the_mark_tells_what_it_was
    }
    sweeper {
        a_claim_ends_with_its_certificate
        claims_are_the_live_certificates_of_a_key
        devices_are_due_from_their_time_on
        no_more_devices_are_due_than_a_sweep_takes
        reviews_are_found_by_name_and_listed_while_open
    }
}
