//! The screen of `nodes list`: how each node is, in one look.

use nebula_gc_http::client::printable;
use serde_json::Value;

use super::answer::seconds;
use super::commands::Entry;
use super::show;
use super::table::{self, Look};
use crate::times::{WEEK, day, span};

/// From how many columns of the terminal on there is room for all columns of the table.
const ROOMY: usize = 104;
/// Within how many seconds a node was seen now: times are stored once a minute.
const NOW: i64 = 90;
/// The columns behind `--wide`.
const ALL: &[&str] = &[
    "id",
    "name",
    "addresses",
    "condition",
    "behind",
    "restartNeeded",
    "certificateEnd",
    "renewAt",
    "seenAt",
    "user",
    "groups",
    "applied.revision",
    "report.nebula",
    "report.agent",
    "report.platform",
    "createdAt",
];
/// The conditions, in the order of the summary.
const CONDITIONS: [&str; 7] =
    ["active", "behind", "silent", "expired", "suspended", "revoked", "released"];

/// Whether a command lists nodes on this screen.
pub(super) fn is_shown(entry: &Entry) -> bool {
    ["list_nodes", "list_expiring_nodes"].contains(&entry.operation)
}

/// A list of nodes.
pub(super) fn screen(nodes: &[Value], look: Look) -> String {
    let lines = match (nodes.is_empty(), look.is_wide) {
        (true, _) => String::new(),
        (_, true) => show::listing(nodes, ALL, look),
        (_, false) => lines(nodes, look.now, look.width),
    };
    lines + &summary(nodes)
}

/// Puts what ends first before the others.
pub(super) fn in_order(entry: &Entry, nodes: &mut [Value]) {
    if entry.operation == "list_expiring_nodes" {
        nodes.sort_by_key(|node| seconds(&node["certificateEnd"]));
    }
}

fn lines(nodes: &[Value], now: i64, width: Option<usize>) -> String {
    let is_roomy = width.is_none_or(|width| width >= ROOMY);
    let mut rows = vec![headings(is_roomy)];
    rows.extend(nodes.iter().map(|node| row(node, now, is_roomy)));
    table::fitted(rows, width, |column| column == 0)
}

