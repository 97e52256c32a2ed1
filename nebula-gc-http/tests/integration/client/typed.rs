//! Every operation of the API has a typed call, and the server's answers are what the call says.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware;
use axum::response::Response;
use http_body_util::BodyExt;
use nebula_gc_http::client::{
    ArchiveFormat, Client, EnrollmentAnswer, EventQuery, List, NodeQuery, new_node_token,
};
use nebula_gc_http::wire::{
    AddressUse, ApprovalBody, BatchAction, BatchFilter, BatchOutcome, Desired, EndAction,
    EndUserBody, EnrollmentBody, EventOrder, ImportBody, Lighthouse, MoveBody, NetworkPatchBody,
    NewBlockBody, NewBlockedBody, NewCa, NewJoinTokenBody, NewNetworkBody, NewOperatorKeyBody,
    NewPoolBody, NewReservationBody, NodeChangeBody, NodeRole, NodeState, NodesBatchBody,
    PendingState, PoolPatchBody, ReasonBody, RefusalBody, RenameBody, Renewal, Report, ReservedFor,
    RetireBody, Role, ScopeBody, ServerBody, ServersBody, TenantBody, TenantPatchBody,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::native::Plane;
use crate::support::requests::new_key;

on_both_engines! {
    every_operation_has_a_typed_call
    answers_of_a_newer_server_are_understood
}

type Asked = Arc<Mutex<BTreeSet<(String, String)>>>;

/// Serves the plane's API, and notes what it is asked. A newer one's answers have more fields.
async fn serve(plane: &Plane, is_newer: bool) -> (String, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let router = plane.router.clone().layer(middleware::from_fn(
        move |request: Request, next: middleware::Next| {
            let asked = (request.method().to_string(), request.uri().path().to_owned());
            noted.lock().unwrap().insert(asked);
            async move {
                let answer = next.run(request).await;
                if is_newer { with_more_fields(answer).await } else { answer }
            }
        },
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = nebula_gc_http::server::Server::new(listener, router);
    tokio::spawn(server.run(std::future::pending()));
    (url, asked)
}

/// The answer with a field more in each of its objects.
async fn with_more_fields(answer: Response) -> Response {
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let Ok(mut value) = serde_json::from_slice::<Value>(&body) else {
        return Response::from_parts(head, body.into());
    };
    add_fields(&mut value);
    head.headers.remove("content-length");
    Response::from_parts(head, value.to_string().into())
}

fn add_fields(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(add_fields),
        Value::Object(fields) => {
            fields.values_mut().for_each(add_fields);
            fields.insert("ofANewerServer".to_owned(), "x".into());
        }
        _ => {}
    }
}

/// The operations that were asked for, by their ids; and all that there are.
fn operations(asked: &BTreeSet<(String, String)>) -> (BTreeSet<String>, BTreeSet<String>) {
    let document: Value = serde_json::from_str(include_str!("../../../openapi.json")).unwrap();
    let (mut called, mut all) = (BTreeSet::new(), BTreeSet::new());
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let is_it = |(asked, path): &(String, String)| {
                let (parts, wanted) = (path.split('/'), template.split('/'));
                asked.eq_ignore_ascii_case(method)
                    && parts.clone().count() == wanted.clone().count()
                    && parts.zip(wanted).all(|(part, it)| it.starts_with('{') || part == it)
            };
            if asked.iter().any(is_it) {
                called.insert(id.clone());
            }
            all.insert(id);
        }
    }
    (called, all)
}

/// All items of a list.
async fn all<T: DeserializeOwned>(mut list: List<'_, T>) -> Vec<T> {
    let mut found = vec![];
    while let Some(items) = list.next().await.unwrap() {
        found.extend(items);
    }
    found
}

async fn every_operation_has_a_typed_call(plane: Plane) {
    let (url, asked) = serve(&plane, false).await;
    call_all(&url, &plane.key).await;
    let (called, all) = operations(&asked.lock().unwrap());
    assert_eq!(called, all);
}

async fn answers_of_a_newer_server_are_understood(plane: Plane) {
    let (url, _) = serve(&plane, true).await;
    call_all(&url, &plane.key).await;
}

async fn call_all(url: &str, key: &str) {
    let client = |key: &str| Client::new(url).unwrap().with_key(key);
    let root = client(key);
    the_store(&root).await;
    addresses(&root).await;
    authorities(&root).await;
    nodes(&root, &client).await;
    pending(&root, client).await;
}

