//! The screen of `addresses list`: who has which address, until when it is kept, what is free.

use std::net::IpAddr;

use serde_json::Value;

use super::answer::seconds;
use super::nodes_table::{left, none, text};
use super::table;
use crate::clock::time;

/// To how many characters the last column is cut at most.
const LEAST: usize = 8;

/// A list of addresses, by address. `width` is that of the terminal; without one nothing is cut.
pub(super) fn screen(entries: &[Value], now: i64, width: Option<usize>) -> String {
    let mut entries: Vec<&Value> = entries.iter().collect();
    entries.sort_by_key(|entry| first(entry));
    let head = ["ADDRESS", "USE", "UNTIL", "FOR"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    rows.extend(entries.iter().map(|entry| row(entry, now)));
    if let Some(width) = width {
        let widths = table::widths(&rows);
        let before: usize = widths.iter().rev().skip(1).map(|width| width + table::GAP.len()).sum();
        let room = width.saturating_sub(before).max(LEAST);
        for cell in rows.iter_mut().filter_map(|row| row.last_mut()) {
            *cell = table::cut(cell, room);
        }
    }
    table::aligned(&rows) + &summary(&entries)
}

/// By which it is sorted: IPv4 first.
fn first(entry: &Value) -> Option<IpAddr> {
    entry["range"].as_str()?.split('-').next()?.parse().ok()
}

fn row(entry: &Value, now: i64) -> Vec<String> {
    let until = seconds(&entry["until"]);
    vec![
        text(&entry["range"]),
        text(&entry["use"]),
        until.map_or_else(none, |at| if at < now { time(at) } else { left(now, at) }),
        whom(entry),
    ]
}

/// The node by its name, with the reason; or what a reservation is for.
fn whom(entry: &Value) -> String {
    let there = |name: &str| Some(text(&entry[name])).filter(|text| text != "-");
    let node = there("nodeName").or_else(|| there("device")).or_else(|| there("node"));
    let purpose = there("purpose").filter(|purpose| !["node", "device"].contains(&&**purpose));
    match (there("reason").or(purpose), node.or_else(|| there("note"))) {
        // The reason first: long names are cut.
        (Some(whom), Some(why)) => format!("{whom}: {why}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => none(),
    }
}

fn summary(entries: &[&Value]) -> String {
    let count = |used: &str| entries.iter().filter(|entry| entry["use"] == used).count();
    let (leased, quarantined) = (count("leased"), count("quarantined"));
    let (reserved, free) = (count("reserved"), count("free"));
    let runs = if free == 1 { "range" } else { "ranges" };
    let kept = if reserved == 1 { "reservation" } else { "reservations" };
    format!(
        "{leased} leased, {quarantined} in quarantine, {reserved} {kept}, {free} free {runs}.\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_listed_by_address_with_names_and_reasons() {
        let now = 1_795_953_600;
        let entries = [
            json!({"range": "10.42.0.9", "use": "leased", "node": "1", "nodeName": "gate"}),
            json!({"range": "10.42.0.3", "use": "quarantined", "node": "2", "nodeName": "laptop",
                "until": time(now + 7200), "reason": "released"}),
            json!({"range": "10.42.1.1-10.42.1.9", "use": "reserved", "purpose": "nobody", "note": "routers"}),
            json!({"range": "10.42.0.4-10.42.0.8", "use": "free"}),
        ];
        let expected = "\
ADDRESS              USE          UNTIL     FOR
10.42.0.3            quarantined  2 h left  released: laptop
10.42.0.4-10.42.0.8  free         -         -
10.42.0.9            leased       -         gate
10.42.1.1-10.42.1.9  reserved     -         nobody: routers
1 leased, 1 in quarantine, 1 reservation, 1 free range.
";
        assert_eq!(screen(&entries, now, Some(80)), expected);
        let narrow = screen(&entries, now, Some(56));
        assert!(narrow.contains("released: l…\n"), "{narrow}");
    }
}
