//! Who may ask what: every operation of the description × every kind of caller.
//!
//! A new route needs a line in [`entries`], or this fails.

mod foreign;
mod former;
mod identity;
mod names;

use std::collections::BTreeMap;

use crate::support::native::{self, Plane, dialect, enrollment, text};
use nebula_pki::key::SigningKey;
use nebula_pki::{CaParameters, Curve, Issuer, SystemRandom, Validity, Version};
use serde_json::{Value, json};

on_both_engines! {
    every_operation_answers_each_caller_as_it_should
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Viewer,
    Operator,
    Owner,
}

/// What an operator key is for: the asked network is `demo`, of a tenant that has `beside`, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Root,
    Tenant,
    OtherTenant,
    Network,
    OtherNetwork,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Nobody,
    Garbage,
    Key(Role, Where),
    /// Of the asked network.
    JoinToken,
    /// Of the asked network.
    NodeToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unauthorized,
    Forbidden,
    NotFound,
    Allowed,
}

use Class::{Allowed, Forbidden, NotFound, Unauthorized};
use Role::{Operator, Owner, Viewer};
use Where::{Network, OtherTenant, Root, Tenant};

/// What a caller who has a credential is answered.
type Rule = fn(Caller) -> Class;

struct Entry {
    operation: &'static str,
    /// The status that an allowed caller gets.
    status: u16,
    rule: Rule,
    body: Value,
    /// What is made ahead of each request, and the path's parameter that its id is for.
    making: Option<(&'static str, Value, &'static str)>,
    /// A parameter of the path with a value of its own; `{n}` is another number in each request.
    with: Option<(&'static str, &'static str)>,
}

fn entry(operation: &'static str, status: u16, rule: Rule) -> Entry {
    Entry { operation, status, rule, body: Value::Null, making: None, with: None }
}

impl Entry {
    fn body(self, body: Value) -> Self {
        Self { body, ..self }
    }

    fn making(self, path: &'static str, body: Value, parameter: &'static str) -> Self {
        Self { making: Some((path, body, parameter)), ..self }
    }

    fn with(self, parameter: &'static str, value: &'static str) -> Self {
        Self { with: Some((parameter, value)), ..self }
    }
}

fn when(allowed: bool) -> Class {
    if allowed { Allowed } else { Forbidden }
}

/// About the asked network, for keys of this role at least. Who does not see it is told nothing.
fn of_network(caller: Caller, least: Role) -> Class {
    match caller {
        Caller::Key(role, Root | Tenant | Network) => when(role >= least),
        Caller::Key(..) => NotFound,
        _ => Forbidden,
    }
}

fn network_viewer(caller: Caller) -> Class {
    of_network(caller, Viewer)
}

fn network_operator(caller: Caller) -> Class {
    of_network(caller, Operator)
}

/// For keys of any role, whatever their scope, which decides what they find.
fn any_key(caller: Caller) -> Class {
    when(matches!(caller, Caller::Key(..)))
}

/// About the tenant of the asked network.
fn of_tenant(caller: Caller, least: Role) -> Class {
    match caller {
        Caller::Key(role, Root | Tenant) => when(role >= least),
        _ => NotFound,
    }
}

/// About an operator key of the asked network.
fn of_operator_key(caller: Caller, least: Role) -> Class {
    match caller {
        Caller::Key(role, Root | Tenant | Network) => when(role >= least),
        _ => NotFound,
    }
}

/// About a node of the asked network. A join token sees those that joined with it.
fn one_node(caller: Caller) -> Class {
    match caller {
        Caller::JoinToken => NotFound,
        _ => of_network(caller, Viewer),
    }
}

/// A node's own part of the API.
fn own(caller: Caller) -> Class {
    when(caller == Caller::NodeToken)
}