async fn the_store(root: &Client) {
    let tenant = root.create_tenant(&TenantBody { name: "a".to_owned() }).await.unwrap();
    let renamed = TenantPatchBody { name: "b".to_owned() };
    let etag = root.read_tenant(&tenant.id).await.unwrap().etag;
    let renamed = root.rename_tenant(&tenant.id, &renamed, Some(&etag)).await.unwrap();
    assert_eq!(renamed.name, "b");
    // It is not what the tag says any more.
    let stale = root.delete_tenant(&tenant.id, false, Some(&etag)).await.unwrap_err();
    assert_eq!(stale.problem().unwrap().status, 412);
    let would = root.delete_tenant(&tenant.id, true, Some(&renamed.etag)).await.unwrap();
    assert_eq!((would.name.as_str(), would.dry_run), ("b", true));
    root.delete_tenant(&tenant.id, false, Some(&renamed.etag)).await.unwrap();
    assert_eq!(all(root.list_tenants()).await.len(), 1);

    let new = NewOperatorKeyBody {
        name: "eyes".to_owned(),
        role: Role::Viewer,
        scope: ScopeBody::Root,
        expires_at: None,
    };
    let key = root.create_operator_key(&new).await.unwrap();
    assert!(key.secret.is_some() && !format!("{key:?}").contains("nebula-operator-"));
    assert!(root.read_operator_key(&key.id).await.unwrap().secret.is_none());
    let other = RenameBody { name: "other".to_owned() };
    assert_eq!(root.rename_operator_key(&key.id, &other).await.unwrap().name, "other");
    root.revoke_operator_key(&key.id).await.unwrap();
    assert_eq!(all(root.list_operator_keys()).await.len(), 2);

    let server = ServerBody { url: "https://a.example".to_owned(), ..ServerBody::default() };
    let servers = ServersBody { servers: vec![server] };
    let before = root.read_servers().await.unwrap();
    root.set_servers(&servers, Some(&before.etag)).await.unwrap();
    let query = EventQuery { order: EventOrder::NewestFirst, ..EventQuery::default() };
    assert!(!all(root.list_events(&query)).await.is_empty());
}

async fn addresses(root: &Client) {
    let new = NewNetworkBody {
        name: "n".to_owned(),
        prefixes: vec!["10.1.0.0/16".to_owned(), "fd00::/64".to_owned()],
        pools: Some(vec!["10.1.0.0/24".to_owned(), "fd00::/64".to_owned()]),
        ..NewNetworkBody::default()
    };
    let network = root.create_network(&new).await.unwrap();
    let read = root.read_network("n").await.unwrap();
    assert_eq!(read.value, network);
    let longer = NetworkPatchBody { mtu: Some(1400), ..NetworkPatchBody::default() };
    let changed = root.change_network("n", &longer, Some(&read.etag)).await.unwrap();
    assert_eq!(changed.mtu, 1400);
    assert!(root.renew_certificates("n").await.unwrap().revision > changed.revision);
    assert_eq!(all(root.list_networks()).await.len(), 1);
    let would = root.delete_network("n", (false, true), Some(&read.etag)).await.unwrap_err();
    assert_eq!(would.problem().unwrap().status, 412);
    let would = root.delete_network("n", (false, true), None).await.unwrap();
    assert_eq!((would.name.as_str(), would.nodes, would.complete), ("n", 0, false));
    let kinds = EventQuery { kind: Some("network.created".to_owned()), ..EventQuery::default() };
    assert_eq!(all(root.list_network_events("n", &kinds)).await.len(), 1);

    let new = NewPoolBody { range: "10.1.1.0-10.1.1.9".to_owned(), position: Some(2) };
    let pool = root.create_pool("n", &new).await.unwrap();
    let read = root.read_pool("n", &pool.id).await.unwrap();
    assert_eq!((read.usage.capacity.0, read.position), (10, 2));
    let larger = PoolPatchBody { range: "10.1.1.0/24".to_owned() };
    let larger = root.resize_pool("n", &pool.id, &larger, Some(&read.etag)).await.unwrap();
    let new = NewBlockBody {
        name: "b".to_owned(),
        pool: pool.id.clone(),
        size: Some(4),
        ..NewBlockBody::default()
    };
    let block = root.create_block("n", &new).await.unwrap();
    assert_eq!(root.read_block("n", &block.id).await.unwrap(), block);
    assert_eq!(all(root.list_blocks("n")).await, std::slice::from_ref(&block));
    let other = RenameBody { name: "other".to_owned() };
    assert_eq!(root.rename_block("n", &block.id, &other).await.unwrap().name, "other");
    root.delete_block("n", &block.id).await.unwrap();
    let new = NewReservationBody {
        range: "10.1.1.7".to_owned(),
        purpose: ReservedFor::Nobody,
        node: None,
        device: None,
        note: Some("printer".to_owned()),
    };
    let reserved = root.create_reservation("n", &new).await.unwrap();
    assert_eq!(all(root.list_reservations("n")).await, std::slice::from_ref(&reserved));
    let addresses = all(root.list_addresses("n")).await;
    assert!(addresses.iter().any(|it| it.range == "10.1.1.7" && it.used == AddressUse::Reserved));
    root.delete_reservation("n", &reserved.range).await.unwrap();
    let none = root.end_quarantine("n", "10.1.1.7", (true, true)).await;
    assert!(none.is_err_and(|error| error.problem().is_some_and(|it| it.status == 404)));
    root.delete_pool("n", &pool.id, None).await.unwrap();
    assert!(larger.usage.capacity.0 > 10);
    let pools = all(root.list_pools("n")).await;
    // More than numbers of JSON can tell.
    assert!(pools.iter().any(|pool| pool.usage.capacity.0 > 1 << 63), "{pools:?}");
}

