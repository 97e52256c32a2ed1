//! The screen after all that a user had was ended.

use nebula_gc_http::client::printable;
use nebula_gc_http::shell_word;
use serde_json::Value;

use super::answer::text_of;
use super::{DRY_RUN_END, show};

/// What is told of each.
const COLUMNS: &[&str] = &["network", "name", "outcome", "reason"];

/// The screen, and whether all was ended.
pub(super) fn screen(ended: &Value) -> (String, bool) {
    let items = |name: &str| ended.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let is = |name: &str| ended.get(name).and_then(Value::as_bool).unwrap_or_default();
    let mut text = String::new();
    let mut is_whole = !is("more");
    for (name, title) in
        [("nodes", "Nodes"), ("joinTokens", "Join tokens"), ("operatorKeys", "Operator keys")]
    {
        let items = items(name);
        is_whole &= items.iter().all(|item| text_of(item, "outcome") != Some("kept"));
        if !items.is_empty() {
            let table = show::listing(&items, COLUMNS);
            text.push_str(&format!("{title}\n{table}"));
        }
    }
    if is("dryRun") {
        text.push_str(DRY_RUN_END);
        return (text, is_whole);
    }
    for network in items("revisions") {
        let name = shell_word(text_of(&network, "network").unwrap_or_default());
        let revision = network.get("revision").and_then(Value::as_i64).unwrap_or_default();
        text.push_str(&format!(
            "Watch:  nebula-gc admin nodes unapplied {} --revision {revision} --wait\n",
            printable(&name)
        ));
    }
    if is("more") {
        text.push_str("There may be more: repeat the command.\n");
    }
    (text, is_whole)
}
