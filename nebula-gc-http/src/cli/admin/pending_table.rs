//! The screen of `pending list`: which devices want to join, and by what they are recognised.

use serde_json::Value;

use super::answer::seconds;
use super::nodes_table::{left, none, text};
use super::table::{self, Look};

/// How much of a fingerprint is shown, which is enough to approve it: four groups of four digits.
const SHOWN: usize = 19;

/// A list of pending devices, in the order in which they asked.
pub(super) fn screen(devices: &[Value], look: Look) -> String {
    let head = ["FINGERPRINT", "STATE", "ENDS", "TOKEN", "GROUPS", "NAME"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(devices.iter().map(|device| row(device, look.now)));
    // The texts that devices and operators choose.
    table::fitted(rows, look.width, |column| column > 2) + &summary(devices)
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
FINGERPRINT          STATE    ENDS      TOKEN    GROUPS          NAME
ba78-16bf-8f01-cfea  pending  2 h left  laptops  R,laptop,sales  ann-laptop
ba78-16bf-8f01-cfea  refused  2 h left  laptops  R,laptop,sales  xxxxxxxxxxxxxx…
1 pending, 0 approved, 1 refused.
Compare the fingerprint with what the device shows, then approve it.
";
        let shown = screen(&devices, Look { now, width: Some(80), is_wide: false });
        assert_eq!(shown, expected);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }
}
