//! Do networks work whose CA's key another program holds, and is nothing lost when it is away?
//!
//! The program is a script around `openssl`, which knows nothing of ours.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::requests::{self, START, demo, new_key, registration};
use crate::support::server::instance;
use crate::support::shell::{has_programs, make_signing_key};
use crate::support::{Engine, Fixture, Place};
use nebula_alloc::Postgres;
use nebula_alloc::store::Row;
use nebula_alloc::store::Subject;
use nebula_gc_http::error::Field;
use nebula_gc_http::{
    BatchAction, BatchOutcome, CaSource, Change, Context, Deletion, Destination, DeviceEnrollment,
    DeviceId, Enrolled, Enrollment, Error, Expected, Groups, NetworkRef, NodeChange, NodeFilter,
    NodeId, NodeName, NodeState, ServerSecrets, Service, SignerCommand, Signers, StateReason,
    verify,
};
use nebula_pki::{Blocklist, CaPool};
use tempfile::TempDir;

const HOUR: i64 = 3_600;
/// How long a certificate waits for its signature here, in seconds.
const PATIENCE: i64 = 2;

const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$1" >> calls
case "$1 $(cat mode)" in
    "public-key "*) openssl pkey -in key -pubout -outform DER | tail -c 32 ;;
    "sign fails") exit 3 ;;
    "sign hangs") echo $$ > process; sleep 60 ;;
    "sign floods") yes ;;
    "sign lies") head -c 64 /dev/zero ;;
    "sign waits") while [ ! -e go ]; do sleep 0.01; done; message=$(mktemp -p .) && cat > "$message" && openssl pkeyutl -sign -rawin -inkey key -in "$message" ;;
    "sign is slow") sleep 0.3; message=$(mktemp -p .) && cat > "$message" && openssl pkeyutl -sign -rawin -inkey key -in "$message" ;;
    "sign works") message=$(mktemp -p .) && cat > "$message" && openssl pkeyutl -sign -rawin -inkey key -in "$message" ;;
esac
"#;

/// A program that holds a key, and does as it is told.
struct Holder {
    directory: TempDir,
    /// How long a certificate waits for its signature, in seconds.
    patience: i64,
}

impl Holder {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("sign");
        fs::write(&script, SCRIPT).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        if !has_programs(&["openssl"]) {
            return None;
        }
        make_signing_key(directory.path());
        let holder = Self { directory, patience: PATIENCE };
        holder.now("works");
        Some(holder)
    }

    fn now(&self, mode: &str) {
        fs::write(self.directory.path().join("mode"), mode).unwrap();
    }

    /// Lets what waits be signed.
    fn go(&self) {
        fs::write(self.directory.path().join("go"), "").unwrap();
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    fn signers(&self) -> Signers {
        let script = self.directory.path().join("sign").display().to_string();
        let patience = Duration::from_secs(self.patience.unsigned_abs());
        let command = SignerCommand::new([script]).with_time(patience * 4 / 5);
        let mut signers = Signers::default().with_patience(patience);
        signers.add_command("script", command).unwrap();
        signers
    }
}

/// A network `demo` whose CA's key the holder has.
struct Plane {
    place: Place,
    holder: Holder,
    secrets: ServerSecrets,
    now: Arc<AtomicI64>,
}

impl Fixture for Plane {
    async fn on(engine: Engine) -> Option<Self> {
        Some(Self::new(Place::on(engine)?, Holder::new()?))
    }
}

/// The same for tests that decide when it signs, however slow the machine is.
struct Patient(Plane);

impl Fixture for Patient {
    async fn on(engine: Engine) -> Option<Self> {
        let holder = Holder { patience: 60, ..Holder::new()? };
        Some(Self(Plane::new(Place::on(engine)?, holder)))
    }
}

impl Plane {
    fn new(place: Place, holder: Holder) -> Self {
        let now = Arc::new(AtomicI64::new(START));
        Self { place, holder, secrets: ServerSecrets::generate().unwrap(), now }
    }

    /// A server over what is stored.
    fn start(&self) -> Arc<Service> {
        instance(&self.place, &self.secrets, self.holder.signers(), &self.now, |_| Ok(()))
    }

