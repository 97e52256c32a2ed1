//! `nebula-gc admin`, `join` and `verify`, run as their users do, against a running server.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use crate::support::shell::{Shell, has_programs, make_tls, text};
use nebula_gc_http::client::{Client, Request};
use serde_json::Value;

on_both_engines! {
    every_command_does_what_it_says
    followed_events_come_as_they_happen
    a_broken_database_is_told
}

/// `nebula-gc verify` of what the server is over.
fn verify(shell: &Shell) -> Output {
    let database = shell.database.iter().flat_map(|url| ["--database", url]);
    shell.run(&["verify"].into_iter().chain(database).collect::<Vec<_>>()[..])
}

/// Its id, after something was made.
#[track_caller]
fn make(shell: &Shell, line: &str) -> String {
    shell.json(line, &[])["id"].as_str().unwrap().to_owned()
}

/// The commands below this one, as its help lists them.
fn listed(shell: &Shell, words: &[&str]) -> Vec<String> {
    let help = shell.says(&[words, &["--help"]].concat()[..]);
    let commands = help.split("Commands:\n").nth(1).unwrap();
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|it| it != "help")
        .collect()
}

async fn every_command_does_what_it_says(shell: Shell) {
    tenants(&shell);
    networks(&shell);
    addresses(&shell);
    operator_keys(&shell);
    servers(&shell);
    nodes(&shell).await;
    let mut groups = listed(&shell, &["admin"]);
    // They stand by themselves.
    groups.retain(|group| group != "apply" && group != "export");
    let all: BTreeSet<_> = groups
        .iter()
        .flat_map(|group| {
            let verbs = listed(&shell, &["admin", group]);
            verbs.into_iter().map(move |verb| format!("{group} {verb}"))
        })
        .collect();
    let used: BTreeSet<_> =
        shell.used.borrow().iter().filter(|it| !it.ends_with("--help")).cloned().collect();
    assert!(all.len() > 20, "{all:?}");
    assert_eq!(all.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new());
}

fn tenants(shell: &Shell) {
    let acme = make(shell, "tenants create --name acme");
    assert_eq!(shell.json("tenants show", &[&acme])["name"], "acme");
    let list = shell.json("tenants list", &[]);
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["default", "acme"]);
    assert!(list.get("next").is_none());
    assert_eq!(shell.json("tenants list --limit 1", &[])["items"].as_array().unwrap().len(), 1);
    let table = shell.says("admin tenants list --wide");
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("ID") && lines[2].starts_with(&acme), "{table}");
    assert_eq!(lines[0].find("NAME"), lines[2].find("acme"), "{table}");
    // What the ETag is of has changed by the second time.
    let shown = shell.says(&["admin", "tenants", "show", &acme]);
    let etag = shown.lines().find_map(|line| line.strip_prefix("ETAG")).unwrap().trim();
    let rename = ["admin", "tenants", "rename", &acme, "--name", "acme-eu", "--if-match", etag];
    shell.says(&rename);
    let again = shell.run(&rename);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("(precondition_failed)"), "{}", text(&again.stderr));
    // The same key makes nothing more.
    let once = "tenants create --name once --idempotency-key k1";
    assert_eq!(make(shell, once), make(shell, once));
    assert_eq!(shell.json("tenants show acme-eu", &[])["id"], acme.as_str());
    make(shell, "tenants create --name short");
    assert!(shell.says("admin tenants delete short").contains("short"));
    let again = shell.fails(1, "admin tenants delete short");
    assert!(again.contains("no tenant has the name \"short\""), "{again}");
    let gone = shell.fails(1, "admin tenants show 01936d2e-6c2f-7a30-9c5e-0b8f4a1d7e21");
    assert!(gone.starts_with("nebula-gc: ") && gone.ends_with("(not_found)\n"), "{gone}");
}

