//! Receipts: given with bundles, sent back with reports, believed where they are our own.

use nebula_bundle::unpack;
use nebula_gc_http::Bearer;
use nebula_gc_http::receipt::{LONGEST_RECEIPT, Position, Receipt, digest_of};
use nebula_pki::{Certificate, Fingerprint};
use serde_json::{Value, json};

use crate::support::native::{Plane, enrollment};

on_both_engines! {
    a_receipt_says_what_the_node_was_given
    a_receipt_is_no_part_of_the_bundle
    a_report_is_kept_and_its_receipt_judged
    a_report_is_bounded
    what_a_report_says_beyond_what_is_known_is_ignored
}

/// A node of `demo`: its token, and the answer to its enrolment.
async fn enrolled(plane: &Plane, name: &str) -> (String, Value) {
    let mut request = enrollment(name);
    request["network"] = json!("demo");
    let answer = plane.post("/enroll", &request).await.expect(201);
    (request["nodeToken"].as_str().unwrap().to_owned(), answer)
}

async fn demo(plane: &Plane) {
    let body = json!({"name": "demo", "prefixes": ["10.1.0.0/24"]});
    plane.post("/networks", &body).await.expect(201);
}

fn fingerprints(pem: &str) -> Vec<Fingerprint> {
    let certificates = Certificate::from_pem_many(pem.as_bytes()).unwrap();
    certificates.iter().map(Certificate::fingerprint).collect()
}

