//! Do `admin apply` and `admin export` make what a file says, and nothing else?

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::shell::{Shell, text};

on_both_engines! {
    what_a_file_says_is_made_once
    what_is_exported_is_there_and_can_be_made_elsewhere
    what_differs_is_changed_or_refused_before_anything_is_done
    what_a_file_lacks_stays_unless_it_is_pruned
    a_killed_run_is_finished_by_the_next
    what_the_server_would_refuse_is_found_before_anything_is_done
    what_is_pruned_makes_room_and_what_is_renamed_keeps_its_nodes
    a_pool_does_not_shrink_below_its_blocks_and_links_without_a_pool_are_left_out
    credentials_that_have_ended_are_not_made_again
}

const OFFICE: &str = r#"
[tenants.acme]

[networks.office]
tenant = "acme"
prefixes = ["10.42.0.0/16"]
lifetime = "7d"
hold-alone = true

[networks.office.pools."10.42.0.0/20"]
position = 1
[networks.office.pools."10.42.32.0/20"]

[networks.office.blocks.printers]
pool = "10.42.0.0/20"
size = 16

[networks.office.reservations."10.42.0.1-10.42.0.9"]
purpose = "nobody"
note = "routers"

[networks.office.join-tokens.laptops]
groups = ["laptop", "sales"]
uses = 20
expires-in = "2d"

[networks.office.join-tokens.printers]
pool = "printers"
ephemeral = "12h"

[operator-keys.monitoring]
role = "viewer"
scope = "network=office"
[operator-keys.them]
role = "operator"
scope = "tenant=acme"
"#;

const APPLY: &str = "admin apply office.toml --links-dir links";

fn with_file(shell: &Shell, contents: &str) {
    shell.file("office.toml", contents);
}

fn export(shell: &Shell) -> String {
    shell.says("admin export")
}

fn items(shell: &Shell, list: &str) -> Vec<Value> {
    shell.json(list, &[])["items"].as_array().unwrap().clone()
}

async fn what_a_file_says_is_made_once(shell: Shell) {
    with_file(&shell, OFFICE);
    let before = export(&shell);
    let planned = shell.says("admin apply office.toml --dry-run");
    assert!(planned.contains("create join token laptops of office: expires-in 2d"), "{planned}");
    assert!(planned.ends_with("10 steps. Nothing was changed: this was a dry run.\n"), "{planned}");
    assert_eq!(export(&shell), before);
    let refused = shell.fails(1, "admin apply office.toml");
    assert!(refused.contains("--links-dir"), "{refused}");
    assert_eq!(export(&shell), before);

    let done = shell.says(APPLY);
    assert_eq!(done.lines().count(), 10, "{done}");
    assert!(done.contains("created network office: "), "{done}");
    let pools: Vec<_> = items(&shell, "pools list office");
    let pools: Vec<_> = pools.iter().map(|pool| (&pool["range"], &pool["position"])).collect();
    let expected = [("10.42.0.1-10.42.15.255", 1), ("10.42.32.0-10.42.47.255", 0)]
        .map(|(range, position)| (Value::from(range), Value::from(position)));
    assert_eq!(pools, expected.each_ref().map(|(range, position)| (range, position)));
    let network = shell.json("networks show office", &[]);
    let tenant = shell.json("tenants show acme", &[]);
    assert_eq!((&network["tenant"], &network["holdAlone"]), (&tenant["id"], &true.into()));
    let token = shell.json("join-tokens show office printers", &[]);
    assert_eq!(token["pool"], shell.json("blocks show office printers", &[])["id"]);
    assert_eq!(token["ephemeralSeconds"], 43_200);
    let keys = shell.json("operator-keys show monitoring", &[]);
    assert_eq!(keys["scope"]["network"], network["id"]);

    // The secrets are where they were to be, and are what they are.
    let links = shell.place.path().join("links");
    let mut names: Vec<_> = std::fs::read_dir(&links)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    let expected = ["monitoring.key", "office.laptops.link", "office.printers.link", "them.key"];
    assert_eq!(names, expected);
    shell.says("admin --key-file links/monitoring.key networks show office");
    let link = std::fs::read_to_string(links.join("office.laptops.link")).unwrap();
    shell.says(&["join", link.trim(), "--name", "one", "--out", "one"]);
    #[cfg(unix)]
    for name in names {
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(links.join(&name)).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }

    let after = export(&shell);
    assert_eq!(shell.says(APPLY), "nothing to change\n");
    assert_eq!(shell.says("admin apply office.toml"), "nothing to change\n");
    assert_eq!(export(&shell), after);
}

