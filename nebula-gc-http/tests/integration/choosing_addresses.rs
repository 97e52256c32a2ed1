//! Which addresses a new node gets that its device, or its join token, names.

use serde_json::{Value, json};

use crate::approving::at_once;
use crate::support::native::{Answer, Plane, dialect, enrollment, text};

on_both_engines! {
    a_device_gets_the_address_that_it_asks_for
    an_address_that_can_not_be_had_is_refused_with_the_reason
    a_token_with_an_address_gives_that_and_no_other
    a_token_for_an_address_that_nobody_could_have_is_not_made
    of_many_who_ask_for_one_address_one_gets_it
    what_is_reserved_for_a_device_is_all_that_it_may_ask_for
    a_released_device_asks_for_its_address_again
    an_address_that_is_gone_is_refused_when_it_is_approved
}

const NETWORK: &str = "/networks/demo";

async fn demo(plane: &Plane, prefixes: Value) {
    plane.post("/networks", &json!({"name": "demo", "prefixes": prefixes})).await.expect(201);
}

/// The secret of a join token like this.
async fn token(plane: &Plane, like: Value) -> String {
    let mut body = json!({"name": "token", "uses": 9});
    for (field, value) in like.as_object().unwrap() {
        body[field] = value.clone();
    }
    let made = plane.post(&format!("{NETWORK}/join-tokens"), &body).await.expect(201);
    let read = plane.get(&format!("{NETWORK}/join-tokens/{}", text(&made, "id"))).await.expect(200);
    assert_eq!(read["address"], like["address"]);
    text(&made, "secret")
}

async fn enroll(plane: &Plane, token: &str, body: &Value) -> Answer {
    plane.ask("POST", "/enroll", token, Some(body)).await
}

async fn release(plane: &Plane, node: &Value) {
    plane.delete(&format!("{NETWORK}/nodes/{}", text(node, "node"))).await.expect(204);
}

fn asking(name: &str, address: &str) -> Value {
    let mut body = enrollment(name);
    body["address"] = json!(address);
    body
}

/// That both times nothing is written, and the address is refused so.
async fn refused(plane: &Plane, token: &str, body: &Value, why: &str) {
    let before = plane.rows();
    for _ in 0..2 {
        let refused = enroll(plane, token, body).await.problem(409, "conflict");
        assert_eq!(refused["field"], "address", "{refused}");
        assert!(text(&refused, "detail").contains(why), "{refused}");
    }
    assert_eq!(plane.rows(), before, "{why}");
}

async fn a_device_gets_the_address_that_it_asks_for(plane: Plane) {
    demo(&plane, json!(["10.1.0.0/24", "fd00::/64"])).await;
    let token = token(&plane, json!({})).await;
    let first = asking("first", "10.1.0.77");
    let node = enroll(&plane, &token, &first).await.expect(201);
    assert_eq!(node["addresses"], json!(["10.1.0.77/24", "fd00::1/64"]));
    let before = plane.rows();
    assert_eq!(enroll(&plane, &token, &first).await.expect(200), node);
    // Who names none, or fewer, asks for nothing else.
    let mut less = first.clone();
    less.as_object_mut().unwrap().remove("address");
    assert_eq!(enroll(&plane, &token, &less).await.expect(200), node);
    assert_eq!(plane.rows(), before);
    let mut other = first.clone();
    other["address"] = json!("10.1.0.78");
    refused(&plane, &token, &other, "has 10.1.0.77 and fd00::1, not 10.1.0.78").await;
    refused(&plane, &token, &other, "`nodes move`").await;
    let both = asking("both", "fd00::beef, 10.1.0.2");
    let node = enroll(&plane, &plane.key, &both).await.expect(201);
    assert_eq!(node["addresses"], json!(["10.1.0.2/24", "fd00::beef/64"]));
    // One of them is not enough.
    let half = asking("half", "10.1.0.3,fd00::beef");
    refused(&plane, &token, &half, "fd00::beef is another node's").await;
    plane.verify();
}

