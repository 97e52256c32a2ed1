//! Whatever can be wrong with a request, on every route of the description: refused by name, with
//! an answer that the description has, and nothing left behind.

use crate::support::native::{self, Plane, enrollment};
use axum::body::Body;
use serde_json::{Value, json};

on_both_engines! {
    every_route_refuses_what_is_wrong_by_name
}

/// What a body of hosts to be imported may have, in bytes.
const IMPORT_LIMIT: usize = 4 * 1024 * 1024;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Words of Rust and of its libraries, which mean nothing to who sends JSON.
const RUST: &str = "struct enum variant newtype tuple sequence map unit Option u8 u16 u32 u64 usize \
    i64 f64 deserialize char";
const IS_NO_LETTER: fn(char) -> bool = |c| !c.is_ascii_alphanumeric();

/// Credentials that nobody has.
const STRANGERS: [&str; 3] = ["", "nebula-operator-unknown", "nebula-join-unknown"];

/// A body with every field, of which only what a test changes is wrong. A route with a body needs
/// one here.
fn body(operation: &str) -> Value {
    match operation {
        "create_tenant"
        | "rename_tenant"
        | "rename_block"
        | "rename_join_token"
        | "rename_operator_key" => json!({"name": "x"}),
        "create_operator_key" => {
            json!({"name": "x", "role": "viewer", "scope": "root", "expiresAt": "2030-01-01T00:00:00Z"})
        }
        "create_network" => json!({
            "name": "x", "tenant": ID, "prefixes": ["10.2.0.0/16"], "versions": "2",
            "curve": "25519", "lifetimeSeconds": 3600, "holdSeconds": 60, "holdAlone": true,
            "silenceSeconds": 3600, "giveBackSeconds": 3600, "silentAfterSeconds": 600, "mtu": 1400, "pools": ["10.2.0.0/24"], "ca": {"signer": "x"},
            "initiatingVersion": "1"
        }),
        "add_ca" => json!({
            "name": "x", "lifetimeSeconds": 86_400, "signer": "x", "certificate": "x", "key": "x",
            "passphrase": "x"
        }),
        "retire_ca" => json!({"force": true}),
        "add_to_blocklist" => json!({"fingerprints": ["0".repeat(64)]}),
        "import_hosts" => {
            json!({"certificates": "x", "blocklist": "", "dryRun": true, "skipConflicts": true})
        }
        "change_network" => json!({
            "name": "x", "prefixes": ["10.1.0.0/16"], "versions": "2", "lifetimeSeconds": 3600,
            "holdSeconds": 60, "holdAlone": true, "silenceSeconds": 3600, "giveBackSeconds": 3600, "silentAfterSeconds": 600, "mtu": 1400,
            "initiatingVersion": "1"
        }),
        "create_pool" => json!({"range": "10.1.200.1", "position": 1}),
        "resize_pool" => json!({"range": "10.1.200.1"}),
        "create_block" => json!({"name": "x", "pool": ID, "range": "10.1.0.9", "size": 1}),
        "create_reservation" => {
            json!({"range": "10.1.0.9", "purpose": "node", "node": ID, "device": "x", "note": "x"})
        }
        "create_join_token" => json!({
            "name": "x", "uses": 1, "expiresAt": "2027-02-01T00:00:00Z", "expiresInSeconds": 1,
            "namePattern": "x*", "groups": ["x"], "relay": true, "lighthouse": true, "pool": ID, "user": "x",
            "device": "x", "address": "10.1.0.9", "ephemeralSeconds": 3600, "approval": true
        }),
        "approve_pending" => json!({"keyFingerprint": "0".repeat(64)}),
        "refuse_pending" => json!({"reason": "x"}),
        "enroll_node" => {
            let mut body = enrollment("x");
            body["network"] = json!("demo");
            body["device"] = json!("x");
            body["formerNodeToken"] = enrollment("x")["nodeToken"].clone();
            body["user"] = json!("x");
            body["groups"] = json!(["x"]);
            body["lighthouse"] = json!({"endpoint": "192.0.2.1:4242"});
            body["relay"] = json!(true);
            body["address"] = json!("10.1.0.9");
            body["mtu"] = json!(1400);
            body
        }
        "change_node" => json!({
            "name": "x", "user": "x", "groups": ["x"], "addGroups": ["y"], "removeGroups": ["z"],
            "lighthouse": {"endpoint": "192.0.2.1:4242"}, "relay": true, "mtu": 1400
        }),
        "change_nodes" => json!({
            "action": "set", "filter": {"group": "x", "namePrefix": "x", "user": "x"}, "dryRun": true,
            "reason": "x", "groups": ["x"], "addGroups": ["y"], "removeGroups": ["z"]
        }),
        "end_user" => json!({"action": "suspend", "reason": "x", "dryRun": true}),
        "set_servers" => json!({"servers": [{"url": "https://a.example", "pin": "A".repeat(43)}]}),
        "move_node" => json!({"pool": ID, "address": "10.1.0.9", "dryRun": true}),
        "suspend_node" | "revoke_node" => json!({"reason": "x"}),
        "renew_own_certificates" => json!({"publicKey": enrollment("x")["publicKey"]}),
        "report_own_node" => json!({
            "revision": 1, "generation": 1, "receipt": "x", "nebula": "1.11.0", "agent": "0.1.0",
            "platform": "linux", "overridden": ["listen.port"], "uptimeSeconds": 1, "tunnels": 1,
            "bytesIn": 1, "bytesOut": 1, "clockSkewSeconds": 1, "restartNeeded": true, "problem": "x"
        }),
        "rotate_own_token" => json!({"nodeToken": "x".repeat(40)}),
        other => panic!("{other} has a body, but none here"),
    }
}

