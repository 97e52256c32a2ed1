//! Which schema is worked in, and what is refused when connecting?

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nebula_alloc::{Error, Postgres, PostgresReaders};

use crate::shared::postgres::{self, Cluster};
use crate::support::told::{POOL, open, with_pool};

fn refusal(url: &str) -> Error {
    Postgres::connect(url).map(drop).unwrap_err()
}

fn pools(url: &str) -> i64 {
    let mut store = open(url);
    store
        .transaction(|tx| tx.query("SELECT count(*) FROM alloc_pool", &[])?[0].columns().integer())
        .unwrap()
}

/// Where the role may make tables, with tables in `public`.
fn filled(cluster: &Cluster, role: &str) -> String {
    let url = cluster.database(role, "");
    cluster.sql_in(role, &format!("GRANT ALL ON SCHEMA public TO {role}"));
    let _ = with_pool(&url);
    url
}

#[test]
fn a_schema_that_comes_before_that_of_the_tables_hides_nothing() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = filled(cluster, "hidden");
    cluster.sql_in("hidden", "CREATE SCHEMA hidden AUTHORIZATION hidden");
    assert_eq!(pools(&url), 1, "those of public");
    let readers = PostgresReaders::open(&url, 1).unwrap();
    let found = readers.read(|tx| tx.query("SELECT id FROM alloc_pool", &[])?[0].columns().array());
    assert_eq!(found, Ok::<_, Error>(POOL.0));
    let schemas =
        "SELECT string_agg(schemaname, ',') FROM pg_tables WHERE tablename = 'alloc_pool'";
    assert_eq!(cluster.sql_in("hidden", schemas), "public");

    // A caller's own tables are found where they were, unless they have a name of ours.
    cluster.sql_in("hidden", "CREATE TABLE hidden.theirs (); GRANT ALL ON hidden.theirs TO hidden");
    let theirs =
        open(&url).transaction(|tx| tx.query("SELECT count(*) FROM theirs", &[]).map(drop));
    assert_eq!(theirs, Ok::<_, Error>(()));
}

#[test]
fn a_second_schema_with_tables_in_the_path_is_refused() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = filled(cluster, "twice");
    cluster.sql_in("twice", "CREATE SCHEMA twice AUTHORIZATION twice");
    let _ = with_pool(&format!("{url} options='-csearch_path=twice'"));
    match refusal(&url) {
        Error::Setting { name: "search_path", found, .. } => {
            assert!(found.contains("twice") && found.contains("public"), "{found}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(pools(&format!("{url} options='-csearch_path=twice'")), 1);
    assert_eq!(pools(&format!("{url} options='-csearch_path=public'")), 1);
}

/// A path of one schema says which is meant; others, such as the default, do not.
#[test]
fn no_second_database_begins_beside_tables_outside_the_path() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = filled(cluster, "outside");
    cluster.sql_in("outside", "ALTER SCHEMA public RENAME TO elsewhere; CREATE SCHEMA public");
    cluster.sql_in("outside", "GRANT ALL ON SCHEMA public TO outside");
    match refusal(&url) {
        Error::Setting { name: "search_path", found, .. } => {
            assert!(found.contains("elsewhere"), "{found}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(pools(&format!("{url} options='-csearch_path=elsewhere'")), 1);
    assert_eq!(pools(&format!("{url} options='-csearch_path=public'")), 0, "it was asked for");
}

#[test]
fn a_read_only_default_is_refused() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let url = cluster.schema().replace("'-c", "'-cdefault_transaction_read_only=on -c");
    let name = "default_transaction_read_only";
    let expected = Error::Setting { name, expected: "off", found: "on".into() };
    assert_eq!(refusal(&url), expected);
}

#[test]
fn a_database_that_is_not_utf_8_is_refused() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    for (role, encoding) in [("latin", "LATIN1"), ("ascii", "SQL_ASCII")] {
        let url =
            cluster.database(role, &format!("ENCODING {encoding} LC_COLLATE 'C' LC_CTYPE 'C'"));
        let name = "server_encoding";
        let expected = Error::Setting { name, expected: "UTF8", found: encoding.into() };
        assert_eq!(refusal(&url), expected);
    }
}

/// What the role lacks, and on what.
fn missing(url: &str) -> (String, String) {
    match refusal(url) {
        Error::MissingRight { role, right, object } => {
            assert_eq!(role, "ordinary");
            (right, object)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_role_without_the_rights_needed_is_told_which() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    let owner = cluster.database("owner", "");
    cluster.sql_in("owner", "GRANT ALL ON SCHEMA public TO owner; CREATE ROLE ordinary LOGIN");
    cluster.sql_in("owner", "REVOKE ALL ON SCHEMA public FROM PUBLIC");
    let url = owner.replace("user=owner", "user=ordinary");
    let lacks = |right: &str, object: &str| {
        assert_eq!(missing(&url), (right.into(), object.into()));
    };
    lacks("USAGE", "schema public");
    cluster.sql_in("owner", "GRANT USAGE ON SCHEMA public TO ordinary");
    lacks("CREATE", "schema public");
    let _ = with_pool(&owner);
    lacks("SELECT, INSERT, UPDATE, DELETE", "table nebula_schema");
    cluster.sql_in("owner", "GRANT ALL ON nebula_schema TO ordinary");
    cluster.sql_in("owner", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO ordinary");
    lacks("INSERT, UPDATE, DELETE", "table alloc_event");
    let tables = "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ordinary";
    cluster.sql_in("owner", tables);
    assert_eq!(pools(&url), 1);
}

/// PgBouncer before a cluster, in a directory of its own.
struct Pooler {
    process: Child,
    directory: tempfile::TempDir,
}

impl Pooler {
    fn start(cluster: &Cluster, role: &str, mode: &str) -> Option<Self> {
        let program = Path::new("/usr/sbin/pgbouncer");
        if !program.exists() {
            let required = std::env::var_os("REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "PgBouncer is not installed");
            eprintln!("skipped: PgBouncer is not installed");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut settings = std::fs::File::create(directory.path().join("settings")).unwrap();
        let (place, socket) = (directory.path().display(), cluster.socket());
        writeln!(
            settings,
            "[databases]\n{role} = host={} user={role}\n[pgbouncer]\npool_mode = {mode}\nunix_socket_dir = {place}
             listen_port = 6432\nauth_type = any
             ignore_startup_parameters = options",
            socket.display()
        )
        .unwrap();
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(directory.path(), everyone).unwrap();
        let mut command = postgres::as_user(program);
        let command = command.arg(directory.path().join("settings")).stdin(Stdio::null());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Self { process, directory };
        let patience = Instant::now() + Duration::from_secs(10);
        while !pooler.directory.path().join(".s.PGSQL.6432").exists() {
            assert!(Instant::now() < patience, "PgBouncer does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(pooler)
    }

    fn url(&self, role: &str) -> String {
        format!("host={} port=6432 user={role} dbname={role}", self.directory.path().display())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_pooler_in_transaction_mode_is_refused_and_one_in_session_mode_is_not() {
    let Some(cluster) = postgres::cluster_in_memory() else { return };
    for (role, mode) in [("pooled", "transaction"), ("kept", "session")] {
        let _ = filled(cluster, role);
        let Some(pooler) = Pooler::start(cluster, role, mode) else { return };
        if mode == "session" {
            assert_eq!(pools(&pooler.url(role)), 1);
            continue;
        }
        match refusal(&pooler.url(role)) {
            Error::Setting { name: "pool_mode", found, .. } => assert_eq!(found, mode),
            other => panic!("{other}"),
        }
    }
}
