//! Are the imports between crates, rooms and files those of the design, without circles?
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/rooms.rs"]
mod rooms;
#[path = "architecture/sources.rs"]
mod sources;

use self::imports::Imports;

/// How many imports there still are that the design does not have. Only lower it.
const FORBIDDEN: usize = 20;
/// How many files still import each other in circles. Only lower it.
const IN_CIRCLES: usize = 80;
/// The same with a part's imports from its whole, as `lease/hold.rs` from `lease.rs`. Only lower it.
const IN_CIRCLES_WITH_WHOLES: usize = 170;

#[test]
fn rooms_import_only_what_the_design_has_below_them() {
    let forbidden = rooms::forbidden(&Imports::new(&sources::read()));
    let text: String = forbidden.iter().map(|import| format!("{import}\n")).collect();
    println!("{} imports that the design does not have:\n{text}", forbidden.len());
    assert!(forbidden.len() <= FORBIDDEN, "the design has no such imports");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = Imports::new(&sources::read());
    assert!(
        report_circles(&imports) <= IN_CIRCLES_WITH_WHOLES,
        "new circles, parts and their wholes"
    );
    println!("\nWithout what parts import from their wholes:");
    assert!(report_circles(&imports.without_wholes()) <= IN_CIRCLES, "new circles");
}

/// How many files are in circles.
fn report_circles(imports: &Imports) -> usize {
    let circles = imports.circles();
    let files = circles.iter().map(|circle| circle.len()).sum();
    println!("{files} files in {} circles", circles.len());
    for circle in &circles {
        println!("{}", imports.describe(circle));
    }
    files
}

#[test]
fn an_import_against_the_design_is_found_however_it_is_written() {
    let mut files = sources::read();
    let before = rooms::forbidden(&Imports::new(&files));
    let against = [
        ("nebula-gc-http/src/store/tenant.rs", "use crate::Service;", "store -> service"),
        (
            "nebula-gc-http/src/store/ca.rs",
            "use crate::{TenantId as _, Service as Other};",
            "store -> service",
        ),
        (
            "nebula-gc-http/src/store/node.rs",
            "use super::super::{service::{self, Context}};",
            "store -> service",
        ),
        (
            "nebula-gc-http/src/store/history.rs",
            "fn f() { crate::service::Service::start(); }",
            "store -> service",
        ),
        (
            "nebula-gc-http/src/store/pending.rs",
            "fn f() -> Option<crate::Service> { None }",
            "store -> service",
        ),
        (
            "nebula-gc-http/src/store/network.rs",
            "fn f() { println!(\"{}\", crate::Service::NAME) }",
            "store -> service",
        ),
        ("nebula-gc-http/src/store/database.rs", "use axum::Router;", "axum::Router"),
        ("nebula-gc-http/src/store/schema.rs", "use rusqlite::Row;", "rusqlite::Row"),
        ("nebula-gc-http/src/service/tenants.rs", "use crate::api::router;", "service -> api"),
        ("nebula-gc-http/src/client.rs", "use nebula_alloc::lease::Lease;", "client -> leases"),
        ("nebula-alloc/src/pool.rs", "use nebula_pki::Certificate;", "leases -> pki"),
        ("nebula-bundle/src/config.rs", "fn f(_: nebula_alloc::Family) {}", "bundle -> addresses"),
        ("nebula-pki/src/curve.rs", "use nebula_bundle::Error;", "pki -> bundle"),
        (
            "nebula-pki/src/validity.rs",
            "use std::{fs::File, time::SystemTime};",
            "std::time::SystemTime",
        ),
    ];
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