async fn an_address_that_can_not_be_had_is_refused_with_the_reason(plane: Plane) {
    demo(&plane, json!(["10.1.0.0/24"])).await;
    let token = token(&plane, json!({})).await;
    for wrong in ["", "10.1.0", "10.1.0.1/24", "10.1.0.1,10.1.0.2", "::ffff:10.1.0.1"] {
        let refused = enroll(&plane, &token, &asking("n", wrong)).await;
        assert_eq!(refused.problem(400, "invalid_request")["field"], "address", "{wrong}");
    }
    for none in ["10.1.0.0", "10.1.0.255", "10.2.0.1", "fd00::1"] {
        refused(&plane, &token, &asking("n", none), &format!("no pool of the network has {none}"))
            .await;
    }
    let reserve = async |body: Value| {
        plane.post(&format!("{NETWORK}/reservations"), &body).await.expect(201);
    };
    reserve(json!({"range": "10.1.0.9", "purpose": "nobody"})).await;
    reserve(json!({"range": "10.1.0.10", "purpose": "asking"})).await;
    refused(&plane, &token, &asking("n", "10.1.0.9"), "10.1.0.9 is reserved").await;
    // This is kept for who asks for it.
    enroll(&plane, &token, &asking("asks", "10.1.0.10")).await.expect(201);
    refused(&plane, &token, &asking("n", "10.1.0.10"), "10.1.0.10 is another node's").await;

    let pools = plane.get(&format!("{NETWORK}/pools")).await.expect(200);
    let block = json!({"name": "lab", "pool": pools["items"][0]["id"], "range": "10.1.0.32/28"});
    let block = plane.post(&format!("{NETWORK}/blocks"), &block).await.expect(201);
    refused(&plane, &token, &asking("n", "10.1.0.33"), "10.1.0.33 belongs to a block").await;
    let lab = self::token(&plane, json!({"pool": block["id"]})).await;
    refused(&plane, &lab, &asking("n", "10.1.0.50"), "10.1.0.50 is not in the pool").await;
    let node = enroll(&plane, &lab, &asking("lab", "10.1.0.33")).await.expect(201);
    assert_eq!(node["addresses"], json!(["10.1.0.33/24"]));

    release(&plane, &node).await;
    refused(&plane, &lab, &asking("n", "10.1.0.33"), "is kept until 20").await;
    plane.verify();
}

async fn a_token_with_an_address_gives_that_and_no_other(plane: Plane) {
    demo(&plane, json!(["10.1.0.0/24", "fd00::/64"])).await;
    let token = token(&plane, json!({"address": "10.1.0.7", "uses": 1})).await;
    for other in ["10.1.0.8", "fd00::7", "10.1.0.7,fd00::7"] {
        let refused = enroll(&plane, &token, &asking("n", other)).await;
        let refused = refused.problem(403, "join_token_refused");
        assert_eq!(refused["field"], "address", "{refused}");
        assert!(text(&refused, "detail").contains("for the address 10.1.0.7"), "{refused}");
    }
    let first = enrollment("first");
    let node = enroll(&plane, &token, &first).await.expect(201);
    assert_eq!(node["addresses"], json!(["10.1.0.7/24", "fd00::1/64"]));
    assert_eq!(enroll(&plane, &token, &first).await.expect(200), node);
    let again = asking("first", "10.1.0.7");
    let again = json!({"name": "first", "publicKey": first["publicKey"],
        "nodeToken": first["nodeToken"], "address": again["address"]});
    assert_eq!(enroll(&plane, &token, &again).await.expect(200), node);
    // The older endpoint has no field for it, and its token says it.
    let token = self::token(&plane, json!({"address": "10.1.0.9", "uses": 1})).await;
    let registration = json!({"projectId": "demo", "deviceId": "d", "deviceName": "d",
        "publicKey": enrollment("d")["publicKey"]});
    let answer = dialect(&plane, "/register", &token, Some(&registration)).await.expect(200);
    assert_eq!(answer["data"]["nebulaIp"], "10.1.0.9/32");
    plane.verify();
}

