//! What has to be done so that a server has what a file declares.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::fields::flag;
use super::super::operation::Field;
use super::check;
use super::file::{Declared, File};
use super::lines::Refusal;
use super::section::{BLOCKS, NETWORKS, POOLS, Section};
use super::server::{Server, is_of_a_node};
use super::step::{Act, Step, shown, what};
use super::value::{self, whole};

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In their order.
    pub(super) steps: Vec<Step>,
    /// Credentials of the file that let nobody in any more, and why. They are not made anew: whoever ended
    /// one meant it.
    pub(super) ended: Vec<(String, &'static str)>,
}

/// The plan. What is deleted makes room for what is resized, and that for what is made.
///
/// # Errors
/// All that can't be made as the file says.
pub(super) fn plan(file: &File, server: &Server, prunes: bool) -> Result<Plan, Vec<Refusal>> {
    let (mut plan, mut refusals, mut used) = (Plan::default(), vec![], BTreeSet::new());
    for declared in &file.declared {
        let Declared { section, network, key, .. } = declared;
        let network = network.as_deref();
        let mut present = server.find(section, network, key);
        if let (None, Some(why)) = (present, server.ended(section, network, key)) {
            plan.ended.push((what(section, network, key), why));
            continue;
        }
        if present.is_none() && prunes {
            present = former(declared, file, server, (&used, &plan.steps));
            used.extend(present.map(|present| id(section, present)));
        }
        match step(declared, present, server, &plan.steps) {
            Ok(Some(step)) => {
                // Where the file has a new network's pools, it gets none by itself.
                let without_pools = step.act == Act::Create
                    && section.name == NETWORKS.name
                    && file.has(POOLS, key);
                plan.steps.push(Step { without_pools, ..step });
            }
            Ok(None) => {}
            Err(refusal) => refusals.push(refusal),
        }
    }
    for of_section in
        plan.steps.chunk_by_mut(|a, b| (a.section.name, &a.network) == (b.section.name, &b.network))
    {
        of_section.sort_by_key(|step| step.act == Act::Create);
    }
    // Tokens name blocks, which are parts of pools.
    let sections = file.sections.iter().rev().filter(|_| prunes);
    let deletions = sections.flat_map(|(section, network)| spare(file, server, section, network));
    let deletions: Vec<_> = deletions.filter(|it| !used.contains(it.id())).collect();
    refusals.extend(check::refusals(file, server, &deletions, &plan.steps));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    plan.steps.splice(..0, deletions);
    Ok(plan)
}

/// What the server has of a declared pool or block under another name: a pool with some of its addresses, a
/// block with the same or as many in the same pool, which the file lacks.
fn former<'a>(
    declared: &Declared,
    file: &File,
    server: &'a Server,
    (used, before): (&BTreeSet<String>, &[Step]),
) -> Option<&'a Value> {
    let Declared { section, network, .. } = declared;
    let network = network.as_deref()?;
    let candidates = spare(file, server, section, network).filter(|it| !used.contains(it.id()));
    let found = candidates.filter_map(|it| server.find(section, Some(network), &it.key));
    let mut found = found.filter(|present| is_former(declared, server, present, before));
    found.next().filter(|_| found.next().is_none())
}

/// Whether what the server has is a declared pool or block, but for the range or the name.
fn is_former(declared: &Declared, server: &Server, present: &Value, before: &[Step]) -> bool {
    let Some(there) = present["range"].as_str().and_then(whole) else { return false };
    let said = |name: &str| declared.fields.iter().find(|(field, _)| field.name == name);
    if declared.section.name == POOLS.name {
        return whole(&declared.key).is_some_and(|own| own.intersection(&there).is_some());
    }
    let has_as_many = said("size")
        .and_then(|(_, size)| size.as_u64())
        .is_some_and(|size| u128::from(size) == there.capacity());
    let is_said = |name| {
        said(name).is_some_and(|(field, value)| is_said(field, value, (server, present), before))
    };
    declared.section.name == BLOCKS.name && is_said("pool") && (has_as_many || is_said("range"))
}