    async fn with_network(&self) -> Arc<Service> {
        let service = self.start();
        let network = requests::network("demo");
        let source = Some(CaSource::Signer("script".to_owned()));
        service.create_network_with(Context::local(), network, None, source).await.unwrap();
        service
    }

    fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    #[track_caller]
    fn check(&self) {
        self.place.verify(self.now.load(Ordering::Relaxed));
    }

    /// Each state of the ledger with how many rows have it.
    fn ledger(&self) -> Vec<(String, i64)> {
        let sql = "SELECT state, count(*) FROM gc_certificate GROUP BY state ORDER BY state";
        let read = |row: &Row| {
            let mut columns = row.columns();
            (columns.text().unwrap().to_owned(), columns.integer().unwrap())
        };
        self.place.query(sql).iter().map(read).collect()
    }

    /// What was given is signed by the network's CA.
    async fn accept(&self, service: &Service, enrolled: &Enrolled) {
        let pem = service.ca_certificates(None, None).await.unwrap();
        let trusted = CaPool::from_pem(pem.as_bytes()).unwrap();
        let now = self.now.load(Ordering::Relaxed);
        trusted.verify_strict(&enrolled.certificates[0], now, &Blocklist::default()).unwrap();
    }
}

fn enrollment(name: &str) -> Enrollment {
    let device = Some(DeviceId::new(format!("{name}'s device")).unwrap());
    Enrollment { device, ..requests::enrollment(name) }
}

async fn enroll(service: &Service, request: &Enrollment) -> Result<Enrolled, Error> {
    service.enroll(Context::local(), request.clone()).await
}

fn states(states: &[(&str, i64)]) -> Vec<(String, i64)> {
    states.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect()
}

async fn it_signs_and_asking_again_is_safe(plane: Plane) {
    let service = plane.with_network().await;
    let request = enrollment("one");
    let first = enroll(&service, &request).await.unwrap();
    assert!(first.is_new);
    plane.accept(&service, &first).await;
    let calls = plane.holder.file("calls");
    let again = enroll(&service, &request).await.unwrap();
    assert!(!again.is_new);
    assert_eq!(again.certificates, first.certificates);
    assert_eq!(plane.holder.file("calls"), calls, "nothing is signed twice");

    plane.holder.now("is slow");
    let (two, three) = (enrollment("two"), enrollment("three"));
    let (two, same, three) =
        tokio::join!(enroll(&service, &two), enroll(&service, &two), enroll(&service, &three));
    let (two, same) = (two.unwrap(), same.unwrap());
    assert_eq!(two.certificates, same.certificates);
    assert_ne!(two.networks, three.unwrap().networks);
    assert_eq!(plane.ledger(), states(&[("issued", 3)]));
    plane.check();
}

async fn a_signer_that_is_away_costs_a_retry(plane: Plane) {
    let service = plane.with_network().await;
    let request = enrollment("one");
    for (mode, calls) in [("fails", 1), ("lies", 1), ("floods", 1), ("hangs", 1)] {
        plane.holder.now(mode);
        let before = plane.holder.file("calls").len();
        let away = enroll(&service, &request).await;
        let told = away.map(drop).unwrap_err();
        assert!(matches!(told, Error::SignerAway { .. }), "{mode}: {told}");
        // What it holds, and until when at most: 14 days from the first try.
        let told = told.to_string();
        assert!(told.contains("10.1.0.1 is kept for this node, until 20"), "{mode}: {told}");
        assert!(plane.holder.file("calls").len() >= before + calls, "{mode}");
        // One row, one address, however often it is asked.
        assert_eq!(plane.ledger(), states(&[("pending", 1)]), "{mode}");
        plane.pass(PATIENCE);
        plane.check();
    }
    let process = plane.holder.file("process");
    assert!(!Path::new(&format!("/proc/{}", process.trim())).exists(), "it was killed");
    plane.holder.now("works");
    let bytes = plane.place.query("SELECT contents FROM gc_certificate");
    let enrolled = enroll(&service, &request).await.unwrap();
    assert!(enrolled.is_new);
    assert_eq!(enrolled.networks, ["10.1.0.1/24".parse().unwrap()]);
    plane.accept(&service, &enrolled).await;
    // The very bytes that were pending: they are the end of nothing else.
    let pending = bytes[0].columns().blob().unwrap();
    let signed = enrolled.certificates[0].to_bytes();
    let details = &pending[..pending.len() - 33];
    assert!(signed.windows(details.len()).any(|part| part == details));
    assert_eq!(plane.ledger(), states(&[("issued", 1)]));
    plane.check();
}