async fn what_is_exported_is_there_and_can_be_made_elsewhere(shell: Shell) {
    with_file(&shell, OFFICE);
    shell.says(APPLY);
    shell.json("networks create --prefixes 10.50.0.0/16,fd50::/64 --name", &["odd \"name\""]);
    shell.json("networks set office --silence 90d --mtu 1280", &[]);
    let reserve =
        "reservations create office --range 10.42.0.20 --purpose device --device printer-7";
    shell.json(reserve, &[]);
    let token = shell.json("join-tokens create office --name d --device printer-7 --uses 2", &[]);
    shell.says(&["join", token["link"].as_str().unwrap(), "--name", "printer", "--out", "printer"]);
    // One for a node belongs to the node: no file has it, and none takes it away.
    let token = shell.json("join-tokens create office --name twice --uses 2", &[]);
    shell.says(&["join", token["link"].as_str().unwrap(), "--name", "tab", "--out", "tab"]);
    shell.json("reservations create office --range 10.42.0.30 --purpose node --node tab", &[]);
    assert_eq!(shell.says("admin export --out office.toml"), "");
    assert_eq!(shell.says("admin apply office.toml --prune"), "nothing to change\n");
    let exported = export(&shell);
    assert_eq!(std::fs::read_to_string(shell.place.path().join("office.toml")).unwrap(), exported);
    assert!(exported.contains("silence = \"90d\""), "{exported}");
    for secret in ["secret", "nebula-gc://", "#"] {
        assert!(!exported.contains(secret), "{exported}");
    }

    let other = Shell::new();
    with_file(&other, &exported);
    other.says(APPLY);
    assert_eq!(export(&other), exported);
    assert_eq!(other.says("admin apply office.toml"), "nothing to change\n");
    // A file knows things by their names.
    shell.json("join-tokens create office --name twice", &[]);
    let refused = shell.fails(1, "admin export");
    let reason =
        "join token twice of office: more than one has this name; rename one of them first";
    assert!(refused.contains(reason), "{refused}");
}

async fn what_differs_is_changed_or_refused_before_anything_is_done(shell: Shell) {
    with_file(&shell, OFFICE);
    shell.says(APPLY);
    with_file(&shell, &OFFICE.replace("lifetime = \"7d\"", "lifetime = 864000\nmtu = 1280"));
    let line = "network office: lifetime 7d -> 10d, mtu 1300 -> 1280\n";
    let dry = shell.says("admin apply office.toml --dry-run");
    assert_eq!(dry, format!("change {line}1 step. Nothing was changed: this was a dry run.\n"));
    let json = shell.json("apply office.toml --dry-run", &[]);
    assert_eq!(json["steps"][0]["fields"]["mtu"]["after"], 1280, "{json}");
    assert_eq!(shell.says("admin apply office.toml"), format!("changed {line}"));
    assert_eq!(shell.json("networks show office", &[])["mtu"], 1280);

    let before = export(&shell);
    for (from, to, reason) in [
        (
            "\"sales\"]",
            "\"ops\"]",
            "groups can't be changed: it is laptop,sales, and would be laptop,ops",
        ),
        ("tenant = \"acme\"", "tenant = \"default\"", "tenant can't be changed: it is acme"),
        (
            "uses = 20",
            "uses = \"many\"",
            "networks.office.join-tokens.laptops.uses: must be a whole number",
        ),
        ("uses = 20", "use = 20", "no such field of a join token; there are"),
        ("[tenants.acme]", "[tenant.acme]", "tenant: no such section; there are tenants, networks"),
        (
            "lifetime = \"7d\"",
            "lifetime = \"long\"",
            "networks.office.lifetime: must be a duration",
        ),
        ("lifetime = \"7d\"", "lifetime = ", "line 7"),
        (
            "[tenants.acme]",
            "[tenants.acme]\nname = \"x\"",
            "a tenant has no fields beside its name",
        ),
    ] {
        let changed =
            OFFICE.replacen(from, to, 1).replace("hold-alone = true", "hold-alone = false");
        with_file(&shell, &changed);
        let refused = shell.fails(1, APPLY);
        assert!(refused.contains(reason) && refused.contains("office.toml: "), "{refused}");
        assert_eq!(export(&shell), before);
    }
    // The pool that a network has by itself.
    with_file(
        &shell,
        "[networks.home]\nprefixes = [\"10.70.0.0/16\"]\n[networks.home.blocks.printers]\n\
         pool = \"10.70.0.0/16\"\nsize = 16\n",
    );
    assert_eq!(shell.says("admin apply office.toml").lines().count(), 2);
    // What only the server can refuse: a node has the address.
    let link =
        std::fs::read_to_string(shell.place.path().join("links/office.laptops.link")).unwrap();
    shell.says(&["join", link.trim(), "--name", "one", "--out", "one"]);
    let address = shell.json("nodes show office one", &[])["addresses"][0].clone();
    let kept = format!(
        "[networks.office.blocks.cash]\npool = \"10.42.32.0/20\"\nrange = \"{}\"\n",
        address.as_str().unwrap()
    );
    with_file(&shell, &kept);
    for _ in 0..2 {
        let refused = shell.fails(1, APPLY);
        assert!(
            refused.contains("block cash of office: ") && refused.contains("leased"),
            "{refused}"
        );
        assert!(refused.contains("0 of 1 done"), "{refused}");
    }
    with_file(&shell, &format!("[tenants.early]\n{kept}"));
    let output = shell.run("admin apply office.toml");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("block cash of office: ") && said.contains("1 of 2 done"), "{said}");
}

