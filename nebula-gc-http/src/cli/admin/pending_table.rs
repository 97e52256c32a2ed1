//! The screen of `pending list`: which devices want to join, and by what they are recognised.

use serde_json::Value;

use super::answer::seconds;
use super::nodes_table::{left, none, text};
use super::table;

/// To how many characters names are cut at most.
const LEAST: usize = 8;
/// How much of a fingerprint is shown, which is enough to approve it: four groups of four digits.
const SHOWN: usize = 19;

/// A list of pending devices, in the order in which they asked. `width` is that of the terminal; without one
/// nothing is cut.
pub(super) fn screen(devices: &[Value], now: i64, width: Option<usize>) -> String {
    let head = ["FINGERPRINT", "STATE", "ENDS", "TOKEN", "GROUPS", "NAME"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(devices.iter().map(|device| row(device, now)));
    if let Some(width) = width {
        // The texts that devices and operators choose share what is left.
        let widths = table::widths(&rows);
        let fixed: usize = widths.iter().take(3).map(|width| width + table::GAP.len()).sum();
        let room = width.saturating_sub(fixed + 2 * table::GAP.len()) / 3;
        for cell in rows.iter_mut().flat_map(|row| row.iter_mut().skip(3)) {
            *cell = table::cut(cell, room.max(LEAST));
        }
    }
    table::aligned(&rows) + &summary(devices)
}

fn row(device: &Value, now: i64) -> Vec<String> {
    let groups = device["groups"].as_array().into_iter().flatten();
    let groups: Vec<_> = groups.map(text).collect();
    let roles =
        [device["lighthouse"].is_string().then_some("L"), (device["relay"] == true).then_some("R")];
    let roles: Vec<_> = roles.into_iter().flatten().map(str::to_owned).collect();
    let rights: Vec<_> = roles.into_iter().chain(groups).collect();
    let fingerprint = text(&device["keyFingerprint"]);
    vec![
        fingerprint.chars().take(SHOWN).collect(),
        text(&device["state"]),
        seconds(&device["expiresAt"]).map_or_else(none, |at| left(now, at)),
        text(&device["joinTokenName"]),
        if rights.is_empty() { none() } else { rights.join(",") },
        text(&device["name"]),
    ]
}

fn summary(devices: &[Value]) -> String {
    let count = |state: &str| devices.iter().filter(|device| device["state"] == state).count();
    let (pending, approved, refused) = (count("pending"), count("approved"), count("refused"));
    let sum = format!("{pending} pending, {approved} approved, {refused} refused.");
    match pending {
        0 => sum + "\n",
        _ => sum + "\nCompare the fingerprint with what the device shows, then approve it.\n",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::time;

    #[test]
    fn pending_devices_are_listed_by_what_is_to_be_compared() {
        let now = 1_795_953_600;
        let device = |name: &str, state: &str| {
            json!({"name": name, "state": state, "groups": ["laptop", "sales"], "relay": true,
                "keyFingerprint": "ba78-16bf-8f01-cfea-4141-40de-5dae-2223", "joinTokenName": "laptops",
                "expiresAt": time(now + 7200)})
        };
        let devices = [device("ann-laptop", "pending"), device(&"x".repeat(30), "refused")];
        let expected = "\
FINGERPRINT          STATE    ENDS      TOKEN    GROUPS        NAME
ba78-16bf-8f01-cfea  pending  2 h left  laptops  R,laptop,sa…  ann-laptop
ba78-16bf-8f01-cfea  refused  2 h left  laptops  R,laptop,sa…  xxxxxxxxxxx…
1 pending, 0 approved, 1 refused.
Compare the fingerprint with what the device shows, then approve it.
";
        let shown = screen(&devices, now, Some(80));
        assert_eq!(shown, expected);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }
}