async fn what_a_crash_left_pending_is_completed(plane: Plane) {
    let service = plane.with_network().await;
    plane.holder.now("fails");
    let requests = [enrollment("one"), enrollment("two")];
    let (one, two) = tokio::join!(enroll(&service, &requests[0]), enroll(&service, &requests[1]));
    assert!(one.is_err() && two.is_err());
    drop(service);
    plane.holder.now("works");
    let service = plane.start();
    // Not before its deadline: another instance may be at it.
    assert_eq!(service.settle_pending().await.unwrap(), nebula_gc_http::PendingOutcome::default());
    plane.pass(PATIENCE);
    let settled = service.settle_pending().await.unwrap();
    assert_eq!((settled.completed, settled.cancelled, settled.left), (2, 0, 0));
    plane.check();
    for request in &requests {
        plane.accept(&service, &enroll(&service, request).await.unwrap()).await;
    }
    assert_eq!(plane.ledger(), states(&[("issued", 2)]));
    plane.check();
}

async fn what_nobody_signs_is_cancelled_and_its_address_kept(plane: Plane) {
    let service = plane.with_network().await;
    plane.holder.now("fails");
    let lost = enrollment("lost");
    enroll(&service, &lost).await.unwrap_err();
    plane.pass(PATIENCE);
    let settled = service.settle_pending().await.unwrap();
    assert_eq!((settled.completed, settled.cancelled, settled.left), (0, 0, 1));
    plane.pass(HOUR);
    let settled = service.settle_pending().await.unwrap();
    assert_eq!((settled.completed, settled.cancelled, settled.left), (0, 1, 0));
    assert_eq!(plane.ledger(), states(&[("cancelled", 1)]));
    plane.check();
    let ends = plane.place.query("SELECT not_after FROM gc_certificate");
    let held = plane.place.query("SELECT state, hold_until FROM alloc_lease");
    let mut held = held[0].columns();
    assert_eq!(held.integer().unwrap(), 2, "in quarantine");
    assert!(held.integer().unwrap() > ends[0].columns().integer().unwrap());

    // Held a second less, it is found: by the certificate, and by the lease's events.
    plane.place.sql("UPDATE alloc_lease SET hold_until = hold_until - 1");
    let now = plane.now.load(Ordering::Relaxed);
    assert_eq!(plane.place.read(|tx| verify(tx, now)).len(), 2);
    plane.place.sql("UPDATE alloc_lease SET hold_until = hold_until + 1");
    plane.check();
    plane.holder.now("works");
    let other = enroll(&service, &enrollment("other")).await.unwrap();
    assert_eq!(other.networks, ["10.1.0.2/24".parse().unwrap()]);
    // Its device comes again, with the same key and token, and has its address back.
    let back = enroll(&service, &lost).await.unwrap();
    assert_eq!(back.networks, ["10.1.0.1/24".parse().unwrap()]);
    plane.check();
}