async fn what_a_file_lacks_stays_unless_it_is_pruned(shell: Shell) {
    with_file(&shell, OFFICE);
    shell.says(APPLY);
    let fewer = r#"
[networks.office.pools."10.42.0.0/20"]
[networks.office.blocks]
[networks.office.reservations]
[networks.office.join-tokens.laptops]
"#;
    with_file(&shell, fewer);
    assert_eq!(shell.says("admin apply office.toml"), "nothing to change\n");
    let dry = shell.says("admin apply office.toml --prune --dry-run");
    assert!(dry.contains("revoke join token printers of office\n"), "{dry}");
    assert!(dry.ends_with("4 steps. Nothing was changed: this was a dry run.\n"), "{dry}");
    assert_eq!(items(&shell, "pools list office").len(), 2);
    let done = shell.says("admin apply office.toml --prune");
    assert_eq!(done.lines().count(), 4, "{done}");
    for (list, left) in [("pools", 1), ("blocks", 0), ("reservations", 0)] {
        assert_eq!(items(&shell, &format!("{list} list office")).len(), left, "{list}");
    }
    assert_eq!(items(&shell, "operator-keys list").len(), 3);
    assert_eq!(shell.says("admin apply office.toml --prune"), "nothing to change\n");
}

async fn a_killed_run_is_finished_by_the_next(shell: Shell) {
    with_file(&shell, OFFICE);
    for moment in 0..30 {
        let mut command = shell.command(APPLY);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(10 + moment * 3)).await;
        run.kill().unwrap();
        run.wait().unwrap();
    }
    shell.says(APPLY);
    assert_eq!(shell.says(APPLY), "nothing to change\n");
    let links = shell.place.path().join("links");
    for entry in std::fs::read_dir(&links).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".unfinished"), "{name}");
    }
    for (name, device) in [("laptops", "one"), ("printers", "two")] {
        let link = std::fs::read_to_string(links.join(format!("office.{name}.link"))).unwrap();
        shell.says(&["join", link.trim(), "--name", device, "--out", device]);
        let tokens = items(&shell, "join-tokens list office");
        let live = tokens.iter().filter(|it| it["name"] == name && !it["revokedAt"].is_string());
        assert_eq!(live.count(), 1, "{tokens:?}");
    }
    shell.says("admin --key-file links/monitoring.key networks show office");
}

