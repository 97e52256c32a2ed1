//! Many requests with every kind of credential about what is not its own, made from the routes of the
//! description and of the dialect: none of them succeeds, and none is a failure of the server.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Allowed, Caller, Entry, World, dialect, entries, text};
use crate::shared::random::Random;
use crate::support::native::{Plane, enrollment};

on_both_engines! {
    nothing_foreign_is_had_with_any_credential
    an_id_of_another_kind_is_nothing
}

/// How many requests are made with each credential: `FOREIGN_REQUESTS`, or as many as take seconds.
fn requests() -> usize {
    std::env::var("FOREIGN_REQUESTS").map_or(60, |number| number.parse().unwrap())
}

fn one<'a>(of: &'a [String], dice: &mut Random) -> &'a str {
    &of[dice.below(of.len())]
}

/// A credential, to which `demo` and all in it are foreign, but for what [`Caller`] may do there.
struct Credential {
    what: String,
    secret: String,
    /// It opens nothing at all any more.
    is_ended: bool,
    own: Option<Caller>,
    /// A network that it sees, and things in it by the path's parameters.
    sees: Vec<BTreeMap<&'static str, String>>,
}

/// What every answer to them is to be free of, and what they ask about.
struct Foreign {
    world: World,
    /// How `demo` can be called, and what could be taken for that.
    networks: Vec<String>,
    /// Devices of `demo`, with their public keys.
    devices: Vec<(String, Value)>,
    /// Every id there is in it, of whatever kind.
    ids: Vec<String>,
}

impl Foreign {
    async fn new(plane: Plane) -> Self {
        let world = World::new(plane).await;
        let plane = &world.plane;
        let id = text(&plane.get("/networks/demo").await.expect(200), "id");
        let mut device = json!({"projectId": "demo", "deviceId": "device", "deviceName": "device"});
        device["publicKey"] = enrollment("")["publicKey"].clone();
        dialect(plane, "/register", &plane.key, Some(&device)).await.expect(200);
        let mut gone = device.clone();
        gone["deviceId"] = json!("gone");
        gone["deviceName"] = json!("gone");
        gone["publicKey"] = enrollment("")["publicKey"].clone();
        dialect(plane, "/register", &plane.key, Some(&gone)).await.expect(200);
        dialect(plane, "/release/gone?projectId=demo", &plane.key, None).await.expect(200);
        let named = ["demo", "DEMO", "demo."].map(str::to_owned).into_iter();
        let by_id = [id.clone(), id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}")];
        let ids = ["pool", "ca", "block", "joinToken", "operatorKey", "node", "pending"]
            .map(|name| world.parameters[name].clone());
        let devices = vec![
            ("device".to_owned(), device["publicKey"].clone()),
            ("gone".to_owned(), gone["publicKey"].clone()),
            (world.parameters["node"].clone(), enrollment("")["publicKey"].clone()),
        ];
        Self {
            networks: named.chain(by_id).collect(),
            devices,
            ids: ids.into_iter().chain([id]).collect(),
            world,
        }
    }

