//! What holds, whatever the engine: each of these tests runs over SQLite and over PostgreSQL.
//!
//! A test is a function of the folder `conformance`, given what makes an empty store. Each is named
//! once below; one that is not is dead code, which is an error.

#[path = "conformance"]
mod questions {
    pub mod asking_again;
    pub mod blocks;
    pub mod crowded;
    pub mod events;
    pub mod exhaustion;
    pub mod failed_commit;
    pub mod given_address;
    pub mod importing;
    pub mod limits;
    pub mod moving;
    pub mod named_leases;
    pub mod one_holder;
    pub mod pairs;
    pub mod pools;
    pub mod prefetch;
    pub mod quarantine;
    pub mod refusals;
    pub mod release_order;
    pub mod removal;
    pub mod renewal;
    pub mod reservations;
    pub mod resizing;
    pub mod schema_versions;
    pub mod seam;
    pub mod usage;
    pub mod verification;
    pub mod verification_of_rules;
    pub mod waiting;
    pub mod writer;
    pub mod writer_faces;
    pub mod wrong_clock;
}

macro_rules! suite {
    ($($question:ident { $($test:ident,)* })*) => {
        mod sqlite {
            $(mod $question {
                $(#[test]
                fn $test() {
                    crate::conformance::questions::$question::$test(crate::support::Store::new);
                })*
            })*
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            $(mod $question {
                $(#[test]
                fn $test() {
                    if crate::shared::postgres::cluster_in_memory().is_some() {
                        crate::conformance::questions::$question::$test(crate::conformance::on_postgres);
                    }
                })*
            })*
        }
    };
}

/// A store in a schema of its own.
#[cfg(feature = "postgres")]
fn on_postgres() -> crate::support::Store {
    crate::support::Store::on(&crate::shared::postgres::cluster_in_memory().unwrap().schema())
}

