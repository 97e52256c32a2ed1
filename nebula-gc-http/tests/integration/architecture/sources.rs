//! The sources of the four crates as a tree of modules, and what each name in it stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The crates by the name that Rust code has for them, and their root files. A program beside a
/// library is a crate of its own.
pub(crate) const CRATES: [(&str, &str); 6] = [
    ("nebula_pki", "nebula-pki/src/lib.rs"),
    ("nebula_cert", "nebula-pki/src/cli/main.rs"),
    ("nebula_alloc", "nebula-alloc/src/lib.rs"),
    ("nebula_bundle", "nebula-bundle/src/lib.rs"),
    ("nebula_gc_http", "nebula-gc-http/src/lib.rs"),
    ("nebula_gc", "nebula-gc-http/src/cli/main.rs"),
];

/// Every source file by its path from the workspace's root.
pub(crate) fn read() -> BTreeMap<String, String> {
    let root = workspace();
    let mut files = BTreeMap::new();
    for name in ["nebula-pki", "nebula-alloc", "nebula-bundle", "nebula-gc-http"] {
        read_folder(&root, &root.join(name).join("src"), &mut files);
    }
    files
}

/// The workspace's root directory.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read_folder(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_folder(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// A module: a file's, or one inside a file.
pub(crate) struct Module {
    pub file: String,
    pub parent: Option<usize>,
    pub children: BTreeMap<String, usize>,
    /// What it imports by `use`, outside of functions and in them.
    pub uses: Vec<Use>,
    /// The other paths of its code, each with whether a call, a macro or a further segment follows.
    pub paths: Vec<Vec<String>>,
}

/// One name that a `use` declares.
pub(crate) struct Use {
    /// The name it has here; `_` where it has none.
    pub name: String,
    pub path: Vec<String>,
    /// Is it visible outside of the module?
    pub public: bool,
}

/// All modules; a crate's root is found by the crate's name.
pub(crate) struct Tree {
    pub modules: Vec<Module>,
    pub roots: BTreeMap<String, usize>,
}

/// What a path stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An item in this module, or the module itself.
    Module(usize),
    /// Something of another crate than the four.
    Foreign,
}

impl Tree {
    /// # Panics
    ///
    /// If a module's file is missing or is not Rust.
    pub(crate) fn new(files: &BTreeMap<String, String>) -> Self {
        let mut tree = Self { modules: Vec::new(), roots: BTreeMap::new() };
        for (name, root) in CRATES {
            let folder = Path::new(root).parent().unwrap().to_owned();
            let id = tree.add_file(files, root, &folder, None);
            tree.roots.insert(name.to_owned(), id);
        }
        tree
    }

    /// Where `path`, written in `module`, leads: through re-exports to where the item is defined.
    pub(crate) fn resolve(&self, module: usize, path: &[String]) -> Target {
        self.resolve_within(module, path, 0)
    }

    fn resolve_within(&self, module: usize, path: &[String], depth: usize) -> Target {
        assert!(depth < 16, "re-exports in a circle at {path:?}");
        let (mut at, mut rest) = (module, path);
        if let Some(first) = path.first() {
            let begin = match first.as_str() {
                "crate" => Some(self.root_of(module)),
                "self" => Some(module),
                "super" => self.modules[module].parent,
                name if self.modules[module].children.contains_key(name) => {
                    Some(self.modules[module].children[name])
                }
                name => match self.imported(module, name) {
                    Some(import) => {
                        let whole: Vec<String> =
                            import.path.iter().chain(&path[1..]).cloned().collect();
                        return self.resolve_within(module, &whole, depth + 1);
                    }
                    None => self.roots.get(name).copied(),
                },
            };
            match begin {
                Some(begin) => (at, rest) = (begin, &path[1..]),
                None => return Target::Foreign,
            }
        }
        while let Some((first, further)) = rest.split_first() {
            if first == "super" {
                at = self.modules[at].parent.expect("a module above");
            } else if let Some(&child) = self.modules[at].children.get(first) {
                at = child;
            } else if let Some(import) = self.imported(at, first) {
                let whole: Vec<String> = import.path.iter().chain(further).cloned().collect();
                return self.resolve_within(at, &whole, depth + 1);
            } else {
                break; // defined here
            }
            rest = further;
        }
        Target::Module(at)
    }

