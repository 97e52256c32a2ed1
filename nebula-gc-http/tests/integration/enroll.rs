//! Native enrolment, on both engines.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::support::fleet::Fleet;
use crate::support::requests::enrollment;
use crate::support::{Engine, Fixture, Place};
use nebula_alloc::Postgres;
use nebula_alloc::store::Subject;
use nebula_gc_http::error::Kind;
use nebula_gc_http::{Bearer, Context, DeviceId, Enrollment, Error};

on_both_engines! {
    a_repeat_gets_the_same_and_another_token_nothing
    one_node_asking_as_many_devices_is_served_and_harms_nobody
}

async fn a_repeat_gets_the_same_and_another_token_nothing(fleet: Fleet) {
    let service = &fleet.service;
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
    fleet.verify();
}

/// Another instance writes the name after this one has found it free.
#[tokio::test]
async fn who_is_overtaken_is_told_by_whom() {
    let Some(fleet) = Fleet::on(Engine::Postgres).await else { return };
    let Place::Server(url) = &fleet.place else { return };
    let url = url.clone();
    let enroll = |name| fleet.service.enroll(Context::local(), enrollment(name));
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
async fn one_node_asking_as_many_devices_is_served_and_harms_nobody(fleet: Fleet) {
    let enroll = |request| {
        let service = Arc::clone(&fleet.service);
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
        fleet.pass(15 * 86_400);
        while fleet.service.upkeep().await.unwrap().is_none_or(|done| done.expired > 0) {}
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
    fleet.verify();
}
