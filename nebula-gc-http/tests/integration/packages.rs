//! What the packages bring along, and how their documentation is built.

use std::path::Path;
use std::process::Command;

const CRATES: [&str; 4] = ["nebula-pki", "nebula-alloc", "nebula-bundle", "nebula-gc-http"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The packages that nebula-gc-http has with this feature alone.
fn packages_of(feature: &str) -> Vec<String> {
    let arguments = "tree -p nebula-gc-http --no-default-features -e normal --prefix none \
        --locked --offline --features";
    let tree = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(arguments.split_whitespace().chain([feature]))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn client_and_agent_bring_no_database_and_no_server() {
    let not_theirs = [
        "axum",
        "cryptoki",
        "libsqlite3-sys",
        "mimalloc",
        "nebula-alloc",
        "regex-automata",
        "rusqlite",
        "tokio-postgres",
        "utoipa",
    ];
    for feature in ["client", "agent", "agent-cli"] {
        let packages = packages_of(feature);
        assert!(packages.iter().any(|name| name == "hyper"), "{packages:?}");
        let brought: Vec<_> =
            packages.iter().filter(|name| not_theirs.contains(&name.as_str())).collect();
        assert!(brought.is_empty(), "{feature}: {brought:?}");
    }
    // The look itself finds them where they are.
    let packages = packages_of("service");
    assert!(packages.iter().any(|name| name == "rusqlite"), "{packages:?}");
}

#[test]
fn documentation_is_built_with_all_features_of_every_crate() {
    for name in CRATES {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let docs = manifest.split("[package.metadata.docs.rs]\n").nth(1).unwrap_or_default();
        assert!(docs.starts_with("all-features = true\n"), "{name}");
    }
}
