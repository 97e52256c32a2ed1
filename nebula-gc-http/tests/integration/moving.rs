//! What becomes of a node that moves to another address, of the address it had and of the other nodes?

use nebula_gc_http::error::{Conflict, Fault, Field};
use nebula_gc_http::{Context, Destination, Error, Expected, MovedNode};
use serde_json::{Value, json};

use crate::support::fleet::{Fleet, Member, demo};
use crate::support::native::{Plane, enrollment};
use crate::support::shell::Shell;

const DAY: i64 = 86_400;

on_both_engines! {
    a_move_gives_another_address_and_keeps_the_former_from_others
    the_former_address_is_free_early_once_everyone_has_applied_the_move
    what_is_in_the_way_is_said_and_nothing_changes
    a_dual_stack_node_moves_in_one_family
    a_moved_lighthouse_is_in_everyones_map_after_one_move
    a_move_is_asked_for_tried_and_repeated_from_a_shell
}

impl Fleet {
    async fn move_to(
        &self,
        member: &Member,
        to: &str,
        is_dry_run: bool,
    ) -> Result<MovedNode, Error> {
        let address = Some(to.parse().unwrap());
        let to = Destination { address, ..Destination::default() };
        let (about, any) = ((demo(), member.id), Expected::Anything);
        self.service.move_node(Context::local(), about, any, to, is_dry_run).await
    }

    /// Address, state and end of each lease.
    fn leases(&self) -> Vec<(String, bool, i64)> {
        self.place.read(|tx| {
            let network = self.network(tx);
            let leases = nebula_alloc::lease::list(tx, network, None, 99)?;
            let active = nebula_alloc::lease::LeaseState::Active;
            let row = |it: &nebula_alloc::lease::Lease| {
                (it.address.to_string(), it.state == active, it.hold_until)
            };
            Ok::<_, Error>(leases.iter().map(row).collect())
        })
    }

    fn network(&self, tx: &mut dyn nebula_alloc::store::Transaction) -> nebula_alloc::NetworkId {
        let rows = tx.query("SELECT id FROM gc_network", &[]).unwrap();
        nebula_alloc::NetworkId(rows[0].columns().array().unwrap())
    }
}

