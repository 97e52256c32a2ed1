//! What a server would refuse of a file, found before anything is done: by the server's own rules for names,
//! groups and addresses, and by the limits that the API's document has.

use std::net::IpAddr;

use ipnet::IpNet;
use nebula_alloc::AddressRange;
use nebula_gc_http::error::Fault;
use nebula_gc_http::{
    Addresses, DeviceId, Error, Groups, Label, NodeAddresses, NodeName, UserName, Versions,
    check_name, check_prefixes, is_same_name,
};
use serde_json::Value;

use super::super::fields::{duration, flag};
use super::super::operation::{Field, Kind};
use super::file::File;
use super::lines::Refusal;
use super::section::{BLOCKS, JOIN_TOKENS, NETWORKS, POOLS, RESERVATIONS, Section, TENANTS};
use super::server::Server;
use super::step::{Act, Step, what};
use super::value::whole;

/// What of the steps would be refused.
pub(super) fn refusals(
    file: &File,
    server: &Server,
    deletions: &[Step],
    steps: &[Step],
) -> Vec<Refusal> {
    let planned = Planned { file, server, deletions, steps };
    let of_step = |step: &Step| {
        let (network, keys) =
            (step.network.as_deref(), step.section.keys(step.network.as_deref(), &step.key));
        let refusal = move |(field, reason): (Option<String>, String)| {
            let colon = field.iter().map(|field| format!("{field}: ")).collect::<String>();
            Refusal {
                path: keys.iter().cloned().chain(field).collect(),
                text: format!("{}: {colon}{reason}", what(step.section, network, &step.key)),
            }
        };
        planned.check(step).into_iter().map(refusal).collect::<Vec<_>>()
    };
    steps.iter().filter(|step| !matches!(step.act, Act::Delete(_))).flat_map(of_step).collect()
}

/// What a server is to have.
struct Planned<'a> {
    file: &'a File,
    server: &'a Server,
    deletions: &'a [Step],
    steps: &'a [Step],
}

/// The key in the file that is wrong, if it is one, and why.
type Reason = (Option<String>, String);

