//! Are the imports between crates, rooms and files those of the design, without circles?

mod imports;
mod picture;
mod prose;
mod rooms;
mod sources;

use self::imports::Imports;

/// Variants whose text is another's: a panic's, the system's, a parser's, or that of a source of
/// randomness or a signer outside this project.
const FOREIGN_TEXTS: [&str; 6] = [
    "nebula-alloc/src/error.rs: Error::Panicked",
    "nebula-alloc/src/error/cause.rs: FileFault::Unreadable",
    "nebula-bundle/src/error.rs: FileDefect::Syntax",
    "nebula-bundle/src/error.rs: LocalDefect::Syntax",
    "nebula-pki/src/error.rs: Error::Randomness",
    "nebula-pki/src/error.rs: Error::Signer",
];

#[test]
fn no_variant_of_an_error_is_a_text_alone() {
    let found = prose::alone(&sources::read());
    assert_eq!(found, FOREIGN_TEXTS, "give the others values");
}

#[test]
fn a_variant_that_is_a_text_alone_is_found() {
    let mut files = sources::read();
    let before = prose::alone(&files).len();
    for (file, text) in [
        ("nebula-gc-http/src/names.rs", "enum NameError { Long { reason: String }, Short }"),
        ("nebula-alloc/src/pool.rs", "#[derive(thiserror::Error)] enum A { B(&'static str) }"),
        ("nebula-pki/src/curve.rs", "mod inner { enum Error { At { at: u8, reason: String } } }"),
        ("nebula-gc-http/src/id.rs", "messages! { enum Id { [\"{0}\"] Bad(String), } }"),
    ] {
        files.get_mut(file).expect("the file").push_str(text);
    }
    let found = prose::alone(&files);
    assert_eq!(found.len(), before + 3, "{found:#?}");
    for name in ["NameError::Long", "A::B", "Id::Bad"] {
        assert!(found.iter().any(|one| one.ends_with(name)), "{name}: {found:#?}");
    }
}

#[test]
fn rooms_import_only_what_the_design_has_below_them() {
    let forbidden = rooms::forbidden(&Imports::new(&sources::read()));
    assert!(forbidden.is_empty(), "the design has no such imports: {forbidden:#?}");
}

/// A file and the files of its folder, such as `lease.rs` and `lease/hold.rs`, are one concept: what a
/// part imports from its whole doesn't count.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = Imports::new(&sources::read()).without_wholes();
    let circles: String = imports.circles().iter().map(|circle| imports.describe(circle)).collect();
    assert!(circles.is_empty(), "{circles}");
}

#[test]
fn an_import_against_the_design_is_found_however_it_is_written() {
    let mut files = sources::read();
    let before = rooms::forbidden(&Imports::new(&files));
    let against = r#"
nebula-gc-http/src/store/tenant.rs | use crate::Service; | store -> service
nebula-gc-http/src/store/ca.rs | use crate::{TenantId as _, Service as Other}; | store -> service
nebula-gc-http/src/store/node.rs | use super::super::{service::{self, Caller}}; | store -> service
nebula-gc-http/src/store/history.rs | fn f() { crate::service::Service::start(); } | store -> service
nebula-gc-http/src/store/pending.rs | fn f() -> Option<crate::Service> { None } | store -> service
nebula-gc-http/src/store/network.rs | fn f() { println!("{}", crate::Service::NAME) } | store -> service
nebula-gc-http/src/store/database.rs | use axum::Router; | axum::Router
nebula-gc-http/src/store/schema.rs | use rusqlite::Row; | rusqlite::Row
nebula-gc-http/src/service/tenants.rs | use crate::api::router; | service -> api
nebula-gc-http/src/client.rs | use nebula_alloc::lease::Lease; | client -> leases
nebula-alloc/src/pool.rs | use nebula_pki::Certificate; | leases -> pki
nebula-bundle/src/config.rs | fn f(_: nebula_alloc::Family) {} | bundle -> addresses
nebula-pki/src/curve.rs | use nebula_bundle::Error; | pki -> bundle
nebula-pki/src/validity.rs | use std::{fs::File, time::SystemTime}; | std::time::SystemTime"#;
    let against = against.lines().skip(1).map(|line| line.split(" | ").collect::<Vec<_>>());
    let against: Vec<_> = against.map(|cells| (cells[0], cells[1], cells[2])).collect();
    let harmless = [
        ("nebula-gc-http/src/store/join_token.rs", "// use crate::Service;"),
        ("nebula-gc-http/src/store/idempotency.rs", "const TEXT: &str = \"use crate::Service;\";"),
        (
            "nebula-gc-http/src/store/operator_key.rs",
            "#[cfg(test)] mod tests { use crate::Service; }",
        ),
        ("nebula-gc-http/src/store/secret_check.rs", "pub(in crate::service) struct Thing;"),
    ];
    for (file, line) in against
        .iter()
        .map(|(file, line, _)| (file, line))
        .chain(harmless.iter().map(|(file, line)| (file, line)))
    {
        files.get_mut(*file).expect("the file").push_str(line);
    }
    let after = rooms::forbidden(&Imports::new(&files));
    let added: Vec<&String> = after.difference(&before).collect();
    for (file, line, found) in against {
        let is_it = |import: &&String| import.contains(file) && import.contains(found);
        assert!(added.iter().any(is_it), "{line} in {file} is not among {added:#?}");
    }
    for (file, line) in harmless {
        assert!(!added.iter().any(|import| import.contains(file)), "{line} in {file}: {added:#?}");
    }
}