async fn authorities(root: &Client) {
    let new = NewCa { name: Some("second".to_owned()), ..NewCa::default() };
    let active = root.add_ca("n", &new).await.unwrap();
    let cas = all(root.list_cas("n")).await;
    let first = cas.iter().find(|ca| ca.id != active.id).unwrap();
    assert!(root.read_network_ca("n").await.unwrap().contains(first.certificate.trim()));
    let retired = root.retire_ca("n", &first.id, &RetireBody::default()).await.unwrap();
    assert_eq!(retired.state, "retired");
    assert_eq!(root.read_ca("n", &active.id).await.unwrap().state, "active");
    let blocked = NewBlockedBody { fingerprints: vec!["ab".repeat(32)] };
    assert_eq!(root.add_to_blocklist("n", &blocked).await.unwrap().blocked, 1);
    assert_eq!(all(root.list_blocklist("n")).await.len(), 1);
    let hosts =
        ImportBody { blocklist: Some("cd".repeat(32)), dry_run: true, ..ImportBody::default() };
    assert_eq!(root.import_hosts("n", &hosts).await.unwrap().blocked, 1);
}

async fn pending(root: &Client, client: impl Fn(&str) -> Client) {
    let new = NewJoinTokenBody {
        name: "approving".to_owned(),
        approval: Some(true),
        ..NewJoinTokenBody::default()
    };
    let token = root.create_join_token("n", &new).await.unwrap();
    assert!(token.approval);
    let device = EnrollmentBody {
        name: "waits".to_owned(),
        public_key: new_key().to_pem(),
        node_token: new_node_token().unwrap(),
        ..EnrollmentBody::default()
    };
    let joining = client(token.secret.unwrap().expose());
    let EnrollmentAnswer::Pending { pending, retry_after } =
        joining.enroll_node(&device).await.unwrap()
    else {
        panic!("nobody approved it");
    };
    assert_eq!(retry_after, Duration::from_secs(5));
    let listed = all(root.list_pending("n")).await;
    assert_eq!(listed, [root.read_pending("n", &pending.pending).await.unwrap()]);
    assert_eq!(listed[0].state, PendingState::Pending);
    let refusal = RefusalBody { reason: Some("not ours".into()) };
    let refused = root.refuse_pending("n", &pending.pending, &refusal).await.unwrap();
    assert_eq!((refused.state, refused.reason), (PendingState::Refused, refusal.reason));
    let approval = ApprovalBody { key_fingerprint: pending.key_fingerprint };
    let approved = root.approve_pending("n", &pending.pending, &approval).await.unwrap();
    assert_eq!(approved.state, PendingState::Approved);
    joining.enroll_node(&device).await.unwrap().enrolled().unwrap();
}

