//! Native enrolment, on both engines.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failed test")]

#[path = "../../nebula-alloc/tests/support/postgres.rs"]
mod postgres;

use nebula_alloc::store::writer::Subject;
use nebula_alloc::{Postgres, PostgresReaders, Readers, Sqlite};
use nebula_gc_http::{
    AddPool, Bearer, Caller, Database, Enrollment, Error, NodeName, Origin, ProjectId,
    ServerSecrets, Service, verify,
};
use nebula_pki::key::{AgreementKey, PublicKey};
use nebula_pki::{Curve, SystemRandom};

const NOW: i64 = 1_800_000_000;

async fn service(database: Database) -> Service {
    let secrets = ServerSecrets::generate().unwrap();
    let service = Service::start(database, secrets, || NOW, |_| Ok(())).unwrap();
    let pool = AddPool {
        project: Some(ProjectId::new("demo").unwrap()),
        prefix: "10.1.0.0/24".parse().unwrap(),
        version: None,
    };
    service.add_pool(Caller::Local, Origin::local(), pool).await.unwrap();
    service
}

fn new_key() -> PublicKey {
    AgreementKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap().public_key()
}

fn enrollment(name: &str) -> Enrollment {
    Enrollment {
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

async fn a_repeat_gets_the_same_and_another_token_nothing(database: Database) {
    let service = service(database).await;
    let request = enrollment("one");
    let enroll = |request| service.enroll(Caller::Local, Origin::local(), request);
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
    let url = cluster.schema();
    let service = service(Postgres::connect(&url).unwrap().into()).await;
    let enroll = |name| service.enroll(Caller::Local, Origin::local(), enrollment(name));
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
    assert_eq!(refused.err(), Some(Error::NameTaken { name: "two".to_owned() }));
    assert!(enroll("one").await.unwrap().is_new);
}

#[tokio::test]
async fn on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let store = Sqlite::open(directory.path().join("test.db")).unwrap();
    a_repeat_gets_the_same_and_another_token_nothing(store.into()).await;
    let readers = Readers::open(directory.path().join("test.db"), 1).unwrap();
    assert_eq!(readers.read(|tx| verify(tx, NOW)).unwrap(), []);
}

#[tokio::test]
async fn on_postgresql() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema();
    let store = Postgres::connect(&url).unwrap();
    a_repeat_gets_the_same_and_another_token_nothing(store.into()).await;
    let readers = PostgresReaders::open(&url, 1).unwrap();
    assert_eq!(readers.read(|tx| verify(tx, NOW)).unwrap(), []);
}
