//! Programs that behave as a Nebula seldom does.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nebula_gc_http::process::{
    Applied, ApplyError, Configuration, Ended, Failure, FindError, Nebula, Place, Release, Restart,
    State, Supervisor, TestError, Times,
};
use tempfile::TempDir;

/// Answers to `-version` and `-test`, and says that it is active. What follows is the case's.
const BEGINNING: &str = r#"#!/bin/sh
case "$1" in
-version) echo "Version: 1.9.3"; exit;;
-test) echo "a secret"; exit;;
esac
say() { echo "time=t level=$1 msg=\"$2\""; }
forever() { while :; do sleep 5 & wait $!; done; }
trap 'kill $!; exit 0' TERM
"#;
const ACTIVE: &str = "say info 'Nebula interface is active'\n";

struct Fake(TempDir);

impl Fake {
    fn new(script: &str) -> Self {
        let fake = Self(tempfile::tempdir().unwrap());
        fake.becomes(script);
        fake
    }

    /// Puts another program in its place.
    fn becomes(&self, script: &str) {
        self.is(&format!("{BEGINNING}{script}\nforever\n"));
    }

    fn is(&self, text: &str) {
        let aside = self.0.path().join("aside");
        fs::write(&aside, text).unwrap();
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
        // Another test's child may have inherited the open file, until it becomes its own program.
        let is_busy = || {
            let started = Command::new(&aside).arg("-version").stdout(Stdio::null()).status();
            started.is_err_and(|error| error.kind() == ErrorKind::ExecutableFileBusy)
        };
        while is_busy() {
            thread::yield_now();
        }
        fs::rename(aside, self.program()).unwrap();
    }

    fn program(&self) -> PathBuf {
        self.0.path().join("nebula")
    }

    fn start(&self, times: Times) -> Supervisor {
        let path = |name: &str| self.0.path().join(name);
        let place = Place {
            name: "fake".to_owned(),
            directory: self.0.path().to_owned(),
            config: path("nebula.yml"),
            pid_file: path("nebula.pid"),
            program: Some(self.program()),
        };
        Supervisor::start(place, times)
    }
}

fn configuration(generation: u32) -> Configuration {
    let validity = nebula_pki::Validity { not_before: 1_800_000_000, not_after: 1_900_000_000 };
    let random = &mut nebula_pki::SystemRandom;
    let key = nebula_pki::key::SigningKey::generate(nebula_pki::Curve::Curve25519, random).unwrap();
    let parameters = nebula_pki::CaParameters::new("ca", validity);
    let ca = nebula_pki::Issuer::self_signed(nebula_pki::Version::V1, parameters, key).unwrap();
    let text = format!("firewall: {{x_generation: {generation}}}");
    Configuration::read(&text, &ca.certificate().to_pem(), "").unwrap()
}

fn short() -> Times {
    Times {
        start: Duration::from_secs(2),
        settle: Duration::from_millis(50),
        reload: Duration::from_millis(500),
        firewall: Duration::from_millis(500),
        quiet: Duration::from_millis(50),
        stop: Duration::from_millis(500),
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(40),
        healthy: Duration::from_secs(300),
    }
}

async fn apply(supervisor: &Supervisor, generation: u32) -> Result<Applied, ApplyError> {
    supervisor.apply(configuration(generation), Release::OLDEST).await
}

#[tokio::test]
async fn a_half_refused_reload_is_brought_about_by_a_restart() {
    let refuses = "say info 'Caught HUP, reloading config'
        echo 'time=t level=error msg=\"failed to reload lighthouse\" error=\"no entry\"'
        say info 'New firewall has been installed'";
    let fake = Fake::new(&format!("hup() {{ {refuses}; }}\ntrap hup HUP\n{ACTIVE}"));
    let supervisor = fake.start(short());
    assert_eq!(apply(&supervisor, 1).await, Ok(Applied::Started));
    let line = "failed to reload lighthouse: no entry".to_owned();
    let restarted = Ok(Applied::Restarted(Restart::Refused { line }));
    assert_eq!(apply(&supervisor, 2).await, restarted);
    supervisor.stop().await;
}