async fn what_the_server_would_refuse_is_found_before_anything_is_done(shell: Shell) {
    with_file(&shell, OFFICE);
    shell.says(APPLY);
    shell.json("tenants create --name later", &[]);
    let before = export(&shell);
    let office = |rest: &str| format!("[tenants.first]\n[networks.office.{rest}\n");
    let second = |rest: &str| format!("[networks.second]\nprefixes = [\"10.60.0.0/16\"]\n{rest}\n");
    for (file, reasons) in [
        (
            office("join-tokens.x]\ngroups = [\"any\"]"),
            &["line 3: join token x of office: groups: \"any\""][..],
        ),
        (office("join-tokens.x]\nuser = \"a\\nb\""), &["line 3: join token x of office: user: "]),
        (office("join-tokens.x]\nuses = 0"), &["uses: must be from 1 to 1000000"]),
        (office("join-tokens.x]\nephemeral = \"1m\""), &["ephemeral: must be from 15m to 3650d"]),
        (
            office("join-tokens.x]\npool = \"scanners\""),
            &["line 3: join token x of office: pool: there is no pool \"scanners\""],
        ),
        (office("join-tokens.\" x\"]"), &["line 2: join token  x of office: "]),
        (
            office("join-tokens.x]\nexpires-in = \"2d\"\nexpires-at = 2030-01-31T12:00:00Z"),
            &["has both expires-at and expires-in"],
        ),
        (
            office("join-tokens.x]\nexpires-at = \"soon\""),
            &["line 3: networks.office.join-tokens.x.expires-at: must be a time"],
        ),
        (
            office("pools.\"10.42.1.0/24\"]"),
            &["pool 10.42.0.1-10.42.15.255 has some of these addresses; --prune"],
        ),
        (
            office("pools.\"10.43.1.0/24\"]"),
            &["line 2: pool 10.43.1.0/24 of office: must be addresses that nodes"],
        ),
        (office("pools.\"10.42.1.7/24\"]"), &["did you mean 10.42.1.0/24?"]),
        (office("pools.somewhere]"), &["must be as in 10.1.0.0/24"]),
        (
            office("blocks.far]\npool = \"10.42.0.0/20\"\nrange = \"10.42.33.0/28\""),
            &["range: does not lie inside the pool"],
        ),
        (office("blocks.far]\npool = \"10.42.0.0/20\""), &["needs either range or size"]),
        (office("blocks.far]\nsize = 4"), &["pool is missing"]),
        (
            office("blocks.far]\npool = \"10.42.0.0/20\"\nrange = \"10.42.15.250-10.42.15.254\""),
            &["has some of these addresses"],
        ),
        (
            office("reservations.\"10.42.0.5\"]\npurpose = \"nobody\""),
            &["reservation 10.42.0.1-10.42.0.9 has some"],
        ),
        (
            office("reservations.\"10.43.0.5\"]\npurpose = \"nobody\""),
            &["must be addresses that nodes"],
        ),
        (office("reservations.\"10.42.3.5\"]\nnote = \"x\""), &["purpose is missing"]),
        (office("reservations.\"10.42.3.5\"]\npurpose = \"device\""), &["device is missing"]),
        (
            office("reservations.\"10.42.3.5\"]\npurpose = \"node\"\nnode = \"one\""),
            &[
                "line 3: networks.office.reservations.10.42.3.5.purpose: must be asking, device or nobody",
                "line 4: networks.office.reservations.10.42.3.5.node: no such field",
            ],
        ),
        (
            second(
                "[networks.second.blocks.far]\npool = \"10.60.0.0/16\"\nrange = \"10.61.0.0/28\"",
            ),
            &["block far of second: range: "],
        ),
        (second("[networks.third]"), &["line 3: network third: prefixes is missing"]),
        (
            second("mtu = 9\nlifetime = \"1s\""),
            &[
                "line 3: network second: mtu: must be from 500",
                "line 4: network second: lifetime: must be from 10m",
            ],
        ),
        (second("tenant = \"nobody\""), &["tenant: there is no tenant \"nobody\""]),
        (
            "[networks.x]\nprefixes = [\"10.60.0.0/16\", \"10.61.0.0/16\"]\n".to_owned(),
            &["prefixes: must have one of each family"],
        ),
        ("[networks.x]\nprefixes = [\"10.60.0.0\"]\n".to_owned(), &["\"10.60.0.0\" is no prefix"]),
        (
            "[networks.x]\nprefixes = [\"127.0.0.0/16\"]\n".to_owned(),
            &["must not reach into 127.0.0.0/8"],
        ),
        (
            "[networks.office]\nprefixes = [\"10.44.0.0/16\"]\n".to_owned(),
            &["must go on to contain 10.42.0.0/16"],
        ),
        (
            "[networks.Office]\nprefixes = [\"10.44.0.0/16\"]\n".to_owned(),
            &["another network is called \"office\""],
        ),
        ("[tenants.ACME]\n".to_owned(), &["another tenant is called \"acme\""]),
        (
            "[operator-keys.k]\nrole = \"viewer\"\nscope = \"network=nowhere\"\n".to_owned(),
            &["scope: there is no network \"nowhere\""],
        ),
        ("[operator-keys.k]\nscope = \"root\"\n".to_owned(), &["role is missing"]),
        (
            "[operator-keys.k]\nrole = \"viewer\"\nscope = \"ROOT\"\n".to_owned(),
            &["line 3: operator key k: scope: must be root, tenant=NAME or network=NAME"],
        ),
        (
            office("join-tokens.x]\naddress = \"10.42.200.1\""),
            &["line 3: join token x of office: address: no pool of the network has 10.42.200.1"],
        ),
        (office("join-tokens.x]\naddress = \"all\""), &["address: must be an IPv4 address"]),
        (
            office("join-tokens.x]\naddress = \"10.42.3.9\"\nuses = 2"),
            &["line 4: join token x of office: uses: must be 1 beside an address"],
        ),
    ] {
        with_file(&shell, &file);
        for line in ["admin apply office.toml --dry-run", APPLY] {
            let refused = shell.fails(1, line);
            for reason in reasons {
                assert!(refused.contains(reason), "{file}: {reason}: {refused}");
            }
        }
        assert_eq!(export(&shell), before);
    }
}

