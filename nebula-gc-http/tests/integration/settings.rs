//! Where settings come from, and which one counts.

use std::path::Path;
use std::time::Duration;

use nebula_gc_http::SignerTenant;
use nebula_gc_http::settings::{
    SETTINGS, Setting, Settings, SettingsError, SignerSetting, SignerSource, Sources,
};

const EXAMPLE: &str = include_str!("../../nebula-gc.example.toml");

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read(
    flags: &[(&str, &str)],
    environment: &[(&str, &str)],
    file: &str,
) -> Result<Settings, SettingsError> {
    let (flags, environment) = (pairs(flags), pairs(environment));
    let file = Some((Path::new("gc.toml"), file));
    Settings::read(Sources { flags: &flags, environment: &environment, file })
}

#[track_caller]
fn refused(flags: &[(&str, &str)], environment: &[(&str, &str)], file: &str) -> String {
    read(flags, environment, file).unwrap_err().to_string()
}

/// A value that is not the default, as the file writes it and as the others do.
fn other(name: &str) -> (String, String) {
    let text = match name {
        "listen" => "[::1]:9",
        "database" => "postgres://user:secret@host/name",
        "public-url" => "https://gc.example.org",
        "cors-origins" => "https://panel.example.org",
        "log" => "debug",
        "allow-plain-http" => "true",
        name if SETTINGS.iter().any(|setting| setting.name == name && setting.is_number) => "78",
        _ => "/elsewhere",
    };
    let is_plain = |setting: &&Setting| setting.is_number || setting.is_switch;
    let is_plain = SETTINGS.iter().filter(is_plain).any(|setting| setting.name == name);
    (if is_plain { text.to_owned() } else { format!("{text:?}") }, text.to_owned())
}

/// Each setting alone, with what it needs beside it.
fn beside(name: &str) -> &'static str {
    match name {
        "tls-certificate" => "tls-key = \"/key\"\n",
        "tls-key" => "tls-certificate = \"/certificate\"\n",
        _ => "",
    }
}

#[test]
fn each_setting_has_the_same_effect_from_each_source_and_the_nearer_one_counts() {
    for setting in SETTINGS {
        let name = setting.name;
        let (in_file, plain) = other(name);
        let file = |line: &str| format!("{}{line}\n", beside(name));
        let variable = setting.variable();
        let from_file = read(&[], &[], &file(&format!("{name} = {in_file}"))).unwrap();
        let from_environment = read(&[], &[(&variable, &plain)], &file("")).unwrap();
        let from_flag = read(&[(name, &plain)], &[], &file("")).unwrap();
        assert_ne!(from_file, Settings::default(), "{name} has no effect");
        assert_eq!(from_file, from_environment, "{name}");
        assert_eq!(from_file, from_flag, "{name}");

        let far = if setting.is_number { "99" } else { "\"http://127.0.0.1:1\"" };
        let far = if name == "listen" { "\"127.0.0.1:1\"" } else { far };
        let far = if setting.is_switch { "false" } else { far };
        let (line, far) = (format!("{name} = {far}"), far.trim_matches('"'));
        let near = read(&[], &[(&variable, &plain)], &file(&line)).unwrap();
        assert_eq!(near, from_file, "{name}: the environment wins over the file");
        let near = read(&[(name, &plain)], &[(&variable, far)], &file(&line)).unwrap();
        assert_eq!(near, from_file, "{name}: the flag wins");
        let empty = read(&[], &[(&variable, "")], &file(&format!("{name} = {in_file}"))).unwrap();
        assert_eq!(empty, from_file, "{name}: an empty variable is none");
    }
}

#[test]
fn the_defaults_that_are_told_are_those_that_count() {
    for setting in SETTINGS {
        if let Some(default) = setting.default {
            let told = read(&[(setting.name, default)], &[], "").unwrap();
            assert_eq!(told, Settings::default(), "{}", setting.name);
        }
    }
    assert_eq!(read(&[], &[], "").unwrap(), Settings::default());
}

#[test]
fn the_example_file_has_every_setting_and_its_default() {
    assert_eq!(read(&[], &[], EXAMPLE).unwrap(), Settings::default());
    for setting in SETTINGS {
        let line = match setting.default {
            Some(default) if setting.is_number || setting.is_switch => {
                format!("{} = {default}", setting.name)
            }
            Some(default) => format!("{} = {default:?}", setting.name),
            None => format!("# {} = ", setting.name),
        };
        let found = EXAMPLE.lines().filter(|found| found.starts_with(&line)).count();
        assert_eq!(found, 1, "{line}");
    }
    // What has no default is there to be uncommented.
    let all: Vec<_> = EXAMPLE
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| rest.contains(" = ") || rest.starts_with('['))
                .unwrap_or(line)
        })
        .collect();
    let all = read(&[], &[], &all.join("\n")).unwrap();
    assert!(all.tls.is_some() && all.database.is_some() && all.public_url.is_some());
    let names: Vec<_> = all.signers.iter().map(|signer| signer.name.as_str()).collect();
    assert_eq!(names, ["vault", "hsm"]);
    #[cfg(feature = "pkcs11")]
    assert!(all.signers().unwrap().names().eq(["hsm", "vault"]));
}