fn networks(shell: &Shell) {
    let made = shell.json("networks create --name office --prefixes 10.42.0.0/16,fd42::/64 --lifetime 7d --hold-alone", &[]);
    assert_eq!(made["lifetimeSeconds"], 7 * 86_400);
    assert_eq!((&made["holdAlone"], &made["prefixes"][1]), (&true.into(), &"fd42::/64".into()));
    assert_eq!(shell.json("networks rename office --name hq", &[])["name"], "hq");
    let told = shell.says("admin networks rename hq --name office");
    assert!(told.lines().any(|line| line.ends_with(" office")), "{told}");
    let set = shell.json("networks set office --silence 30d --hold-alone=false", &[]);
    assert_eq!((&set["silenceSeconds"], &set["holdAlone"]), (&2_592_000.into(), &false.into()));
    assert!(shell.json("networks set office --unset silence", &[])["silenceSeconds"].is_null());
    assert_eq!(shell.json("networks show office", &[])["name"], "office");
    assert_eq!(shell.json("networks list", &[])["items"][0]["id"], made["id"]);
    shell.json("networks create --name short --prefixes 10.43.0.0/16", &[]);
    let deleted = shell.json("networks delete short --yes", &[]);
    assert_eq!((&deleted["name"], &deleted["complete"]), (&"short".into(), &true.into()));
    let ca = shell.says("admin networks ca office");
    assert!(ca.starts_with("-----BEGIN NEBULA CERTIFICATE"), "{ca}");
    shell.says("admin networks ca office -o ca.crt");
    assert_eq!(std::fs::read_to_string(shell.place.path().join("ca.crt")).unwrap(), ca);
}

fn addresses(shell: &Shell) {
    shell.json("networks create --name small --prefixes 10.9.0.0/16 --pools 10.9.0.0/24", &[]);
    let pool = make(shell, "pools create small --range 10.9.1.0/24 --position 3");
    assert_eq!(shell.json("pools show small", &[&pool])["usage"]["capacity"], 256);
    for range in ["10.9.1.0/24", "10.9.1.0-10.9.1.255"] {
        assert_eq!(shell.json("pools show small", &[range])["id"], pool.as_str());
    }
    assert_eq!(
        shell.json("pools resize small --range 10.9.1.0/25", &[&pool])["usage"]["free"],
        128
    );
    let none = shell.fails(1, "admin addresses end-quarantine small 10.9.1.1");
    assert!(none.contains("(not_found)"), "{none}");
    let table = shell.says("admin pools list small");
    assert!(table.lines().next().unwrap().contains("CAPACITY"), "{table}");
    let block = make(shell, "blocks create small --name printers --size 16 --pool 10.9.1.0/25");
    assert_eq!(shell.json("blocks show small", &[&block])["name"], "printers");
    assert_eq!(shell.json("blocks list small", &[])["items"][0]["id"], block.as_str());
    let token = "join-tokens create small --name printers --pool";
    for place in ["printers", &block] {
        assert_eq!(shell.json(token, &[place])["pool"], block.as_str());
    }
    let twice = shell.fails(1, "admin join-tokens show small printers");
    assert!(twice.contains("is the name of more than one join token; give the id: "), "{twice}");
    let tokens = shell.json("join-tokens list small", &[]);
    shell.says(&[
        "admin",
        "join-tokens",
        "revoke",
        "small",
        tokens["items"][0]["id"].as_str().unwrap(),
    ]);
    shell.says("admin join-tokens revoke small printers");
    shell.says("admin blocks rename small printers --name labels");
    shell.says("admin blocks delete small labels");
    let reserve =
        "reservations create small --range 10.9.0.1-10.9.0.9 --purpose nobody --note routers";
    let range = shell.json(reserve, &[])["range"].as_str().unwrap().to_owned();
    assert_eq!(shell.json("reservations list small", &[])["items"][0]["note"], "routers");
    let listed = shell.says("admin addresses list small");
    assert!(
        listed.contains("10.9.0.1-10.9.0.9     reserved  -      nobody: routers\n"),
        "{listed}"
    );
    shell.says(&["admin", "reservations", "delete", "small", &range]);
    let reserve = "reservations create small --range 10.9.0.9 --purpose device --device printer-7";
    assert_eq!(shell.json(reserve, &[])["device"], "printer-7");
    let listed = shell.says("admin addresses list small");
    assert!(listed.contains("10.9.0.9              reserved  -      printer-7\n"), "{listed}");
    shell.says("admin reservations delete small printer-7");
    let refused = shell.fails(1, "admin reservations delete small printer-7");
    assert!(refused.contains("reservation printer-7 not found"), "{refused}");
    shell.says(&["admin", "pools", "delete", "small", &pool]);
}