    /// What `name` is imported as in `module`; not a name that stands for itself (`use std::fs`'s
    /// sibling `use fs::File` would lead there again).
    fn imported(&self, module: usize, name: &str) -> Option<&Use> {
        self.modules[module]
            .uses
            .iter()
            .find(|import| import.name == name && import.path[0] != name)
    }

    fn root_of(&self, mut module: usize) -> usize {
        while let Some(parent) = self.modules[module].parent {
            module = parent;
        }
        module
    }

    /// Is `module` below `above` in the tree, or the same?
    pub(crate) fn is_within(&self, mut module: usize, above: usize) -> bool {
        while module != above {
            match self.modules[module].parent {
                Some(parent) => module = parent,
                None => return false,
            }
        }
        true
    }

    /// Adds the module of a file, whose children's files are in `folder`.
    fn add_file(
        &mut self,
        files: &BTreeMap<String, String>,
        file: &str,
        folder: &Path,
        parent: Option<usize>,
    ) -> usize {
        let text = files.get(file).unwrap_or_else(|| panic!("{file} is missing"));
        let tokens = TokenStream::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.add(files, file, folder, parent, tokens)
    }

    fn add(
        &mut self,
        files: &BTreeMap<String, String>,
        file: &str,
        folder: &Path,
        parent: Option<usize>,
        tokens: TokenStream,
    ) -> usize {
        let id = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            uses: Vec::new(),
            paths: Vec::new(),
        });
        let mut found = Found::default();
        found.scan(tokens);
        self.modules[id].uses = found.uses;
        self.modules[id].paths = found.paths.into_iter().collect();
        for (name, body) in found.modules {
            let child_folder = folder.join(&name);
            let child = match body {
                Some(body) => self.add(files, file, &child_folder, Some(id), body),
                None => {
                    let child = folder.join(format!("{name}.rs"));
                    self.add_file(files, child.to_str().unwrap(), &child_folder, Some(id))
                }
            };
            self.modules[id].children.insert(name, child);
        }
        id
    }
}

/// What stands in a module's own code.
#[derive(Default)]
struct Found {
    uses: Vec<Use>,
    paths: BTreeSet<Vec<String>>,
    /// The modules it declares, with what is in them where that is in the same file.
    modules: Vec<(String, Option<TokenStream>)>,
}