impl Planned<'_> {
    fn check(&self, step: &Step) -> Vec<Reason> {
        let mut reasons = vec![];
        if let Err(reason) = self.check_key(step) {
            reasons.push((None, reason));
        }
        if step.act == Act::Create {
            let missing = step
                .section
                .fields()
                .filter(|field| field.is_required && step.field(&field.name).is_none());
            reasons.extend(missing.map(|field| (None, format!("{} is missing", flag(field)))));
        }
        for (field, value, _) in &step.fields {
            let checked = of_limits(field, value)
                .and_then(|()| of_texts(field, value))
                .and_then(|()| self.check_reference(step, field, value));
            if let Err(reason) = checked {
                reasons.push((Some(flag(field)), reason));
            }
        }
        let whole = match step.section.name {
            "networks" => self.check_network(step),
            "blocks" if step.act == Act::Create => self.check_block(step),
            "reservations" => check_reservation(step),
            "join-tokens" if step.field("address").is_some() => self.check_address(step),
            "join-tokens"
                if ["expiresAt", "expiresInSeconds"].iter().all(|it| step.field(it).is_some()) =>
            {
                Err((None, "has both expires-at and expires-in; one of them is enough".to_owned()))
            }
            _ => Ok(()),
        };
        reasons.extend(whole.err());
        reasons
    }

    /// What it is known by: a name, or a range of the network that no other has.
    fn check_key(&self, step: &Step) -> Result<(), String> {
        let Step { section, network, key, .. } = step;
        let is_new = step.act == Act::Create || step.field(section.key).is_some();
        if !is_new {
            return Ok(());
        }
        if section.key == "name" {
            check_name(key).map_err(|fault| fault.to_string())?;
            return self.check_unused(step);
        }
        let range = self.range(network.as_deref().unwrap_or_default(), key)?;
        self.check_blocks_inside(step, &range)?;
        self.check_free(step, &range)
    }

    /// That a pool with another range leaves none of its blocks outside.
    fn check_blocks_inside(&self, step: &Step, range: &AddressRange) -> Result<(), String> {
        if step.section.name != POOLS.name || step.act == Act::Create {
            return Ok(());
        }
        let is_gone =
            |block: &Value| self.deletions.iter().any(|it| Some(it.id()) == block["id"].as_str());
        let blocks = self.server.of(BLOCKS, step.network.as_deref()).iter();
        let mut blocks =
            blocks.filter(|block| block["pool"].as_str() == Some(step.id()) && !is_gone(block));
        let is_outside = |block: &&Value| {
            let held = block["range"].as_str().and_then(whole);
            held.is_some_and(|held| !range.includes(&held))
        };
        match blocks.find(is_outside) {
            None => Ok(()),
            Some(block) => Err(format!(
                "block {} with {} would lie outside; delete it first",
                block["name"].as_str().unwrap_or_default(),
                block["range"].as_str().unwrap_or_default()
            )),
        }
    }

    /// That no other has the name, where names are unique.
    fn check_unused(&self, step: &Step) -> Result<(), String> {
        let Step { section, network, key, .. } = step;
        if ![TENANTS.name, NETWORKS.name].contains(&section.name) {
            return Ok(());
        }
        let declared = self.file.declared.iter().filter(|it| it.section.name == section.name);
        let present = self.server.of(section, network.as_deref()).iter();
        let names = present.filter_map(|it| it["name"].as_str());
        let mut names = names.chain(declared.map(|it| it.key.as_str()));
        match names.find(|name| *name != key && is_same_name(name, key)) {
            Some(other) => Err(format!("another {} is called {other:?}", section.noun)),
            None => Ok(()),
        }
    }

    /// That no other pool, block or reservation has some of these addresses.
    fn check_free(&self, step: &Step, range: &AddressRange) -> Result<(), String> {
        let ranges = self.ranges(step.section, step.network.as_deref().unwrap_or_default());
        let mut others = ranges.into_iter().filter(|(id, key, _)| {
            if step.act == Act::Create {
                *key != step.key || !id.is_empty()
            } else {
                *id != step.id()
            }
        });
        match others.find(|(_, _, other)| other.intersection(range).is_some()) {
            None => Ok(()),
            Some((id, _, other)) => {
                let lacks = !id.is_empty() && step.section.name != RESERVATIONS.name;
                let advice = if lacks { "; --prune replaces what the file lacks" } else { "" };
                Err(format!("{} {other} has some of these addresses{advice}", step.section.noun))
            }
        }
    }

    /// The ranges of a section of a network as they are to be: the id of what there is, the key, the range.
    fn ranges(&self, section: &Section, network: &str) -> Vec<(&str, &str, AddressRange)> {
        let is_here = |step: &&Step| {
            step.section.name == section.name && step.network.as_deref() == Some(network)
        };
        let gone = self.deletions.iter().chain(self.steps).filter(is_here);
        // What is renamed keeps its range.
        let gone: Vec<_> = gone
            .filter(|step| section.key == "range" || !matches!(step.act, Act::Change(_)))
            .collect();
        let present = self.server.of(section, Some(network)).iter();
        let present = present.filter_map(|it| {
            let id = it.get("id").unwrap_or(&it[section.key]).as_str()?;
            Some((id, it[section.key].as_str()?, whole(it["range"].as_str()?)?))
        });
        let present = present.filter(|(id, ..)| !gone.iter().any(|step| step.id() == *id));
        let made = self.steps.iter().filter(is_here).filter_map(|step| {
            let range = match section.key {
                "range" => &step.key,
                _ => step.field("range").and_then(Value::as_str)?,
            };
            Some((step.id(), step.key.as_str(), self.range(network, range).ok()?))
        });
        present.chain(made).collect()
    }

    /// The addresses of a network that a text names.
    fn range(&self, network: &str, text: &str) -> Result<AddressRange, String> {
        let addresses: Addresses = text.parse().map_err(|fault: Fault| fault.to_string())?;
        addresses.among(self.prefixes(network).into_iter()).map_err(|fault| fault.to_string())
    }

    /// The prefixes that a network is to have.
    fn prefixes(&self, network: &str) -> Vec<IpNet> {
        let is_it = |step: &&Step| step.section.name == NETWORKS.name && step.key == network;
        let planned = self.steps.iter().find(is_it).and_then(|step| step.field("prefixes"));
        let present = || self.server.find(NETWORKS, None, network)?.get("prefixes");
        planned.or_else(present).map(prefixes).unwrap_or_default()
    }

    fn check_network(&self, step: &Step) -> Result<(), Reason> {
        let present = self.server.find(NETWORKS, None, &step.key);
        let now = |name: &str| step.field(name).or_else(|| present?.get(name));
        let Some(said) = step.field("prefixes") else { return Ok(()) };
        let refuse = |reason: String| (Some("prefixes".to_owned()), reason);
        let each: Vec<_> =
            said.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if let Some(wrong) = each.iter().find(|text| text.parse::<IpNet>().is_err()) {
            return Err(refuse(format!("{wrong:?} is no prefix such as 10.42.0.0/16")));
        }
        let planned = prefixes(said);
        let versions = match now("versions").and_then(Value::as_str) {
            Some("1") => Versions::V1,
            Some("both") => Versions::Both,
            _ => Versions::V2,
        };
        check_prefixes(&planned, versions).map_err(|error| refuse(reason_of(&error)))?;
        let former = present.map(|it| prefixes(&it["prefixes"])).unwrap_or_default();
        let is_kept = |former: &&IpNet| planned.iter().any(|it| it.contains(*former));
        match former.iter().find(|former| !is_kept(former)) {
            Some(lost) => {
                Err(refuse(format!("must go on to contain {lost}: a network only grows")))
            }
            None => Ok(()),
        }
    }

    fn check_block(&self, step: &Step) -> Result<(), Reason> {
        let network = step.network.as_deref().unwrap_or_default();
        let range = match (step.field("range").and_then(Value::as_str), step.field("size")) {
            (Some(range), None) => range,
            (None, Some(_)) => return Ok(()),
            _ => return Err((None, "needs either range or size".to_owned())),
        };
        let refuse = |reason| (Some("range".to_owned()), reason);
        let range = self.range(network, range).map_err(refuse)?;
        let pool = step.field("pool").and_then(Value::as_str).unwrap_or_default();
        let pools = self.ranges(POOLS, network).into_iter();
        let pool = pools
            .map(|(.., range)| range)
            .find(|range| whole(pool).is_some_and(|pool| pool.includes(range)));
        if pool.is_some_and(|pool| !pool.includes(&range)) {
            return Err(refuse("does not lie inside the pool".to_owned()));
        }
        self.check_free(step, &range).map_err(refuse)
    }

    /// That the one node of a join token can have the address that the token names, as far as pools tell.
    fn check_address(&self, step: &Step) -> Result<(), Reason> {
        let refuse = |reason: String| (Some("address".to_owned()), reason);
        let text = step.field("address").and_then(Value::as_str).unwrap_or_default();
        let addresses: NodeAddresses =
            text.parse().map_err(|fault: Fault| refuse(fault.to_string()))?;
        if step.field("uses").and_then(Value::as_i64).is_some_and(|uses| uses != 1) {
            return Err((Some("uses".to_owned()), "must be 1 beside an address".to_owned()));
        }
        let pools = self.ranges(POOLS, step.network.as_deref().unwrap_or_default());
        let has = |address: IpAddr| pools.iter().any(|(.., range)| range.contains(address));
        let is_own_pool = pools.is_empty();
        match addresses.iter().find(|address| !is_own_pool && !has(*address)) {
            None => Ok(()),
            Some(address) => Err(refuse(format!("no pool of the network has {address}"))),
        }
    }

    /// That what a field names is there, or is to be made.
    fn check_reference(&self, step: &Step, field: &Field, value: &Value) -> Result<(), String> {
        let Some(text) = value.as_str() else { return Ok(()) };
        let (of, name) = match field.name.as_str() {
            "tenant" | "pool" => (field.name.as_str(), text),
            "scope" => match text.split_once('=') {
                Some(reference @ ("tenant" | "network", _)) => reference,
                None if text == "root" => return Ok(()),
                _ => return Err("must be root, tenant=NAME or network=NAME".to_owned()),
            },
            _ => return Ok(()),
        };
        let (sections, network): (&[&Section], _) = match of {
            "tenant" => (&[TENANTS], None),
            "network" => (&[NETWORKS], None),
            _ if step.section.name == JOIN_TOKENS.name => {
                (&[POOLS, BLOCKS], step.network.as_deref())
            }
            _ => (&[POOLS], step.network.as_deref()),
        };
        let is_there = |section: &&&Section| {
            let is_it =
                |key: &str| key == name || section.key == "range" && whole(key) == whole(name);
            let is_declared = self.file.declared.iter().any(|it| {
                it.section.name == section.name
                    && it.network.as_deref() == network
                    && is_it(&it.key)
            });
            let gone =
                |id: &Value| self.deletions.iter().any(|step| Some(step.id()) == id.as_str());
            let present = self.server.find(section, network, name);
            is_declared || present.is_some_and(|present| !gone(&present["id"]))
        };
        let is_own_pool = || {
            let network = network.unwrap_or_default();
            of == "pool"
                && self.server.find(NETWORKS, None, network).is_none()
                && !self.file.has(POOLS, network)
                && self.prefixes(network).iter().any(|prefix| name.parse() == Ok(*prefix))
        };
        if sections.iter().any(|section| is_there(&section)) || is_own_pool() {
            return Ok(());
        }
        Err(format!("there is no {of} {name:?}"))
    }
}