async fn a_change_waits_for_its_signature(plane: Plane) {
    let service = plane.with_network().await;
    let key = new_key();
    let device = |name: &str, groups: &[&str]| DeviceEnrollment {
        network: None,
        name: NodeName::new(name).unwrap(),
        groups: Change::Set(requests::groups(groups)),
        ..registration("device", &key)
    };
    let register = |request| service.enroll_device(Context::local(), request);
    let first = register(device("one", &["a", "b"])).await.unwrap();
    plane.holder.now("fails");
    assert!(register(device("one", &["a"])).await.is_err());
    // Nothing has changed, and nothing is blocked.
    assert_eq!(plane.ledger(), states(&[("issued", 1), ("pending", 1)]));
    plane.check();
    let same = register(device("one", &["a", "b"])).await.unwrap();
    assert_eq!(same.certificates, first.certificates);
    plane.holder.now("works");
    // Another wish takes the place of the one that waits.
    let renamed = register(device("two", &["a"])).await.unwrap();
    assert_eq!(renamed.networks, first.networks);
    assert_eq!(renamed.name, "two");
    plane.accept(&service, &renamed).await;
    let ledger = [("cancelled", 1), ("issued", 1), ("revoked", 1)];
    assert_eq!(plane.ledger(), states(&ledger));
    assert_eq!(plane.place.query("SELECT 1 FROM gc_blocklist").len(), 1);
    plane.check();
    // What nobody asked for again past its deadline is cancelled: only who asked knows all of it.
    plane.holder.now("fails");
    assert!(register(device("three", &["a"])).await.is_err());
    plane.pass(PATIENCE);
    plane.holder.now("works");
    assert_eq!(service.settle_pending().await.unwrap().cancelled, 1);
    plane.check();
    assert_eq!(register(device("two", &["a"])).await.unwrap().certificates, renamed.certificates);
}

async fn a_node_renews_with_another_key(plane: Plane) {
    let service = plane.with_network().await;
    let request = enrollment("one");
    let first = enroll(&service, &request).await.unwrap();
    let node = Context::bearer(request.token.clone());
    let key = new_key();
    let renew = || service.renew(node.clone(), Some(key.clone()));
    plane.holder.now("fails");
    assert!(matches!(renew().await, Err(Error::SignerAway { .. })));
    plane.check();
    plane.pass(PATIENCE);
    plane.holder.now("works");
    let renewed = renew().await.unwrap();
    assert!(renewed.renewed);
    assert_eq!(renewed.certificates[0].public_key(), key.as_bytes());
    assert_eq!(renewed.desired.generation, first.desired.1 + 1);
    assert_eq!(plane.ledger(), states(&[("issued", 1), ("superseded", 1)]));
    plane.check();
    // Without a change it is a renewal, which anybody completes.
    plane.holder.now("fails");
    plane.pass(13 * 24 * HOUR);
    let same = || service.renew(node.clone(), None);
    assert!(same().await.is_err());
    plane.pass(PATIENCE);
    plane.holder.now("works");
    assert_eq!(service.settle_pending().await.unwrap().completed, 1);
    let known = same().await.unwrap();
    assert!(!known.renewed);
    assert_ne!(known.certificates, renewed.certificates);
    assert_eq!(known.desired.generation, renewed.desired.generation + 1);
    plane.check();
}

async fn who_is_kept_out_while_a_signer_is_at_it_stays_out(plane: Plane) {
    let service = plane.with_network().await;
    let node = enroll(&service, &enrollment("one")).await.unwrap().node;
    let about = || (NetworkRef::new("demo").unwrap(), node);
    let (caller, any) = (Context::local, || Expected::Anything);
    let reason = || StateReason::new("lost").unwrap();
    service.suspend_node(caller(), about(), any(), reason()).await.unwrap();
    let calls = plane.holder.file("calls");
    plane.holder.now("waits");
    let (reinstated, ()) = tokio::join!(service.reinstate_node(caller(), about(), any()), async {
        until(|| plane.holder.file("calls") != calls).await;
        let revoked = service.revoke_node(caller(), about(), any(), reason()).await;
        assert_eq!(revoked.unwrap().state, NodeState::Revoked);
        plane.holder.go();
    });
    assert!(matches!(reinstated, Err(Error::Conflict { .. })), "{reinstated:?}");
    plane.check();
    // Nor is it completed later.
    plane.holder.now("works");
    plane.pass(PATIENCE);
    assert_eq!(service.settle_pending().await.unwrap().completed, 0);
    let state = async || service.node(caller(), about().0, node).await.unwrap().state;
    assert_eq!(state().await, NodeState::Revoked);
    plane.check();
    // Who asks again knows of it.
    service.reinstate_node(caller(), about(), any()).await.unwrap();
    assert_eq!(state().await, NodeState::Active);
    plane.check();
}