async fn a_token_for_an_address_that_nobody_could_have_is_not_made(plane: Plane) {
    demo(&plane, json!(["10.1.0.0/24"])).await;
    enroll(&plane, &plane.key, &asking("holder", "10.1.0.7")).await.expect(201);
    let before = plane.rows();
    let make = async |address: &str, uses: i64| {
        let body = json!({"name": "token", "uses": uses, "address": address});
        plane.post(&format!("{NETWORK}/join-tokens"), &body).await
    };
    for _ in 0..2 {
        let refused = make("10.1.0.8", 2).await.problem(400, "invalid_request");
        assert_eq!(refused["field"], "uses", "{refused}");
        for address in ["10.1.0.7", "10.1.0.0", "10.2.0.1", "fd00::1"] {
            let refused = make(address, 1).await.problem(409, "conflict");
            assert_eq!(refused["field"], "address", "{refused}");
            assert!(text(&refused, "detail").contains(address), "{refused}");
        }
        assert_eq!(make("x", 1).await.problem(400, "invalid_request")["field"], "address");
    }
    assert_eq!(plane.rows(), before);
}

async fn of_many_who_ask_for_one_address_one_gets_it(plane: Plane) {
    demo(&plane, json!(["10.1.0.0/24", "fd00::/64"])).await;
    let token = token(&plane, json!({"uses": 100})).await;
    for round in 0..4 {
        let ask = |number| {
            let device = asking(&format!("n{round}-{number}"), &format!("10.1.0.{}", 10 + round));
            ("/enroll".to_owned(), token.clone(), device)
        };
        let asked: Vec<_> = (0..8).map(ask).collect();
        let statuses = at_once(&plane, asked.clone()).await;
        let got = statuses.iter().filter(|status| **status == 201).count();
        assert!(got <= 1 && statuses.iter().all(|it| [201, 409, 503].contains(it)), "{statuses:?}");
        // Who was told to ask again does, until all is decided.
        let statuses = at_once(&plane, asked).await;
        let has = statuses.iter().filter(|status| [200, 201].contains(*status)).count();
        assert_eq!(has, 1, "{statuses:?}");
    }
    assert_eq!(plane.number("SELECT COUNT(*) FROM gc_node"), 4);
    assert_eq!(plane.number("SELECT COUNT(*) FROM alloc_lease"), 8);
    plane.verify();
}

async fn what_is_reserved_for_a_device_is_all_that_it_may_ask_for(plane: Plane) {
    demo(&plane, json!(["10.1.0.0/24"])).await;
    let body = json!({"range": "10.1.0.40", "purpose": "device", "device": "serial 7"});
    plane.post(&format!("{NETWORK}/reservations"), &body).await.expect(201);
    let make = async |address: &str| {
        let body = json!({"name": "token", "device": "serial 7", "address": address});
        plane.post(&format!("{NETWORK}/join-tokens"), &body).await
    };
    let other = make("10.1.0.41").await.problem(409, "conflict");
    assert!(text(&other, "detail").contains("10.1.0.40 is reserved for this device"), "{other}");
    let token = text(&make("10.1.0.40").await.expect(201), "secret");
    let everybody = self::token(&plane, json!({})).await;
    refused(&plane, &everybody, &asking("n", "10.1.0.40"), "10.1.0.40 is reserved").await;
    let mut device = asking("seven", "10.1.0.41");
    device["device"] = json!("serial 7");
    refused(&plane, &plane.key, &device, "10.1.0.40 is reserved for this device").await;
    device["address"] = json!("10.1.0.40");
    let node = enroll(&plane, &token, &device).await.expect(201);
    assert_eq!(node["addresses"], json!(["10.1.0.40/24"]));
    plane.verify();
}

