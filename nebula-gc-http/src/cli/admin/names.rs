//! Nodes by their names, which the API knows by their ids.

use std::error::Error;

use clap::ArgMatches;
use nebula_gc_http::client::{Client, ClientError, Request};
use serde_json::Value;
use uuid::Uuid;

use super::fields::NODE;
use super::operation::{Operation, Place};

/// A node as a person calls it.
pub(super) struct Named {
    network: String,
    name: String,
}

/// The node that is meant, by its name or id.
pub(super) fn node_meant(operation: &Operation, said: &ArgMatches) -> Option<Named> {
    let text = |name: &str| said.try_get_one::<String>(name).ok().flatten().cloned();
    if ![Place::Path, Place::Body].iter().any(|place| operation.has(*place, NODE)) {
        return None;
    }
    let (network, name) = (text("network")?, text(NODE)?);
    Some(Named { network, name })
}

impl Named {
    /// Whether it is written as an id is; a name may be, too.
    fn may_be_id(&self) -> bool {
        Uuid::parse_str(&self.name).is_ok_and(|id| id.to_string() == self.name)
    }

    /// Its id: what has it as its id comes first. Names are unique among the nodes that are not
    /// released.
    pub(super) async fn look_up(&self, client: &Client) -> Result<String, Box<dyn Error>> {
        let path = format!("/networks/{}/nodes", Request::segment(&self.network));
        if self.may_be_id() {
            let one = Request::get(&format!("{path}/{}", Request::segment(&self.name)));
            match client.send(one).await {
                Err(ClientError::Refused(problem)) if problem.status == 404 => {}
                found => {
                    found?;
                    return Ok(self.name.clone());
                }
            }
        }
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