#[test]
fn a_signer_is_a_program_or_a_key_in_a_token() {
    let file = "[signers.a]\ncommand = [\"sign\", \"--key\"]\ntime = 3\n";
    let command = SignerSource::Command {
        command: vec!["sign".to_owned(), "--key".to_owned()],
        time: Some(Duration::from_secs(3)),
    };
    let signer = SignerSetting { name: "a".to_owned(), source: command, tenants: None };
    assert_eq!(read(&[], &[], file).unwrap().signers, [signer]);
    // A scheme is the same in capitals.
    for uri in ["pkcs11:token=a", "PKCS11:token=a"] {
        let read = read(&[], &[], &format!("[signers.a]\npkcs11 = \"{uri}\"\n")).unwrap();
        assert_eq!(read.signers[0].source, SignerSource::Pkcs11 { uri: uri.to_owned() });
    }
    const URI: &str = "pkcs11: must be a URI in quotation marks that begins with pkcs11:";
    let a = |rest: &str| refused(&[], &[], &format!("\n[signers.a]\n{rest}"));
    for (rest, told) in [
        ("", "must have command or pkcs11"),
        ("pkcs11 = \"pkcs11:a\"\ntime = 1", "time: is only allowed with command"),
        (
            "command = [\"a\"]\npkcs11 = \"pkcs11:b\"",
            "must have either command or pkcs11, not both",
        ),
    ] {
        assert_eq!(a(rest), format!("gc.toml, line 2: signers.a: {told}"));
    }
    for (line, rest, told) in [
        (3, "command = \"sign\"", "command: must be a list of strings"),
        (3, "command = []", "command: must be a list of strings, the program first"),
        (3, "command = [1]", "command: must be a list of strings, the program first"),
        (3, "pkcs11 = 1", URI),
        (3, "pkcs11 = \"token=a\"", URI),
        (4, "command = [\"a\"]\ntime = 0", "time: must be a whole number from 1 to 3600"),
        (3, "key = 1", "key: unknown key; allowed: command, time, pkcs11, tenants"),
    ] {
        assert_eq!(a(rest), format!("gc.toml, line {line}: signers.a: {told}"));
    }
    const TENANTS: &str = "tenants: must be a list of tenant ids or \"default\"";
    for tenants in ["[]", "1", "\"default\"", "[1]", "[\"acme\"]", "[\"default\", \"x\"]"] {
        let told = a(&format!("command = [\"sign\"]\ntenants = {tenants}"));
        assert_eq!(told, format!("gc.toml, line 4: signers.a: {TENANTS}"));
    }
    let id = "0198c8d0-8a5b-7c3e-9f21-3d4e5f607182";
    let some = format!("[signers.a]\ncommand = [\"sign\"]\ntenants = [\"default\", \"{id}\"]");
    let some = read(&[], &[], &some).unwrap().signers.remove(0).tenants.unwrap();
    assert_eq!(some, [SignerTenant::Default, id.parse().unwrap()]);
    assert_eq!(
        refused(&[], &[], "signers = 1"),
        "gc.toml, line 1: signers: must be tables, as [signers.hsm]"
    );
    let unusable = read(&[], &[], "[signers.\"a b\"]\ncommand = [\"sign\"]").unwrap();
    assert_eq!(unusable.signers().unwrap_err().place, "[signers.a b]");
}

#[test]
fn a_mistake_is_told_with_its_place() {
    let table = [
        (
            "listen = \"127.0.0.1:1\"\nlisten-on = 1\n",
            "gc.toml, line 2: listen-on: unknown setting",
        ),
        ("\n\n[listen]\n", "gc.toml, line 3: listen: must be a string in quotation marks"),
        ("listen = 8080", "gc.toml, line 1: listen: must be a string in quotation marks"),
        ("max-connections = \"1\"", "gc.toml, line 1: max-connections: must be a whole number"),
        (
            "max-connections = 0",
            "gc.toml, line 1: max-connections: must be a whole number from 1 to 1000000",
        ),
        (
            "header-timeout = 99999999999999999999",
            "gc.toml, line 1: header-timeout: must be a whole number from 1 to 3600",
        ),
        ("log = \"info\"\ndata = \"\"", "gc.toml, line 2: data: must not be empty"),
    ];
    for (file, told) in table {
        assert_eq!(refused(&[], &[], file), told);
    }
    for broken in ["log = ", "log = \"a\"\nlog = \"b\"\n", "\u{0}"] {
        assert!(refused(&[], &[], broken).starts_with("gc.toml, line "), "{broken}");
    }
    assert!(
        refused(&[], &[("NEBULAGC_LISTEN", "8080")], "").starts_with("NEBULAGC_LISTEN: must be")
    );
    assert!(refused(&[("listen", "8080")], &[], "").starts_with("--listen: must be"));
    // A mistake counts where something nearer replaces it, too.
    refused(&[("listen", "127.0.0.1:1")], &[("NEBULAGC_LISTEN", "8080")], "");
    for url in [
        "example.org",
        "ftp://example.org",
        "https://",
        "https://a b",
        "https://a?b",
        "http://0.0.0.0:80",
        "https://[::]/x",
    ] {
        assert!(refused(&[("public-url", url)], &[], "").contains("public-url"), "{url}");
    }
    assert!(refused(&[("cors-origins", "*")], &[], "").starts_with("--cors-origins: \"*\": must"));
    let alone = refused(&[("tls-key", "a.key")], &[], "");
    assert_eq!(alone, "tls-key: requires tls-certificate as well");
}

#[test]
fn a_variable_that_means_nothing_is_told() {
    let environment = pairs(&[
        ("NEBULAGC_LISTEN", "x"),
        ("NEBULAGC_CONFIG", "x"),
        ("NEBULAGC_LISTN", "x"),
        ("HOME", "x"),
    ]);
    assert_eq!(Settings::unknown_variables(&environment), ["NEBULAGC_LISTN"]);
}

#[test]
fn units_are_seconds_and_passwords_do_not_print() {
    let read = read(&[("header-timeout", "7"), ("database", "postgres://u:hidden@h/d")], &[], "");
    let settings = read.unwrap();
    assert_eq!(settings.limits.header_time, Duration::from_secs(7));
    assert!(!format!("{settings:?}").contains("hidden"));
}