#[tokio::test]
async fn a_reload_that_does_not_end_is_brought_about_by_a_restart() {
    for hup in ["trap '' HUP", "trap \"say info 'Caught HUP, reloading config'\" HUP"] {
        let fake = Fake::new(&format!("{hup}\n{ACTIVE}"));
        let supervisor = fake.start(short());
        assert_eq!(apply(&supervisor, 1).await, Ok(Applied::Started));
        let waited = short().reload;
        let restarted = Ok(Applied::Restarted(Restart::Hung { waited }));
        assert_eq!(apply(&supervisor, 2).await, restarted, "{hup}");
        supervisor.stop().await;
    }
}

#[tokio::test]
async fn a_reload_that_kills_is_brought_about_by_a_restart() {
    let fake = Fake::new(ACTIVE);
    let supervisor = fake.start(short());
    assert_eq!(apply(&supervisor, 1).await, Ok(Applied::Started));
    let restarted = apply(&supervisor, 2).await.unwrap();
    let Applied::Restarted(Restart::Ended(ended)) = restarted else { panic!("{restarted:?}") };
    assert_eq!(ended.signal, Some(1));
    supervisor.stop().await;
}

#[tokio::test]
async fn errors_about_others_restart_nothing() {
    let text = "say info 'Caught HUP, reloading config'
        echo 'time=t level=error msg=\"Invalid certificate from host\" udpAddr=192.0.2.1:4242'
        say info 'New firewall has been installed'";
    let fake = Fake::new(&format!("hup() {{ {text}; }}\ntrap hup HUP\n{ACTIVE}"));
    let supervisor = fake.start(short());
    assert_eq!(apply(&supervisor, 1).await, Ok(Applied::Started));
    assert_eq!(apply(&supervisor, 2).await, Ok(Applied::Reloaded));
    supervisor.stop().await;
}

#[tokio::test]
async fn output_is_read_however_much_it_is() {
    let flood = "i=0; while [ $i -lt 40 ]; do head -c 10000 /dev/zero | tr '\\0' x >&2; i=$((i+1)); done; echo >&2";
    let fake = Fake::new(&format!("{flood}\n{ACTIVE}"));
    let supervisor = fake.start(short());
    assert_eq!(apply(&supervisor, 1).await, Ok(Applied::Started));
    supervisor.stop().await;
}

#[tokio::test]
async fn one_that_is_never_active_is_ended() {
    let fake = Fake::new("say error 'Waiting for a name'");
    let times = Times { start: Duration::from_secs(1), ..short() };
    let supervisor = fake.start(times);
    let line = Some("Waiting for a name".to_owned());
    let failure = Failure::NotActive { seconds: 1, line };
    assert_eq!(apply(&supervisor, 1).await, Err(ApplyError::NotStarted(failure)));
    supervisor.stop().await;
}

#[tokio::test]
async fn one_that_dies_again_and_again_is_waited_for_longer() {
    let fake = Fake::new(&format!("{ACTIVE}exit 3"));
    let supervisor = fake.start(short());
    let mut state = supervisor.state();
    let failed = apply(&supervisor, 1).await.unwrap_err();
    let ApplyError::NotStarted(Failure::AtStart { ended, .. }) = failed else { panic!("{failed}") };
    assert_eq!(ended.code, Some(3));
    let fourth = |state: &State| matches!(state, State::Waiting { failures: 4, .. });
    state.wait_for(fourth).await.unwrap();
    fake.becomes(ACTIVE);
    state.wait_for(|state| matches!(state, State::Running(_))).await.unwrap();
    supervisor.stop().await;
}

