//! In which order jobs are tried.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::job::{Job, Jobs};
use crate::store::Subject;

/// The jobs that wait, with a turn for each subject in the order of arrival. A turn is for one job;
/// further jobs of the subject keep their order and wait for its next turn, behind the other
/// subjects. So a job waits for at most one job of each other subject.
#[derive(Default)]
pub(super) struct FairQueue {
    /// Each subject of `jobs` once.
    turns: VecDeque<Subject>,
    jobs: HashMap<Subject, VecDeque<Box<dyn Job>>>,
}

impl FairQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// How many subjects wait: the next batch has at most as many jobs.
    pub(super) fn subjects(&self) -> usize {
        self.turns.len()
    }

    pub(super) fn push(&mut self, job: Box<dyn Job>) {
        match self.jobs.entry(job.subject().clone()) {
            Entry::Occupied(mut waiting) => waiting.get_mut().push_back(job),
            Entry::Vacant(place) => {
                self.turns.push_back(place.key().clone());
                place.insert(VecDeque::from([job]));
            }
        }
    }

    /// Puts a job back, before those that came after it.
    pub(super) fn put_back(&mut self, job: Box<dyn Job>) {
        match self.jobs.entry(job.subject().clone()) {
            Entry::Occupied(mut waiting) => waiting.get_mut().push_front(job),
            Entry::Vacant(place) => {
                self.turns.push_front(place.key().clone());
                place.insert(VecDeque::from([job]));
            }
        }
    }

    /// Whether anything but steps about everything waits.
    pub(super) fn has_keys(&self) -> bool {
        self.turns.iter().any(|subject| *subject != Subject::Everything)
    }

    /// Gives steps about everything their turn after all that wait now.
    pub(super) fn pass_everything(&mut self) {
        let place = self.turns.iter().position(|subject| *subject == Subject::Everything);
        if let Some(turn) = place.and_then(|place| self.turns.remove(place)) {
            self.turns.push_back(turn);
        }
    }

    /// The next batch: no subject twice, and a step of [`Subject::Everything`] alone.
    pub(super) fn next(&mut self, limit: usize) -> Jobs {
        let mut batch = Jobs::new();
        let mut again = Vec::new();
        while batch.len() < limit
            && let Some(subject) = self.turns.pop_front()
        {
            let exclusive = subject == Subject::Everything;
            if exclusive && !batch.is_empty() {
                self.turns.push_front(subject);
                break;
            }
            if let Entry::Occupied(mut waiting) = self.jobs.entry(subject) {
                batch.extend(waiting.get_mut().pop_front());
                if waiting.get().is_empty() {
                    waiting.remove();
                } else {
                    again.push(waiting.key().clone());
                }
            }
            if exclusive {
                break;
            }
        }
        self.turns.extend(again);
        batch
    }
}