fn operator_keys(shell: &Shell) {
    let made =
        shell.json("operator-keys create --name eyes --role viewer --scope network=office", &[]);
    let id = made["id"].as_str().unwrap();
    assert_eq!(shell.json("operator-keys show", &[id])["role"], "viewer");
    assert_eq!(shell.json("operator-keys list", &[])["items"].as_array().unwrap().len(), 2);
    // As that key, from its own file.
    std::fs::write(shell.place.path().join("eyes.key"), made["secret"].as_str().unwrap()).unwrap();
    let with = |line: &str| format!("admin --key-file eyes.key {line}");
    let denied = shell.fails(1, &with("networks set office --mtu 1200"));
    assert!(denied.ends_with("(forbidden)\n"), "{denied}");
    assert_eq!(shell.json("operator-keys show eyes", &[])["id"], id);
    assert_eq!(shell.json("operator-keys rename eyes --name watcher", &[])["name"], "watcher");
    shell.says("admin operator-keys revoke watcher");
    let denied = shell.fails(1, &with("networks show office"));
    assert!(denied.ends_with("(unauthorized)\n"), "{denied}");
    let acme = &shell.json("tenants show acme-eu", &[])["id"];
    let key = "operator-keys create --name theirs --role viewer --scope tenant=acme-eu";
    assert_eq!(&shell.json(key, &[])["scope"]["tenant"], acme);
    let network = "networks create --name theirs --prefixes 10.44.0.0/16 --tenant acme-eu";
    assert_eq!(&shell.json(network, &[])["tenant"], acme);
}

fn servers(shell: &Shell) {
    assert_eq!(shell.json("servers show", &[])["serial"], 0);
    let list = r#"[{"url": "https://one.example"}, {"url": "https://two.example:8443"}]"#;
    std::fs::write(shell.place.path().join("servers.json"), list).unwrap();
    let set = shell.json("servers set --servers @servers.json", &[]);
    assert!(set["serial"].as_i64() > Some(0) && set["servers"].as_array().unwrap().len() == 2);
    let refused = shell.fails(1, "admin servers set --servers [{\"url\":\"one.example\"}]");
    assert!(refused.contains("servers: one.example: must be as in https://"), "{refused}");
}