    /// The things of a network, by the path's parameters.
    async fn things(&self, network: &str) -> BTreeMap<&'static str, String> {
        let plane = &self.world.plane;
        let list = async |what: &str| {
            let found = plane.get(&format!("/networks/{network}/{what}")).await.expect(200);
            text(&found["items"][0], "id")
        };
        let path = format!("/networks/{network}/join-tokens");
        let token = plane.post(&path, &json!({"name": "t"})).await.expect(201);
        let mut node = enrollment("own");
        node["network"] = json!(network);
        let node = plane.post("/enroll", &node).await.expect(201);
        let pool = list("pools").await;
        let block = json!({"name": "block", "pool": pool, "size": 4});
        let block = plane.post(&format!("/networks/{network}/blocks"), &block).await.expect(201);
        BTreeMap::from([
            ("network", network.to_owned()),
            ("pool", pool),
            ("ca", list("cas").await),
            ("block", text(&block, "id")),
            ("joinToken", text(&token, "id")),
            ("node", text(&node, "node")),
        ])
    }

    /// Every kind of credential there is.
    async fn credentials(&self) -> Vec<Credential> {
        let (world, plane) = (&self.world, &self.world.plane);
        let tenants = plane.get("/tenants").await.expect(200);
        let tenant = tenants["items"].as_array().unwrap().iter().find(|it| it["name"] == "other");
        let elsewhere = json!({"name": "elsewhere", "tenant": tenant.unwrap()["id"], "prefixes": ["10.1.0.0/16"]});
        plane.post("/networks", &elsewhere).await.expect(201);
        let (beside, other) = (self.things("beside").await, self.things("elsewhere").await);
        let mut all = vec![];
        for (caller, secret) in &world.secrets {
            let (is_ended, sees) = match caller {
                Caller::Nobody | Caller::Garbage => (true, vec![]),
                Caller::Key(_, super::Where::OtherTenant) => (false, vec![other.clone()]),
                Caller::Key(_, super::Where::OtherNetwork) => (false, vec![beside.clone()]),
                Caller::Key(..) => continue,
                Caller::JoinToken | Caller::NodeToken => (false, vec![]),
            };
            let (what, own) = (format!("{caller:?}"), Some(*caller));
            all.push(Credential { what, secret: secret.clone(), is_ended, own, sees });
        }
        let mut add = |what: &str, secret: String, is_ended: bool, sees: &[_]| {
            let (what, sees) = (what.to_owned(), sees.to_vec());
            all.push(Credential { what, secret, is_ended, own: None, sees });
        };
        for scope in ["root", "tenant", "network"] {
            let scope = match scope {
                "tenant" => json!({"tenant": world.parameters["tenant"]}),
                "network" => json!({"network": "demo"}),
                root => json!(root),
            };
            for role in ["owner", "operator", "viewer"] {
                let key = json!({"name": "k", "role": role, "scope": scope, "expiresAt": "2027-01-15T08:01:00Z"});
                let expired = plane.post("/operator-keys", &key).await.expect(201);
                add(&format!("expired {role} {scope}"), text(&expired, "secret"), true, &[]);
            }
            let key = json!({"name": "k", "role": "owner", "scope": scope});
            let revoked = plane.post("/operator-keys", &key).await.expect(201);
            let path = format!("/operator-keys/{}", text(&revoked, "id"));
            plane.delete(&path).await.expect(204);
            add(&format!("revoked owner {scope}"), text(&revoked, "secret"), true, &[]);
        }
        for (network, sees) in [("demo", vec![]), ("beside", vec![beside.clone()])] {
            for state in ["fresh", "used up", "expired", "revoked"] {
                let path = format!("/networks/{network}/join-tokens");
                let mut body =
                    json!({"name": state, "uses": if state == "used up" { 1 } else { 1000 }});
                if state == "expired" {
                    body["expiresInSeconds"] = json!(60);
                }
                let token = plane.post(&path, &body).await.expect(201);
                let secret = text(&token, "secret");
                match state {
                    "used up" => {
                        let node = enrollment(&format!("the only one of {network}"));
                        plane.ask("POST", "/enroll", &secret, Some(&node)).await.expect(201);
                    }
                    "revoked" => {
                        let path = format!("{path}/{}", text(&token, "id"));
                        plane.delete(&path).await.expect(204);
                    }
                    _ => {}
                }
                // Of `demo` the one that is good is among the world's.
                if (network, state) != ("demo", "fresh") {
                    let what = format!("{state} join token of {network}");
                    let is_ended = state != "fresh" && (state != "used up" || network == "demo");
                    add(&what, secret, is_ended, if is_ended { &[] } else { &sees });
                }
            }
            for state in ["active", "suspended", "revoked", "released", "rotated"] {
                let mut node = enrollment(&format!("{state} node"));
                node["network"] = json!(network);
                let made = plane.post("/enroll", &node).await.expect(201);
                let path = format!("/networks/{network}/nodes/{}", text(&made, "node"));
                let reason = json!({"reason": "to see"});
                match state {
                    "suspended" => {
                        drop(plane.post(&format!("{path}/suspend"), &reason).await.expect(200))
                    }
                    "revoked" => {
                        drop(plane.post(&format!("{path}/revoke"), &reason).await.expect(200))
                    }
                    "released" => drop(plane.delete(&path).await.expect(204)),
                    "rotated" => drop(
                        plane
                            .ask("POST", &format!("{path}/token"), &plane.key, None)
                            .await
                            .expect(200),
                    ),
                    _ => {}
                }
                if (network, state) != ("demo", "active") {
                    let what = format!("token of a node of {network}, {state}");
                    add(&what, text(&node, "nodeToken"), state != "active", &[]);
                }
            }
        }
        plane.pass(120);
        all
    }
}

