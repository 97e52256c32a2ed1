//! Is a connection that leaves the machine encrypted, with the server that is meant, and is no password
//! shown to another?
//!
//! The server and its clients are in a network namespace of their own with an address that is not a
//! loopback one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use nebula_alloc::{Allocator, Error, Outage, Postgres, PostgresReaders, Protection};

use crate::shared::encrypted::{ADDRESS, authority, issued, openssl, passed, server};
use crate::support::told::{request, with_pool, writer};

fn url(role: &str, options: &str) -> String {
    let password = if role == "scram" { "p%40ss:/?%23%25w ord" } else { "secret" };
    format!("postgresql://{role}:{password}@{ADDRESS}/postgres?{options}")
}

fn protection(role: &str, options: &str) -> Result<Protection, Error> {
    Postgres::connect(&url(role, options)).map(|store| store.protection())
}

/// Why the one server that there is was not used.
fn outage(answer: Result<Protection, Error>) -> Outage {
    match answer {
        Err(Error::Unavailable(Outage::Servers { mut servers })) if servers.len() == 1 => {
            match servers.remove(0) {
                Outage::Server { cause, .. } => *cause,
                other => other,
            }
        }
        other => panic!("{other:?}"),
    }
}

fn refuses(answer: Result<Protection, Error>, setting: &str, part: &str) {
    match answer {
        Err(Error::Setting { name, found, .. }) if name == setting && found.contains(part) => {}
        other => panic!("{setting}: {other:?}"),
    }
}

#[test]
fn beyond_the_machine_the_server_must_prove_who_it_is_unless_told_otherwise() {
    let Some(cluster) = server(
        "postgres::encrypting::beyond_the_machine_the_server_must_prove_who_it_is_unless_told_otherwise",
    ) else {
        return;
    };
    let ca = format!("sslrootcert={}", cluster.data().join("ca.crt").display());
    let unknown = |answer| matches!(outage(answer), Outage::UntrustedServer(fault) if fault.message.contains("UnknownIssuer"));
    assert!(unknown(protection("scram", "")), "the system does not know the CA");
    assert!(unknown(protection("scram", "sslmode=verify-ca")));
    assert_eq!(protection("scram", &ca), Ok(Protection::Verified));
    assert_eq!(protection("scram", &format!("sslmode=verify-full&{ca}")), Ok(Protection::Verified));

    // Another name.
    let named = |mode| {
        let words = url("scram", &format!("{mode}{ca}&host=other.example&hostaddr={ADDRESS}"));
        Postgres::connect(&words.replace(&format!("@{ADDRESS}"), "@"))
            .map(|store| store.protection())
    };
    let misnamed = outage(named(""));
    assert!(
        matches!(&misnamed, Outage::UntrustedServer(fault) if fault.message.contains("other.example")),
        "{misnamed:?}"
    );
    assert_eq!(named("sslmode=verify-ca&"), Ok(Protection::Verified));
    assert_eq!(named("sslmode=require&"), Ok(Protection::Verified), "as libpq has it, with a root");

    assert_eq!(protection("scram", "sslmode=require"), Ok(Protection::Unverified));
    assert_eq!(protection("scram", "sslmode=prefer"), Ok(Protection::Unverified));
    assert_eq!(protection("scram", "sslmode=disable"), Ok(Protection::Plain));
    assert_eq!(
        protection("scram", "sslmode=require&channel_binding=require"),
        Ok(Protection::Verified),
        "the password's proof is bound to the certificate"
    );
    assert!(protection("scram", "sslmode=disable&channel_binding=require").is_err());

    let local = url("scram", "").replace(ADDRESS, "127.0.0.1");
    assert_eq!(Postgres::connect(&local).map(|store| store.protection()), Ok(Protection::Local));
    assert!(PostgresReaders::open(&url("scram", ""), 1).is_err(), "readers, too");
    assert!(PostgresReaders::open(&url("scram", &ca), 1).is_ok());
    passed();
}

#[test]
fn a_password_is_shown_only_to_a_server_that_was_verified() {
    let Some(cluster) =
        server("postgres::encrypting::a_password_is_shown_only_to_a_server_that_was_verified")
    else {
        return;
    };
    let ca = format!("sslrootcert={}", cluster.data().join("ca.crt").display());
    for (role, method) in [("shown", "password"), ("hashed", "md5"), ("trusted", "trust")] {
        for mode in ["disable", "prefer", "require"] {
            refuses(protection(role, &format!("sslmode={mode}")), "authentication", method);
        }
        assert_eq!(protection(role, &ca), Ok(Protection::Verified), "{role}");
        let local = url(role, "").replace(ADDRESS, "127.0.0.1");
        assert_eq!(
            Postgres::connect(&local).map(|store| store.protection()),
            Ok(Protection::Local)
        );
    }
    // Who has none can't ask for a proof.
    let without = url("trusted", "sslmode=require").replace(":secret", "");
    let without = Postgres::connect(&without).map(|store| store.protection());
    assert_eq!(without, Ok(Protection::Unverified));
    passed();
}

