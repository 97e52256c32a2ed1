//! Finds the ids that the API takes by the names that people know.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::ArgMatches;
use ipnet::IpNet;
use nebula_gc_http::client::{Client, ClientError, Request};
use serde_json::Value;
use uuid::Uuid;

use super::operation::{Field, Operation, Place};

/// A parameter or field of the API that takes an id, for which commands take a name, too.
#[derive(Debug)]
pub(super) struct Named {
    field: &'static str,
    /// What it is called in messages.
    noun: &'static str,
    /// Where such things are listed; below their network, if they are of one.
    list: &'static str,
    is_in_network: bool,
    /// The field of the list by which people know one, and how a help text calls it.
    known_by: (&'static str, &'static str),
}

const NAMED: &[Named] = &[
    Named::of_a_network("node", "node", "nodes"),
    Named::of_a_network("block", "block", "blocks"),
    Named::of_a_network("joinToken", "join token", "join-tokens"),
    Named::of_a_network("ca", "CA", "cas"),
    Named::of_a_network("pending", "pending device", "pending"),
    Named { known_by: ("range", "range"), ..Named::of_a_network("pool", "pool", "pools") },
    Named { is_in_network: false, ..Named::of_a_network("tenant", "tenant", "tenants") },
    Named {
        is_in_network: false,
        ..Named::of_a_network("operatorKey", "operator key", "operator-keys")
    },
];
/// The field that may name a tenant as `tenant=NAME`.
const SCOPE: &str = "scope";
const OF_TENANT: &str = "tenant=";

impl Named {
    const fn of_a_network(field: &'static str, noun: &'static str, list: &'static str) -> Self {
        Self { field, noun, list, is_in_network: true, known_by: ("name", "name") }
    }
}

/// What the help says of a field that takes a name: "name or id".
pub(super) fn hint(field: &Field) -> Option<String> {
    if is_subject(field) {
        return Some("id, or the name that it has".to_owned());
    }
    named(field).map(|named| format!("{} or id", named.known_by.1))
}

fn named(field: &Field) -> Option<&'static Named> {
    // A new network's CA is one to make.
    let is_name = match field.place {
        Place::Path => true,
        Place::Body => field.name != "ca",
        Place::Query => field.name == "ca",
        Place::Header => false,
    };
    NAMED.iter().find(|named| is_name && named.field == field.name)
}

/// What events are about: anything that has a name. Of a network these, else what is of none.
const SUBJECT: Named =
    Named { known_by: ("name", "name"), ..Named::of_a_network("subject", "subject", "") };
const SUBJECTS_IN_NETWORK: &[&str] = &["nodes", "join-tokens", "cas"];
const SUBJECTS: &[&str] = &["networks", "tenants", "operator-keys"];

fn is_subject(field: &Field) -> bool {
    field.place == Place::Query && field.name == SUBJECT.field
}

/// Something that a command names.
pub(super) struct Wanted {
    field: String,
    named: &'static Named,
    network: Option<String>,
    text: String,
    /// Of several pending devices of a name the one whose key's fingerprint begins so.
    fingerprint: Option<String>,
    /// Whether one that has ended is meant where there is no other: what only reads may be about it.
    may_have_ended: bool,
}

/// What a command names.
pub(super) fn wanted(
    operation: &Operation,
    matches: &ArgMatches,
    network: Option<&str>,
) -> Vec<Wanted> {
    let text_of = |name: &str| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let of_field = |field: &Field| {
        let given = text_of(&field.name)?;
        if is_subject(field) {
            let network = network.map(str::to_owned);
            return Some(Wanted {
                field: field.name.clone(),
                named: &SUBJECT,
                network,
                text: given,
                fingerprint: None,
                may_have_ended: true,
            });
        }
        let (named, text) = match named(field) {
            Some(named) => (named, given),
            None if field.name == SCOPE => {
                let tenant = NAMED.iter().find(|named| named.field == "tenant")?;
                (tenant, given.strip_prefix(OF_TENANT)?.to_owned())
            }
            None => return None,
        };
        let network = network.filter(|_| named.is_in_network).map(str::to_owned);
        (network.is_some() == named.is_in_network).then(|| Wanted {
            field: field.name.clone(),
            named,
            network,
            text,
            fingerprint: text_of("keyFingerprint").filter(|_| named.field == "pending"),
            may_have_ended: operation.is_read(),
        })
    };
    operation.fields.iter().filter_map(of_field).collect()
}

/// The values of the fields whose names were looked up.
pub(super) type Found = BTreeMap<String, String>;

