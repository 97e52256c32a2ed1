//! What a server has of what files declare.

use std::collections::BTreeMap;
use std::error::Error;

use nebula_gc_http::client::{Client, ClientError, Request};
use serde_json::Value;

use super::super::answer::text_of;
use super::super::operation::Field;
use super::section::{
    BLOCKS, IN_NETWORK, JOIN_TOKENS, NETWORKS, OPERATOR_KEYS, POOLS, Section, TENANTS, TOP,
};
use super::value;

/// The things of a server, and the names of their ids.
#[derive(Debug, Default)]
pub(super) struct Server {
    things: BTreeMap<(&'static str, Option<String>), Vec<Value>>,
    /// Credentials that let nobody in any more.
    ended: BTreeMap<(&'static str, Option<String>), Vec<Value>>,
    names: BTreeMap<String, String>,
}

impl Server {
    /// Reads what stands by itself, and what is in these networks.
    pub(super) async fn read(client: &Client, networks: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut server = Self::default();
        for section in TOP {
            server.read_section(client, section, None).await?;
        }
        for network in networks {
            for section in IN_NETWORK {
                server.read_section(client, section, Some(network)).await?;
            }
        }
        Ok(server)
    }

    /// Reads all that the credential sees.
    pub(super) async fn read_all(client: &Client) -> Result<Self, Box<dyn Error>> {
        let mut server = Self::default();
        server.read_section(client, NETWORKS, None).await?;
        let networks = server.of(NETWORKS, None).iter().filter_map(|it| it["name"].as_str());
        let networks: Vec<_> = networks.map(str::to_owned).collect();
        Self::read(client, &networks).await
    }

    /// Reads a section anew.
    pub(super) async fn read_section(
        &mut self,
        client: &Client,
        section: &'static Section,
        network: Option<&str>,
    ) -> Result<(), Box<dyn Error>> {
        // A network that is to be made has nothing yet.
        if network.is_some_and(|network| self.find(NETWORKS, None, network).is_none()) {
            return Ok(());
        }
        let list = Request::get(&section.path(network)).query("limit", "500");
        let mut pages = client.pages(list);
        let mut things = vec![];
        loop {
            match pages.next().await {
                Ok(Some(more)) => things.extend(more),
                Ok(None) => break,
                // Who sees a network alone sees no tenants and keys.
                Err(ClientError::Refused { problem, .. })
                    if problem.status == 403
                        && [TENANTS.name, OPERATOR_KEYS.name].contains(&section.name) =>
                {
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (ended, mut things): (Vec<_>, Vec<_>) =
            things.into_iter().partition(|thing| self.has_ended(section, thing).is_some());
        for thing in &things {
            if let (Some(id), Some(name)) = (thing["id"].as_str(), thing[section.key].as_str()) {
                self.names.insert(id.to_owned(), name.to_owned());
            }
        }
        for thing in &mut things {
            if let (Some(network), Some(node)) = (network, thing["node"].as_str()) {
                let path = format!(
                    "{}/{node}",
                    section.path(Some(network)).replace(section.name, "nodes")
                );
                let node = client.send(Request::get(&path)).await?.json()?;
                if let (Some(id), Some(name)) = (text_of(&node, "id"), text_of(&node, "name")) {
                    self.names.insert(id.to_owned(), name.to_owned());
                }
            }
        }
        let place = (section.name, network.map(str::to_owned));
        self.ended.insert(place.clone(), ended);
        self.things.insert(place, things);
        Ok(())
    }

    /// All things of a section.
    pub(super) fn of(&self, section: &Section, network: Option<&str>) -> &[Value] {
        self.things.get(&(section.name, network.map(str::to_owned))).map_or(&[], Vec::as_slice)
    }

    /// The thing of a section that is known by this.
    pub(super) fn find(
        &self,
        section: &Section,
        network: Option<&str>,
        key: &str,
    ) -> Option<&Value> {
        let is_meant = |thing: &&Value| {
            let known = thing[section.key].as_str().unwrap_or_default();
            known == key || section.key == "range" && super::super::names::is_range(key, known)
        };
        self.of(section, network).iter().find(is_meant)
    }

    /// Why a credential of this name lets nobody in any more, where there is one: the latest.
    pub(super) fn ended(
        &self,
        section: &Section,
        network: Option<&str>,
        name: &str,
    ) -> Option<&'static str> {
        let ended = self.ended.get(&(section.name, network.map(str::to_owned)))?;
        self.has_ended(section, ended.iter().rfind(|it| it["name"] == name)?)
    }

    /// Why a credential lets nobody in any more; other things never end.
    fn has_ended(&self, section: &Section, thing: &Value) -> Option<&'static str> {
        let is_elsewhere = |pool: &str| !self.names.contains_key(pool);
        let has_lost_pool =
            section.name == JOIN_TOKENS.name && thing["pool"].as_str().is_some_and(is_elsewhere);
        has_ended(thing).or(has_lost_pool.then_some("names a pool or block that is gone"))
    }

    /// A field of a thing, in comparable form.
    pub(super) fn comparable(&self, field: &Field, thing: &Value) -> Value {
        let value = thing.get(&field.name).unwrap_or(&Value::Null);
        value::of_api(field, value, |id| self.name_of(id))
    }

    fn name_of(&self, id: &str) -> String {
        self.names.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    /// The id of what a field names: a tenant, or a pool or block.
    pub(super) fn id_of(&self, field: &str, network: Option<&str>, name: &str) -> Option<String> {
        let found = match field {
            "tenant" => self.find(TENANTS, None, name),
            "network" => self.find(NETWORKS, None, name),
            "pool" => self.find(POOLS, network, name).or_else(|| self.find(BLOCKS, network, name)),
            _ => None,
        };
        Some(found?["id"].as_str()?.to_owned())
    }
}

/// Whether it is a reservation for a node, which is none of the things that files declare by themselves.
pub(super) fn is_of_a_node(thing: &Value) -> bool {
    thing["purpose"] == "node"
}

/// Why a credential lets nobody in any more; other things never end.
fn has_ended(thing: &Value) -> Option<&'static str> {
    let is_past =
        |end: &str| end.parse::<jiff::Timestamp>().is_ok_and(|end| end <= jiff::Timestamp::now());
    let is_used_up = || Some(thing["used"].as_i64()? >= thing["uses"].as_i64()?);
    if thing["revokedAt"].is_string() {
        return Some("is revoked");
    }
    if thing["expiresAt"].as_str().is_some_and(is_past) {
        return Some("has expired");
    }
    is_used_up().unwrap_or_default().then_some("is used up")
}