#[tokio::test]
async fn why_one_ended_is_its_own_last_error() {
    let vanished = "say error 'Error while reading outbound packet'; exit 2";
    let panics = "say error earlier; printf 'panic: a fault\\n\\ngoroutine 1 [running]:\\nmain.main()\\n' >&2; exit 2";
    let ended = |code, line: &str| {
        let ended = Ended { code: Some(code), signal: None };
        Failure::Ended { ended, line: Some(line.to_owned()) }
    };
    let of_another =
        "echo 'time=t level=error msg=\"Invalid certificate from host\" udpAddr=192.0.2.1:1'";
    for (end, expected) in [
        (vanished.to_owned(), Failure::DeviceVanished),
        (panics.to_owned(), ended(2, "panic: a fault")),
        (format!("say error 'No such thing'; {of_another}; exit 1"), ended(1, "No such thing")),
    ] {
        let fake = Fake::new(&format!("{ACTIVE}sleep 0.2; {end}"));
        let supervisor = fake.start(short());
        let mut state = supervisor.state();
        assert_eq!(apply(&supervisor, 1).await, Ok(Applied::Started));
        let waiting = state.wait_for(|state| matches!(state, State::Waiting { .. })).await;
        let State::Waiting { failure, .. } = waiting.unwrap().clone() else { unreachable!() };
        assert_eq!(failure, expected);
        supervisor.stop().await;
    }
}

#[tokio::test]
async fn one_that_does_not_end_is_killed() {
    let fake = Fake::new(&format!("trap '' TERM\n{ACTIVE}"));
    let supervisor = fake.start(short());
    assert_eq!(apply(&supervisor, 1).await, Ok(Applied::Started));
    let State::Running(running) = supervisor.state().borrow().clone() else {
        panic!("not running")
    };
    supervisor.stop().await;
    assert!(!Path::new(&format!("/proc/{}", running.pid)).exists());
}

#[tokio::test]
async fn a_program_that_vanishes_is_told_and_found_again() {
    let fake = Fake::new(&format!("{ACTIVE}sleep 0.1; exit 1"));
    let supervisor = fake.start(short());
    let mut state = supervisor.state();
    assert_eq!(apply(&supervisor, 1).await, Ok(Applied::Started));
    fs::remove_file(fake.program()).unwrap();
    let missing = |state: &State| matches!(state, State::Waiting { failure: Failure::Find(_), .. });
    state.wait_for(missing).await.unwrap();
    let error = apply(&supervisor, 2).await.unwrap_err();
    assert!(matches!(error, ApplyError::Find(FindError::Missing { .. })), "{error}");
    fake.becomes(ACTIVE);
    state.wait_for(|state| matches!(state, State::Running(_))).await.unwrap();
    supervisor.stop().await;
}

#[tokio::test]
async fn what_is_missing_at_the_first_start_may_come() {
    let fake = Fake::new(ACTIVE);
    fs::remove_file(fake.program()).unwrap();
    let supervisor = fake.start(short());
    let mut state = supervisor.state();
    let error = apply(&supervisor, 1).await.unwrap_err();
    assert!(matches!(error, ApplyError::Find(FindError::Missing { .. })), "{error}");
    assert!(matches!(*state.borrow(), State::Waiting { failure: Failure::Find(_), .. }));
    fake.is(&BEGINNING.replace("\"a secret\"; exit", "no; exit 1"));
    let refused = |state: &State| matches!(state, State::Waiting { failure: Failure::Test(_), .. });
    state.wait_for(refused).await.unwrap();
    fake.becomes(ACTIVE);
    state.wait_for(|state| matches!(state, State::Running(_))).await.unwrap();
    supervisor.stop().await;
}

#[tokio::test]
async fn a_program_that_is_not_nebula_is_not_run() {
    let fake = Fake::new("");
    fake.is("#!/bin/sh\necho 'GNU bash, version 5'\n");
    let path = fake.program();
    let error = Nebula::find(Some(&path), Release::OLDEST).await.unwrap_err();
    assert_eq!(error, FindError::NotNebula { path: path.clone() });
    // A script that is no program at all.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = Nebula::find(Some(&path), Release::OLDEST).await.unwrap_err();
    assert!(matches!(error, FindError::NotRunnable { .. }), "{error}");
}

#[tokio::test]
async fn what_nebula_prints_of_a_configuration_is_not_told() {
    let fake = Fake::new("");
    let script = fs::read_to_string(fake.program())
        .unwrap()
        .replace("\"a secret\"; exit", "a secret; exit 1");
    fake.is(&script);
    let nebula = Nebula::find(Some(&fake.program()), Release::OLDEST).await.unwrap();
    let refused = nebula.test("nebula.yml".as_ref(), fake.0.path()).await;
    let release = Release::new(1, 9, 3);
    assert_eq!(refused, Err(TestError::Refused { release }));
}