async fn a_move_gives_another_address_and_keeps_the_former_from_others(fleet: Fleet) {
    let (one, other) = (fleet.enroll("one").await, fleet.enroll("other").await);
    let before = fleet.node(&one).await;
    let (revision, end) = (fleet.revision().await, before.certificates[0].not_after);
    let tried = fleet.move_to(&one, "10.1.0.40", true).await.unwrap();
    assert_eq!((tried.is_moved, &tried.node), (true, &before));
    assert_eq!(tried.left, before.addresses);
    assert_eq!((fleet.revision().await, fleet.node(&one).await), (revision, before.clone()));

    let moved = fleet.move_to(&one, "10.1.0.40", false).await.unwrap();
    assert_eq!((moved.is_moved, moved.left), (true, before.addresses.clone()));
    assert_eq!(moved.node.addresses, ["10.1.0.40".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(fleet.revision().await, revision + 1);
    assert_eq!(moved.node.generation, before.generation + 1);
    // Its certificate names the new address with the network's prefix; the former one is blocked.
    let own = fleet.service.own_bundle(one.caller()).await.unwrap();
    assert_eq!(own.desired().generation, before.generation + 1);
    assert_eq!(fleet.blocked().await, [before.certificates[0].fingerprint.unwrap().to_string()]);
    let former = before.addresses[0].to_string();
    assert!(fleet.leases().contains(&(former.clone(), false, end + 1)), "{:?}", fleet.leases());
    let taken = fleet.move_to(&other, &former, false).await.unwrap_err();
    assert!(matches!(
        taken,
        Error::Conflict(Conflict::AddressQuarantined { until, .. }) if until == end + 1
    ));
    // Again it is there already.
    let again = fleet.move_to(&one, "10.1.0.40", false).await.unwrap();
    assert_eq!((again.is_moved, again.left.len()), (false, 0));
    assert_eq!((fleet.revision().await, &again.node), (revision + 1, &moved.node));
    assert!(!fleet.move_to(&one, "10.1.0.40", true).await.unwrap().is_moved);
    // It renews where it is, and comes back to what it had.
    fleet.pass(10 * DAY);
    let renewed = fleet.service.renew(one.caller(), None).await.unwrap();
    assert!(renewed.renewed);
    assert_eq!(fleet.node(&one).await.addresses, moved.node.addresses);
    fleet.move_to(&one, &former, false).await.unwrap();
    assert_eq!(fleet.node(&one).await.addresses, before.addresses);
    assert_eq!(fleet.violations(), []);
    assert_eq!(fleet.upkeep().await.unsound, 0);
}

async fn the_former_address_is_free_early_once_everyone_has_applied_the_move(fleet: Fleet) {
    let (one, other) = (fleet.enroll("one").await, fleet.enroll("other").await);
    fleet.report(&one).await;
    fleet.report(&other).await;
    let former = fleet.node(&one).await.addresses[0].to_string();
    fleet.move_to(&one, "10.1.0.40", false).await.unwrap();
    let moved_at = fleet.now();
    let end = |fleet: &Fleet| {
        let leases = fleet.leases();
        leases.into_iter().find(|(address, ..)| *address == former).unwrap().2
    };
    let full = end(&fleet);
    fleet.report(&one).await;
    assert_eq!(fleet.upkeep().await.shortened, 0);
    assert_eq!(end(&fleet), full);
    fleet.report(&other).await;
    assert_eq!(fleet.upkeep().await.shortened, 1);
    assert_eq!(end(&fleet), moved_at + DAY);
    assert_eq!(fleet.violations(), []);
}

async fn what_is_in_the_way_is_said_and_nothing_changes(fleet: Fleet) {
    let (one, other) = (fleet.enroll("one").await, fleet.enroll("other").await);
    let held = fleet.node(&other).await.addresses[0];
    let (node, leases, revision) = (fleet.node(&one).await, fleet.leases(), fleet.revision().await);
    for is_dry_run in [true, false] {
        let taken = fleet.move_to(&one, &held.to_string(), is_dry_run).await;
        assert_eq!(taken, Err(Conflict::AddressTaken { address: held }.into()));
        let address = "10.9.0.1".parse().unwrap();
        let outside = fleet.move_to(&one, "10.9.0.1", is_dry_run).await;
        assert_eq!(outside, Err(Conflict::AddressOutsidePools { address }.into()));
        // The network has no prefix of that family.
        let address = "fd00::1".parse().unwrap();
        let outside = fleet.move_to(&one, "fd00::1", is_dry_run).await;
        assert_eq!(outside, Err(Conflict::AddressOutsidePools { address }.into()));
        let unknown = Destination { pool: Some([7; 16].into()), address: None };
        let about = (demo(), one.id);
        let any = Expected::Anything;
        let moving = fleet.service.move_node(Context::local(), about, any, unknown, is_dry_run);
        let refused = moving.await;
        assert!(matches!(refused, Err(Error::Invalid { field: Field::Pool, .. })), "{refused:?}");
        let nowhere = Destination::default();
        let about = (demo(), one.id);
        let any = Expected::Anything;
        let moving = fleet.service.move_node(Context::local(), about, any, nowhere, is_dry_run);
        let refused = moving.await;
        assert!(
            matches!(refused, Err(Error::Invalid { field: Field::Pool, fault: Fault::Empty })),
            "{refused:?}"
        );
        assert_eq!((fleet.node(&one).await, fleet.leases()), (node.clone(), leases.clone()));
    }
    assert_eq!(fleet.revision().await, revision);
    fleet.suspend(&one, "lost").await.unwrap();
    let kept_out = fleet.move_to(&one, "10.1.0.40", false).await;
    assert!(matches!(kept_out, Err(Error::Conflict(Conflict::NodeState { .. }))), "{kept_out:?}");
    fleet.release(&other).await.unwrap();
    let gone = fleet.move_to(&other, "10.1.0.40", false).await;
    assert_eq!(gone, Err(Conflict::NodeGone.into()));
    assert_eq!(fleet.violations(), []);
}

async fn a_dual_stack_node_moves_in_one_family(plane: Plane) {
    let network = json!({"name": "demo", "prefixes": ["10.1.0.0/16", "fd00::/64"],
        "pools": ["10.1.0.0/24", "fd00::/120"]});
    plane.post("/networks", &network).await.expect(201);
    let new = |range: &str| json!({"range": range, "position": 5});
    let small = plane.post("/networks/demo/pools", &new("10.1.5.1-10.1.5.1")).await.expect(201);
    let six = plane.post("/networks/demo/pools", &new("fd00::500/124")).await.expect(201);
    let (one, two) = (enrollment("one"), enrollment("two"));
    let node =
        |answer: Value| format!("/networks/demo/nodes/{}/move", answer["node"].as_str().unwrap());
    let one = node(plane.post("/enroll", &one).await.expect(201));
    let two = node(plane.post("/enroll", &two).await.expect(201));
    let moved = plane.post(&one, &json!({"pool": small["id"]})).await.expect(200);
    assert_eq!(moved["node"]["addresses"], json!(["10.1.5.1", "fd00::1"]));
    assert_eq!((&moved["left"], &moved["moved"]), (&json!(["10.1.0.1"]), &json!(true)));
    let moved = plane.post(&one, &json!({"pool": six["id"]})).await.expect(200);
    assert_eq!(moved["node"]["addresses"], json!(["10.1.5.1", "fd00::500"]));
    // A full pool refuses, and so it does when it is only asked.
    for body in [json!({"pool": small["id"]}), json!({"pool": small["id"], "dryRun": true})] {
        plane.post(&two, &body).await.problem(409, "pool_exhausted");
    }
    let both = json!({"pool": six["id"], "address": "10.1.0.77"});
    plane.post(&two, &both).await.problem(400, "invalid_request");
    // An address of a block is had with the block.
    let pools = plane.get("/networks/demo/pools").await.expect(200);
    let is_first = |pool: &&Value| pool["range"].as_str().unwrap().starts_with("10.1.0.");
    let first = pools["items"].as_array().unwrap().iter().find(is_first).unwrap();
    let block = json!({"name": "printers", "pool": first["id"], "range": "10.1.0.64/28"});
    let block = plane.post("/networks/demo/blocks", &block).await.expect(201);
    let at = json!({"address": "10.1.0.70"});
    let refused = plane.post(&two, &at).await.problem(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("name the block"), "{refused}");
    let at = json!({"address": "10.1.0.70", "pool": block["id"]});
    let moved = plane.post(&two, &at).await.expect(200);
    assert_eq!(moved["node"]["addresses"], json!(["10.1.0.70", "fd00::2"]));
    // What its event tells.
    let path = "/networks/demo/events?kind=node.moved&order=newest_first";
    let events = plane.get(path).await.expect(200);
    let detail = &events["items"][0]["detail"];
    assert_eq!((&detail["left"], &detail["changed"]), (&json!(["10.1.0.2"]), &json!(["address"])));
}

async fn a_moved_lighthouse_is_in_everyones_map_after_one_move(plane: Plane) {
    plane
        .post("/networks", &json!({"name": "demo", "prefixes": ["10.1.0.0/24"]}))
        .await
        .expect(201);
    let mut gate = enrollment("gate");
    gate["lighthouse"] = json!({"endpoint": "192.0.2.1:4242"});
    let gate = plane.post("/enroll", &gate).await.expect(201);
    let other = enrollment("other");
    plane.post("/enroll", &other).await.expect(201);
    let path = format!("/networks/demo/nodes/{}/move", gate["node"].as_str().unwrap());
    let before = plane.get("/networks/demo").await.expect(200)["revision"].as_i64().unwrap();
    let answer = plane.post(&path, &json!({"address": "10.1.0.200"})).await;
    answer.expect(200);
    assert_eq!(answer.header("nebula-revision"), (before + 1).to_string());
    let token = other["nodeToken"].as_str().unwrap();
    let bundle = plane.ask("GET", "/node/bundle", token, None).await;
    let text = String::from_utf8_lossy(&bundle.bytes);
    assert!(text.contains("10.1.0.200") && !text.contains("10.1.0.1\""), "{text}");
}

async fn a_move_is_asked_for_tried_and_repeated_from_a_shell(shell: Shell) {
    shell.json("networks create --name home --prefixes 10.42.0.0/16 --pools 10.42.0.0/24", &[]);
    shell.json("pools create home --range 10.42.8.1-10.42.8.254", &[]);
    let token = shell.json("join-tokens create home --name one", &[]);
    shell.says(&["join", token["link"].as_str().unwrap(), "--name", "laptop-1", "--out", "one"]);
    let move_to = "admin nodes move home laptop-1 --pool 10.42.8.0/24";
    let tried = shell.says(&format!("{move_to} --dry-run"));
    assert_eq!(
        tried,
        "laptop-1 would leave 10.42.0.1.\nNothing was changed: this was a dry run.\n"
    );
    let said = shell.says(move_to);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "laptop-1 has 10.42.8.1 now. 10.42.0.1, which it left, is in quarantine.");
    assert!(lines[1].starts_with("Revision 2. "), "{said}");
    let again = shell.says(move_to);
    assert!(again.starts_with("laptop-1 is there already: 10.42.8.1.\n"), "{again}");
    let as_json = shell.json("nodes move home laptop-1 --address 10.42.8.9", &[]);
    assert_eq!(as_json["node"]["addresses"], json!(["10.42.8.9"]));
    let refused = shell.fails(1, "admin nodes move home laptop-1 --address 10.42.9.1 --dry-run");
    assert!(refused.contains("no pool of the network has 10.42.9.1"), "{refused}");
    let nowhere = shell.fails(1, "admin nodes move home laptop-1");
    assert!(nowhere.contains("pool"), "{nowhere}");
}
