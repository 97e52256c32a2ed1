//! Native enrolment, on both engines.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::shared::postgres;
use nebula_alloc::store::writer::Subject;
use nebula_alloc::{Postgres, PostgresReaders, Readers, Sqlite};
use nebula_gc_http::error::Kind;
use nebula_gc_http::{
    AddPool, Bearer, Context, Database, DeviceId, Enrollment, Error, NetworkRef, NodeName,
    ServerSecrets, Service, verify,
};
use nebula_pki::key::{AgreementKey, PublicKey};
use nebula_pki::{Curve, SystemRandom};

const START: i64 = 1_800_000_000;

async fn service(database: Database, now: &Arc<AtomicI64>) -> Service {
    let secrets = ServerSecrets::generate().unwrap();
    let clock = Arc::clone(now);
    let clock = move || clock.load(Ordering::Relaxed);
    let service = Service::start(database, secrets, clock, |_| Ok(())).unwrap();
    let pool = AddPool {
        project: Some(NetworkRef::new("demo").unwrap()),
        prefix: "10.1.0.0/24".parse().unwrap(),
        version: None,
    };
    service.add_pool(Context::local(), pool).await.unwrap();
    service
}

fn new_key() -> PublicKey {
    AgreementKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap().public_key()
}

fn enrollment(name: &str) -> Enrollment {
    Enrollment {
        former_token: None,
        network: None,
        name: NodeName::new(name).unwrap(),
        public_key: new_key(),
        token: Bearer::new_node_token().unwrap(),
        device: None,
        groups: None,
        lighthouse: None,
        relay: None,
        mtu: None,
    }
}

async fn a_repeat_gets_the_same_and_another_token_nothing(
    database: Database,
    now: &Arc<AtomicI64>,
) {
    let service = service(database, now).await;
    let request = enrollment("one");
    let enroll = |request| service.enroll(Context::local(), request);
    let first = enroll(request.clone()).await.unwrap();
    assert!(first.is_new);
    assert_eq!(first.networks, ["10.1.0.1/24".parse().unwrap()]);
    let again = enroll(request.clone()).await.unwrap();
    assert!(!again.is_new);
    assert_eq!((again.node, &again.certificates), (first.node, &first.certificates));
    let thief = Enrollment { token: Bearer::new_node_token().unwrap(), ..request.clone() };
    assert!(matches!(enroll(thief).await, Err(Error::KeyMismatch { .. })));
    let borrowed = Enrollment { token: request.token, ..enrollment("two") };
    assert!(matches!(enroll(borrowed).await, Err(Error::Conflict { .. })));
    assert_eq!(enroll(enrollment("two")).await.unwrap().networks, ["10.1.0.2/24".parse().unwrap()]);
}

/// Another instance writes the name after this one has found it free.
#[tokio::test]
async fn who_is_overtaken_is_told_by_whom() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let (url, now) = (cluster.schema(), Arc::new(AtomicI64::new(START)));
    let service = service(Postgres::connect(&url).unwrap().into(), &now).await;
    let enroll = |name| service.enroll(Context::local(), enrollment(name));
    enroll("one").await.unwrap();
    let (renamed, first) = tokio::sync::oneshot::channel();
    let other = std::thread::spawn(move || {
        let mut other = Postgres::connect(&url).unwrap();
        let subject = Subject::Key("one".as_bytes().into());
        other.transaction_about(&[subject], |tx| {
            tx.execute("UPDATE gc_node SET name = 'two'", &[])?;
            renamed.send(()).unwrap();
            let waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid' \
                AND transactionid = CAST(pg_current_xact_id() AS xid)";
            while tx.query(waits, &[])?.is_empty() {
                std::thread::yield_now();
            }
            Ok::<_, Error>(())
        })
    });
    first.await.unwrap();
    let refused = enroll("two").await;
    other.join().unwrap().unwrap();
    assert_eq!(refused.err(), Some(Error::NameTaken { kind: Kind::Node, name: "two".to_owned() }));
    assert!(enroll("one").await.unwrap().is_new);
}

/// Whatever device it says that it is: the node is told by its key.
async fn one_node_asking_as_many_devices_is_served_and_harms_nobody(
    database: Database,
    now: &Arc<AtomicI64>,
) {
    let service = Arc::new(service(database, now).await);
    let enroll = |request| {
        let service = Arc::clone(&service);
        tokio::spawn(async move { service.enroll(Context::local(), request).await })
    };
    // Without a device, and with one: at once, new and once its certificate expired.
    for device in [None, Some(DeviceId::new("one's").unwrap())] {
        let name = if device.is_some() { "one" } else { "two" };
        let request = Enrollment { device, ..enrollment(name) };
        let asked: Vec<_> = (0..8).map(|_| enroll(request.clone())).collect();
        let mut first = None;
        for asked in asked {
            let enrolled = asked.await.unwrap().unwrap();
            assert_eq!(*first.get_or_insert(enrolled.node), enrolled.node);
        }
        now.fetch_add(15 * 86_400, Ordering::Relaxed);
        while service.upkeep().await.unwrap().is_none_or(|done| done.expired > 0) {}
        let mut asked = vec![];
        for number in 0..32 {
            let device = Some(DeviceId::new(format!("device {number}")).unwrap());
            asked.push(enroll(Enrollment { device, ..request.clone() }));
            asked.push(enroll(enrollment(&format!("{name}'s neighbour {number}"))));
        }
        let mut fingerprints = BTreeSet::new();
        for (index, asked) in asked.into_iter().enumerate() {
            let enrolled = asked.await.unwrap().unwrap();
            if index % 2 == 0 {
                assert_eq!(Some(enrolled.node), first);
                fingerprints.insert(enrolled.certificates.first().unwrap().fingerprint());
            }
        }
        assert_eq!(fingerprints.len(), 1, "one of them renewed it, the others were told");
    }
}

macro_rules! on_both_engines {
    ($($test:ident)*) => {$(
        mod $test {
            use super::*;

            #[tokio::test]
            async fn on_sqlite() {
                let now = Arc::new(AtomicI64::new(START));
                let directory = tempfile::tempdir().unwrap();
                let store = Sqlite::open(directory.path().join("test.db")).unwrap();
                super::$test(store.into(), &now).await;
                let readers = Readers::open(directory.path().join("test.db"), 1).unwrap();
                let now = now.load(Ordering::Relaxed);
                assert_eq!(readers.read(|tx| verify(tx, now)).unwrap(), []);
            }

            #[tokio::test]
            async fn on_postgresql() {
                let Some(cluster) = postgres::cluster_in_memory() else { return };
                let now = Arc::new(AtomicI64::new(START));
                let url = cluster.schema();
                let store = Postgres::connect(&url).unwrap();
                super::$test(store.into(), &now).await;
                let readers = PostgresReaders::open(&url, 1).unwrap();
                let now = now.load(Ordering::Relaxed);
                assert_eq!(readers.read(|tx| verify(tx, now)).unwrap(), []);
            }
        }
    )*};
}

on_both_engines! {
    a_repeat_gets_the_same_and_another_token_nothing
    one_node_asking_as_many_devices_is_served_and_harms_nobody
}
