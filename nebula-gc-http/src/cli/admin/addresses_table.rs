//! The screen of `addresses list`: who has which address, until when it is kept, what is free.

use std::net::IpAddr;

use serde_json::Value;

use super::answer::seconds;
use super::nodes_table::{left, none, text};
use super::show;
use super::table::{self, Look};
use crate::clock::time;
use crate::times::{WEEK, ago, day, span};

/// The columns behind `--wide`.
const ALL: &[&str] =
    &["range", "use", "nodeName", "node", "since", "until", "reason", "purpose", "device", "note"];

/// A list of addresses, by address.
pub(super) fn screen(entries: &[Value], look: Look) -> String {
    let mut entries: Vec<&Value> = entries.iter().collect();
    entries.sort_by_key(|entry| first(entry));
    let summary = summary(&entries);
    if look.is_wide {
        let entries: Vec<_> = entries.into_iter().cloned().collect();
        return show::listing(&entries, ALL, look) + &summary;
    }
    let head = ["ADDRESS", "USE", "UNTIL", "FOR"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    rows.extend(entries.iter().map(|entry| row(entry, look.now)));
    table::fitted(rows, look.width, |column| column == 3) + &summary
}

/// What the end of a quarantine means.
pub(super) fn ended(end: &Value, look: Look) -> String {
    let address = text(&end["address"]);
    let (is, would_have) = match end["dryRun"] == true {
        true => ("would be free", "would last"),
        false => ("is free now", "would have lasted"),
    };
    let node = Some(text(&end["nodeName"])).filter(|name| name != "-");
    let node = node.unwrap_or_else(|| text(&end["node"]));
    let since = seconds(&end["since"]).map_or_else(none, |at| ago(look.now, at));
    let until = match seconds(&end["until"]) {
        Some(at) if at.saturating_sub(look.now) > WEEK => format!("until {}", day(at)),
        Some(at) => format!("for {} more", span(at.saturating_sub(look.now))),
        None => none(),
    };
    let sentence = format!(
        "{address} {is}. {node} had it until {since}; by itself the quarantine {would_have} {until}.\n"
    );
    let certificates = end["certificates"].as_array().map_or(&[][..], Vec::as_slice);
    let accepted = match certificates.len() {
        0 => return sentence,
        1 => "1 certificate that names it is",
        _ => "These certificates that name it are",
    };
    let table = show::listing(certificates, &["fingerprint", "version", "notAfter"], look);
    format!("{sentence}{accepted} accepted by nodes that have not applied the blocklist:\n{table}")
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
        let look = |width| Look { now, width: Some(width), is_wide: false };
        assert_eq!(screen(&entries, look(80)), expected);
        let narrow = screen(&entries, look(56));
        assert!(narrow.contains("released: l…\n"), "{narrow}");
    }
}