/// Finds the ids of all that is wanted.
pub(super) async fn look_up(wanted: &[Wanted], client: &Client) -> Result<Found, Box<dyn Error>> {
    let mut found = Found::new();
    for one in wanted {
        let id = one.look_up(client).await?;
        let value = if one.field == SCOPE { format!("{OF_TENANT}{id}") } else { id };
        found.insert(one.field.clone(), value);
    }
    Ok(found)
}

impl Wanted {
    /// Whether it has the form of an id; a name may have it, too.
    fn may_be_id(&self) -> bool {
        Uuid::parse_str(&self.text).is_ok_and(|id| id.to_string() == self.text)
    }

    fn path(&self, list: &str) -> String {
        match &self.network {
            Some(network) => format!("/networks/{}/{list}", Request::segment(network)),
            None => format!("/{list}"),
        }
    }

    /// The id. Ids are looked up before names.
    async fn look_up(&self, client: &Client) -> Result<String, Box<dyn Error>> {
        if self.named.field == SUBJECT.field {
            return self.look_up_subject(client).await;
        }
        if self.may_be_id() && self.is_there(client).await? {
            return Ok(self.text.clone());
        }
        let mut found = self.search(client, self.named.list, self.named.known_by.0).await?;
        if self.named.field == "pool" && found.is_empty() {
            found = self.search(client, "blocks", "name").await?;
        }
        if self.named.field == "node" && found.is_empty() && self.may_have_ended {
            let all = self.search_all(client, self.named.list, "name").await?;
            found = all.into_iter().map(|(id, _)| id).collect();
        }
        match found.as_slice() {
            [id] => Ok(id.clone()),
            // The server says what is wrong with an id.
            [] if self.may_be_id() => Ok(self.text.clone()),
            [] => Err(self.missing().into()),
            ids => {
                let of_key = self.of_key(client, ids).await?;
                of_key.ok_or_else(|| self.ambiguous(ids).into())
            }
        }
    }

    /// The one of these pending devices whose key is named, if it is one.
    async fn of_key(&self, client: &Client, ids: &[String]) -> Result<Option<String>, ClientError> {
        let digits = |text: &str| {
            let digits = text.chars().filter(char::is_ascii_hexdigit);
            digits.map(|digit| digit.to_ascii_lowercase()).collect::<String>()
        };
        let named = self.fingerprint.as_deref().map(digits).filter(|digits| !digits.is_empty());
        let Some(named) = named else { return Ok(None) };
        let mut found = vec![];
        for id in ids {
            let path = format!("{}/{}", self.path(self.named.list), Request::segment(id));
            let device: Value = client.send(Request::get(&path)).await?.json()?;
            let fingerprint = device.get("keyFingerprint").and_then(Value::as_str);
            if fingerprint.is_some_and(|it| digits(it).starts_with(&named)) {
                found.push(id.clone());
            }
        }
        Ok(if found.len() == 1 { found.pop() } else { None })
    }

    /// The id of what has this name, or had it when it ended.
    async fn look_up_subject(&self, client: &Client) -> Result<String, Box<dyn Error>> {
        if Uuid::parse_str(&self.text).is_ok() {
            return Ok(self.text.clone());
        }
        let lists = if self.network.is_some() { SUBJECTS_IN_NETWORK } else { SUBJECTS };
        let (mut found, mut ended) = (vec![], vec![]);
        for list in lists {
            for (id, has_ended) in self.search_all(client, list, "name").await? {
                if has_ended { ended.push(id) } else { found.push(id) }
            }
        }
        // What there is comes before what there was.
        let found = if found.is_empty() { ended } else { found };
        match found.as_slice() {
            [id] => Ok(id.clone()),
            [] => {
                let kinds = lists.join(", ");
                let text = &self.text;
                Err(format!("subject: none of the {kinds} has the name {text:?}; give its id")
                    .into())
            }
            ids => Err(self.ambiguous(ids).into()),
        }
    }

    async fn is_there(&self, client: &Client) -> Result<bool, ClientError> {
        let path = format!("{}/{}", self.path(self.named.list), Request::segment(&self.text));
        match client.send(Request::get(&path)).await {
            Err(ClientError::Refused { problem, .. }) if problem.status == 404 => Ok(false),
            found => found.map(|_| true),
        }
    }