async fn a_pool_does_not_shrink_below_its_blocks_and_links_without_a_pool_are_left_out(
    shell: Shell,
) {
    let file = |pool: &str| {
        format!(
            "[networks.s]\nprefixes = [\"10.94.0.0/16\"]\n[networks.s.pools.\"{pool}\"]\n\
             [networks.s.blocks.b]\npool = \"{pool}\"\nsize = 16\n[networks.s.join-tokens.t]\npool = \"b\"\n"
        )
    };
    with_file(&shell, &file("10.94.0.0/20"));
    shell.says(APPLY);
    let before = export(&shell);
    with_file(&shell, &file("10.94.0.0/21"));
    for line in [format!("{APPLY} --prune --dry-run"), format!("{APPLY} --prune")] {
        let refused = shell.fails(1, &line);
        assert!(refused.contains("line 3: pool 10.94.0.0/21 of s: block b with "), "{refused}");
        assert!(refused.contains("would lie outside; delete it first"), "{refused}");
    }
    assert_eq!(export(&shell), before);
    shell.says("admin blocks delete s b");
    let exported = export(&shell);
    assert!(!exported.contains("join-tokens"), "{exported}");
    with_file(&shell, &exported);
    assert_eq!(shell.says(APPLY), "nothing to change\n");
}

async fn what_is_pruned_makes_room_and_what_is_renamed_keeps_its_nodes(shell: Shell) {
    with_file(&shell, OFFICE);
    shell.says(APPLY);
    let link =
        std::fs::read_to_string(shell.place.path().join("links/office.printers.link")).unwrap();
    shell.says(&["join", link.trim(), "--name", "one", "--out", "one"]);
    let block = shell.json("blocks show office printers", &[]);
    let pools = items(&shell, "pools list office");
    // A block that has a node is renamed, pools are resized, and what is in the way goes first.
    let changed = r#"
[networks.office.pools."10.42.0.0/19"]
position = 1
[networks.office.pools."10.42.48.0/20"]
[networks.office.blocks.copiers]
pool = "10.42.0.0/19"
size = 16
[networks.office.reservations."10.42.0.1-10.42.0.4"]
purpose = "nobody"
"#;
    with_file(&shell, changed);
    let before = export(&shell);
    let dry = shell.says("admin apply office.toml --prune --dry-run");
    assert_eq!(export(&shell), before);
    let expected = "delete reservation 10.42.0.1-10.42.0.9 of office
delete pool 10.42.32.1-10.42.47.255 of office
change pool 10.42.0.0/19 of office: range 10.42.0.1-10.42.15.255 -> 10.42.0.0/19
create pool 10.42.48.0/20 of office
change block copiers of office: name printers -> copiers
create reservation 10.42.0.1-10.42.0.4 of office: purpose nobody
6 steps. Nothing was changed: this was a dry run.
";
    assert_eq!(dry.replace("10.42.32.0-", "10.42.32.1-"), expected);
    let done = shell.says("admin apply office.toml --prune");
    assert_eq!(done.lines().count(), 6, "{done}");
    let renamed = shell.json("blocks show office copiers", &[]);
    assert_eq!((&renamed["id"], &renamed["range"]), (&block["id"], &block["range"]));
    let after = items(&shell, "pools list office");
    assert_eq!((&after[0]["id"], after.len()), (&pools[0]["id"], 2));
    assert_eq!(after[0]["range"], "10.42.0.1-10.42.31.255");
    assert_eq!(shell.says("admin apply office.toml --prune"), "nothing to change\n");
    // A run that is cut off after what it deletes is finished by the next.
    let smaller = changed.replace("10.42.0.1-10.42.0.4", "10.42.0.1-10.42.0.3");
    with_file(&shell, &smaller);
    shell.says("admin reservations delete office 10.42.0.1-10.42.0.4");
    let done = shell.says("admin apply office.toml --prune");
    assert_eq!(done, "created reservation 10.42.0.1-10.42.0.3 of office: purpose nobody\n");
}

