//! A service over a database of its own, and the clock by which it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use nebula_gc_http::{Bearer, Error, ServerSecrets, Service, Signers};

use super::Place;

pub struct Server {
    pub service: Arc<Service>,
    pub secrets: ServerSecrets,
    pub clock: Arc<AtomicI64>,
    pub place: Place,
}

impl Server {
    pub fn start(place: Place, now: i64) -> Self {
        Self::over(place, ServerSecrets::generate().unwrap(), now, |_| Ok(()))
    }

    /// One that gives the first operator key to `keep`.
    pub fn over(
        place: Place,
        secrets: ServerSecrets,
        now: i64,
        keep: impl FnOnce(&Bearer) -> Result<(), Error> + Send + 'static,
    ) -> Self {
        let clock = Arc::new(AtomicI64::new(now));
        let service = instance(&place, &secrets, Signers::default(), &clock, keep);
        Self { service, secrets, clock, place }
    }

    /// Another instance over the same database.
    pub fn another(&self) -> Arc<Service> {
        instance(&self.place, &self.secrets, Signers::default(), &self.clock, |_| Ok(()))
    }

    pub fn now(&self) -> i64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Every row of every table, to compare.
    pub fn rows(&self) -> Vec<String> {
        self.place.rows()
    }

    /// Changes rows behind the service's back.
    pub fn sql(&self, text: &str) {
        self.place.sql(text);
    }

    /// A number that one query answers.
    #[track_caller]
    pub fn number(&self, query: &str) -> i64 {
        self.place.number(query)
    }

    /// That all rules hold.
    #[track_caller]
    pub fn verify(&self) {
        self.place.verify(self.now());
    }
}

/// A service that goes by this clock.
pub fn instance(
    place: &Place,
    secrets: &ServerSecrets,
    signers: Signers,
    clock: &Arc<AtomicI64>,
    keep: impl FnOnce(&Bearer) -> Result<(), Error> + Send + 'static,
) -> Arc<Service> {
    let clock = Arc::clone(clock);
    let clock = move || clock.load(Ordering::Relaxed);
    let secrets = secrets.clone();
    Arc::new(Service::start_with(place.open(), secrets, signers, clock, keep).unwrap())
}