async fn nodes(shell: &Shell) {
    let token = shell.json(
        "join-tokens create office --name laptops --uses 2 --groups a,b --expires-in 2d",
        &[],
    );
    let id = token["id"].as_str().unwrap();
    assert_eq!(token["groups"], serde_json::json!(["a", "b"]));
    assert_eq!(shell.json("join-tokens show office", &[id])["used"], 0);
    assert_eq!(shell.json("join-tokens list office", &[])["items"][0]["id"], id);
    assert_eq!(shell.json("join-tokens rename office laptops --name phones", &[])["id"], id);
    // `approving` has somebody who asks.
    assert_eq!(shell.json("pending list office", &[])["items"], serde_json::json!([]));
    for verb in ["show", "approve", "refuse"] {
        let nobody = format!("admin pending {verb} office nobody");
        let with = if verb == "approve" { " --key-fingerprint 0000-0000-0000-0000" } else { "" };
        let none = shell.fails(1, &format!("{nobody}{with}"));
        assert!(none.contains("nobody"), "{none}");
    }
    let drawn = shell.says("admin join-tokens create office --name q --qr");
    assert!(drawn.contains("LINK") && drawn.contains("█▀") && !drawn.contains("QR PNG"), "{drawn}");

    let link = token["link"].as_str().unwrap();
    let join = ["join", link, "--name", "laptop", "--out", "device"];
    let first = shell.says(&join);
    assert!(first.starts_with("laptop is 10.42.0.1/16 and fd42::1/64 in office\n"), "{first}");
    let file = |name: &str| shell.place.path().join("device").join(name);
    let key = std::fs::read(file("node.key")).unwrap();
    for secret in ["node.key", "node.token"] {
        assert_eq!(std::fs::metadata(file(secret)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let certificate = std::fs::read(file("current/node.crt")).unwrap();
    std::fs::remove_file(file("current/node.crt")).unwrap();
    assert_eq!(shell.says(&join), first);
    assert_eq!(std::fs::read(file("node.key")).unwrap(), key);
    assert_eq!(std::fs::read(file("current/node.crt")).unwrap(), certificate);
    assert_eq!(shell.json("join-tokens show office", &[id])["used"], 1);
    shell.says(&["admin", "join-tokens", "revoke", "office", id]);
    let refused = shell.fails(1, &format!("join {link} --name other --out other"));
    assert!(refused.contains("nebula-gc: "), "{refused}");

    // What is there already is no conflict.
    let hosts = "networks import office --certificates @device/current/node.crt --dry-run";
    assert_eq!(shell.json(hosts, &[])["present"], 1);
    another_ca(shell);

    let found = shell.json("nodes list office --name-prefix lap --group a", &[]);
    let node = found["items"][0]["id"].as_str().unwrap().to_owned();
    let enrolled = shell.json("events of office --kind node.enrolled", &[]);
    assert_eq!(enrolled["items"][0]["subject"], node.as_str());
    one_node(shell, &node).await;
    nodes_are_named_by_name_or_id(shell, &node);
    a_user_ends(shell);
    a_device_says_what_it_is(shell);
    let moves = format!("admin nodes move office {node} --address 10.42.3.1");
    let told = shell.says(&format!("{moves} --dry-run")[..]);
    assert!(told.starts_with("laptop would leave 10.42.0.1"), "{told}");
    let moved = shell.says(&moves[..]);
    assert!(moved.contains("10.42.3.1") && moved.contains("revision "), "{moved}");
    assert_eq!(shell.json("nodes show office", &[&node])["addresses"][0], "10.42.3.1");
    let zip = ["admin", "nodes", "bundle", "office", &node, "--out", "laptop.zip"];
    shell.says(&zip);
    assert!(std::fs::read(shell.place.path().join("laptop.zip")).unwrap().starts_with(b"PK"));
    assert!(shell.says("admin events list --limit 3").lines().count() == 4);
    let released = shell.says(&["admin", "nodes", "release", "office", &node]);
    assert!(released.starts_with("laptop is released; revision "), "{released}");
    a_released_device_joins_again(shell);
    assert_eq!(shell.json("nodes list office", &[])["items"], serde_json::json!([]));
}

/// With flags of `join`; what the token does not give is refused.
fn a_device_says_what_it_is(shell: &Shell) {
    let token = shell.json("join-tokens create office --name relays --relay --uses 2", &[]);
    let flags = ["--relay", "--mtu", "1400", "--device", "serial-7"];
    let join = ["join", token["link"].as_str().unwrap(), "--name", "forwards", "--out", "forwards"];
    let first = shell.says(&[&join[..], &flags].concat()[..]);
    let node = shell.json("nodes show office forwards", &[]);
    assert_eq!((&node["relay"], &node["mtu"]), (&true.into(), &1400.into()));
    assert_eq!(node["device"], "serial-7");
    assert_eq!(shell.says(&[&join[..], &flags].concat()[..]), first);
    let plain = shell.json("join-tokens create office --name plain", &[]);
    let link = plain["link"].as_str().unwrap();
    let refused = shell.fails(1, &format!("join {link} --name other --out other-7 --relay"));
    assert!(refused.contains("this join token does not give that role"), "{refused}");
    // Reinstalled: the same machine with a new key.
    let anew = format!("join {link} --out anew");
    let told = shell.fails(1, &format!("{anew} --name forwards --device serial-7"));
    assert!(told.contains("if this machine was reinstalled") && told.contains("another --name"));
    let told = shell.fails(1, &format!("{anew} --name back --device serial-7"));
    assert!(told.contains("if this machine was reinstalled") && !told.contains("--name"), "{told}");
    shell.says("admin nodes release office forwards");
    shell.says(&format!("{anew} --name forwards --device serial-7"));
    shell.says("admin nodes release office forwards");
}

/// All that somebody has, in one command.
fn a_user_ends(shell: &Shell) {
    let token = shell.json("join-tokens create office --name for-anna --user anna", &[]);
    let link = token["link"].as_str().unwrap();
    shell.says(&["join", link, "--name", "annas", "--out", "annas"]);
    let end = "admin users end anna --action revoke --reason left";
    let told = shell.says(&format!("{end} --dry-run")[..]);
    assert!(told.contains("office   annas  revoked") && told.contains("dry run"), "{told}");
    assert_eq!(shell.json("nodes show office annas", &[])["state"], "active");
    let asked = shell.fails(2, end);
    assert!(asked.contains("give --yes to do it"), "{asked}");
    assert_eq!(shell.json("nodes show office annas", &[])["state"], "active");
    let end = &format!("{end} --yes");
    let told = shell.says(end);
    assert!(told.contains("Watch:  nebula-gc admin nodes unapplied office"), "{told}");
    assert_eq!(shell.json("nodes list office --user anna", &[])["items"][0]["state"], "revoked");
    assert!(shell.says(end).contains("unchanged"));
    let nobody = shell.fails(1, "admin users end nobody --action revoke --reason left --yes");
    assert!(nobody.ends_with("(not_found)\n"), "{nobody}");
    shell.says("admin nodes reinstate office annas");
    shell.says("admin nodes release office annas");
    let kept = shell.run("admin users end root --action suspend --reason x --dry-run");
    assert_eq!(kept.status.code(), Some(3), "{}", text(&kept.stdout));
    assert!(text(&kept.stdout).contains("it is the key that asks"), "{}", text(&kept.stdout));
}

/// By its token it has its address back, however often it asks.
fn a_released_device_joins_again(shell: &Shell) {
    let token = shell.json("join-tokens create office --name again --uses 3", &[]);
    let join = ["join", token["link"].as_str().unwrap(), "--name", "again", "--out", "again"];
    let kept = || std::fs::read(shell.place.path().join("again/node.token")).unwrap();
    let (first, mut had) = (shell.says(&join), kept());
    for _ in 0..2 {
        shell.says("admin nodes release office again");
        assert_eq!(shell.says(&join), first);
        assert_ne!(kept(), had);
        // As if the answer had been lost.
        let has = kept();
        std::fs::write(shell.place.path().join("again/node.token"), &had).unwrap();
        assert_eq!(shell.says(&join), first);
        assert_eq!(kept(), has);
        had = has;
    }
    shell.says("admin nodes release office again");
}

/// Ids come before names, and a name may look like one.
fn nodes_are_named_by_name_or_id(shell: &Shell, node: &str) {
    let name = "01890a5d-ac96-774b-bcce-b302099a8057";
    let refused = shell.fails(1, &format!("admin nodes show office {name}"));
    assert!(refused.ends_with("(not_found)\n"), "{refused}");
    let refused = shell.fails(1, "admin nodes show office nobody");
    assert!(refused.contains("no node of office has the name \"nobody\""), "{refused}");
    for called in [name, &name.to_uppercase(), "laptop"] {
        shell.json(&format!("nodes rename office {node}"), &["--name", called]);
        assert_eq!(shell.json(&format!("nodes show office {called}"), &[])["id"], node);
        assert_eq!(shell.json(&format!("nodes show office {node}"), &[])["name"], called);
    }
    for called in ["laptop", node] {
        let range = ["--range", "10.42.9.9", "--purpose", "node", "--node", called];
        assert_eq!(shell.json("reservations create office", &range)["node"], node);
        let listed = shell.says("admin addresses list office");
        assert!(
            listed.contains("10.42.9.9") && listed.contains("reserved  -      laptop\n"),
            "{listed}"
        );
        shell.says(&format!("admin reservations delete office {called}"));
    }
}

/// What operators do with a node in its life.
async fn one_node(shell: &Shell, node: &str) {
    let of = |verb: &str, more: &[&str]| shell.json(&format!("nodes {verb} office {node}"), more);
    let changed =
        of("set", &["--lighthouse", "lh.example.org:4242", "--groups", "c", "--mtu", "1280"]);
    assert_eq!(changed["lighthouse"]["endpoint"], "lh.example.org:4242");
    assert_eq!(of("set", &["--unset", "lighthouse", "--unset", "mtu"])["mtu"], Value::Null);
    assert_eq!(of("show", &[])["groups"], serde_json::json!(["c"]));
    let shown = shell.says(&["admin", "nodes", "show", "office", node]);
    assert!(shown.contains("\nADDRESSES ") && shown.contains("\nETAG "), "{shown}");
    assert_eq!(of("suspend", &["--reason", "repair"])["stateReason"], "repair");
    assert_eq!(of("revoke", &["--reason", "stolen"])["state"], "revoked");
    let blocked = shell.json("blocklist list office", &[]);
    assert_eq!(blocked["items"][0]["node"], node);
    assert_eq!(of("reinstate", &[])["state"], "active");
    assert!(of("certificates", &[])["items"].as_array().unwrap().len() > 2);
    assert_eq!(of("renew", &[])["id"], node);
    let token = of("rotate-token", &[])["nodeToken"].as_str().unwrap().to_owned();

    let revision = shell.json("networks show office", &[])["revision"].to_string();
    let answer = shell.json(&format!("nodes unapplied office --revision {revision}"), &[]);
    assert_eq!((&answer["count"], &answer["nodes"]["items"][0]["id"]), (&1.into(), &node.into()));
    // Until the node, with its own token, says that it has it.
    let generation = of("show", &[])["generation"].as_i64().unwrap();
    let report = serde_json::json!({
        "revision": revision.parse::<i64>().unwrap(),
        "generation": generation,
    });
    let client = Client::new(&shell.url).unwrap().with_key(&token);
    client.send(Request::post("/node/report", report)).await.unwrap();
    assert_eq!(shell.json("nodes unapplied office --wait", &[])["appliedByAll"], true);
}

/// Has the network signed for by a CA that was made elsewhere.
fn another_ca(shell: &Shell) {
    shell.ca_from_elsewhere();
    let added = shell.json("networks add-ca office --certificate @old.crt --key @old.key", &[]);
    assert_eq!(added["network"], "office");
    let both = shell.says("admin networks ca office");
    assert_eq!(both.matches("BEGIN").count(), 2);
    let cas = shell.says("admin networks cas office");
    assert_eq!(cas.lines().count(), 3, "{cas}");
    let all = shell.json("networks cas office", &[]);
    let former = all["items"][0]["id"].as_str().unwrap();
    let shown = shell.says(&["admin", "networks", "show-ca", "office", former]);
    assert!(shown.contains("trusted") && shown.contains("BEGIN NEBULA CERTIFICATE"), "{shown}");
    assert!(shell.says("admin networks renew office").contains("valid"));
    // What is in the way of an import ends with 1, unless it is to be left out.
    let words = ["admin", "networks", "import", "office", "--certificates", "@old.crt"];
    let output = shell.run(&words);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("names no issuer"), "{}", text(&output.stdout));
    shell.says(&[&words[..], &["--skip-conflicts"]].concat()[..]);
    let fingerprints = "ff".repeat(32);
    shell.says(&["admin", "blocklist", "add", "office", "--fingerprints", &fingerprints]);
    let list = shell.says("admin blocklist list office");
    assert!(list.contains(&fingerprints), "{list}");
    let ending = shell.json("nodes expiring office --within 30d", &[]);
    assert!(ending["items"].is_array());
    let retire = format!("admin networks retire-ca office {former}");
    let needed = shell.fails(1, &retire);
    assert!(needed.contains("nodes have certificates of this CA"), "{needed}");
    let retired = shell.says(&["admin", "networks", "retire-ca", "office", former, "--force"]);
    assert!(retired.contains("retired"), "{retired}");
    let shown = "admin networks add-ca office --certificate @old.crt --key secret";
    assert!(shell.fails(2, shown).contains("other users can see flags"));
    let refused = shell.fails(1, "admin networks add-ca office --signer none");
    assert!(refused.starts_with("nebula-gc: "), "{refused}");
}

async fn followed_events_come_as_they_happen(shell: Shell) {
    let mut follow = shell.command(&["admin", "events", "list", "--follow", "--output", "json"]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut until = |kind: &str, name: &str| {
        for line in lines.by_ref() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["kind"] == kind && event.to_string().contains(name) {
                return event["id"].as_i64().unwrap();
            }
        }
        panic!("it ended before {kind}");
    };
    make(&shell, "tenants create --name first");
    let first = until("tenant.created", "first");
    make(&shell, "tenants create --name second");
    assert!(until("tenant.created", "second") > first);
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn what_is_not_said_rightly_is_told_apart_from_what_is_refused() {
    let shell = Shell::new();
    for usage in [
        "admin",
        "admin tenants",
        "admin tenants create",
        "admin tenants create --nam x",
        "admin networks create --name a --prefixes 10.0.0.0/8 --lifetime soon",
        "admin networks create --name a --prefixes 10.0.0.0/8 --versions 3",
        "admin tenants create --name @missing",
        "admin tenants list --limit 0",
        "admin networks set office",
        "admin nodes set office laptop",
        "admin nodes unapplied office --timeout 3s",
        "admin tenants list --output xml",
        "join",
    ] {
        let said = shell.fails(2, usage);
        assert!(!said.is_empty(), "{usage}");
    }
    let refused = shell.fails(1, "admin networks create --name a --prefixes 300.0.0.0/8");
    assert!(refused.contains("prefixes") && refused.ends_with("(invalid_request)\n"), "{refused}");
    let missing = shell.fails(1, "admin --key-file none tenants list");
    assert!(
        missing.starts_with("nebula-gc: none: ") && missing.contains("--key-file"),
        "{missing}"
    );
    let nobody = shell.fails(1, "admin --server http://127.0.0.1:9 tenants list");
    assert!(nobody.starts_with("nebula-gc: can't reach http://127.0.0.1:9: "), "{nobody}");
    for link in ["nonsense", "http://127.0.0.1:9/join", "ftp://a/join#token=x"] {
        assert!(!shell.fails(1, &format!("join {link} --name a --out a")).is_empty());
    }
}

#[test]
fn a_servers_key_is_pinned_or_vouched_for() {
    if !has_programs(&["openssl"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    make_tls(place.path(), "s");
    let shell = Shell::start(place, &["--tls-certificate", "s.crt", "--tls-key", "s.key"]);
    assert!(shell.url.starts_with("https://"));
    // Nobody vouches for it.
    let unknown = shell.fails(1, "admin tenants list");
    assert!(unknown.contains("can't reach") && unknown.contains("SSL_CERT_FILE"), "{unknown}");
    let list = ["admin", "tenants", "list"];
    let vouched = shell.command(&list).env("SSL_CERT_FILE", "s.crt").output().unwrap();
    assert!(vouched.status.success(), "{}", text(&vouched.stderr));
    let make = |line: &str| {
        let made = shell.command(line).env("SSL_CERT_FILE", "s.crt").output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        serde_json::from_slice::<Value>(&made.stdout).unwrap()
    };
    make("admin networks create --name n --prefixes 10.1.0.0/24 --output json");
    let token = make("admin join-tokens create n --name t --output json");
    let link = token["link"].as_str().unwrap();
    let pin = link.split("&pin=").nth(1).and_then(|rest| rest.split('&').next()).unwrap();
    let other = link.replace(pin, &"A".repeat(pin.len()));
    let pinned = shell.fails(1, &format!("join {other} --name a --out a"));
    assert!(pinned.contains("the server has another key; ask for a new link"), "{pinned}");
    let joined = shell.says(&["join", link, "--name", "a", "--out", "nebula-node"]);
    assert!(joined.starts_with("a is 10.1.0.1/24 in n\n"), "{joined}");
    shell.says(&["admin", "--pin", pin, "tenants", "list"]);
    shell.fails(1, &format!("admin --pin {} tenants list", "A".repeat(43)));
}

async fn a_broken_database_is_told(shell: Shell) {
    shell.json("networks create --name n --prefixes 10.1.0.0/24", &[]);
    let token = shell.json("join-tokens create n --name t", &[]);
    shell.says(&["join", token["link"].as_str().unwrap(), "--name", "a", "--out", "a"]);
    // While the server runs.
    let sound = verify(&shell);
    assert!(sound.status.success(), "{}", text(&sound.stdout));
    assert_eq!(text(&sound.stdout), "No inconsistencies found.\n");
    shell.rows().sql("UPDATE gc_node SET name = 'b'");
    let verified = verify(&shell);
    assert_eq!(verified.status.code(), Some(1));
    assert!(text(&verified.stdout).starts_with("Ledger: "), "{}", text(&verified.stdout));
    let (missing, reason) = match shell.database {
        Some(_) => {
            ("verify --database postgresql://127.0.0.1:9/none", "127.0.0.1:9: Connection refused")
        }
        None => ("verify --data elsewhere", "is missing"),
    };
    let said = shell.fails(1, missing);
    assert!(said.contains(reason), "{said}");
}