    /// Those that are known by the text, each with whether it has ended; released nodes, too.
    async fn search_all(
        &self,
        client: &Client,
        list: &str,
        known_by: &str,
    ) -> Result<Vec<(String, bool)>, Box<dyn Error>> {
        let states = if list == "nodes" { &[None, Some("released")][..] } else { &[None] };
        let mut found = vec![];
        for state in states {
            let mut request = Request::get(&self.path(list)).query("limit", "500");
            if list == "nodes" {
                request = request.query("namePrefix", self.text.clone());
            }
            if let Some(state) = state {
                request = request.query("state", *state);
            }
            let mut pages = client.pages(request);
            while let Some(items) = pages.next().await? {
                let known = items.iter().filter(|item| item[known_by] == self.text.as_str());
                let ids =
                    known.filter_map(|it| Some((it["id"].as_str()?.to_owned(), has_ended(it))));
                found.extend(ids);
            }
        }
        Ok(found)
    }

    /// The ids of those that are known by the text, and have not ended.
    async fn search(
        &self,
        client: &Client,
        list: &str,
        known_by: &str,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        let mut request = Request::get(&self.path(list)).query("limit", "500");
        if list == "nodes" {
            request = request.query("namePrefix", self.text.clone());
        }
        let mut pages = client.pages(request);
        let mut found = vec![];
        while let Some(items) = pages.next().await? {
            let is_meant = |item: &&Value| {
                let known = item[known_by].as_str().unwrap_or_default();
                (known == self.text || known_by == "range" && is_range(&self.text, known))
                    && !has_ended(item)
            };
            let ids = items.iter().filter(is_meant).filter_map(|item| item["id"].as_str());
            found.extend(ids.map(str::to_owned));
        }
        Ok(found)
    }

    fn missing(&self) -> String {
        let Self { field, named: Named { noun, list, known_by: (_, known_by), .. }, text, .. } =
            self;
        let of = self.network.as_ref().map(|network| format!(" of {network}")).unwrap_or_default();
        let group = if *list == "cas" { "networks cas".to_owned() } else { format!("{list} list") };
        format!(
            "{field}: no {noun}{of} has the {known_by} {text:?}; list them with `{group}`, and give the \
             id of one that has ended"
        )
    }

    fn ambiguous(&self, ids: &[String]) -> String {
        let Self { field, named: Named { noun, .. }, text, .. } = self;
        format!(
            "{field}: {text:?} is the name of more than one {noun}; give the id: {}",
            ids.join(", ")
        )
    }
}

/// Whether a name is free for another one again.
fn has_ended(item: &Value) -> bool {
    item["revokedAt"].is_string() || item["state"] == "released"
}

/// Whether a text is another way to write a range: as the prefix of its addresses, perhaps without the first
/// and the last, which nodes can't have where they are those of the network.
pub(super) fn is_range(text: &str, range: &str) -> bool {
    let ends = range.split_once('-').map(|(first, last)| (first.parse(), last.parse()));
    let Some((Ok(first), Ok(last))) = ends else { return false };
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let Some(prefix) = text.parse().ok().or_else(address) else { return false };
    let has_inner_ends = match prefix {
        IpNet::V4(v4) => v4.prefix_len() < 31,
        IpNet::V6(v6) => v6.prefix_len() < 127,
    };
    let (lowest, highest) = (prefix.network(), prefix.broadcast());
    let is_end = |end: IpAddr, outer: IpAddr, inner: Option<IpAddr>| {
        end == outer || has_inner_ends && Some(end) == inner
    };
    is_end(first, lowest, after(lowest)) && is_end(last, highest, before(highest))
}

fn after(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4).checked_add(1)?).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6).checked_add(1)?).into(),
    })
}

fn before(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4).checked_sub(1)?).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6).checked_sub(1)?).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_known_by_its_prefix_too() {
        for (text, range) in [
            ("10.42.8.0/24", "10.42.8.1-10.42.8.254"),
            ("10.42.8.0/24", "10.42.8.0-10.42.8.255"),
            ("10.42.0.0/20", "10.42.0.1-10.42.15.255"),
            ("10.42.8.0/31", "10.42.8.0-10.42.8.1"),
            ("10.42.8.7/32", "10.42.8.7-10.42.8.7"),
            ("10.42.8.7", "10.42.8.7-10.42.8.7"),
            ("fd00::/64", "fd00::1-fd00::ffff:ffff:ffff:ffff"),
        ] {
            assert!(is_range(text, range), "{text} {range}");
        }
        for (text, range) in [
            ("10.42.0.0/16", "10.42.8.1-10.42.8.254"),
            ("10.42.8.0/31", "10.42.8.1-10.42.8.1"),
            ("10.42.8.0/24", "10.42.8.1-10.42.8.253"),
            ("10.42.8.0/24", "10.42.8.2-10.42.8.254"),
            ("10.42.8.1", "10.42.8.1-10.42.8.254"),
            ("", "10.42.8.1-10.42.8.254"),
        ] {
            assert!(!is_range(text, range), "{text} {range}");
        }
    }
}