impl Credential {
    /// Whether what is asked is this caller's own to do.
    fn may(&self, entry: &Entry) -> bool {
        let is_own = |id: &str| id.ends_with("_own_node") || id.ends_with("_own_bundle");
        let is_own = is_own(entry.operation)
            || ["renew_own_certificates", "rotate_own_token", "read_own_servers"]
                .contains(&entry.operation);
        let is_node =
            self.what.starts_with("token of a node") || self.own == Some(Caller::NodeToken);
        let joins =
            self.own == Some(Caller::JoinToken) && (entry.rule)(Caller::JoinToken) == Allowed;
        !self.is_ended && (is_node && is_own || joins)
    }
}

/// One request: its method and path below `/api/v1`, and its body.
fn request(
    foreign: &Foreign,
    who: &Credential,
    entry: &Entry,
    (method, path): (&str, &str),
    dice: &mut Random,
) -> (String, String, Option<Value>) {
    let n = dice.below(250) + 1;
    let mut path = path.strip_prefix("/api/v1").unwrap().to_owned();
    let own = who.sees.first();
    let things = path.matches('{').count();
    // Something foreign in a network of one's own, or something in a foreign one.
    let in_own = things > 1 && !path.contains("{range}") && !path.contains("{revision}");
    let network = match own {
        Some(own) if in_own && dice.below(3) == 0 => own["network"].clone(),
        _ => one(&foreign.networks, dice).to_owned(),
    };
    let is_own = own.is_some_and(|own| own["network"] == network);
    let mut own_body = None;
    for name in path.clone().split('{').skip(1).filter_map(|part| part.split('}').next()) {
        let value = match (name, own) {
            ("network", _) => network.clone(),
            ("range", _) => format!("10.1.100.{n}"),
            ("revision", _) => "1".to_owned(),
            // What is one's own, under a foreign network's name.
            (name, Some(own)) if !is_own && own.contains_key(name) && dice.below(4) == 0 => {
                own[name].clone()
            }
            _ if dice.below(5) == 0 => one(&foreign.ids, dice).to_owned(),
            (name, _) => foreign.world.parameters[name].clone(),
        };
        path = path.replace(&format!("{{{name}}}"), &percent(&value));
    }
    if !entry.body.is_null() {
        let text = foreign.world.fill(&entry.body.to_string(), n, None);
        let mut body: Value = serde_json::from_str(&text).unwrap();
        if body.get("publicKey").is_some() {
            let fresh = enrollment("");
            body["publicKey"] = fresh["publicKey"].clone();
            body["nodeToken"] = fresh["nodeToken"].clone();
        }
        match entry.operation {
            "create_network" => body["tenant"] = json!(foreign.world.parameters["tenant"]),
            "enroll_node" => body["network"] = json!(one(&foreign.networks, dice)),
            "create_operator_key" => {
                body["scope"] = match dice.below(3) {
                    0 => json!("root"),
                    1 => json!({"tenant": foreign.world.parameters["tenant"]}),
                    _ => json!({"network": one(&foreign.networks, dice)}),
                };
            }
            _ => {}
        }
        own_body = Some(body);
    }
    (method.to_uppercase(), path, own_body)
}

/// In the dialect: its path below `/api/nebula`, and its body.
fn in_dialect(foreign: &Foreign, who: &Credential, dice: &mut Random) -> (String, Option<Value>) {
    let network = one(&foreign.networks, dice).to_owned();
    let (device, key) = &foreign.devices[dice.below(foreign.devices.len())];
    let said = match dice.below(3) {
        // Then it is about what the credential sees.
        0 if who.own != Some(Caller::JoinToken) => String::new(),
        _ => format!("?projectId={}", percent(&network)),
    };
    let device = device.as_str();
    match dice.below(6) {
        0 => (format!("/bundle/{device}{said}"), None),
        1 => (format!("/status/{device}{said}"), None),
        2 => (format!("/release/{device}{said}"), None),
        3 => ("/pools".to_owned(), Some(json!({"projectId": network, "cidr": "10.1.0.0/16"}))),
        _ => {
            // One that is there: a new one is whatever the credential may make.
            let device = if device == "gone" && !who.is_ended { "device" } else { device };
            let key =
                if dice.below(2) == 0 { key.clone() } else { enrollment("")["publicKey"].clone() };
            let body = json!({"projectId": network, "deviceId": device, "deviceName": device, "publicKey": key});
            ("/register".to_owned(), Some(body))
        }
    }
}

fn percent(text: &str) -> String {
    text.replace('{', "%7B").replace('}', "%7D")
}

