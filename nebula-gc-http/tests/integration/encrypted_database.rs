//! What does the server say of a PostgreSQL on another machine?

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::shared::encrypted::{ADDRESS, passed, server};
use crate::support::shell::{PROGRAM, text};

/// What a server says on the standard error until it listens and is stopped, or ends by itself.
fn told(place: &Path, options: &str) -> String {
    let url = format!("postgresql://scram:p%40ss:/?%23%25w ord@{ADDRESS}/postgres?{options}");
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("NEBULAGC_DATABASE", url).current_dir(place);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    if lines.any(|line| line.starts_with("Listening ")) {
        process.kill().unwrap();
    }
    text(&process.wait_with_output().unwrap().stderr)
}

#[test]
fn one_that_is_not_verified_is_warned_of() {
    let test = "encrypted_database::one_that_is_not_verified_is_warned_of";
    let Some(cluster) = server(test) else { return };
    let place = tempfile::tempdir().unwrap();
    let told = |options: &str| told(place.path(), options);
    let refused = told("");
    let advice = "its certificate is not accepted: UnknownIssuer; sslrootcert names the certificates to trust";
    assert!(refused.contains(advice), "{refused}");
    let verified = told(&format!("sslrootcert={}", cluster.data().join("ca.crt").display()));
    assert_eq!(verified, "", "nothing to warn of");
    for mode in ["prefer", "require"] {
        let warned = told(&format!("sslmode={mode}"));
        assert!(
            warned.contains("WARN") && warned.contains("certificate is not verified"),
            "{warned}"
        );
    }
    let warned = told("sslmode=disable");
    assert!(warned.contains("WARN") && warned.contains("PostgreSQL is not encrypted"), "{warned}");
    passed();
}