/// The address moves at once, the certificate when it is signed; until then the node goes on with what
/// it had, which nobody else gets.
async fn a_move_waits_for_its_signature_and_is_finished_by_the_next(plane: Plane) {
    let service = plane.with_network().await;
    let node = enroll(&service, &enrollment("one")).await.unwrap().node;
    let to = |address: &str| Destination { pool: None, address: Some(address.parse().unwrap()) };
    let move_to = |address: &str, is_dry_run| {
        let about = (NetworkRef::new("demo").unwrap(), node);
        service.move_node(Context::local(), about, Expected::Anything, to(address), is_dry_run)
    };
    let before = service.node(Context::local(), demo(), node).await.unwrap();
    plane.holder.now("fails");
    let away = move_to("10.1.0.40", false).await;
    assert!(matches!(away, Err(Error::SignerAway { .. })), "{away:?}");
    plane.check();
    assert_eq!(service.upkeep().await.unwrap().unwrap().unsound, 0);
    assert!(move_to("10.1.0.40", true).await.unwrap().is_moved, "it is not finished");
    plane.pass(PATIENCE);
    plane.holder.now("works");
    let moved = move_to("10.1.0.40", false).await.unwrap();
    assert_eq!((moved.is_moved, &moved.left), (true, &before.addresses));
    assert_eq!(moved.node.generation, before.generation + 1);
    assert_eq!(plane.ledger(), states(&[("issued", 1), ("revoked", 1)]));
    assert!(!move_to("10.1.0.40", false).await.unwrap().is_moved);
    plane.check();
    // Where nobody asks again, what was pending is completed by maintenance. Others are told of a relay's
    // address at once.
    let change = NodeChange { relay: Change::Set(true), ..NodeChange::default() };
    let about = (demo(), node);
    service.change_node(Context::local(), about, Expected::Anything, change).await.unwrap();
    let revision = async || {
        let found = service.unapplied(Context::local(), demo(), 1, None, 1).await;
        found.unwrap().current
    };
    let before = revision().await;
    plane.holder.now("fails");
    move_to("10.1.0.50", false).await.unwrap_err();
    assert_eq!(revision().await, before + 1);
    plane.pass(PATIENCE);
    plane.holder.now("works");
    assert_eq!(service.settle_pending().await.unwrap().completed, 1);
    plane.check();
    assert_eq!(plane.ledger(), states(&[("issued", 1), ("revoked", 1), ("superseded", 1)]));
    plane.pass(HOUR);
    plane.check();
}

async fn a_change_of_many_nodes_is_signed_for_each(plane: Plane) {
    let service = plane.with_network().await;
    for name in ["a", "b", "c"] {
        enroll(&service, &enrollment(name)).await.unwrap();
    }
    let add_groups = Groups::new(vec!["servers".to_owned()]).unwrap();
    let change = NodeChange { add_groups, ..NodeChange::default() };
    let all = || NodeFilter { state: Some(NodeState::Active), ..NodeFilter::default() };
    let outcomes = async || {
        let action = BatchAction::Change(change.clone());
        let done = service.change_nodes(Context::local(), demo(), all(), action, false).await;
        done.unwrap().into_iter().map(|entry| entry.outcome).collect::<Vec<_>>()
    };
    plane.holder.now("fails");
    for outcome in outcomes().await {
        assert!(matches!(outcome, BatchOutcome::Refused(Error::SignerAway { .. })), "{outcome:?}");
    }
    plane.check();
    plane.pass(PATIENCE);
    plane.holder.now("works");
    assert_eq!(outcomes().await, vec![BatchOutcome::Done; 3]);
    assert_eq!(plane.ledger(), states(&[("issued", 3), ("superseded", 3)]));
    assert_eq!(outcomes().await, vec![BatchOutcome::Unchanged; 3]);
    plane.check();
}