async fn nothing_foreign_is_had_with_any_credential(plane: Plane) {
    let foreign = Foreign::new(plane).await;
    let credentials = foreign.credentials().await;
    assert!(credentials.len() >= 30, "{}", credentials.len());
    let document = serde_json::to_value(nebula_gc_http::api::openapi()).unwrap();
    let entries: BTreeMap<_, _> =
        entries().into_iter().map(|entry| (entry.operation, entry)).collect();
    let mut operations = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.push((&entries[text(operation, "operationId").as_str()], method, path));
        }
    }
    let plane = &foreign.world.plane;
    let events = || plane.number("SELECT count(*) FROM alloc_event");
    let (before, mut dice, mut wrong) = (events(), Random(13), vec![]);
    for who in &credentials {
        let mut asked = 0;
        while asked < requests() {
            // Each operation in turn, and one of the dialect after every four.
            if asked % 5 == 4 {
                let (path, body) = in_dialect(&foreign, who, &mut dice);
                let answer = dialect(plane, &path, &who.secret, body.as_ref()).await;
                let said: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
                // As of a device that never was.
                let is_nothing = path.starts_with("/status") && said["allocated"] == false;
                if !(400..500).contains(&answer.status) && !is_nothing {
                    wrong.push(format!("{}: {path} {body:?}: {} {said}", who.what, answer.status));
                }
                asked += 1;
                continue;
            }
            let (entry, method, path) = &operations[asked * 7 % operations.len()];
            asked += 1;
            if who.may(entry) {
                continue;
            }
            let (method, path, body) =
                request(&foreign, who, entry, (method.as_str(), path.as_str()), &mut dice);
            let answer = plane.ask(&method, &path, &who.secret, body.as_ref()).await;
            // A list of what it sees is nobody else's.
            let said = String::from_utf8_lossy(&answer.bytes);
            let is_own_list = answer.status == 200
                && !who.is_ended
                && method == "GET"
                && ["/networks", "/tenants", "/operator-keys", "/events", "/node/servers"]
                    .contains(&&*path)
                && !foreign.ids.iter().any(|id| said.contains(id));
            if !(400..500).contains(&answer.status) && !is_own_list {
                wrong.push(format!(
                    "{}: {method} {path} {body:?}: {} {said}",
                    who.what, answer.status
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(events(), before, "nothing was done");
    plane.verify();
}

/// Also to a root operator.
async fn an_id_of_another_kind_is_nothing(plane: Plane) {
    let foreign = Foreign::new(plane).await;
    let plane = &foreign.world.plane;
    let document = serde_json::to_value(nebula_gc_http::api::openapi()).unwrap();
    let entries: BTreeMap<_, _> =
        entries().into_iter().map(|entry| (entry.operation, entry)).collect();
    let parameters = &foreign.world.parameters;
    let mut wrong = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let entry = &entries[text(operation, "operationId").as_str()];
            let names = path.split('{').skip(1).filter_map(|part| part.split('}').next());
            for name in names.filter(|name| !["range", "revision"].contains(name)) {
                let kinds = ["tenant", "pool", "ca", "block", "joinToken", "operatorKey", "node"];
                let others =
                    kinds.iter().filter(|kind| **kind != name).map(|kind| &parameters[kind]);
                let names_of_things = ["demo", "node", "block", "own"].map(str::to_owned);
                let own_name = if name == "network" { "demo" } else { "" };
                let named = names_of_things.iter().filter(|called| *called != own_name);
                for other in others.chain(named).chain(&foreign.networks[3..]) {
                    if name == "network" && foreign.networks[3..].contains(other) {
                        continue;
                    }
                    let template = path.replace(&format!("{{{name}}}"), other);
                    let template = template.replace("{range}", "10.1.100.1");
                    let template = template.replace("{revision}", "1");
                    let path =
                        foreign.world.fill(template.strip_prefix("/api/v1").unwrap(), 1, None);
                    let body = foreign.world.fill(&entry.body.to_string(), 1, None);
                    let body: Value = serde_json::from_str(&body).unwrap();
                    let body = (!body.is_null()).then_some(&body);
                    let method = method.to_uppercase();
                    let path = percent(&path);
                    let answer = plane.ask(&method, &path, &plane.key, body).await;
                    if ![400, 404].contains(&answer.status) {
                        let said = String::from_utf8_lossy(&answer.bytes);
                        wrong.push(format!("{method} {path}: {} {said}", answer.status));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