impl Found {
    fn scan(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let (mut at, mut public) = (0, false);
        while let Some(tree) = trees.get(at) {
            let after = trees.get(at + 1);
            match tree {
                TokenTree::Punct(punct) if punct.as_char() == '#' && is_test_only(after) => {
                    at = end_of_item(&trees, at + 2);
                    continue;
                }
                TokenTree::Ident(word) if word == "pub" => {
                    public = true;
                    // `pub(in crate::store)` imports nothing.
                    at += if is_group(after, Delimiter::Parenthesis) { 2 } else { 1 };
                    continue;
                }
                TokenTree::Ident(word) if word == "use" => {
                    let end =
                        trees[at..].iter().position(|tree| is_punct(tree, ';')).map(|end| at + end);
                    if let Some(end) = end {
                        self.add_use(&trees[at + 1..end], &[], public);
                        at = end;
                    }
                }
                TokenTree::Ident(word) if word == "mod" => {
                    let (Some(TokenTree::Ident(name)), Some(body)) = (after, trees.get(at + 2))
                    else {
                        at += 1;
                        continue;
                    };
                    let body = match body {
                        TokenTree::Group(body) => Some(body.stream()),
                        _ => None,
                    };
                    self.modules.push((name.to_string(), body));
                    at += 2;
                }
                TokenTree::Ident(_) if !follows(&trees, at, '.') && !follows(&trees, at, ':') => {
                    let (path, end) = path_at(&trees, at);
                    let called = trees.get(end).is_some_and(|tree| {
                        is_punct(tree, '!') || is_group(Some(tree), Delimiter::Parenthesis)
                    });
                    let typed = path[0].starts_with(char::is_uppercase);
                    let defined =
                        at > 0 && matches!(&trees[at - 1], TokenTree::Ident(word) if word == "fn");
                    if path.len() > 1 || ((called || typed) && !defined) {
                        self.paths.insert(path);
                    }
                    at = end;
                    public = false;
                    continue;
                }
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            public = false;
            at += 1;
        }
    }

    /// The names of a tree of imports such as `crate::a::{self, b, c::D as E}`, without the `;`.
    fn add_use(&mut self, trees: &[TokenTree], before: &[String], public: bool) {
        let mut path = before.to_vec();
        let mut name = None;
        let mut trees = trees.iter();
        while let Some(tree) = trees.next() {
            match tree {
                TokenTree::Ident(word) if word == "as" => {
                    name = trees.next().map(ToString::to_string);
                }
                TokenTree::Ident(word) => path.push(plain(word)),
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for part in
                        inner.split(|tree| is_punct(tree, ',')).filter(|part| !part.is_empty())
                    {
                        self.add_use(part, &path, public);
                    }
                    return;
                }
                TokenTree::Punct(punct) if punct.as_char() == '*' => path.push("*".to_owned()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        if let Some(last) = path.last() {
            let name = name.unwrap_or_else(|| last.clone());
            self.uses.push(Use { name, path, public });
        }
    }
}

/// The path that begins at `at`, and where it ends.
fn path_at(trees: &[TokenTree], at: usize) -> (Vec<String>, usize) {
    let (mut path, mut end) = (Vec::new(), at);
    while let Some(TokenTree::Ident(word)) = trees.get(end) {
        path.push(plain(word));
        end += 1;
        let joined = trees.get(end).is_some_and(|tree| is_punct(tree, ':'))
            && trees.get(end + 1).is_some_and(|tree| is_punct(tree, ':'))
            && matches!(trees.get(end + 2), Some(TokenTree::Ident(_)));
        if !joined {
            break;
        }
        end += 2;
    }
    (path, end)
}

/// Is the token at `at` preceded by this sign, and not by two dots, which are a range?
fn follows(trees: &[TokenTree], at: usize, sign: char) -> bool {
    let is_sign = |back: usize| at >= back && is_punct(&trees[at - back], sign);
    if sign == '.' { is_sign(1) && !is_sign(2) } else { is_sign(1) && is_sign(2) }
}

/// Is this the bracket of `#[cfg(test)]` or `#[cfg(all(test, …))]`?
fn is_test_only(tree: Option<&TokenTree>) -> bool {
    let text = tree.map(|tree| tree.to_string().replace(' ', "")).unwrap_or_default();
    text == "[cfg(test)]" || text.starts_with("[cfg(all(test,")
}

/// Behind the item, field or statement that begins at `at`.
fn end_of_item(trees: &[TokenTree], at: usize) -> usize {
    let end = trees[at..].iter().position(|tree| {
        is_punct(tree, ';') || is_punct(tree, ',') || is_group(Some(tree), Delimiter::Brace)
    });
    end.map_or(trees.len(), |end| at + end + 1)
}

fn is_punct(tree: &TokenTree, sign: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn is_group(tree: Option<&TokenTree>, delimiter: Delimiter) -> bool {
    matches!(tree, Some(TokenTree::Group(group)) if group.delimiter() == delimiter)
}

/// A name without the mark of a raw one.
fn plain(word: &proc_macro2::Ident) -> String {
    word.to_string().trim_start_matches("r#").to_owned()
}