fn headings(is_roomy: bool) -> Vec<String> {
    let names: &[&str] = match is_roomy {
        true => &["NAME", "ADDRESS", "STATE", "CERTIFICATE", "SEEN", "BEHIND", "NEBULA", ""],
        false => &["NAME", "ADDRESS", "STATE", "CERT", "SEEN", ""],
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

fn row(node: &Value, now: i64, is_roomy: bool) -> Vec<String> {
    let behind = node["behind"].as_i64().unwrap_or_default();
    let condition = text(&node["condition"]);
    let mut cells = vec![
        text(&node["name"]),
        text(node.pointer("/addresses/0").unwrap_or(&Value::Null)),
        match (is_roomy, condition.as_str()) {
            (false, "behind") => format!("behind {behind}"),
            _ => condition,
        },
        seconds(&node["certificateEnd"]).map_or_else(none, |end| left(now, end)),
        seconds(&node["seenAt"]).map_or_else(none, |at| seen(now, at)),
    ];
    if is_roomy {
        cells.push(if behind > 0 { behind.to_string() } else { none() });
        cells.push(text(node.pointer("/report/nebula").unwrap_or(&Value::Null)));
    }
    cells.push(marks(node));
    cells
}

/// `L`, `R`, `restart`.
fn marks(node: &Value) -> String {
    let is_lighthouse = node.get("lighthouse").is_some_and(Value::is_object);
    let marks = [
        (is_lighthouse, "L"),
        (node["relay"] == true, "R"),
        (node["restartNeeded"] == true, "restart"),
    ];
    let marks: Vec<_> = marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
    marks.join(" ")
}

/// What is left of a certificate, or since when it has ended.
pub(super) fn left(now: i64, end: i64) -> String {
    match end.saturating_sub(now) {
        left if left > WEEK => day(end),
        left if left >= 0 => format!("{} left", span(left)),
        left if left < -WEEK => day(end),
        left => format!("{} ago", span(left.saturating_neg())),
    }
}

fn seen(now: i64, at: i64) -> String {
    match now.saturating_sub(at) {
        ..NOW => "now".to_owned(),
        past if past > WEEK => day(at),
        past => span(past),
    }
}

fn summary(nodes: &[Value]) -> String {
    let count = |condition| nodes.iter().filter(|node| node["condition"] == condition).count();
    let counts = CONDITIONS.map(|condition| (count(condition), condition));
    let there = counts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<_> = there.map(|(count, condition)| format!("{count} {condition}")).collect();
    let nodes_are = if nodes.len() == 1 { "node" } else { "nodes" };
    let mut line = format!("{} {nodes_are}", nodes.len());
    if !parts.is_empty() {
        line += &format!(": {}", parts.join(", "));
    }
    line += ".";
    let is_any = |mark: &str| nodes.iter().any(|node| marks(node).split(' ').any(|it| it == mark));
    let legend =
        [("L", "L lighthouse"), ("R", "R relay"), ("restart", "restart: Nebula needs one")];
    let legend: Vec<_> =
        legend.iter().filter(|(mark, _)| is_any(mark)).map(|(_, words)| *words).collect();
    if !legend.is_empty() {
        line += &format!(" {}.", legend.join(", "));
    }
    filled(&line)
}

/// A text in lines of at most 80 characters.
fn filled(text: &str) -> String {
    let (mut lines, mut length) = (String::new(), 0);
    for word in text.split(' ') {
        let width = word.chars().count();
        if length > 0 && length + 1 + width > 80 {
            lines.push('\n');
            length = 0;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        }
        lines += word;
        length += width;
    }
    lines + "\n"
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).map_or_else(none, printable)
}

pub(super) fn none() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 2026-11-29T12:00:00Z.
    const TIME: i64 = 1_795_953_600;

    fn at(seconds: i64) -> String {
        crate::clock::time(TIME + seconds)
    }

    fn nodes() -> Vec<Value> {
        vec![
            json!({"name": "gate", "addresses": ["10.42.0.1"], "condition": "active", "behind": 0,
                "certificateEnd": at(6 * 86_400), "seenAt": at(-50), "report": {"nebula": "1.11.0"},
                "lighthouse": {"endpoint": "a:1"}, "relay": true}),
            json!({"name": "laptop-2", "addresses": ["10.42.0.3"], "condition": "expired", "behind": 2,
                "certificateEnd": at(-3 * 3600), "seenAt": at(-4 * 86_400), "report": {"nebula": "1.9.3"}}),
            json!({"name": "printer-with-a-name-of-30-byte", "addresses": ["10.42.0.9"], "relay": false,
                "condition": "behind", "behind": 12, "certificateEnd": at(30 * 86_400),
                "seenAt": at(-120), "restartNeeded": true}),
            json!({"name": "old-phone", "addresses": ["10.42.0.7"], "condition": "revoked", "behind": 0,
                "seenAt": at(-12 * 86_400)}),
        ]
    }

    #[test]
    fn a_wide_terminal_has_all_columns() {
        let expected = "\
NAME                            ADDRESS    STATE    CERTIFICATE  SEEN        BEHIND  NEBULA
gate                            10.42.0.1  active   6 d left     now         -       1.11.0  L R
laptop-2                        10.42.0.3  expired  3 h ago      4 d         2       1.9.3
printer-with-a-name-of-30-byte  10.42.0.9  behind   2026-12-29   2 min       12      -       restart
old-phone                       10.42.0.7  revoked  -            2026-11-17  -       -
";
        assert_eq!(lines(&nodes(), TIME, Some(104)), expected);
        assert_eq!(lines(&nodes(), TIME, None), expected);
        let said = summary(&nodes());
        let expected = "4 nodes: 1 active, 1 behind, 1 expired, 1 revoked. L lighthouse, R relay,\n\
                        restart: Nebula needs one.\n";
        assert_eq!(said, expected);
    }

    #[test]
    fn below_104_columns_what_is_behind_goes_into_the_state_and_names_are_cut_last() {
        let expected = "\
NAME                            ADDRESS    STATE      CERT        SEEN
gate                            10.42.0.1  active     6 d left    now         L R
laptop-2                        10.42.0.3  expired    3 h ago     4 d
printer-with-a-name-of-30-byte  10.42.0.9  behind 12  2026-12-29  2 min       restart
old-phone                       10.42.0.7  revoked    -           2026-11-17
";
        assert_eq!(lines(&nodes(), TIME, Some(103)), expected);
        let narrow = lines(&nodes(), TIME, Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        assert!(narrow.contains("\nprinter-with-a-name-of-3…  10.42.0.9  behind 12"), "{narrow}");
        let tiny = lines(&nodes(), TIME, Some(20));
        assert!(tiny.contains("\nprinter…  10.42.0.9"), "{tiny}");
        // Nothing is cut where nothing needs its place.
        let plain: Vec<_> = nodes().into_iter().skip(3).collect();
        assert!(lines(&plain, TIME, Some(80)).contains("old-phone  10.42.0.7  revoked  -"));
    }

    #[test]
    fn an_empty_list_is_told() {
        assert_eq!(summary(&[]), "0 nodes.\n");
    }
}