async fn a_released_device_asks_for_its_address_again(plane: Plane) {
    demo(&plane, json!(["10.1.0.0/24"])).await;
    let token = token(&plane, json!({})).await;
    let mut first = asking("first", "10.1.0.7");
    first["device"] = json!("serial 7");
    let node = enroll(&plane, &token, &first).await.expect(201);
    release(&plane, &node).await;
    // Another's, and its own: by the token of the node that it was.
    refused(&plane, &token, &asking("other", "10.1.0.7"), "is kept until 20").await;
    let mut back = asking("back", "10.1.0.7");
    back["device"] = json!("serial 7");
    refused(&plane, &token, &back, "is kept until 20").await;
    back["formerNodeToken"] = first["nodeToken"].clone();
    let node = enroll(&plane, &token, &back).await.expect(201);
    assert_eq!(node["addresses"], json!(["10.1.0.7/24"]));
    // It may have another instead.
    release(&plane, &node).await;
    let mut moved = asking("moved", "10.1.0.8");
    moved["formerNodeToken"] = back["nodeToken"].clone();
    let node = enroll(&plane, &token, &moved).await.expect(201);
    assert_eq!(node["addresses"], json!(["10.1.0.8/24"]));
    // An operator's yes does not stand in its way.
    release(&plane, &node).await;
    let asks = self::token(&plane, json!({"name": "asks", "approval": true})).await;
    let mut again = asking("again", "10.1.0.8");
    refused(&plane, &asks, &again, "is kept until 20").await;
    again["formerNodeToken"] = moved["nodeToken"].clone();
    let waits = enroll(&plane, &asks, &again).await.expect(202);
    let approve = format!("{NETWORK}/pending/{}/approve", text(&waits, "pending"));
    let key = json!({"keyFingerprint": waits["keyFingerprint"]});
    plane.post(&approve, &key).await.expect(200);
    let node = enroll(&plane, &asks, &again).await.expect(201);
    assert_eq!(node["addresses"], json!(["10.1.0.8/24"]));
    plane.verify();
}

async fn an_address_that_is_gone_is_refused_when_it_is_approved(plane: Plane) {
    demo(&plane, json!(["10.1.0.0/24"])).await;
    let token = token(&plane, json!({"approval": true})).await;
    let device = asking("laptop", "10.1.0.7");
    let waits = enroll(&plane, &token, &device).await.expect(202);
    let pending = format!("{NETWORK}/pending/{}", text(&waits, "pending"));
    assert_eq!(plane.get(&pending).await.expect(200)["address"], "10.1.0.7");
    assert_eq!(plane.number("SELECT COUNT(*) FROM alloc_lease"), 0);
    let key = json!({"keyFingerprint": waits["keyFingerprint"]});
    let approve = async || plane.post(&format!("{pending}/approve"), &key).await;
    // Others may have the address, or the name, meanwhile.
    let other = enroll(&plane, &plane.key, &asking("laptop", "10.1.0.8")).await.expect(201);
    let refused = approve().await.problem(409, "conflict");
    assert_eq!(refused["field"], "name", "{refused}");
    release(&plane, &other).await;
    enroll(&plane, &plane.key, &asking("other", "10.1.0.7")).await.expect(201);
    let before = plane.rows();
    for _ in 0..2 {
        let refused = approve().await.problem(409, "conflict");
        assert_eq!(refused["field"], "address", "{refused}");
        self::refused(&plane, &token, &device, "10.1.0.7 is another node's").await;
    }
    assert_eq!(plane.rows(), before);
    // Approved while it is free, and gone when the device comes.
    let late = asking("late", "10.1.0.9");
    let waits = enroll(&plane, &token, &late).await.expect(202);
    let of_late = json!({"keyFingerprint": waits["keyFingerprint"]});
    let path = format!("{NETWORK}/pending/{}/approve", text(&waits, "pending"));
    plane.post(&path, &of_late).await.expect(200);
    enroll(&plane, &plane.key, &asking("faster", "10.1.0.9")).await.expect(201);
    self::refused(&plane, &token, &late, "10.1.0.9 is another node's").await;
    // Another address is another request.
    let mut free = device.clone();
    free["address"] = json!("10.1.0.20");
    let waits = enroll(&plane, &token, &free).await.expect(202);
    let path = format!("{NETWORK}/pending/{}/approve", text(&waits, "pending"));
    plane.post(&path, &key).await.expect(200);
    let node = enroll(&plane, &token, &free).await.expect(201);
    assert_eq!(node["addresses"], json!(["10.1.0.20/24"]));
    plane.verify();
}
