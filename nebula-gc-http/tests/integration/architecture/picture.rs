//! The picture of rooms and arrows in docs/architecture.md, drawn from the imports.

use std::collections::BTreeSet;

use super::imports::Imports;
use super::rooms::{self, ROOMS};

/// A Mermaid diagram with a frame for each crate. An arrow that follows from others is left out, and
/// so is one that the design does not have.
pub(crate) fn draw(imports: &Imports) -> String {
    let mut text = "flowchart TD\n".to_owned();
    let mut frame = "";
    for room in ROOMS.iter() {
        if room.crate_name() != frame {
            text += if frame.is_empty() { "" } else { "  end\n" };
            frame = room.crate_name();
            text += &format!("  subgraph {frame}\n");
        }
        text += &format!("    {}[\"<b>{}</b><br/>{}\"]\n", id(room.name), room.name, room.what);
    }
    text += "  end\n";
    let arrows =
        rooms::arrows(imports).into_keys().filter(|&(above, below)| rooms::may(above, below));
    let arrows: BTreeSet<(&str, &str)> = arrows.collect();
    for &(above, below) in &arrows {
        if !arrows
            .iter()
            .any(|&(from, by)| from == above && by != below && leads(&arrows, by, below))
        {
            text += &format!("  {} --> {}\n", id(above), id(below));
        }
    }
    text
}

/// Is there a way from one room to another along the arrows?
fn leads(arrows: &BTreeSet<(&str, &str)>, from: &str, to: &str) -> bool {
    let mut reached = BTreeSet::from([from]);
    loop {
        let next =
            arrows.iter().filter(|(above, _)| reached.contains(above)).map(|&(_, below)| below);
        let more: BTreeSet<&str> = next.filter(|below| !reached.contains(below)).collect();
        if more.is_empty() {
            return reached.contains(to);
        }
        reached.extend(more);
    }
}

/// A room's name as Mermaid takes it.
fn id(name: &str) -> String {
    name.replace(|sign: char| !sign.is_alphanumeric(), "_")
}
