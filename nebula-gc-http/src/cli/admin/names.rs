//! Finds the ids of nodes, which the API takes, by their names.

use std::error::Error;

use clap::ArgMatches;
use nebula_gc_http::client::{Client, ClientError, Request};
use serde_json::Value;
use uuid::Uuid;

use super::fields::NODE;
use super::operation::{Operation, Place};

/// A node by its name or id.
pub(super) struct NodeName {
    network: String,
    name: String,
}

/// The node that a command names, if it names one.
pub(super) fn requested_node(operation: &Operation, matches: &ArgMatches) -> Option<NodeName> {
    let text = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    if ![Place::Path, Place::Body].iter().any(|place| operation.has(*place, NODE)) {
        return None;
    }
    let (network, name) = (text("network")?, text(NODE)?);
    Some(NodeName { network, name })
}

impl NodeName {
    /// Whether it has the form of an id; a name may have it, too.
    fn may_be_id(&self) -> bool {
        Uuid::parse_str(&self.name).is_ok_and(|id| id.to_string() == self.name)
    }

    /// The node's id. Ids are looked up before names, which are unique among the nodes that are not
    /// released.
    pub(super) async fn look_up(&self, client: &Client) -> Result<String, Box<dyn Error>> {
        let path = format!("/networks/{}/nodes", Request::segment(&self.network));
        if self.may_be_id() {
            let one = Request::get(&format!("{path}/{}", Request::segment(&self.name)));
            match client.send(one).await {
                Err(ClientError::Refused { problem, .. }) if problem.status == 404 => {}
                found => {
                    found?;
                    return Ok(self.name.clone());
                }
            }
        }
        let mut pages = client.pages(Request::get(&path).query("namePrefix", self.name.clone()));
        while let Some(nodes) = pages.next().await? {
            let has_name = |node: &&Value| node["name"] == self.name && node["state"] != "released";
            if let Some(id) = nodes.iter().find(has_name).and_then(|node| node["id"].as_str()) {
                return Ok(id.to_owned());
            }
        }
        let Self { network, name } = self;
        Err(format!("node: no node of {network} has the name {name:?}; list them with `nodes list`, and name released ones by id").into())
    }
}
