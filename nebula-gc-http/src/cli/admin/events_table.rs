//! The screen of events: names in place of ids.

use serde_json::Value;

use super::answer::text_of;

/// Events with the names of what they are about in place of the ids, for a screen.
pub(super) fn with_names(mut events: Vec<Value>) -> Vec<Value> {
    for event in &mut events {
        let named = |field: &str| text_of(event, &format!("{field}Name")).map(str::to_owned);
        let actor = named("actor").map(|name| {
            let kind = text_of(event, "actor").and_then(|actor| actor.split_once(':'));
            format!("{}:{name}", kind.map_or("", |(kind, _)| kind))
        });
        let names =
            [("actor", actor), ("network", named("network")), ("subject", named("subject"))];
        let Some(event) = event.as_object_mut() else { continue };
        for (field, name) in names {
            if let Some(name) = name {
                event.insert(field.to_owned(), name.into());
            }
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_stand_in_place_of_ids_where_they_are_known() {
        let event = json!({"actor": "operator_key:1", "actorName": "root", "network": "2",
            "networkName": "office", "subject": "3"});
        let shown = with_names(vec![event, json!({"actor": "server"})]);
        assert_eq!(shown[0]["actor"], "operator_key:root");
        assert_eq!((&shown[0]["network"], &shown[0]["subject"]), (&json!("office"), &json!("3")));
        assert_eq!(shown[1], json!({"actor": "server"}));
    }
}
