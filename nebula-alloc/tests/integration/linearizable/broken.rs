//! Histories that are right, and what the checker makes of them with one thing broken.

use nebula_alloc::event::kind;

use super::checker::{Ground, Happened, Violation, check, ip};
use super::record::{Answer, Held, Record, Wish};

const ADDRESSES: u16 = 28;

/// Owner 7 has .7 pinned to it, and so on down.
const GROUND: Ground = Ground { addresses: ADDRESSES, owners: 99, pinned: 0 };
const PINNED: Ground = Ground { pinned: 7, ..GROUND };

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
    fn asked(mut self, owner: u16, times: (u64, u64), wish: Wish, answer: Answer) -> Self {
        let id = u64::try_from(self.records.len()).unwrap();
        let (invoked, responded) = times;
        self.records.push(Record { id, invoked, responded, owner, wish, answer });
        self
    }

    /// An event of the last operation, at its last moment.
    fn event(mut self, kind: &str, owner: u16, last: u16) -> Self {
        let record = self.records.last().unwrap();
        let (at, operation, kind) = (clock(record.responded), record.id, kind.to_owned());
        self.events.push(Happened { at, kind, owner, address: ip(last), operation });
        self
    }

    fn allocated(self, owner: u16, times: (u64, u64), last: u16) -> Self {
        self.asked(owner, times, Wish::Any(0), held(last)).event(kind::ALLOCATED, owner, last)
    }

    /// For so many seconds.
    fn released(self, owner: u16, times: (u64, u64), last: u16, seconds: i64) -> Self {
        let end = clock(times.1) + seconds;
        let answer = Answer::Released(vec![(ip(last), end)]);
        self.asked(owner, times, Wish::Release(seconds), answer).event(kind::RELEASED, owner, last)
    }

    fn freed(self, by: u16, times: (u64, u64), owner: u16, last: u16) -> Self {
        self.asked(by, times, Wish::Reclaim, Answer::Freed(1)).event(kind::FREED, owner, last)
    }

    fn again(self, owner: u16, times: (u64, u64), last: u16) -> Self {
        self.asked(owner, times, Wish::Any(0), held(last))
    }

    fn found(&self) -> Vec<Violation> {
        check(GROUND, &self.records, &self.events, clock)
    }

    fn finds(&self, violation: Violation) {
        let found = self.found();
        assert!(found.contains(&violation), "{violation:?} is not among {found:?}");
    }
}

fn held(last: u16) -> Answer {
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
    for (lost, operation) in [(0, 0), (1, 2), (3, 4), (4, 5)] {
        let mut history = right();
        history.events.remove(lost);
        history.finds(Violation::Unexplained { operation });
    }
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
    let all = |count: u16| {
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

/// Owner 1 has .1 until 25, extended to be held until 60; it expires, and is passed on.
fn passed_on() -> History {
    let until = Held { address: ip(1), hold_until: 0, until: Some(25) };
    let longer = Held { hold_until: 60, ..until };
    History::default()
        .allocated(1, (10, 12), 1)
        .asked(1, (14, 16), Wish::Renew(25), Answer::Held(until))
        .event(kind::RENEWED, 1, 1)
        .asked(1, (18, 20), Wish::Hold(60), Answer::Moved(1))
        .event(kind::HELD, 1, 1)
        .asked(1, (21, 22), Wish::Any(0), Answer::Held(longer))
        .asked(1, (23, 24), Wish::Transfer(2), Answer::Passed(vec![(ip(1), true)]))
        .event(kind::TRANSFERRED, 2, 1)
        .asked(2, (25, 26), Wish::Any(0), Answer::Held(longer))
        .asked(9, (28, 30), Wish::Expire(5), Answer::Expired(vec![(2, ip(1), 60)]))
        .event(kind::EXPIRED, 2, 1)
        .asked(2, (32, 34), Wish::Shorten(9), Answer::Moved(1))
        .event(kind::HELD, 2, 1)
        .freed(9, (40, 42), 2, 1)
}

#[test]
fn what_is_passed_on_held_longer_and_ended_is_followed() {
    assert_eq!(passed_on().found(), []);
    for (operation, answer) in [
        (2, Answer::Moved(0)),
        (4, Answer::Passed(vec![])),
        (4, Answer::Passed(vec![(ip(1), false)])),
        (6, Answer::Expired(vec![(2, ip(1), 61)])),
        (6, Answer::Expired(vec![])),
        (7, Answer::Moved(2)),
    ] {
        let mut history = passed_on();
        history.records[usize::try_from(operation).unwrap()].answer = answer;
        history.finds(Violation::WrongAnswer { operation });
    }
    // Before its end, to another than asked for, for less than before, below what it was released for.
    for (operation, wish) in
        [(1, Wish::Renew(999)), (2, Wish::Hold(0)), (4, Wish::Transfer(3)), (7, Wish::Shorten(30))]
    {
        let mut history = passed_on();
        history.records[operation].wish = wish;
        assert_ne!(history.found(), [], "{wish:?}");
    }
    let freed = |at| {
        let mut history = passed_on();
        (history.records[8].invoked, history.records[8].responded) = (at, at + 1);
        history.events[6].at = clock(at);
        history.found()
    };
    assert_eq!(freed(39), []);
    assert_ne!(freed(37), [], "the quarantine ends 9 after its begin at 30");
}

#[test]
fn two_holders_of_what_is_passed_on_are_found_without_the_events() {
    let mut history = History::default()
        .allocated(1, (10, 20), 1)
        .asked(1, (30, 40), Wish::Transfer(2), Answer::Passed(vec![(ip(1), true)]))
        .again(3, (50, 60), 1);
    history.finds(Violation::TwoHolders { one: 1, other: 2 });
    history.records[2].owner = 2;
    assert!(!history.found().iter().any(|one| matches!(one, Violation::TwoHolders { .. })));
}

#[test]
fn a_pinned_address_that_another_gets_is_found() {
    let check = |history: &History| check(PINNED, &history.records, &history.events, clock);
    assert_eq!(check(&History::default().allocated(1, (10, 20), 1)), []);
    let reserved = |address| {
        History::default().asked(9, (10, 20), Wish::Given(ip(address), 0), Answer::Reserved)
    };
    assert_eq!(check(&reserved(7)), []);
    assert_eq!(check(&reserved(8)), [Violation::WrongAnswer { operation: 0 }]);
    for (owner, address) in [(9, 1), (2, 1), (2, 9)] {
        let found = check(&History::default().allocated(owner, (10, 20), address));
        assert!(found.contains(&Violation::Impossible { operation: 0 }), "{owner} {address}");
    }
    // All but the pinned ones are taken: that is exhausted for who has no pin.
    let all = (8..=ADDRESSES)
        .fold(History::default(), |history, owner| history.allocated(owner, (10, 20), owner));
    let ask = |owner| all.clone().asked(owner, (30, 40), Wish::Any(0), Answer::Exhausted);
    assert_eq!(check(&ask(90)), []);
    assert_ne!(check(&ask(3)), []);
}