fn prefixes(value: &Value) -> Vec<IpNet> {
    let each = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    each.filter_map(|text| text.parse().ok()).collect()
}

fn check_reservation(step: &Step) -> Result<(), Reason> {
    let is_for_device = step.field("purpose").is_some_and(|purpose| purpose == "device");
    let address = step.key.parse::<IpAddr>();
    match (is_for_device, step.field("device").is_some()) {
        (true, false) => Err((None, "device is missing: whom is it for?".to_owned())),
        (false, true) => {
            Err((Some("device".to_owned()), "is only for the purpose device".to_owned()))
        }
        (true, true)
            if address.is_err() && whole(&step.key).is_none_or(|range| range.capacity() > 1) =>
        {
            Err((None, "must be one address if it is for a device".to_owned()))
        }
        _ => Ok(()),
    }
}

/// A number within the limits of the API's document.
fn of_limits(field: &Field, value: &Value) -> Result<(), String> {
    let (Some(number), (least, most)) = (value.as_i64(), field.limits) else { return Ok(()) };
    let shown = |number: i64| match field.kind {
        Kind::Seconds if number > 0 => duration(number),
        _ => number.to_string(),
    };
    match (least, most) {
        (Some(least), Some(most)) if !(least..=most).contains(&number) => {
            Err(format!("must be from {} to {}", shown(least), shown(most)))
        }
        (Some(least), None) if number < least => Err(format!("must be at least {}", shown(least))),
        _ => Ok(()),
    }
}

/// A text, or texts, as the server takes them.
fn of_texts(field: &Field, value: &Value) -> Result<(), String> {
    let text = || value.as_str().unwrap_or_default().to_owned();
    let checked = match field.name.as_str() {
        "groups" => {
            let groups = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            Groups::new(groups.map(str::to_owned).collect()).map(drop)
        }
        "user" => UserName::new(text()).map(drop),
        "note" => Label::new(text()).map(drop),
        "device" => DeviceId::new(text()).map(drop),
        "namePattern" => NodeName::new(text()).map(drop),
        _ => Ok(()),
    };
    checked.map_err(|error| reason_of(&error))
}

/// Why, without the field.
fn reason_of(error: &Error) -> String {
    match error {
        Error::Invalid { fault, .. } => fault.to_string(),
        error => error.to_string(),
    }
}
