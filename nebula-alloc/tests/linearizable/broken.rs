//! Histories that are right, and what the checker makes of them with one thing broken.

use std::net::IpAddr;

use nebula_alloc::event::kind;

use super::checker::{ADDRESSES, Happened, Violation, check};
use super::record::{Answer, Held, Record, Wish};

/// Seconds of the allocator's clock are nanoseconds here.
fn clock(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds).unwrap()
}

#[derive(Clone, Default)]
struct History {
    records: Vec<Record>,
    events: Vec<Happened>,
}

impl History {
    /// An operation of the owner, from one moment to another.
    fn asked(mut self, owner: u8, times: (u64, u64), wish: Wish, answer: Answer) -> Self {
        let id = u64::try_from(self.records.len()).unwrap();
        let (invoked, responded) = times;
        self.records.push(Record { id, invoked, responded, owner, wish, answer });
        self
    }

    /// An event of the last operation, at its last moment.
    fn event(mut self, kind: &str, owner: u8, last: u8) -> Self {
        let record = self.records.last().unwrap();
        let (at, operation, kind) = (clock(record.responded), record.id, kind.to_owned());
        self.events.push(Happened { at, kind, owner, address: ip(last), operation });
        self
    }

    fn allocated(self, owner: u8, times: (u64, u64), last: u8) -> Self {
        self.asked(owner, times, Wish::Any(0), held(last)).event(kind::ALLOCATED, owner, last)
    }

    /// For so many seconds.
    fn released(self, owner: u8, times: (u64, u64), last: u8, seconds: i64) -> Self {
        let end = clock(times.1) + seconds;
        let answer = Answer::Released(vec![(ip(last), end)]);
        self.asked(owner, times, Wish::Release(seconds), answer).event(kind::RELEASED, owner, last)
    }

    fn freed(self, by: u8, times: (u64, u64), owner: u8, last: u8) -> Self {
        self.asked(by, times, Wish::Reclaim, Answer::Freed(1)).event(kind::FREED, owner, last)
    }

    fn again(self, owner: u8, times: (u64, u64), last: u8) -> Self {
        self.asked(owner, times, Wish::Any(0), held(last))
    }

    fn found(&self) -> Vec<Violation> {
        check(&self.records, &self.events, clock)
    }

    fn finds(&self, violation: Violation) {
        let found = self.found();
        assert!(found.contains(&violation), "{violation:?} is not among {found:?}");
    }
}

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn held(last: u8) -> Answer {
    Answer::Held(Held { address: ip(last), hold_until: 0, until: None })
}

/// Operations 0 to 6: owner 1 has .1 and asks again, gives it back for ten seconds; it is freed and
/// given to owner 2, while owner 1 gets another.
fn right() -> History {
    History::default()
        .allocated(1, (10, 20), 1)
        .again(1, (30, 40), 1)
        .released(1, (50, 60), 1, 10)
        .freed(3, (70, 80), 1, 1)
        .allocated(2, (90, 100), 1)
        .allocated(1, (95, 105), 2)
        .asked(1, (110, 120), Wish::Given(ip(1), 0), Answer::HasAnother(ip(2)))
}

#[test]
fn a_right_history_is_accepted() {
    assert_eq!(right().found(), []);
    // At the same time, in whatever order the events say.
    let both = History::default()
        .allocated(1, (10, 50), 1)
        .released(1, (10, 50), 1, 0)
        .freed(3, (10, 50), 1, 1)
        .allocated(2, (10, 50), 1)
        .asked(4, (10, 50), Wish::Given(ip(1), 0), Answer::Taken)
        .again(1, (10, 50), 1);
    assert_eq!(both.found(), []);
    let returned = History::default()
        .allocated(1, (10, 20), 1)
        .released(1, (30, 40), 1, 50)
        .asked(2, (50, 60), Wish::Given(ip(1), 0), Answer::Quarantined(90))
        .asked(1, (62, 63), Wish::Renew(7), Answer::NoLease)
        .asked(
            1,
            (70, 80),
            Wish::Any(0),
            Answer::Held(Held { address: ip(1), hold_until: 90, until: None }),
        )
        .event(kind::RETURNED, 1, 1);
    assert_eq!(returned.found(), []);
}

#[test]
fn an_answer_other_than_its_event_is_found() {
    let mut history = right();
    history.records[0].answer = held(7);
    history.finds(Violation::WrongAnswer { operation: 0 });
    let mut history = right();
    history.records[2].answer = Answer::Released(vec![(ip(1), 69)]);
    history.finds(Violation::WrongAnswer { operation: 2 });
    let mut history = right();
    history.records[3].answer = Answer::Freed(2);
    history.finds(Violation::WrongAnswer { operation: 3 });
}

#[test]
fn an_answer_without_its_event_is_found() {
    for (lost, operation) in [(0, 0), (3, 4), (4, 5)] {
        let mut history = right();
        history.events.remove(lost);
        history.finds(Violation::Unexplained { operation });
    }
    let mut history = right();
    history.events.remove(1);
    history.finds(Violation::WrongAnswer { operation: 2 });
}

#[test]
fn an_event_of_a_refused_operation_is_found() {
    let history =
        right().asked(4, (130, 140), Wish::Any(0), Answer::Contended).event(kind::ALLOCATED, 4, 3);
    history.finds(Violation::WrongAnswer { operation: 7 });
    let mut history = right();
    history.events[0].operation = 99;
    history.finds(Violation::NobodyAsked { operation: 99 });
}

