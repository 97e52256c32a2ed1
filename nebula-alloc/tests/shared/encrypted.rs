//! A PostgreSQL server with TLS, and a network namespace in which it has an address that is not a loopback
//! one.

use std::path::Path;
use std::process::Command;

use super::child::{self, Child};
use super::postgres::{self, Cluster};

/// One that is kept for documentation (RFC 5737): nothing beyond the namespace has it.
pub const ADDRESS: &str = "192.0.2.1";

/// Runs a test, by its whole name, again in a namespace of its own. There it gets the server, and says
/// [`passed`] at its end; who asked gets nothing, and has nothing more to do.
pub fn server(test: &str) -> Option<Cluster> {
    if child::argument().is_some() {
        return Some(encrypting());
    }
    let can_run = runs("openssl", &["version"]) && runs("unshare", &["--net", "ip", "link"]);
    if !can_run || postgres::cluster_in_memory().is_none() {
        return None;
    }
    let namespace =
        format!("ip link set lo up && ip addr add {ADDRESS}/32 dev lo && exec \"$0\" \"$@\"");
    let mut program = Command::new("unshare");
    program.args(["--net", "--", "sh", "-c", &namespace]).arg(std::env::current_exe().unwrap());
    let passed = Child::start_by(program, test, Path::new("namespace")).finish();
    assert_eq!(passed, [PASSED], "{test} in its namespace");
    None
}

const PASSED: &str = "passed";

/// That a test came to its end there.
pub fn passed() {
    child::say(PASSED);
}

/// Whether a program does what is needed here; one that must and does not is a failure.
fn runs(program: &str, arguments: &[&str]) -> bool {
    let ended = Command::new(program).args(arguments).output();
    let works = ended.is_ok_and(|output| output.status.success());
    let required = std::env::var_os("REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(works || !required, "{program} {arguments:?} does not work");
    if !works {
        eprintln!("skipped: {program} {arguments:?} does not work");
    }
    works
}

/// With a certificate of a CA, for `ADDRESS` and `db.example`, and roles that sign in in different ways.
fn encrypting() -> Cluster {
    let cluster = Cluster::own(Path::new("/dev/shm")).unwrap();
    cluster.sql(
        "CREATE ROLE scram LOGIN SUPERUSER PASSWORD 'p@ss:/?#%w ord';
         CREATE ROLE trusted LOGIN SUPERUSER;
         CREATE ROLE shown LOGIN SUPERUSER PASSWORD 'secret';
         SET password_encryption = md5;
         CREATE ROLE hashed LOGIN SUPERUSER PASSWORD 'secret';
         CREATE ROLE certified LOGIN SUPERUSER",
    );
    cluster.stop();
    let data = cluster.data();
    authority(&data, "ca");
    issued(&data, "server", "/CN=db", Some("subjectAltName=DNS:db.example,IP:192.0.2.1"));
    cluster.own_files(&data);
    let text = "local all postgres trust
        host all trusted all trust
        host all shown all password
        host all hashed all md5
        hostssl all certified all cert
        host all all all scram-sha-256\n";
    std::fs::write(data.join("pg_hba.conf"), text).unwrap();
    cluster.configure(
        "listen_addresses = '*'\nssl = on\nssl_cert_file = 'server.crt'\n\
         ssl_key_file = 'server.key'\nssl_ca_file = 'ca.crt'\n",
    );
    cluster.start();
    cluster
}

/// Runs `openssl` in a directory.
pub fn openssl(directory: &Path, words: &str, more: &[&str]) {
    let mut openssl = Command::new("openssl");
    let output =
        openssl.current_dir(directory).args(words.split_whitespace()).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const NEW_KEY: &str = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2";

/// `NAME.crt` and `NAME.key`, as PostgreSQL's manual makes a server's certificate, too.
pub fn authority(directory: &Path, name: &str) {
    let files = format!("{NEW_KEY} -subj /CN={name} -keyout {name}.key -out {name}.crt");
    openssl(directory, &files, &["-addext", "subjectAltName=DNS:self.example"]);
}

pub fn issued(directory: &Path, name: &str, subject: &str, extension: Option<&str>) {
    let files = format!("{NEW_KEY} -CA ca.crt -CAkey ca.key -keyout {name}.key -out {name}.crt");
    let mut more = vec!["-subj", subject, "-addext", "basicConstraints=critical,CA:FALSE"];
    if let Some(extension) = extension {
        more.extend(["-addext", extension]);
    }
    openssl(directory, &files, &more);
}