/// Everything that is asked, and who may.
fn entries() -> Vec<Entry> {
    let pool = json!({"range": "10.1.200.{n}"});
    let block = json!({"name": "block {n}", "pool": "{pool}", "size": 1});
    let reservation = json!({"range": "10.1.100.{n}", "purpose": "asking"});
    let token = json!({"name": "token"});
    let key = json!({"name": "key", "role": "viewer", "scope": {"network": "demo"}});
    let signing = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
    let ca_key = signing.to_pem();
    let validity =
        Validity { not_before: native::START - 60, not_after: native::START + 31_536_000 };
    let ca = Issuer::self_signed(Version::V2, CaParameters::new("ca", validity), signing).unwrap();
    let ca = ca.certificate().to_pem();
    let member = |name: &str| {
        let mut body = enrollment(&format!("{name} {{n}}"));
        body["network"] = json!("demo");
        body
    };
    vec![
        entry("list_tenants", 200, any_key),
        entry("create_tenant", 201, |caller| when(caller == Caller::Key(Owner, Root)))
            .body(json!({"name": "tenant {n}"})),
        entry("read_tenant", 200, |caller| of_tenant(caller, Viewer)),
        entry("rename_tenant", 200, |caller| of_tenant(caller, Owner))
            .body(json!({"name": "owner {n}"})),
        // It has networks.
        entry("delete_tenant", 409, |caller| match of_tenant(caller, Owner) {
            Allowed => when(caller == Caller::Key(Owner, Root)),
            other => other,
        }),
        entry("list_operator_keys", 200, any_key),
        entry("create_operator_key", 201, |caller| match caller {
            Caller::Key(Owner, _) => of_network(caller, Owner),
            _ => Forbidden,
        })
        .body(key.clone()),
        entry("read_operator_key", 200, |caller| of_operator_key(caller, Viewer)),
        entry("rename_operator_key", 200, |caller| of_operator_key(caller, Owner))
            .making("/operator-keys", key.clone(), "operatorKey")
            .body(json!({"name": "renamed {n}"})),
        entry("revoke_operator_key", 204, |caller| of_operator_key(caller, Owner)).making(
            "/operator-keys",
            key,
            "operatorKey",
        ),
        entry("list_networks", 200, any_key),
        entry("create_network", 201, |caller| {
            when(matches!(caller, Caller::Key(Operator | Owner, Root | Tenant | OtherTenant)))
        })
        .body(json!({"name": "network {n}", "prefixes": ["10.2.0.0/24"]})),
        entry("read_network", 200, network_viewer),
        entry("change_network", 200, network_operator).body(json!({"holdSeconds": 1})),
        // Nodes are active.
        entry("delete_network", 409, |caller| match network_viewer(caller) {
            Allowed => when(matches!(caller, Caller::Key(Owner, _))),
            other => other,
        }),
        entry("read_network_ca", 200, network_viewer),
        // The second time it signs already.
        entry("add_ca", 200, network_operator)
            .body(json!({"certificate": ca, "key": ca_key.as_str()})),
        entry("list_cas", 200, network_viewer),
        entry("read_ca", 200, network_viewer),
        // It signs, or nodes need it.
        entry("retire_ca", 409, network_operator).body(json!({})),
        entry("renew_certificates", 200, network_operator),
        entry("import_hosts", 200, network_operator)
            .body(json!({"certificates": ca, "dryRun": true})),
        entry("list_pools", 200, network_viewer),
        entry("create_pool", 201, network_operator).body(pool.clone()),
        entry("read_pool", 200, network_viewer),
        entry("resize_pool", 200, network_operator).body(json!({"range": "10.1.0.0/18"})),
        entry("delete_pool", 204, network_operator).making("/networks/demo/pools", pool, "pool"),
        entry("list_blocks", 200, network_viewer),
        entry("create_block", 201, network_operator).body(block.clone()),
        entry("read_block", 200, network_viewer),
        entry("rename_block", 200, network_operator)
            .making("/networks/demo/blocks", block.clone(), "block")
            .body(json!({"name": "renamed {n}"})),
        entry("delete_block", 204, network_operator).making(
            "/networks/demo/blocks",
            block,
            "block",
        ),
        entry("list_reservations", 200, network_viewer),
        entry("create_reservation", 201, network_operator).body(reservation.clone()),
        entry("delete_reservation", 204, network_operator)
            .making("/networks/demo/reservations", reservation, "")
            .with("range", "10.1.100.{n}"),
        entry("list_join_tokens", 200, network_viewer),
        entry("create_join_token", 201, network_operator).body(token.clone()),
        entry("read_join_token", 200, network_viewer),
        entry("rename_join_token", 200, network_operator).body(json!({"name": "renamed {n}"})),
        entry("revoke_join_token", 204, network_operator).making(
            "/networks/demo/join-tokens",
            token,
            "joinToken",
        ),
        entry("list_pending", 200, network_viewer),
        entry("read_pending", 200, network_viewer),
        entry("approve_pending", 200, network_operator)
            .body(json!({"keyFingerprint": "{keyFingerprint}"})),
        entry("refuse_pending", 200, network_operator).body(json!({})),
        entry("list_events", 200, any_key),
        entry("list_network_events", 200, network_viewer),
        entry("read_servers", 200, |caller| when(matches!(caller, Caller::Key(_, Root)))),
        entry("set_servers", 200, |caller| when(matches!(caller, Caller::Key(Owner, Root))))
            .body(json!({"servers": [{"url": "https://{n}.example"}]})),
        entry("read_own_servers", 200, own),
        entry("enroll_node", 201, |caller| match caller {
            Caller::JoinToken => Allowed,
            _ => of_network(caller, Operator),
        })
        .body(member("node")),
        entry("read_own_node", 200, own),
        entry("fetch_own_bundle", 200, own),
        entry("watch_own_node", 200, own),
        entry("renew_own_certificates", 200, own).body(json!({})),
        entry("report_own_node", 204, own).body(json!({"revision": 1, "generation": 1})),
        // The one that it has.
        entry("rotate_own_token", 204, own).body(json!({"nodeToken": "{nodeToken}"})),
        entry("fetch_node_bundle", 200, one_node),
        entry("list_nodes", 200, network_viewer),
        entry("list_expiring_nodes", 200, network_viewer),
        entry("list_addresses", 200, network_viewer),
        // Its hold time has not passed.
        entry("end_quarantine", 409, network_operator),
        entry("read_node", 200, one_node),
        entry("list_node_certificates", 200, one_node),
        entry("change_node", 200, network_operator).body(json!({"name": "other {n}"})),
        entry("suspend_node", 200, network_operator)
            .making("/enroll", member("suspended"), "node")
            .body(json!({"reason": "lost"})),
        entry("reinstate_node", 200, network_operator),
        entry("revoke_node", 200, network_operator)
            .making("/enroll", member("revoked"), "node")
            .body(json!({"reason": "stolen"})),
        entry("release_node", 204, network_operator).making("/enroll", member("released"), "node"),
        entry("rotate_node_token", 200, network_operator).making(
            "/enroll",
            member("rotated"),
            "node",
        ),
        // There is nobody of this name.
        entry("end_user", 404, |caller| when(matches!(caller, Caller::Key(Operator | Owner, _))))
            .body(json!({"action": "revoke", "reason": "gone"})),
        entry("renew_node", 200, network_operator).making("/enroll", member("due"), "node"),
        entry("move_node", 200, network_operator)
            .making("/enroll", member("moved"), "node")
            .body(json!({"pool": "{pool}", "dryRun": true})),
        entry("change_nodes", 200, network_operator)
            .body(json!({"action": "renew", "filter": {"namePrefix": "no such node"}})),
        entry("list_blocklist", 200, network_viewer),
        entry("add_to_blocklist", 200, network_operator)
            .body(json!({"fingerprints": ["0".repeat(64)]})),
        entry("list_unapplied_nodes", 200, network_viewer).with("revision", "1"),
    ]
}