/// Whether what the server has says the same as the file in a field, also where what both name gets another
/// name or range just before.
fn is_said(
    field: &Field,
    value: &Value,
    (server, present): (&Server, &Value),
    before: &[Step],
) -> bool {
    let is_named_anew = |step: &Step| {
        present[&field.name] == step.id() && value::is_same(field, value, &step.key.as_str().into())
    };
    value::is_same(field, value, &server.comparable(field, present))
        || before.iter().any(is_named_anew)
}

/// The step that a declared thing takes, of which this is present, after the ones before.
fn step(
    declared: &Declared,
    present: Option<&Value>,
    server: &Server,
    before: &[Step],
) -> Result<Option<Step>, Refusal> {
    let Declared { section, network, key, fields } = declared;
    let network = network.clone();
    let Some(present) = present else {
        let fields = fields.iter().map(|(field, value)| (*field, value.clone(), Value::Null));
        let (act, fields, key) = (Act::Create, fields.collect(), key.clone());
        return Ok(Some(Step { act, section, network, key, fields, without_pools: false }));
    };
    let mut changes = vec![];
    if server.find(section, network.as_deref(), key) != Some(present)
        && let Some(field) = section.key_field()
    {
        changes.push((field, key.as_str().into(), present[section.key].clone()));
    }
    for (field, value) in fields.iter().filter(|(field, _)| section.is_shown(field)) {
        let was = server.comparable(field, present);
        if is_said(field, value, (server, present), before) {
            continue;
        }
        if !section.can_change(field) {
            let text = format!(
                "{}: {} can't be changed: it is {}, and would be {}; {}",
                what(section, network.as_deref(), key),
                flag(field),
                shown(field, &was),
                shown(field, value),
                match section.has_secret {
                    true => "give it another name in the file to make another",
                    false => "delete it first",
                }
            );
            let mut path = section.keys(network.as_deref(), key);
            path.push(flag(field));
            return Err(Refusal { path, text });
        }
        changes.push((*field, value.clone(), was));
    }
    let (act, key) = (Act::Change(id(section, present)), key.clone());
    let step = Step { act, section, network, key, fields: changes, without_pools: false };
    Ok((!step.fields.is_empty()).then_some(step))
}

/// The deletions of what the server has, and the file lacks, of a section of a network.
fn spare<'a>(
    file: &'a File,
    server: &'a Server,
    section: &'static Section,
    network: &'a str,
) -> impl Iterator<Item = Step> + 'a {
    let is_declared = move |present: &Value| {
        let mut declared = file.declared.iter();
        declared.any(|it| {
            it.section.name == section.name
                && it.network.as_deref() == Some(network)
                && server.find(section, Some(network), &it.key) == Some(present)
        })
    };
    let present = server.of(section, Some(network)).iter();
    let is_spare = move |present: &&Value| !is_of_a_node(present) && !is_declared(present);
    present.filter(is_spare).map(move |present| Step {
        act: Act::Delete(id(section, present)),
        section,
        network: Some(network.to_owned()),
        key: present[section.key].as_str().unwrap_or_default().to_owned(),
        fields: vec![],
        without_pools: false,
    })
}

/// What the API's path takes.
fn id(section: &Section, present: &Value) -> String {
    let id = present.get("id").unwrap_or(&present[section.key]);
    id.as_str().unwrap_or_default().to_owned()
}

impl Plan {
    /// For scripts.
    pub(super) fn to_json(&self) -> Value {
        let steps: Vec<_> = self.steps.iter().map(Step::to_json).collect();
        let ended = self.ended.iter().map(|(what, why)| json!({ "what": what, "why": why }));
        json!({ "steps": steps, "ended": ended.collect::<Vec<_>>() })
    }
}