#[test]
fn a_server_without_tls_is_used_only_where_that_was_allowed() {
    let Some(cluster) =
        server("postgres::encrypting::a_server_without_tls_is_used_only_where_that_was_allowed")
    else {
        return;
    };
    cluster.configure("ssl = off\n");
    cluster.stop();
    cluster.start();
    let ca = format!("sslrootcert={}", cluster.data().join("ca.crt").display());
    for options in ["", &ca, "sslmode=require", "sslmode=verify-ca"] {
        assert_eq!(outage(protection("scram", options)), Outage::NoTls, "{options}");
    }
    assert_eq!(protection("scram", "sslmode=prefer"), Ok(Protection::Plain));
    refuses(protection("hashed", "sslmode=prefer"), "authentication", "md5");
    passed();
}

#[test]
fn a_certificate_of_its_own_and_that_of_the_client_are_files_that_are_checked() {
    let Some(cluster) = server(
        "postgres::encrypting::a_certificate_of_its_own_and_that_of_the_client_are_files_that_are_checked",
    ) else {
        return;
    };
    let data = cluster.data();
    let file = |name: &str| data.join(name).display().to_string();
    let ca = format!("sslrootcert={}", file("ca.crt"));

    issued(&data, "certified", "/CN=certified", None);
    let client = format!("{ca}&sslcert={}&sslkey={}", file("certified.crt"), file("certified.key"));
    assert_eq!(protection("certified", &client), Ok(Protection::Verified));
    assert!(protection("certified", &ca).is_err(), "it is asked for");
    let mode = |mode| {
        std::fs::set_permissions(file("certified.key"), Permissions::from_mode(mode)).unwrap()
    };
    mode(0o644);
    refuses(protection("certified", &client), "sslkey", "0644");
    mode(0o640);
    assert_eq!(protection("certified", &client), Ok(Protection::Verified));
    refuses(
        protection("certified", &format!("{ca}&sslcert={}", file("ca.crt"))),
        "sslkey",
        "left out",
    );
    let wrong = format!("{ca}&sslcert={}&sslkey={}", file("certified.crt"), file("ca.key"));
    refuses(protection("certified", &wrong), "sslkey", "ca.key");
    refuses(
        protection("certified", &format!("sslrootcert={}", file("gone"))),
        "sslrootcert",
        "gone",
    );
    refuses(
        protection("certified", &format!("sslrootcert={}", file("ca.key"))),
        "sslrootcert",
        "no certificate",
    );

    // As its manual signs by a CA, which makes version 1.
    let request =
        "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout old.key -out old.csr";
    openssl(&data, request, &["-subj", "/CN=certified"]);
    let sign =
        "x509 -req -in old.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out old.crt";
    openssl(&data, sign, &[]);
    cluster.own_files(&data);
    let old = format!("{ca}&sslcert={}&sslkey={}", file("old.crt"), file("old.key"));
    refuses(protection("certified", &old), "sslcert", "UnsupportedCertVersion");

    // As PostgreSQL's manual has it: a certificate that the server made for itself.
    authority(&data, "self");
    cluster.own_files(&data);
    cluster.configure("ssl_cert_file = 'self.crt'\nssl_key_file = 'self.key'\n");
    cluster.stop();
    cluster.start();
    let own = format!("sslrootcert={}", file("self.crt"));
    assert_eq!(protection("scram", &format!("{own}&sslmode=verify-ca")), Ok(Protection::Verified));
    let misnamed = outage(protection("scram", &own));
    assert!(matches!(misnamed, Outage::UntrustedServer(_)), "{misnamed:?}");
    let named = url("scram", &format!("{own}&host=self.example&hostaddr={ADDRESS}"));
    assert!(Postgres::connect(&named.replace(&format!("@{ADDRESS}"), "@")).is_ok());
    assert!(matches!(outage(protection("scram", &ca)), Outage::UntrustedServer(_)), "another's");
    passed();
}

#[test]
fn work_over_tls_is_as_over_a_socket_and_goes_on_with_a_new_certificate() {
    let Some(cluster) = server(
        "postgres::encrypting::work_over_tls_is_as_over_a_socket_and_goes_on_with_a_new_certificate",
    ) else {
        return;
    };
    let data = cluster.data();
    let url = url("scram", &format!("sslrootcert={}", data.join("ca.crt").display()));
    let store = with_pool(&url);
    let readers = store.readers(2).unwrap();
    let allocator = Allocator::new(writer(store), "test");
    for number in 1..=50 {
        let lease = allocator.allocate(request(number)).wait().unwrap();
        assert_eq!(lease.address.to_string(), format!("10.0.0.{number}"));
    }
    issued(&data, "server", "/CN=db", Some("subjectAltName=IP:192.0.2.1"));
    cluster.own_files(&data);
    cluster.stop();
    cluster.start();
    let count = readers
        .read(|tx| tx.query("SELECT count(*) FROM alloc_lease", &[])?[0].columns().integer());
    assert_eq!(count, Ok::<_, Error>(50));
    let lease = allocator.allocate(request(51)).wait().unwrap();
    assert_eq!(lease.address.to_string(), "10.0.0.51");
    passed();
}
