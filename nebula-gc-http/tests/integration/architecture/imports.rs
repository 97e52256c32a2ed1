//! Which file imports from which: the arrows between files, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::{Target, Tree, Use};

/// For each file, the files that it imports from, each with the names it takes; and the paths that
/// lead to other crates than the four.
#[derive(Default)]
pub(crate) struct Imports {
    pub arrows: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    pub foreign: BTreeMap<String, BTreeSet<String>>,
}

impl Imports {
    pub(crate) fn new(files: &BTreeMap<String, String>) -> Self {
        let tree = Tree::new(files);
        let mut imports = Self::default();
        for id in 0..tree.modules.len() {
            imports.add(&tree, id);
        }
        imports
    }

    fn add(&mut self, tree: &Tree, id: usize) {
        let module = &tree.modules[id];
        self.arrows.entry(module.file.clone()).or_default();
        for import in &module.uses {
            if !is_reexport_of_a_child(tree, id, import) {
                self.add_path(tree, id, &import.path);
            }
        }
        for path in &module.paths {
            let first = &path[0];
            // What an import brought in was counted there; what a re-export did, only by its use.
            let imported = module.uses.iter().filter(|import| import.name == *first);
            let reexported =
                imported.clone().any(|import| is_reexport_of_a_child(tree, id, import));
            if reexported || imported.count() == 0 {
                self.add_path(tree, id, path);
            }
        }
    }

    fn add_path(&mut self, tree: &Tree, from: usize, path: &[String]) {
        let file = &tree.modules[from].file;
        match tree.resolve(from, path) {
            Target::Module(to) => {
                let to = &tree.modules[to].file;
                if to != file {
                    let names =
                        self.arrows.entry(file.clone()).or_default().entry(to.clone()).or_default();
                    names.insert(path.last().unwrap().clone());
                }
            }
            Target::Foreign if path.len() > 1 => {
                self.foreign.entry(file.clone()).or_default().insert(path.join("::"));
            }
            Target::Foreign => {}
        }
    }

    /// The groups of files that import each other around.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<&str>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            self.arrows.keys().map(|file| (file.as_str(), self.reached_from(file))).collect();
        let mut circles: Vec<BTreeSet<&str>> = Vec::new();
        for (&file, others) in &reached {
            if others.contains(file) && !circles.iter().any(|circle| circle.contains(file)) {
                circles.push(
                    others.iter().copied().filter(|other| reached[other].contains(file)).collect(),
                );
            }
        }
        circles
    }

    /// Without the imports of a part from its whole (`lease/hold.rs` from `lease.rs`).
    pub(crate) fn without_wholes(&self) -> Self {
        let mut arrows = self.arrows.clone();
        for (file, others) in &mut arrows {
            others.retain(|other, _| {
                let folder = other
                    .trim_end_matches("lib.rs")
                    .trim_end_matches("main.rs")
                    .trim_end_matches(".rs");
                !file.starts_with(&format!("{}/", folder.trim_end_matches('/')))
            });
        }
        Self { arrows, foreign: BTreeMap::new() }
    }

    /// All that a file imports, directly or through others.
    fn reached_from<'a>(&'a self, file: &str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&str> = self.arrows[file].keys().map(String::as_str).collect();
        while let Some(file) = next.pop() {
            if reached.insert(file) {
                next.extend(self.arrows[file].keys().map(String::as_str));
            }
        }
        reached
    }

    /// A circle in words: each arrow in it, with the names that make it.
    pub(crate) fn describe(&self, circle: &BTreeSet<&str>) -> String {
        let mut text = format!("circle of {} files:\n", circle.len());
        for &from in circle {
            for (to, names) in
                self.arrows[from].iter().filter(|(to, _)| circle.contains(to.as_str()))
            {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                text += &format!("  {from} -> {to}: {}\n", names.join(", "));
            }
        }
        text
    }
}

/// `pub use self::part::Item`: the parent shows what is in a child and needs none of it.
fn is_reexport_of_a_child(tree: &Tree, module: usize, import: &Use) -> bool {
    import.public
        && matches!(tree.resolve(module, &import.path), Target::Module(to) if to != module && tree.is_within(to, module))
}