async fn credentials_that_have_ended_are_not_made_again(shell: Shell) {
    with_file(&shell, &OFFICE.replace("uses = 20", "uses = 1"));
    shell.says(APPLY);
    let link =
        std::fs::read_to_string(shell.place.path().join("links/office.laptops.link")).unwrap();
    shell.says(&["join", link.trim(), "--name", "one", "--out", "one"]);
    shell.says("admin join-tokens revoke office printers");
    shell.says("admin operator-keys revoke monitoring");
    let before = shell.json("join-tokens list office", &[]);
    for line in [APPLY, "admin apply office.toml", "admin apply office.toml --dry-run"] {
        let output = shell.run(line);
        assert!(output.status.success());
        assert!(
            text(&output.stdout).starts_with("nothing to change\n"),
            "{}",
            text(&output.stdout)
        );
        let said = text(&output.stderr);
        for reason in [
            "join token laptops of office is used up, and stays so; give it another name in the file",
            "join token printers of office is revoked, and",
            "operator key monitoring is revoked, and",
        ] {
            assert!(said.contains(reason), "{said}");
        }
        assert_eq!(said.lines().count(), 3, "{said}");
    }
    let json = shell.run("admin apply office.toml --output json");
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (json["steps"].as_array().unwrap().len(), json["ended"].as_array().unwrap().len()),
        (0, 3)
    );
    assert_eq!(shell.json("join-tokens list office", &[]), before);
    // What is exported makes none of them elsewhere.
    let exported = export(&shell);
    assert!(!exported.contains("laptops") && !exported.contains("monitoring"), "{exported}");
    // Another name makes another.
    with_file(&shell, "[networks.office.join-tokens.laptops-2]\n");
    assert_eq!(shell.says(APPLY), "created join token laptops-2 of office\n");
}

#[cfg(unix)]
#[test]
fn secrets_go_into_new_files_of_this_user_alone() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let shell = Shell::new();
    let token = |(network, name): (&str, &str)| {
        format!("[networks.\"{network}\".join-tokens.\"{name}\"]\n")
    };
    let network = |name: &str, number: u8| {
        format!("[networks.\"{name}\"]\nprefixes = [\"10.{number}.0.0/16\"]\n")
    };
    let tokens = [("q", "a.b"), ("q.a", "b"), ("q", "link"), ("q", "open")].map(token).concat();
    with_file(&shell, &[network("q", 80), network("q.a", 81), tokens].concat());
    let links = shell.place.path().join("links");
    std::fs::create_dir(&links).unwrap();
    shell.file("target", "kept");
    symlink("../target", links.join("q.link.link")).unwrap();
    std::fs::write(links.join("q.open.link"), "").unwrap();
    std::fs::set_permissions(links.join("q.open.link"), PermissionsExt::from_mode(0o644)).unwrap();

    shell.says("admin apply office.toml --dry-run --links-dir elsewhere");
    assert!(!shell.place.path().join("elsewhere").exists());
    let lock = std::fs::File::create(links.join(".lock")).unwrap();
    lock.lock().unwrap();
    let refused = shell.fails(1, APPLY);
    assert!(refused.contains("links: another apply writes its links there"), "{refused}");
    drop(lock);
    shell.says(APPLY);
    assert_eq!(std::fs::read_to_string(shell.place.path().join("target")).unwrap(), "kept");
    let mut secrets = std::collections::BTreeSet::new();
    for name in ["q.a%2Eb", "q%2Ea.b", "q.link", "q.open"] {
        let path = links.join(format!("{name}.link"));
        let about = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!((about.is_file(), about.permissions().mode() & 0o777), (true, 0o600), "{name}");
        secrets.insert(std::fs::read_to_string(&path).unwrap());
    }
    assert_eq!(secrets.len(), 4);
}