fn callers() -> Vec<Caller> {
    let mut callers = vec![Caller::Nobody, Caller::Garbage, Caller::JoinToken, Caller::NodeToken];
    for role in [Owner, Operator, Viewer] {
        for scope in [Root, Tenant, OtherTenant, Network, Where::OtherNetwork] {
            callers.push(Caller::Key(role, scope));
        }
    }
    callers
}

/// What is asked about, and everyone's secret.
struct World {
    plane: Plane,
    parameters: BTreeMap<&'static str, String>,
    secrets: Vec<(Caller, String)>,
}

impl World {
    async fn new(plane: Plane) -> Self {
        let make = async |path: &str, body: Value| plane.post(path, &body).await.expect(201);
        let tenant = text(&make("/tenants", json!({"name": "own"})).await, "id");
        let other = text(&make("/tenants", json!({"name": "other"})).await, "id");
        let network = json!({"name": "demo", "tenant": tenant, "prefixes": ["10.1.0.0/16"], "pools": ["10.1.0.0/18"]});
        make("/networks", network.clone()).await;
        let mut beside = network;
        beside["name"] = json!("beside");
        make("/networks", beside).await;
        let pool = plane.get("/networks/demo/pools").await.expect(200)["items"][0].clone();
        let pool = text(&pool, "id");
        let cas = plane.get("/networks/demo/cas").await.expect(200);
        let ca = text(&cas["items"][0], "id");
        let block = json!({"name": "block", "pool": pool, "size": 4});
        let block = text(&make("/networks/demo/blocks", block).await, "id");
        let token = json!({"name": "token", "uses": 1000});
        let token = make("/networks/demo/join-tokens", token).await;
        let mut node = enrollment("node");
        node["network"] = json!("demo");
        let node_id = text(&make("/enroll", node.clone()).await, "node");

        let mut left = enrollment("left");
        left["network"] = json!("demo");
        let left = text(&make("/enroll", left).await, "node");
        let path = format!("/networks/demo/nodes/{left}");
        let address = plane.get(&path).await.expect(200)["addresses"][0].clone();
        plane.delete(&path).await.expect(204);
        let approving = json!({"name": "approving", "approval": true});
        let approving = make("/networks/demo/join-tokens", approving).await;
        let waiting = enrollment("waiting");
        let asked = plane.ask("POST", "/enroll", &text(&approving, "secret"), Some(&waiting)).await;
        let pending = asked.expect(202);

        let mut secrets = vec![
            (Caller::Nobody, String::new()),
            (Caller::Garbage, "nebula-operator-unknown".to_owned()),
            (Caller::JoinToken, text(&token, "secret")),
            (Caller::NodeToken, text(&node, "nodeToken")),
        ];
        let mut operator_key = String::new();
        for caller in callers() {
            let Caller::Key(role, scope) = caller else { continue };
            let role = format!("{role:?}").to_lowercase();
            let scope = match scope {
                Root => json!("root"),
                Tenant => json!({"tenant": tenant}),
                OtherTenant => json!({"tenant": other}),
                Network => json!({"network": "demo"}),
                Where::OtherNetwork => json!({"network": "beside"}),
            };
            let is_of_network = scope == json!({"network": "demo"});
            let key = json!({"name": role, "role": role, "scope": scope});
            let key = make("/operator-keys", key).await;
            if is_of_network {
                operator_key = text(&key, "id");
            }
            secrets.push((caller, text(&key, "secret")));
        }
        let parameters = BTreeMap::from([
            ("tenant", tenant),
            ("network", "demo".to_owned()),
            ("pool", pool),
            ("ca", ca),
            ("block", block),
            ("joinToken", text(&token, "id")),
            ("operatorKey", operator_key),
            ("node", node_id),
            ("nodeToken", text(&node, "nodeToken")),
            ("pending", text(&pending, "pending")),
            ("keyFingerprint", text(&pending, "keyFingerprint")),
            ("user", "nobody".to_owned()),
            ("address", address.as_str().unwrap().to_owned()),
        ]);
        Self { plane, parameters, secrets }
    }