#[test]
fn a_circle_is_found() {
    let mut files = sources::read();
    let circled = |files: &_| {
        let imports = Imports::new(files).without_wholes();
        imports.circles().iter().any(|circle| circle.contains("nebula-alloc/src/utc.rs"))
    };
    assert!(!circled(&files));
    // error.rs imports utc.rs.
    files
        .get_mut("nebula-alloc/src/utc.rs")
        .expect("the file")
        .push_str("fn f(_: crate::Error) {}");
    assert!(circled(&files));
}

/// `UPDATE_ARCHITECTURE=1` draws it anew.
#[test]
fn the_picture_shows_the_rooms_and_arrows_of_the_code() {
    let page = sources::workspace().join("docs/architecture.md");
    let text = std::fs::read_to_string(&page).expect("docs/architecture.md");
    let (before, rest) = text.split_once("```mermaid\n").expect("a diagram");
    let (shown, after) = rest.split_once("```").expect("its end");
    let drawn = picture::draw(&Imports::new(&sources::read()));
    if std::env::var_os("UPDATE_ARCHITECTURE").is_some() {
        std::fs::write(&page, format!("{before}```mermaid\n{drawn}```{after}")).expect("written");
    } else {
        assert_eq!(shown, drawn, "UPDATE_ARCHITECTURE=1 draws it anew");
    }
}

/// A link such as [`check_unique`](../nebula-gc-http/src/service/node_change.rs) names what the file
/// defines: an item, a variant, or a table.
#[test]
fn what_the_page_names_is_there() {
    let docs = sources::workspace().join("docs");
    let text = std::fs::read_to_string(docs.join("architecture.md")).expect("docs/architecture.md");
    let (mut links, mut missing) = (0, vec![]);
    for (label, rest) in text.split("](").zip(text.split("](").skip(1)) {
        let label = label.rsplit('[').next().unwrap_or_default();
        let target = rest.split(')').next().unwrap_or_default();
        if target.starts_with("http") {
            continue;
        }
        let path = docs.join(target.split('#').next().unwrap_or_default());
        let name = label.trim_matches('`').rsplit("::").next().unwrap_or_default();
        let is_name = label.starts_with('`') && !name.contains(['.', '/', ' ']);
        let is_there = match std::fs::read_to_string(&path) {
            Ok(file) => !is_name || defines(&file, name),
            Err(_) => path.exists() && !is_name,
        };
        if !is_there {
            missing.push(format!("{label} in {target}"));
        }
        links += 1;
    }
    assert!(links > 0, "no links found");
    assert!(missing.is_empty(), "not there: {missing:#?}");
}

fn defines(file: &str, name: &str) -> bool {
    const WORDS: &str = "fn struct enum trait type const static mod macro_rules! TABLE";
    file.lines().any(|line| {
        let line = line.trim_start();
        let mut words = line.split(|sign: char| !sign.is_alphanumeric() && !"_!".contains(sign));
        let mut before = "";
        let is_item = words.any(|word| {
            let is_it = word == name && WORDS.split(' ').any(|one| one == before);
            before = word;
            is_it
        });
        let is_variant =
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([',', '(', ' ', ':']));
        is_item || is_variant
    })
}
