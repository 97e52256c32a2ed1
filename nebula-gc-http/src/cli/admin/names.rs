//! Nodes by their names, which the API knows by their ids.

use std::error::Error;

use clap::ArgMatches;
use nebula_gc_http::client::{Client, Request};
use serde_json::Value;
use uuid::Uuid;

use super::fields::NODE;
use super::operation::{Operation, Place};

/// A node as a person calls it.
pub(super) struct Named {
    network: String,
    name: String,
}

/// The node that is meant, where it is named by something that is no id.
pub(super) fn node_by_name(operation: &Operation, said: &ArgMatches) -> Option<Named> {
    let text = |name: &str| said.try_get_one::<String>(name).ok().flatten().cloned();
    if !operation.has(Place::Path, NODE) {
        return None;
    }
    let (network, name) = (text("network")?, text(NODE)?);
    Uuid::parse_str(&name).is_err().then_some(Named { network, name })
}

impl Named {
    /// Its id. Names are unique among the nodes that are not released.
    pub(super) async fn look_up(&self, client: &Client) -> Result<String, Box<dyn Error>> {
        let path = format!("/networks/{}/nodes", Request::segment(&self.network));
        let mut pages = client.pages(Request::get(&path).query("namePrefix", self.name.clone()));
        while let Some(nodes) = pages.next().await? {
            let called = |node: &&Value| node["name"] == self.name && node["state"] != "released";
            if let Some(id) = nodes.iter().find(called).and_then(|node| node["id"].as_str()) {
                return Ok(id.to_owned());
            }
        }
        let Self { network, name } = self;
        Err(format!("node: none in {network} is called {name:?}; `nodes list` has them, and released ones by id").into())
    }
}