/// A node's own wish and its operator's, each of which wants another certificate.
async fn two_wishes_for_one_node_both_come_true(Patient(plane): Patient) {
    let service = plane.with_network().await;
    let request = enrollment("one");
    let enrolled = enroll(&service, &request).await.unwrap();
    plane.holder.now("is slow");
    let (caller, key) = (Context::bearer(request.token.clone()), new_key());
    let renewing = service.renew(caller, Some(key.clone()));
    let groups = Change::Set(Groups::new(vec!["servers".to_owned()]).unwrap());
    let change = NodeChange { groups, ..NodeChange::default() };
    let (operator, about) = (Context::local(), (demo(), enrolled.node));
    let changing = service.change_node(operator, about, Expected::Anything, change);
    let both = async { tokio::join!(renewing, changing) };
    let (renewed, changed) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    assert!(renewed.unwrap().renewed);
    assert_eq!(changed.unwrap().id, enrolled.node);
    // The one that came second has taken the other's place once, and then waited.
    let ledger = [("cancelled", 1), ("issued", 1), ("superseded", 2)];
    assert_eq!(plane.ledger(), states(&ledger));
    let again = service.own_bundle(Context::bearer(request.token)).await.unwrap();
    assert_eq!(again.desired().generation, enrolled.desired.1 + 2);
    let node = plane.place.query("SELECT public_key, groups FROM gc_node");
    let mut node = node[0].columns();
    assert_eq!(node.blob().unwrap(), key.as_bytes());
    assert_eq!(node.text().unwrap(), r#"["servers"]"#);
    plane.check();
}

async fn what_is_cancelled_again_and_again_ends(plane: Plane) {
    let service = plane.with_network().await;
    plane.holder.now("is slow");
    let cancelling = async {
        loop {
            plane
                .place
                .sql("UPDATE gc_certificate SET state = 'cancelled' WHERE state = 'pending'");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let request = enrollment("one");
    let asking = tokio::time::timeout(Duration::from_secs(30), enroll(&service, &request));
    let ended = tokio::select! {
        ended = asking => ended.unwrap(),
        () = cancelling => panic!("it never ends"),
    };
    assert!(matches!(ended, Err(Error::SignerAway { .. })), "{ended:?}");
}

on_both_engines! {
    it_signs_and_asking_again_is_safe
    a_signer_that_is_away_costs_a_retry
    what_a_crash_left_pending_is_completed
    what_nobody_signs_is_cancelled_and_its_address_kept
    a_change_waits_for_its_signature
    a_change_of_many_nodes_is_signed_for_each
    a_node_renews_with_another_key
    who_is_kept_out_while_a_signer_is_at_it_stays_out
    what_is_cancelled_again_and_again_ends
    two_wishes_for_one_node_both_come_true
    a_move_waits_for_its_signature_and_is_finished_by_the_next
    a_network_deleted_while_its_certificate_is_signed_gets_none
}

#[tokio::test]
async fn two_instances_complete_the_same_row_once() {
    let Some(plane) = Plane::on(Engine::Postgres).await else { return };
    let (here, there) = (plane.with_network().await, plane.start());
    plane.holder.now("fails");
    let requests: Vec<_> = (0..4).map(|number| enrollment(&format!("node {number}"))).collect();
    for request in &requests {
        enroll(&here, request).await.unwrap_err();
    }
    plane.holder.now("works");
    plane.pass(PATIENCE);
    let (one, other, asked) =
        tokio::join!(here.settle_pending(), there.settle_pending(), enroll(&there, &requests[3]));
    let asked = asked.unwrap();
    plane.accept(&here, &asked).await;
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!((3..=4).contains(&(one.completed + other.completed)), "{one:?} {other:?}");
    assert_eq!(plane.ledger(), states(&[("issued", 4)]));
    for request in &requests {
        let (here, there) = (enroll(&here, request).await, enroll(&there, request).await);
        assert_eq!(here.unwrap().certificates, there.unwrap().certificates);
    }
    plane.check();
}

/// While a transaction of one instance has completed the certificate and not committed, another
/// keeps the node out: it must see what it takes away.
async fn what_is_taken_away_while_it_is_completed(
    plane: &Plane,
    keep_out: impl AsyncFnOnce(&Service, NodeId) -> NodeState,
) {
    let Place::Server(url) = &plane.place else { return };
    let (here, there) = (plane.with_network().await, plane.start());
    let mut blocker = Postgres::connect(url).unwrap();
    plane.holder.now("waits");
    let request = Enrollment { device: None, ..enrollment("one") };
    let asking = tokio::spawn({
        let (here, request) = (Arc::clone(&here), request.clone());
        async move { enroll(&here, &request).await }
    });
    until(|| plane.ledger() == states(&[("pending", 1)])).await;
    let node = plane.place.query("SELECT id FROM gc_node")[0].columns().array().unwrap().into();

    // Nobody writes an event, which each step does at its end.
    let (locked, is_locked) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    let blocking = thread::spawn(move || {
        blocker.transaction_about(&[Subject::Key(b"test".into())], |tx| {
            tx.script("LOCK TABLE alloc_event IN SHARE MODE")?;
            locked.send(()).unwrap();
            is_released.recv().unwrap();
            Ok::<_, nebula_alloc::Error>(())
        })
    });
    is_locked.recv().unwrap();
    plane.holder.go();
    let waiting = |sql| plane.place.query(sql)[0].columns().integer().unwrap() > 0;
    until(|| {
        waiting(
            "SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT granted \
             AND relation = CAST(to_regclass('alloc_event') AS OID)",
        )
    })
    .await;
    let release = async {
        // It may as well stand back, and then nobody waits for the other's rows.
        let others = || {
            waiting(
                "SELECT count(*) FROM pg_catalog.pg_locks \
                 WHERE NOT granted AND locktype = 'transactionid'",
            )
        };
        let _ = tokio::time::timeout(Duration::from_millis(300), until(others)).await;
        release.send(()).unwrap();
    };
    let (state, ()) = tokio::join!(keep_out(&there, node), release);
    blocking.join().unwrap().unwrap();
    assert_eq!(asking.await.unwrap().unwrap().node, node);
    assert_ne!(state, NodeState::Active);
    assert_eq!(plane.ledger(), states(&[("revoked", 1)]));
    assert_eq!(plane.place.query("SELECT 1 FROM gc_blocklist").len(), 1);
    plane.check();
}

async fn a_network_deleted_while_its_certificate_is_signed_gets_none(Patient(plane): Patient) {
    let service = plane.with_network().await;
    plane.holder.now("waits");
    let asking = tokio::spawn({
        let service = Arc::clone(&service);
        async move { enroll(&service, &enrollment("one")).await }
    });
    until(|| plane.ledger() == states(&[("pending", 1)])).await;
    let deletion = Deletion { is_forced: true, is_dry_run: false };
    let deleted = service.delete_network(Context::local(), demo(), Expected::Anything, deletion);
    assert!(deleted.await.unwrap().is_removed);
    plane.holder.go();
    let refused = asking.await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::NotFound { .. }), "{refused}");
    assert_eq!(plane.ledger(), states(&[]));
    service.upkeep().await.unwrap();
    plane.check();
}

async fn until(mut it_is_so: impl FnMut() -> bool) {
    while !it_is_so() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_node_revoked_elsewhere_while_its_certificate_is_completed_is_blocked() {
    let Some(Patient(plane)) = Patient::on(Engine::Postgres).await else { return };
    let revoke = async |service: &Service, node| {
        let (about, reason) = ((demo(), node), StateReason::new("lost").unwrap());
        let caller = Context::local();
        let anything = Expected::Anything;
        service.revoke_node(caller, about, anything, reason).await.unwrap().state
    };
    what_is_taken_away_while_it_is_completed(&plane, revoke).await;
}

#[tokio::test]
async fn a_node_released_elsewhere_while_its_certificate_is_completed_is_blocked() {
    let Some(Patient(plane)) = Patient::on(Engine::Postgres).await else { return };
    let release = async |service: &Service, node| {
        let (caller, about) = (Context::local(), (demo(), node));
        service.release_node(caller, about, Expected::Anything).await.unwrap().state
    };
    what_is_taken_away_while_it_is_completed(&plane, release).await;
}

#[tokio::test]
async fn a_signer_that_is_not_there_is_refused() {
    let Some(plane) = Plane::on(Engine::Sqlite).await else { return };
    let service = plane.with_network().await;
    let source = CaSource::Signer("another".to_owned());
    let refused = service.add_ca(Context::local(), None, source).await;
    assert!(matches!(refused, Err(Error::Invalid { field: Field::Signer, .. })));
    let mut signers = plane.holder.signers();
    for name in ["", "a b", "script", &"x".repeat(65)] {
        assert!(signers.add_command(name, SignerCommand::new(["true"])).is_err(), "{name:?}");
    }
}