async fn a_receipt_says_what_the_node_was_given(plane: Plane) {
    demo(&plane).await;
    let (token, answer) = enrolled(&plane, "one").await;
    let blocked = Fingerprint::from_bytes([7; 32]);
    let entry = json!({"fingerprint": blocked.to_string()});
    plane.post("/networks/demo/blocklist", &entry).await;

    let given = plane.ask("GET", "/node/bundle", &token, None).await;
    let header = given.header("nebula-receipt");
    assert!(header.len() <= LONGEST_RECEIPT);
    let files = unpack(&given.bytes).unwrap();
    assert_eq!(files.receipt(), Some(header));
    let text = |name: &str| files.iter().find(|file| file.0 == name).unwrap().1;
    let said = header.parse::<Receipt>().unwrap().statement;
    let enrolled: Receipt = answer["bundle"]["receipt"].as_str().unwrap().parse().unwrap();

    assert_eq!(said.certificates, fingerprints(text("node.crt")));
    assert_eq!(said.cas, digest_of(&fingerprints(text("ca.crt"))));
    let yaml: Value = serde_saphyr::from_str(text("nebula.yml")).unwrap();
    let blocklist: Vec<Fingerprint> = yaml["pki"]["blocklist"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry.as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(said.blocklist, digest_of(&blocklist));
    let (revision, generation) =
        (given.header("nebula-revision"), given.header("nebula-generation"));
    let position = Position {
        epoch: 0,
        revision: revision.parse().unwrap(),
        generation: generation.parse().unwrap(),
    };
    assert_eq!(said.position, position);
    assert_eq!(said.time, plane.now());
    let node = enrolled.statement;
    assert_eq!((said.store, said.network, said.node), (node.store, node.network, node.node));
    assert!(said.position >= node.position);
    assert_eq!(uuid(&said.node), answer["node"].as_str().unwrap());
    assert_ne!(said.store, [0; 16]);
}

fn uuid(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

async fn a_receipt_is_no_part_of_the_bundle(plane: Plane) {
    demo(&plane).await;
    let (token, answer) = enrolled(&plane, "one").await;
    let own = plane.ask("GET", "/node/bundle", &token, None).await;
    let path = format!("/networks/demo/nodes/{}/bundle", answer["node"].as_str().unwrap());
    let operators = plane.get(&path).await;
    assert_eq!(own.header("etag"), operators.header("etag"));
    assert_eq!(operators.header("nebula-receipt"), "");
    let (own_files, files) = (unpack(&own.bytes).unwrap(), unpack(&operators.bytes).unwrap());
    assert!(own_files.iter().eq(files.iter()) && files.receipt().is_none());
    assert!(own_files.has_digest(own.header("nebula-digest")));
    // Also with an answer that there is nothing new.
    let tag = own.header("etag").to_owned();
    let headers = [("if-none-match", tag.as_str())];
    let unchanged = plane.ask_with("GET", "/node/bundle", &token, &headers, None).await;
    assert_eq!(unchanged.status, 304);
    assert!(unchanged.header("nebula-receipt").parse::<Receipt>().is_ok());
    let yaml = plane.ask("GET", "/node/bundle?format=yaml", &token, None).await;
    assert!(yaml.header("nebula-receipt").parse::<Receipt>().is_ok());
}

async fn a_report_is_kept_and_its_receipt_judged(plane: Plane) {
    demo(&plane).await;
    let (token, answer) = enrolled(&plane, "one").await;
    let (_, other) = enrolled(&plane, "two").await;
    let receipt = answer["bundle"]["receipt"].as_str().unwrap();
    let path = format!("/networks/demo/nodes/{}", answer["node"].as_str().unwrap());
    assert!(plane.get(&path).await.expect(200).get("report").is_none());
    let report = async |body: Value| {
        let mut whole = json!({"revision": 1, "generation": 1});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        assert_eq!(plane.ask("POST", "/node/report", &token, Some(&whole)).await.status, 204);
        plane.get(&path).await.expect(200)["report"].take()
    };
    assert_eq!(report(json!({})).await, Value::Null);
    let told = json!({
        "receipt": receipt, "nebula": "1.11.0", "agent": "0.1.0", "platform": "linux/x86_64",
        "overridden": ["listen.port"], "uptimeSeconds": 90, "tunnels": 3, "bytesIn": 1_u64 << 40,
        "bytesOut": 0, "clockSkewSeconds": -2, "problem": "the disk is full",
        "restartNeeded": true
    });
    let mut kept = report(told.clone()).await;
    let at = kept.as_object_mut().unwrap().remove("at").unwrap();
    assert_eq!(at, "2027-01-15T08:00:00Z");
    assert_eq!(kept.as_object_mut().unwrap().remove("receiptStanding").unwrap(), "believed");
    assert_eq!(kept, told);
    // A node is sent back as it is shown.
    let mut shown = plane.get(&path).await.expect(200);
    shown["name"] = json!("renamed");
    plane.patch(&path, &shown).await.expect(200);

    // What is told without more stays; the latest counts.
    assert_eq!(report(json!({})).await["problem"], "the disk is full");
    let latest = report(json!({"receipt": receipt, "tunnels": 4})).await;
    assert_eq!((&latest["tunnels"], &latest["receiptStanding"]), (&json!(4), &json!("believed")));
    assert!(latest.get("problem").is_none());

    let others = other["bundle"]["receipt"].as_str().unwrap();
    assert_eq!(report(json!({"receipt": others})).await["receiptStanding"], "refused");
    for forged in ["", "AAAA", "x y", &receipt.replace(&receipt[50..52], "zz"), &receipt[..200]] {
        assert_eq!(report(json!({"receipt": forged})).await["receiptStanding"], "refused");
    }
    // Its key's id is in the first bytes, behind the version.
    let unknown = format!("AQAAAAAAAABj{}", &receipt[12..]);
    let shown = report(json!({"receipt": unknown})).await;
    assert_eq!(
        (&shown["receiptStanding"], &shown["receipt"]),
        (&json!("unknown_key"), &json!(unknown))
    );
}

async fn a_report_is_bounded(plane: Plane) {
    demo(&plane).await;
    let (token, _) = enrolled(&plane, "one").await;
    let long = "x".repeat(65);
    for (field, value) in [
        ("receipt", json!("x".repeat(513))),
        ("nebula", json!(long)),
        ("agent", json!("\u{1b}[2J")),
        ("platform", json!(long)),
        ("problem", json!("x".repeat(513))),
        ("overridden", json!(vec!["a"; 65])),
        ("overridden", json!(["x".repeat(129)])),
        ("tunnels", json!(-1)),
        ("uptimeSeconds", json!("long")),
        ("clockSkewSeconds", json!(null)),
    ] {
        let mut body = json!({"revision": 1, "generation": 1});
        body[field] = value;
        let refused = plane.ask("POST", "/node/report", &token, Some(&body)).await;
        let problem = refused.problem(400, "invalid_request");
        assert!(problem["field"].as_str().is_none_or(|named| named == field), "{problem}");
    }
}

/// A newer agent tells more than this server knows.
async fn what_a_report_says_beyond_what_is_known_is_ignored(plane: Plane) {
    demo(&plane).await;
    let (token, _) = enrolled(&plane, "one").await;
    let newer = json!({"revision": 1, "generation": 1, "nebula": "1.11.0", "novelty": {"a": [1]}});
    plane.ask("POST", "/node/report", &token, Some(&newer)).await.expect(204);
    let nodes = plane.get("/networks/demo/nodes").await.expect(200);
    let node = &nodes["items"][0];
    assert_eq!(
        (&node["applied"]["revision"], &node["report"]["nebula"]),
        (&json!(1), &json!("1.11.0"))
    );
    // What changes something is read to the letter.
    let renewal = json!({"novelty": 1});
    plane.ask("POST", "/node/renew", &token, Some(&renewal)).await.problem(400, "invalid_request");
}

/// A key whose receipts a node may still bring is kept.
#[tokio::test]
async fn a_key_is_kept_until_all_nodes_have_shown_a_receipt_of_a_newer_one() {
    use nebula_gc_http::server::DataDirectory;
    use nebula_gc_http::{Context, Desired, NodeReport, Service};

    use crate::support::requests;

    let place = tempfile::tempdir().unwrap();
    let data = || DataDirectory::open(place.path().join("data")).unwrap();
    let open = || data().start().unwrap();
    let prune = || data().prune_secrets(None).unwrap().join("\n");
    let report = async |service: &Service, token: &Bearer| {
        let own = || Context::bearer(token.clone());
        let bundle = service.own_bundle(own()).await.unwrap();
        let receipt = Some(bundle.receipt().unwrap());
        let Desired { revision, generation } = bundle.desired();
        let report = NodeReport { receipt, ..NodeReport::default() };
        service.report_with(own(), Desired { revision, generation }, report).await.unwrap();
    };

    let service = open();
    requests::make_demo(&service, "10.1.0.0/16").await;
    let mut tokens = vec![];
    for name in ["one", "two"] {
        let request = requests::enrollment(name);
        tokens.push(request.token.clone());
        service.enroll(Context::local(), request).await.unwrap();
    }
    report(&service, &tokens[0]).await;
    service.close().await;
    data().secrets().change(|secrets| Ok(secrets.rotate()?)).unwrap();

    let service = open();
    // Their tokens are not what keeps the key.
    for token in &tokens {
        service.own_node(Context::bearer(token.clone())).await.unwrap();
    }
    let request = requests::enrollment("three");
    let third = request.token.clone();
    service.enroll(Context::local(), request).await.unwrap();
    service.close().await;
    assert!(prune().contains("receipts of 3 nodes"), "{}", prune());

    let service = open();
    for token in [&tokens[0], &tokens[1]] {
        report(&service, token).await;
    }
    service.close().await;
    assert!(prune().contains("receipts of 1 nodes"), "{}", prune());
    let service = open();
    report(&service, &third).await;
    service.close().await;
    assert!(!prune().contains("receipts"), "{}", prune());
}