/// An operation of the description.
struct Route<'a> {
    id: &'a str,
    method: String,
    path: &'a str,
    operation: &'a Value,
    document: &'a Value,
}

/// A request with something wrong, and the field that has to be named.
struct Wrong {
    method: String,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
    status: u16,
    field: Option<String>,
}

impl Route<'_> {
    fn parameters(&self, place: &str) -> Vec<&str> {
        let all = self.operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_place = all.iter().filter(|parameter| parameter["in"] == place);
        of_place.map(|parameter| parameter["name"].as_str().unwrap()).collect()
    }

    /// The numbers in its query that have a bound, with that.
    fn query_numbers(&self) -> Vec<(&str, u64)> {
        let all = self.operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bounded = all
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|it| Some((it["name"].as_str()?, it["schema"]["maximum"].as_u64()?)));
        bounded.collect()
    }

    /// The path with usual values, but for one.
    fn filled(&self, but: Option<(&str, &str)>) -> String {
        let mut path = self.path.strip_prefix("/api/v1").unwrap().to_owned();
        for name in self.parameters("path") {
            let usual = match name {
                "network" => "demo",
                "range" => "10.1.0.9",
                "revision" => "1",
                "address" => "10.1.0.9",
                _ => ID,
            };
            let value = but.filter(|(other, _)| *other == name).map_or(usual, |(_, value)| value);
            path = path.replace(&format!("{{{name}}}"), value);
        }
        path
    }

    fn wrong(&self) -> Wrong {
        let body = self.operation["requestBody"].is_object().then(|| body(self.id).to_string());
        let headers = match body {
            Some(_) => vec![("content-type", "application/json".to_owned())],
            None => vec![],
        };
        let (method, path) = (self.method.clone(), self.filled(None));
        Wrong { method, path, headers, body, status: 400, field: None }
    }

    /// The schema of the body.
    fn properties(&self) -> Option<&serde_json::Map<String, Value>> {
        let schema = &self.operation["requestBody"]["content"]["application/json"]["schema"];
        let reference = schema["$ref"].as_str()?.strip_prefix('#')?;
        self.document.pointer(reference)?["properties"].as_object()
    }

    fn everything_wrong(&self) -> Vec<Wrong> {
        let mut wrong = vec![];
        for name in self.parameters("path") {
            let path = self.filled(Some((name, "%ff")));
            wrong.push(Wrong { path, field: Some(name.to_owned()), ..self.wrong() });
            // A reservation is known by a node's name, too.
            let long = "x".repeat(if name == "range" { 254 } else { 129 });
            let path = self.filled(Some((name, &long)));
            wrong.push(Wrong { path, field: Some(name.to_owned()), ..self.wrong() });
        }
        let query = |query: &str| format!("{}?{query}", self.filled(None));
        wrong.push(Wrong { path: query("unknown=1"), ..self.wrong() });
        wrong.push(Wrong { path: query("%ff=1"), ..self.wrong() });
        for name in self.parameters("query") {
            // Texts may be anything.
            if !matches!(name, "kind" | "name" | "namePrefix" | "group") {
                let path = query(&format!("{name}=%00"));
                wrong.push(Wrong { path, field: Some(name.to_owned()), ..self.wrong() });
            }
            wrong.push(Wrong { path: query(&format!("{name}=1&{name}=1")), ..self.wrong() });
            if name == "cursor" {
                // It could be one, of another list.
                let path = query("cursor=AAAA");
                wrong.push(Wrong { path, field: Some(name.to_owned()), ..self.wrong() });
            }
        }
        for (name, most) in self.query_numbers() {
            for value in [&(most + 1).to_string(), "x", "", "-1", "1.5", "99999999999999999999"] {
                let path = query(&format!("{name}={value}"));
                wrong.push(Wrong { path, field: Some(name.to_owned()), ..self.wrong() });
            }
        }
        for name in self.parameters("header") {
            let (key, value, field) = match name {
                "If-Match" => ("if-match", "bare".to_owned(), name),
                "If-None-Match" => ("if-none-match", "bare".to_owned(), name),
                "Idempotency-Key" => ("idempotency-key", "x".repeat(256), name),
                other => panic!("{other}"),
            };
            let mut request = Wrong { field: Some(field.to_owned()), ..self.wrong() };
            request.headers.push((key, value));
            wrong.push(request);
        }
        let Some(properties) = self.properties() else { return wrong };
        let with = |body: String| Wrong { body: Some(body), ..self.wrong() };
        for broken in ["", "{", "null", "[]", "1", "\"x\"", "{}{}", "\u{feff}{}"] {
            wrong.push(Wrong { field: Some("body".to_owned()), ..with(broken.to_owned()) });
        }
        wrong.push(with("[".repeat(60_000)));
        let limit = if self.id == "import_hosts" { IMPORT_LIMIT } else { 64 * 1024 };
        wrong.push(Wrong { status: 413, ..with(" ".repeat(limit + 1)) });
        let json = || ("content-type", "application/json".to_owned());
        let packed = vec![json(), ("content-encoding", "gzip".to_owned())];
        wrong.push(Wrong { status: 415, headers: packed, ..self.wrong() });
        let text = vec![("content-type", "text/plain".to_owned())];
        wrong.push(Wrong { status: 415, headers: text, ..self.wrong() });
        wrong.push(Wrong { status: 415, headers: vec![], ..self.wrong() });
        let usual = body(self.id);
        let named = |name: &str, body: &Value| Wrong {
            field: Some(name.to_owned()),
            ..with(body.to_string())
        };
        let mut extra = usual.clone();
        extra["unknown"] = json!(1);
        // Agents may be newer than their server.
        if self.id != "report_own_node" {
            wrong.push(named("unknown", &extra));
        }
        for (name, schema) in properties {
            assert!(usual.get(name).is_some(), "{}: {name} is not in the test's body", self.id);
            let mut changed = usual.clone();
            for value in [json!([[[]]]), json!({"a": 1}), json!(-1.5)] {
                changed[name] = value;
                wrong.push(named(name, &changed));
            }
            let types = schema["type"].as_array().map(Vec::as_slice).unwrap_or_default();
            let alternatives = schema["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
            let takes_null = types.contains(&json!("null"))
                || alternatives.iter().any(|schema| schema["type"] == "null");
            if !takes_null {
                changed[name] = Value::Null;
                wrong.push(named(name, &changed));
            }
            if schema["minLength"] == 1 {
                changed[name] = json!("");
                wrong.push(named(name, &changed));
                changed[name] = json!("control\u{1}");
                wrong.push(named(name, &changed));
            }
            if let Some(most) = schema["maximum"].as_u64() {
                // Of which other fields there are too many may be told first.
                changed[name] = json!(most + 1);
                wrong.push(with(changed.to_string()));
            }
            if name == "publicKey" {
                // Bytes for which there are others that mean the same key.
                changed[name] = json!("ff".repeat(32));
                wrong.push(named(name, &changed));
            }
            if self.id == "create_network" && name == "prefixes" {
                changed[name] = json!(["10.2.0.0/16", "10.3.0.0/16"]);
                wrong.push(with(changed.to_string()));
            }
            if let Some(most) = schema["maxLength"].as_u64() {
                changed[name] = json!("x".repeat(usize::try_from(most).unwrap() + 1));
                wrong.push(named(name, &changed));
            }
        }
        wrong
    }
}