async fn nodes(root: &Client, client: impl Fn(&str) -> Client) {
    let new = NewJoinTokenBody { name: "t".to_owned(), ..NewJoinTokenBody::default() };
    let token = root.create_join_token("n", &new).await.unwrap();
    assert_eq!(root.read_join_token("n", &token.id).await.unwrap().uses, 1);
    let device = EnrollmentBody {
        name: "one".to_owned(),
        public_key: new_key().to_pem(),
        node_token: new_node_token().unwrap(),
        ..EnrollmentBody::default()
    };
    let joining = client(token.secret.unwrap().expose());
    let enrolled = joining.enroll_node(&device).await.unwrap().enrolled().unwrap();
    let other = RenameBody { name: "other".to_owned() };
    assert_eq!(root.rename_join_token("n", &token.id, &other).await.unwrap().name, "other");
    root.revoke_join_token("n", &token.id).await.unwrap();
    assert_eq!(all(root.list_join_tokens("n")).await.len(), 1);

    let own = client(device.node_token.expose());
    let has = Desired { revision: enrolled.revision, generation: enrolled.generation };
    assert_eq!(own.watch_own_node(has, Duration::ZERO).await.unwrap(), None);
    let report = Report { revision: has.revision, generation: has.generation, ..Report::default() };
    own.report_own_node(&report).await.unwrap();
    assert_eq!(own.read_own_node().await.unwrap().applied, Some(has));
    own.renew_own_certificates(&Renewal::default()).await.unwrap();
    own.fetch_own_bundle(ArchiveFormat::Zip, None).await.unwrap().unwrap();
    let servers = own.read_own_servers(None).await.unwrap().unwrap();
    assert_eq!(Some(servers.value), enrolled.servers);
    assert_eq!(own.read_own_servers(Some(&servers.etag)).await.unwrap(), None);
    own.rotate_own_token(&new_node_token().unwrap()).await.unwrap();

    let id = &enrolled.node;
    let relay = NodeChangeBody {
        relay: Some(true),
        lighthouse: Some(Some(Lighthouse { endpoint: "192.0.2.1:4242".to_owned() })),
        ..NodeChangeBody::default()
    };
    let node = root.read_node("n", id).await.unwrap();
    let node = root.change_node("n", id, &relay, Some(&node.etag)).await.unwrap();
    assert!(node.relay && node.lighthouse.is_some());
    let query = NodeQuery {
        state: Some(NodeState::Active),
        role: Some(NodeRole::Relay),
        name_prefix: Some("o".to_owned()),
        ..NodeQuery::default()
    };
    assert_eq!(all(root.list_nodes("n", &query)).await, std::slice::from_ref(&node.value));
    let none = NodeQuery { group: Some("none".to_owned()), ..NodeQuery::default() };
    assert!(all(root.list_nodes("n", &none)).await.is_empty());
    let within = Duration::from_secs(15 * 86_400);
    assert_eq!(all(root.list_expiring_nodes("n", within)).await, std::slice::from_ref(&node.value));
    assert!(all(root.list_expiring_nodes("n", within / 15)).await.is_empty());
    root.fetch_node_bundle("n", id, ArchiveFormat::TarGz, None).await.unwrap().unwrap();
    let revision = root.read_network("n").await.unwrap().revision;
    let unapplied = root.list_unapplied_nodes("n", revision, None).await.unwrap();
    assert_eq!((unapplied.count, unapplied.nodes.items.len()), (1, 1));

    let why = ReasonBody { reason: "lost".to_owned() };
    assert_eq!(root.suspend_node("n", id, &why, None).await.unwrap().state, "suspended");
    assert_eq!(root.reinstate_node("n", id, None).await.unwrap().state, "active");
    assert_eq!(root.renew_node("n", id, None).await.unwrap().id, *id);
    let to = MoveBody { address: Some("10.1.0.9".parse().unwrap()), ..MoveBody::default() };
    let moved = root.move_node("n", id, &to, None).await.unwrap();
    assert_eq!((moved.moved, moved.left.len()), (true, 1));
    assert!(moved.node.addresses.contains(&to.address.unwrap()));
    let many = NodesBatchBody {
        action: BatchAction::Set,
        filter: BatchFilter { name_prefix: Some("o".to_owned()), ..BatchFilter::default() },
        dry_run: false,
        reason: None,
        groups: None,
        add_groups: Some(vec!["many".to_owned()]),
        remove_groups: None,
    };
    let report = root.change_nodes("n", &many).await.unwrap();
    assert_eq!((report.done, report.nodes[0].outcome), (1, BatchOutcome::Done));
    let rotated = root.rotate_node_token("n", id, None).await.unwrap();
    client(rotated.node_token.expose()).read_own_node().await.unwrap();
    assert_eq!(root.revoke_node("n", id, &why, None).await.unwrap().state, "revoked");
    assert!(!all(root.list_node_certificates("n", id)).await.is_empty());
    root.reinstate_node("n", id, None).await.unwrap();
    let end =
        EndUserBody { action: EndAction::Suspend, reason: "left".to_owned(), dry_run: Some(true) };
    let ended = root.end_user("root", &end).await.unwrap();
    assert_eq!((ended.nodes.len(), ended.dry_run), (1, true));
    root.release_node("n", id, None).await.unwrap();
}
