//! Do lists fit the terminal, and show people names and times rather than ids?

use std::io::Read as _;
use std::process::Stdio;

use serde_json::Value;

use crate::support::shell::{Shell, text};

on_both_engines! {
    lists_fit_the_terminal_and_have_names_and_relative_times
    an_empty_list_says_so
}

const LISTS: [&str; 14] = [
    "tenants list",
    "networks list",
    "networks cas office",
    "pools list office",
    "addresses list office",
    "blocks list office",
    "reservations list office",
    "operator-keys list",
    "join-tokens list office",
    "nodes list office",
    "nodes certificates office laptop",
    "blocklist list office",
    "events list",
    "events of office",
];

/// What a command prints on a terminal of so many columns.
fn on_terminal(shell: &Shell, line: &str, width: &str) -> String {
    let output = shell.command(line).env("COLUMNS", width).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
    text(&output.stdout)
}

fn has_id(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    words.into_iter().any(|word| word.len() == 36 && word.matches('-').count() == 4)
}

/// A network with some of everything.
fn office(shell: &Shell) {
    let long = "a".repeat(60);
    shell.json("networks create --name office --prefixes 10.42.0.0/16", &[]);
    shell.json("blocks create office --pool 10.42.0.0/16 --size 16 --name", &["打印机"]);
    shell.json("reservations create office --range 10.42.0.9 --purpose nobody --note", &[&long]);
    shell.json("operator-keys create --role viewer --scope network=office --name", &[&long]);
    shell.json("tenants create --name", &[&long]);
    let token =
        shell.json("join-tokens create office --groups staff,sales --uses 2 --name", &[&long]);
    shell.says(&["join", token["link"].as_str().unwrap(), "--name", "laptop", "--out", "laptop"]);
    shell.says(&["join", token["link"].as_str().unwrap(), "--name", "phone", "--out", "phone"]);
    shell.says("admin nodes revoke office phone --reason stolen");
}

async fn lists_fit_the_terminal_and_have_names_and_relative_times(shell: Shell) {
    office(&shell);
    for list in LISTS {
        let line = format!("admin {list}");
        let shown = on_terminal(&shell, &line, "80");
        let wide = unicode_width::UnicodeWidthStr::width;
        assert!(shown.lines().all(|line| wide(line) <= 80), "{list}:\n{shown}");
        assert!(!shown.contains("T0") && !has_id(&shown), "{list}:\n{shown}");
        assert!(shown.lines().count() > 1, "{list}:\n{shown}");
        let all = on_terminal(&shell, &format!("{line} --wide"), "80");
        assert!(!all.contains('…'), "{list}:\n{all}");
        // Where nobody looks, nothing is cut either.
        assert!(!shell.says(&line).contains('…'), "{list}");
        let json = shell.says(&format!("{line} --output json"));
        let json: Value = serde_json::from_str(&json).unwrap();
        assert!(!json["items"].as_array().unwrap().is_empty(), "{list}");
    }
    let keys = on_terminal(&shell, "admin operator-keys list", "80");
    assert!(keys.contains("network=office"), "{keys}");
    assert!(has_id(&on_terminal(&shell, "admin operator-keys list --wide", "80")));
    let blocks = on_terminal(&shell, "admin blocks list office", "80");
    let at = |line: usize, word: &str| {
        let line = blocks.lines().nth(line).unwrap();
        unicode_width::UnicodeWidthStr::width(line.split(word).next().unwrap())
    };
    assert_eq!(at(0, "RANGE"), at(1, "10."), "{blocks}");
    assert!(blocks.contains("10.42.0.1-10.42.255.254"), "the pool by its range: {blocks}");
    let tokens = on_terminal(&shell, "admin join-tokens list office", "80");
    assert!(tokens.contains('…') && tokens.contains(" in 23 h"), "{tokens}");
    // Who reads no further ends nothing with an error.
    let mut command = shell.command("admin events list");
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(run.stdout.take());
    let mut said = String::new();
    run.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(run.wait().unwrap().success() && said.is_empty(), "{said}");
}

async fn an_empty_list_says_so(shell: Shell) {
    shell.json("networks create --name office --prefixes 10.42.0.0/16", &[]);
    for (list, said) in [
        ("blocks list", "No blocks.\n"),
        ("reservations list", "No reservations.\n"),
        ("join-tokens list", "No join tokens.\n"),
        ("pending list", "No pending devices.\n"),
        ("blocklist list", "No blocked certificates.\n"),
        ("nodes list", "0 nodes.\n"),
        ("events list --kind node.revoked", "No events.\n"),
    ] {
        assert_eq!(shell.says(&format!("admin {list}")), said, "{list}");
        let json = shell.says(&format!("admin {list} --output json"));
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["items"], serde_json::json!([]), "{list}");
    }
}