async fn every_route_refuses_what_is_wrong_by_name(plane: Plane) {
    let network = json!({"name": "demo", "prefixes": ["10.1.0.0/16"], "pools": ["10.1.0.0/18"]});
    plane.post("/networks", &network).await.expect(201);
    let mut node = enrollment("node");
    node["network"] = json!("demo");
    plane.post("/enroll", &node).await.expect(201);
    let newest = "/events?order=newest_first&limit=1";
    let before = plane.get(newest).await.expect(200);

    let document = serde_json::to_value(nebula_gc_http::api::openapi()).unwrap();
    let mut asked = 0;
    let mut faults = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let (method, document) = (method.to_uppercase(), &document);
            let route = Route { id, method, path, operation, document };
            // Only a node gets as far as its own part of the API looks at the rest.
            let secret = match operation["tags"][0].as_str().unwrap() {
                "node" => node["nodeToken"].as_str().unwrap(),
                _ => plane.key.as_str(),
            };
            for wrong in route.everything_wrong() {
                asked += 1;
                let send = async |secret: &str| {
                    let mut request = native::request(&wrong.method, &wrong.path, secret);
                    for (name, value) in &wrong.headers {
                        request = request.header(*name, value);
                    }
                    let body = wrong.body.clone().unwrap_or_default();
                    plane.send(request.body(Body::from(body)).unwrap()).await
                };
                let answer = send(secret).await;
                let problem: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
                let is_documented = operation["responses"].get(answer.status.to_string()).is_some();
                let names = wrong.field.as_ref().is_none_or(|field| {
                    let named = problem["field"].as_str().unwrap_or_default();
                    named == field
                        || named.starts_with(&format!("{field}["))
                        || named.starts_with(&format!("{field}."))
                });
                let about = wrong.body.as_deref().unwrap_or_default();
                let about = about.get(..about.len().min(200)).unwrap_or_default();
                let detail = problem["detail"].as_str().unwrap_or_default();
                let rust =
                    RUST.split(' ').find(|word| detail.split(IS_NO_LETTER).any(|it| it == *word));
                if answer.status != wrong.status || !is_documented || !names || rust.is_some() {
                    faults.push(format!(
                        "{id} {} {:?} {about}: {} {problem}, expected {} naming {:?}",
                        wrong.path, wrong.headers, answer.status, wrong.status, wrong.field
                    ));
                }
                // Whoever has no credential is told nothing of this.
                for secret in STRANGERS {
                    let status = send(secret).await.status;
                    if status != 401 {
                        faults
                            .push(format!("{id} {} {about}: {status} for {secret:?}", wrong.path));
                    }
                }
            }
            // Nor of what else may be wrong with all fields together.
            for secret in STRANGERS {
                let body = operation["requestBody"].is_object().then(|| body(id));
                let path = route.filled(None);
                let status = plane.ask(&route.method, &path, secret, body.as_ref()).await.status;
                if status != 401 {
                    faults.push(format!("{id} {path}: {status} for {secret:?}"));
                }
            }
        }
    }
    faults.dedup();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(asked > 400, "{asked}");
    assert_eq!(plane.get(newest).await.expect(200), before);
}
