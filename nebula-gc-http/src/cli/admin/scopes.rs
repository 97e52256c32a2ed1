//! Names in place of the ids that items of lists have of other things.

use std::collections::BTreeMap;

use nebula_gc_http::client::{Client, ClientError, Request};
use serde_json::Value;

use super::commands::Entry;

/// Puts names in place of the ids of tenants and networks in scopes, and ranges in place of those of pools,
/// as far as the credential sees them.
pub(super) async fn named(
    entry: &Entry,
    client: &Client,
    network: &str,
    items: &mut [Value],
) -> Result<(), ClientError> {
    match entry.operation {
        "list_operator_keys" => {
            let names = [
                ("tenant", names(client, "/tenants", "name").await?),
                ("network", names(client, "/networks", "name").await?),
            ];
            for item in items {
                let Some(scope) = item["scope"].as_object_mut() else { continue };
                for (of, names) in &names {
                    scope.get_mut(*of).into_iter().for_each(|id| replace(id, names));
                }
            }
        }
        "list_blocks" => {
            let path = format!("/networks/{}/pools", Request::segment(network));
            let ranges = names(client, &path, "range").await?;
            items
                .iter_mut()
                .filter_map(|item| item.get_mut("pool"))
                .for_each(|id| replace(id, &ranges));
        }
        _ => {}
    }
    Ok(())
}

fn replace(id: &mut Value, names: &BTreeMap<String, Value>) {
    if let Some(name) = id.as_str().and_then(|id| names.get(id)) {
        *id = name.clone();
    }
}

/// What all of a list are known by, by their ids; nothing where the credential does not see the list.
async fn names(
    client: &Client,
    path: &str,
    known_by: &str,
) -> Result<BTreeMap<String, Value>, ClientError> {
    let mut pages = client.pages(Request::get(path).query("limit", "500"));
    let mut names = BTreeMap::new();
    loop {
        let items = match pages.next().await {
            Err(ClientError::Refused { problem, .. }) if problem.status == 403 => return Ok(names),
            items => items?,
        };
        let Some(items) = items else { return Ok(names) };
        let named = |item: &Value| Some((item["id"].as_str()?.to_owned(), item[known_by].clone()));
        names.extend(items.iter().filter_map(named));
    }
}