suite! {
    asking_again {
        the_same_owner_gets_the_same_lease,
        hold_until_and_until_move_forward_only,
        a_lease_without_end_keeps_none,
        a_lease_that_has_ended_begins_anew_whether_it_was_expired_or_not,
        equal_owners_in_a_batch_are_one,
        a_pool_that_is_there_already_is_created_again,
        a_block_that_is_there_already_is_created_again,
        a_reservation_that_is_there_already_is_made_again,
        a_range_that_a_pool_has_already_is_no_change,
        a_transfer_that_was_made_already_answers_the_same,
        a_release_that_was_made_already_answers_the_same,
    }
    blocks {
        only_who_names_the_block_gets_one_of_it,
        it_does_not_spill_either_way,
        an_address_in_it_is_given_with_the_block_alone,
        a_returning_owner_gets_its_old_address_where_it_asks_for_it,
        it_lies_inside_its_pool_and_beside_other_blocks,
        it_is_part_of_a_pool_of_its_network,
        leases_stand_in_its_way_those_in_quarantine_too,
        name_and_id_are_its_own,
        it_is_renamed_to_what_no_other_is_called,
        it_is_found_by_name_id_and_pool_and_is_no_pool,
        deleted_it_gives_its_addresses_back,
        what_is_reserved_in_it_is_reserved,
        an_address_pinned_in_it_is_had_with_the_block,
        leases_in_it_end_by_themselves_and_return_to_it,
        a_request_names_a_pool_of_its_network_and_family,
        room_is_found_at_the_end_and_is_a_prefix,
        it_grows_and_shrinks_inside_its_pool,
    }
    crowded {
        full_pools_are_passed_over_until_something_in_them_is_free,
        a_pool_that_a_block_goes_back_to_is_full_no_more,
        pools_and_blocks_are_listed_page_by_page,
        leases_end_over_all_networks_in_one_bounded_step,
        one_step_takes_no_more_runs_of_free_addresses_than_it_may,
    }
    events {
        an_event_comes_back_as_it_was_written,
        the_allocator_writes_one_for_each_change,
        each_operation_names_who_asked_from_where_and_in_which_request,
        no_change_is_no_event,
        the_kinds_of_this_crate_are_not_for_others,
        they_are_found_by_network_kind_and_subject_from_either_end,
        a_page_of_many_networks_is_in_order,
        a_search_for_few_among_many_ends_early_and_goes_on,
        what_leases_are_judged_by_is_not_forgotten,
    }
    exhaustion {
        a_24_gives_254_addresses_and_then_none,
        in_one_batch_the_first_254_get_one_and_the_others_are_refused,
        holders_still_get_their_own_address,
        ended_quarantines_are_reclaimed_before_a_request_is_refused,
        ended_quarantines_under_reservations_hide_no_others,
        a_network_without_a_pool_of_the_family_says_so,
    }
    failed_commit {
        the_outcome_is_unknown_and_nothing_of_it_is_there,
        the_whole_batch_is_told_and_asking_again_is_safe,
    }
    prefetch {
        a_step_sees_what_it_was_granted_and_what_it_wrote,
        prefetching_nonsense_fails_the_step_alone,
    }
    given_address {
        any_free_address_of_a_pool,
        none_that_another_holds,
        none_outside_the_pools_not_even_the_networks_own,
        none_of_another_family,
        no_second_one,
        in_a_batch_before_others_are_served,
        many_in_a_batch_out_of_one_run,
        what_an_owner_had_comes_before_what_others_name,
        none_that_is_lost,
    }
    importing {
        each_obstacle_is_told_by_its_place,
        one_that_cannot_be_taken_over_keeps_all_out,
        taking_over_again_changes_nothing,
        many_are_taken_over_in_steps,
        a_conflict_says_what_it_is,
        into_a_block_and_out_again,
    }
    limits {
        a_step_asks_for_so_many_addresses_and_no_more,
        an_actor_that_events_cannot_name_is_refused_by_each_operation,
        names_notes_and_details_have_a_longest,
        a_reservation_over_many_leases_is_lifted_in_steps,
        a_pool_over_many_reservations_grows_in_steps,
        an_owner_does_not_name_one_address_after_the_other_without_end,
        assignments_are_taken_over_so_many_at_a_time,
    }
    moving {
        to_a_pool_it_gets_an_address_of_it_and_gives_up_its_own,
        to_a_given_address_it_gets_that_one,
        asking_again_answers_the_same,
        refused_it_keeps_what_it_has,
        what_it_left_is_nobodys_until_its_hold_ends_and_its_own_when_it_comes_back,
        only_the_family_of_the_request_moves,
        one_without_an_address_gets_one,
        pinned_to_what_it_has_it_leaves_it_pinned,
        how_many_it_may_leave_is_bounded,
        movers_of_a_batch_are_refused_alone,
        what_a_step_does_not_write_has_not_moved,
        the_events_explain_it,
    }
    named_leases {
        a_late_duplicate_of_a_release_leaves_the_owners_new_lease_alone,
        so_does_one_of_a_renewal_or_a_transfer,
        a_release_without_a_name_takes_what_the_owner_has_by_then,
        a_lease_keeps_its_name_as_long_as_it_lasts,
        one_family_is_released_and_the_other_stays,
        one_that_was_passed_on_is_not_its_former_owners_to_release,
        one_that_was_passed_on_and_released_is_not_passed_on_again,
        one_in_quarantine_is_taken_over_alone,
        an_owner_never_has_an_address_under_one_number_twice,
    }
    one_holder {
        a_second_holder_of_an_address_is_refused,
        a_second_active_lease_of_an_owner_is_refused,
    }
    pairs {
        both_come_in_the_order_asked_and_again_the_same,
        when_one_is_exhausted_the_other_is_not_taken,
        when_a_given_one_is_taken_the_other_is_not,
        who_has_one_already_gets_the_other_and_keeps_the_one_it_had,
        both_are_released_and_come_back_together,
    }
    pools {
        a_pool_costs_the_same_for_each_size,
        free_counts_all_sizes,
        pools_that_overlap_are_refused,
        pools_are_used_in_the_order_of_their_position,
        a_pool_does_not_spill_into_its_neighbour,
        networks_do_not_share_addresses_or_owners,
        both_families_live_side_by_side,
        a_pool_is_moved_before_another,
        what_is_free_is_listed_in_pages,
    }
    quarantine {
        it_ends_at_the_later_of_hold_until_and_the_hold_time,
        nobody_else_gets_the_address_before_its_end,
        an_address_asked_for_can_be_had_from_its_end_on_with_nothing_of_the_past,
        its_owner_gets_it_back_and_the_old_hold_counts_on,
        a_returning_owner_gets_what_it_had_last,
        in_one_batch_the_owner_comes_before_whoever_asks_for_its_ended_quarantine,
        releasing_twice_changes_nothing_more,
        releasing_again_answers_what_was_released_last,
        the_hold_moves_forward_only_and_ends_early_only_after_the_hold_time,
        a_new_owner_takes_over_what_the_old_one_left,
        reclaiming_is_bounded_and_frees_the_earliest_first,
        leases_that_end_by_themselves_go_through_quarantine,
        the_reason_is_kept_as_long_as_it_lasts,
        one_that_ended_by_itself_says_so,
        expiring_is_bounded_and_of_one_network,
    }
    refusals {
        shrinking_at_one_end_does_not_begin_before_the_other_is_judged,
        none_is_taken_over_before_all_are_judged,
        what_stands_in_the_way_is_found_before_anything_is_written,
    }
    release_order {
        neighbours_are_joined_from_both_sides,
        all_back_in_any_order_is_one_interval_again,
        what_comes_back_together_is_joined_together,
        the_lowest_free_address_is_given_next,
        the_ends_of_the_address_space_come_back_too,
    }
    removal {
        a_removed_network_has_nothing_and_its_events_say_so,
        another_network_keeps_what_it_has,
        a_lease_that_is_gone_without_an_event_is_still_found,
    }
    renewal {
        renewing_sets_the_end_whatever_it_was,
        renewing_concerns_both_families_and_nobody_else,
        who_has_no_active_lease_cannot_renew,
        a_heartbeat_moves_the_end_once_a_quarter_has_passed,
        a_heartbeat_neither_ends_nor_shortens_a_lease,
        all_leases_change_hands_and_stay_as_they_are,
        who_has_one_of_the_family_gets_no_second,
        who_has_none_passes_none_on,
        to_oneself_changes_nothing,
    }
    reservations {
        what_is_for_asking_is_had_by_name_alone,
        what_is_for_nobody_is_given_to_nobody,
        a_pinned_address_is_its_owners_whenever_it_asks,
        the_pinned_address_comes_before_the_old_one,
        a_pool_made_later_respects_it,
        hundreds_of_them_are_respected,
        one_over_several_pools_holds_in_each,
        a_pool_grows_and_shrinks_over_it,
        lifting_one_frees_what_is_not_leased_there,
        two_do_not_overlap,
        leases_of_others_stand_in_its_way,
        what_is_in_quarantine_there_is_not_given_to_anyone_else_afterwards,
        a_pinned_address_in_quarantine_of_another_is_waited_for,
        an_owner_has_one_pinned_address_of_a_family,
        a_pin_that_no_pool_has_keeps_nobody_from_an_address,
        a_pin_counts_in_its_own_network,
        they_are_listed_in_address_order_and_found_by_address,
    }
    resizing {
        it_grows_at_both_ends_and_its_leases_stay,
        what_it_gains_joins_what_is_free,
        it_shrinks_to_what_is_in_use,
        it_moves,
        leases_stand_in_the_way_with_the_list_those_in_quarantine_too,
        a_hundred_leases_are_named_at_most,
        blocks_stand_in_the_way,
        it_stays_clear_of_others_and_of_its_family,
        a_deleted_pool_is_gone_and_can_be_made_again,
    }
    schema_versions {
        neighbouring_versions_run_side_by_side,
        all_steps_are_taken_at_once_from_nothing,
        a_program_older_than_the_schema_allows_is_refused,
        tables_without_a_recorded_version_are_foreign,
        a_failed_step_leaves_the_schema_as_it_was,
    }
    seam {
        as_many_parameters_are_given_as_the_text_has,
        execute_refuses_returning_before_it_changes_a_row,
        a_column_of_another_type_is_an_error_that_names_it,
        a_change_of_no_row_was_overtaken_and_may_be_tried_again,
        query_each_answers_each_set_in_order,
        readers_see_one_snapshot_and_cannot_write,
    }
    usage {
        each_address_is_counted_as_what_it_is,
        each_size_has_its_exact_capacity_and_addresses,
        a_31_and_a_127_give_two_addresses,
        an_ipv6_64_begins_after_its_routers_anycast_address,
        an_unknown_pool_is_an_error,
        a_pool_of_all_ipv6_in_two_blocks_is_counted,
    }
    verification {
        a_deleted_lease_loses_its_address,
        a_deleted_interval_loses_the_rest,
        a_leased_address_that_is_free_is_there_twice,
        rows_outside_their_pool_are_strays,
        an_owner_with_two_active_leases_is_found,
        pools_that_overlap_are_found,
        a_reservation_that_is_gone_loses_what_is_not_leased_of_it,
        what_is_reserved_and_free_is_there_twice,
        reservations_that_overlap_are_there_twice,
        a_block_without_its_addresses_loses_them,
        what_is_in_a_block_and_free_in_its_pool_is_there_twice,
        a_block_that_is_smaller_than_it_was_loses_the_rest,
        blocks_that_overlap_are_there_twice,
        a_deleted_lease_of_a_block_loses_its_address,
        a_lease_that_the_events_tell_otherwise_is_unexplained,
        an_event_that_cannot_follow_is_impossible,
        a_violation_names_the_address,
    }
    verification_of_rules {
        a_pool_with_free_addresses_that_is_passed_over,
        a_lease_with_other_times_than_its_events_tell,
        a_hold_that_went_back,
        a_quarantine_that_ended_early,
        events_that_tell_no_times_are_not_held_against_a_lease,
        an_event_about_a_lease_that_does_not_say_which,
        reservations_that_overlap_outside_pools,
        a_block_that_is_not_inside_its_pool,
        an_active_lease_of_what_is_kept_for_others,
        a_pinned_address_may_be_passed_on,
    }
    waiting {
        waiting_for_an_answer_in_a_step_is_refused_at_once,
        so_it_is_where_an_answer_is_handed_on,
        a_writer_that_is_dropped_in_its_own_step_ends_behind_it,
        where_the_queue_is_full_a_request_waits_for_room,
        who_drops_its_answer_waits_no_longer,
        when_the_writer_ends_whoever_waits_for_room_is_told_so,
        an_allocator_waits_for_room_where_it_shall,
        an_allocator_is_closed_and_waited_for,
    }
    writer {
        a_thousand_owners_from_64_threads_get_a_thousand_addresses_and_again_the_same,
        one_owner_asking_from_many_threads_gets_one_address,
        one_that_fails_among_a_hundred_fails_alone,
        a_step_cannot_end_the_transaction_that_it_shares,
        several_that_fail_in_different_ways_fail_alone,
        a_key_that_another_of_the_batch_uses_fails_the_later_alone,
        exhaustion_refuses_those_it_concerns_alone,
        half_of_what_is_wanted_is_nothing_and_free_for_others,
        alone_half_of_what_is_wanted_is_nothing_too,
        steps_about_the_same_thing_see_each_other,
        many_requests_about_one_thing_keep_no_other_waiting,
        a_full_queue_is_an_error_at_once,
        shutting_down_finishes_what_is_queued,
        an_answer_that_panics_harms_nobody,
        what_panics_when_it_is_dropped_harms_nobody,
        time_never_runs_before_the_last_event,
        a_handle_is_shared_between_threads,
    }
    writer_faces {
        an_answer_can_be_awaited_without_a_runtime,
        an_allocators_answers_can_be_awaited_and_share_a_commit,
        what_nobody_waits_for_any_more_is_done_nevertheless,
        a_full_queue_is_the_answer_at_once,
        shutting_down_answers_all_that_was_accepted,
        closing_is_awaited_and_answers_all_that_was_accepted,
        counters_tell_what_was_done,
    }
    wrong_clock {
        an_hour_ahead_the_last_event_is_believed,
        further_ahead_it_ends_no_quarantine_and_the_writer_is_not_ready,
        what_a_step_does_is_at_the_time_of_its_transaction,
        no_operation_is_at_another_time_than_its_transaction,
        an_old_record_does_not_have_the_clock_believed,
        once_confirmed_time_goes_on_from_the_clock,
        it_can_be_confirmed_before_the_writer_starts,
        a_clock_that_is_put_right_needs_no_confirmation,
        a_clock_that_goes_back_while_it_works_is_noticed,
    }
}