#[test]
fn events_that_cannot_follow_each_other_are_found() {
    let history = right().allocated(4, (130, 140), 1);
    history.finds(Violation::Impossible { operation: 7 });
    // Nor may one owner's be another's.
    let mut history = right();
    history.events[4].owner = 9;
    history.finds(Violation::Impossible { operation: 5 });
    let history = right().allocated(4, (130, 140), ADDRESSES + 1);
    history.finds(Violation::Impossible { operation: 7 });
}

#[test]
fn an_order_against_real_time_is_found() {
    // Of an address: freed before the release was invoked.
    let mut history = right();
    (history.records[3].invoked, history.records[3].responded) = (41, 49);
    history.finds(Violation::OutOfOrder { earlier: 2, later: 3 });
    // Of an owner: .2 before .1 was given up.
    let mut history = right();
    (history.records[5].invoked, history.records[5].responded) = (21, 29);
    history.finds(Violation::OutOfOrder { earlier: 2, later: 5 });
}

#[test]
fn an_answer_from_the_past_is_found() {
    let history = right().again(1, (130, 140), 1);
    history.finds(Violation::Unexplained { operation: 7 });
    let history = right().asked(4, (130, 140), Wish::Given(ip(9), 0), Answer::Taken);
    history.finds(Violation::Unexplained { operation: 7 });
    let history = right().asked(4, (130, 140), Wish::Given(ip(1), 0), Answer::Quarantined(150));
    history.finds(Violation::Unexplained { operation: 7 });
    let history = right().asked(2, (130, 140), Wish::Renew(9), Answer::NoLease);
    history.finds(Violation::Unexplained { operation: 7 });
    let history = right().asked(2, (130, 140), Wish::Release(0), Answer::Released(vec![]));
    history.finds(Violation::Unexplained { operation: 7 });
    let other = Answer::HasAnother(ip(1));
    let history = right().asked(1, (130, 140), Wish::Given(ip(2), 0), other);
    history.finds(Violation::Unexplained { operation: 7 });
}

/// One alone would be right: the release ran all the time.
#[test]
fn a_state_seen_again_after_a_later_one_is_found() {
    let history = |first: Answer, second: Answer| {
        History::default()
            .allocated(1, (10, 20), 1)
            .released(1, (30, 100), 1, 0)
            .asked(4, (40, 50), Wish::Given(ip(1), 0), first)
            .asked(5, (60, 70), Wish::Given(ip(1), 0), second)
    };
    let (before, after) = (Answer::Taken, Answer::Quarantined(100));
    assert_eq!(history(before.clone(), after.clone()).found(), []);
    assert_eq!(history(before.clone(), before.clone()).found(), []);
    history(after, before).finds(Violation::Unexplained { operation: 3 });
}

#[test]
fn two_holders_are_found_without_the_events() {
    let mut history = right().allocated(4, (130, 140), 1);
    history.events.clear();
    history.finds(Violation::TwoHolders { one: 4, other: 7 });
    // A release that may have come in between makes it uncertain.
    let end = Answer::Released(vec![(ip(1), 150)]);
    let history = history.asked(2, (135, 150), Wish::Release(0), end);
    history.finds(Violation::Unexplained { operation: 7 });
    assert!(!history.found().iter().any(|one| matches!(one, Violation::TwoHolders { .. })));
}

#[test]
fn an_end_of_quarantine_too_early_is_found() {
    let mut history = right();
    history.records[2].wish = Wish::Release(30);
    history.records[2].answer = Answer::Released(vec![(ip(1), 90)]);
    history.finds(Violation::TooEarly { operation: 3 });
    // An event's own time is not taken on trust.
    history.events[2].at = 90;
    history.finds(Violation::TooEarly { operation: 3 });
    let given = |until| {
        History::default()
            .allocated(1, (10, 20), 1)
            .released(1, (30, 40), 1, until)
            .asked(2, (50, 60), Wish::Given(ip(1), 0), held(1))
            .event(kind::ALLOCATED, 2, 1)
    };
    assert_eq!(given(20).found(), []);
    given(21).finds(Violation::TooEarly { operation: 2 });
}

#[test]
fn exhausted_with_a_free_address_is_found() {
    let all = |count: u8| {
        (1..=count)
            .fold(History::default(), |history, owner| history.allocated(owner, (10, 20), owner))
    };
    let ask = |history: History, times| history.asked(90, times, Wish::Any(0), Answer::Exhausted);
    let operation = u64::from(ADDRESSES);
    assert_eq!(ask(all(ADDRESSES), (30, 40)).found(), []);
    assert_eq!(ask(all(ADDRESSES), (5, 15)).found(), [], "while they were taken");
    ask(all(ADDRESSES), (2, 9)).finds(Violation::NotExhausted { operation });
    ask(all(ADDRESSES - 1), (30, 40)).finds(Violation::NotExhausted { operation: operation - 1 });
    // One in quarantine is not free, until that has ended.
    let released = all(ADDRESSES).released(5, (30, 40), 5, 20);
    assert_eq!(ask(released.clone(), (50, 55)).found(), []);
    ask(released, (60, 65)).finds(Violation::NotExhausted { operation: operation + 1 });
}

#[test]
fn a_renewal_that_is_lost_is_found() {
    let until = Answer::Held(Held { address: ip(1), hold_until: 0, until: Some(500) });
    let renewed = History::default()
        .allocated(1, (10, 20), 1)
        .asked(1, (30, 40), Wish::Renew(500), until.clone())
        .event(kind::RENEWED, 1, 1);
    assert_eq!(renewed.clone().asked(1, (50, 60), Wish::Any(0), until).found(), []);
    renewed.again(1, (50, 60), 1).finds(Violation::Unexplained { operation: 2 });
}