    fn fill(&self, template: &str, n: usize, own: Option<(&str, &str)>) -> String {
        let mut text = template.replace("{n}", &n.to_string());
        for (name, value) in
            own.into_iter().chain(self.parameters.iter().map(|(a, b)| (*a, b.as_str())))
        {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text.replace("{n}", &n.to_string())
    }

    async fn ask(
        &self,
        entry: &Entry,
        (method, path): (&str, &str),
        n: usize,
        secret: &str,
    ) -> (u16, Value) {
        let json = |template: &Value| -> Value {
            let mut body: Value =
                serde_json::from_str(&self.fill(&template.to_string(), n, None)).unwrap();
            if body.get("publicKey").is_some() {
                let fresh = enrollment("");
                body["publicKey"] = fresh["publicKey"].clone();
                body["nodeToken"] = fresh["nodeToken"].clone();
            }
            body
        };
        let made = match &entry.making {
            None => None,
            Some((path, body, parameter)) => {
                let made = self.plane.post(path, &json(body)).await.expect(201);
                let id = made.get("id").or_else(|| made.get("node"));
                id.and_then(Value::as_str).map(|id| (*parameter, id.to_owned()))
            }
        };
        let own = made.as_ref().map(|(parameter, id)| (*parameter, id.as_str())).or(entry.with);
        let path = self.fill(path.strip_prefix("/api/v1").unwrap(), n, own);
        let body = (!entry.body.is_null()).then(|| json(&entry.body));
        let answer = self.plane.ask(&method.to_uppercase(), &path, secret, body.as_ref()).await;
        let problem = serde_json::from_slice(&answer.bytes).unwrap_or(Value::Null);
        (answer.status, problem)
    }
}

async fn every_operation_answers_each_caller_as_it_should(plane: Plane) {
    let world = World::new(plane).await;
    let document = serde_json::to_value(nebula_gc_http::api::openapi()).unwrap();
    let mut entries: BTreeMap<_, _> =
        entries().into_iter().map(|entry| (entry.operation, entry)).collect();
    let mut wrong = vec![];
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let Some(entry) = entries.remove(id) else {
                wrong.push(format!("{id} ({method} {path}) has no entry"));
                continue;
            };
            for (caller, secret) in &world.secrets {
                asked += 1;
                // Addresses end with it.
                let n = asked % 250 + 1;
                let (status, answer) = world.ask(&entry, (method, path), n, secret).await;
                let expected = match caller {
                    Caller::Nobody | Caller::Garbage => Unauthorized,
                    caller => (entry.rule)(*caller),
                };
                let expected = match expected {
                    Unauthorized => 401,
                    Forbidden => 403,
                    NotFound => 404,
                    Allowed => entry.status,
                };
                if status != expected {
                    wrong.push(format!("{id}: {caller:?} got {status}, not {expected}: {answer}"));
                }
            }
        }
    }
    wrong.extend(entries.keys().map(|id| format!("{id} is no operation")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked >= 30 * 19);
}
