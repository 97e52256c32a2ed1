//! Runs tests once more as on a processor that lacks what the feature `graviola` needs.

use std::env;
use std::process::Command;

/// What graviola asks about, one on each architecture. In a build with debug assertions it lets
/// these variables deny it. Where it is denied each operation of graviola panics.
const DENIALS: [&str; 2] = ["GRAVIOLA_CPU_DISABLE_adx", "GRAVIOLA_CPU_DISABLE_sha2"];

/// Runs all other tests of the module (its `module_path!()`); `own` is the name of the one that
/// calls.
pub(crate) fn run_the_others(module: &str, own: &str) {
    assert!(env::var_os(DENIALS[0]).is_none(), "{own} is not the name of the test that calls");
    let (_, module) = module.split_once("::").unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([&format!("{module}::"), "--skip", &format!("{module}::{own}"), "--nocapture"]);
    let output = command.envs(DENIALS.map(|name| (name, "1"))).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("running 0 tests"), "no test of {module} was run:\n{said}");
    assert!(said.contains("denying cpuid"), "graviola was not denied anything:\n{said}");
}
