//! Real Nebula, of all releases at hand.

use std::fs;
use std::time::Duration;

use nebula_gc_http::process::{
    Applied, ApplyError, Failure, FindError, Nebula, Obstacle, Release, Restart, RestartReason,
    Running, State, Supervisor, TestError, Times,
};

use super::place::{Node, in_each_release, ip};

/// Of a Nebula that runs.
fn running(supervisor: &Supervisor) -> Running {
    match &*supervisor.state().borrow() {
        State::Running(running) => running.clone(),
        state => panic!("{state:?}"),
    }
}

fn has_device(name: &str) -> bool {
    ip(&["link", "show", "dev", name]).is_ok()
}

#[test]
fn it_runs_until_it_is_stopped() {
    in_each_release("runs", async |node| {
        let supervisor = Supervisor::start(node.place(), Times::default());
        assert_eq!(*supervisor.state().borrow(), State::Stopped);
        let applied = supervisor.apply(node.write(1, &[]), Release::OLDEST).await;
        assert_eq!(applied, Ok(Applied::Started));
        let running = running(&supervisor);
        assert_eq!((running.interface.as_str(), running.port), ("neb1", Some(4242)));
        assert_eq!(running.release, node.release());
        assert!(has_device("neb1"));
        assert!(supervisor.usage().unwrap().memory > 4 << 20);
        let pid_file = node.place().pid_file;
        assert!(fs::read_to_string(&pid_file).unwrap().contains(&running.pid.to_string()));
        let mut state = supervisor.state();
        supervisor.stop().await;
        assert_eq!(*state.borrow_and_update(), State::Stopped);
        assert!(!has_device("neb1") && !pid_file.exists());
    });
}

#[test]
fn a_reload_keeps_the_process_and_a_restart_makes_another() {
    in_each_release("applies", async |node| {
        let supervisor = Supervisor::start(node.place(), Times::default());
        let first = node.write(1, &[]);
        supervisor.apply(first.clone(), Release::OLDEST).await.unwrap();
        let pid = running(&supervisor).pid;
        let again = supervisor.apply(first, Release::OLDEST).await;
        assert_eq!(again, Ok(Applied::Unchanged));

        let blocked = format!("{{blocklist: [{}]}}", "ab".repeat(32));
        let applied = supervisor.apply(node.write(2, &[("pki", &blocked)]), Release::OLDEST).await;
        assert_eq!(applied, Ok(Applied::Reloaded));
        // Without another number: nothing marks its end.
        node.sign("10.42.0.1/16", &[]);
        let applied = supervisor.apply(node.write(2, &[]), Release::OLDEST).await;
        assert_eq!(applied, Ok(Applied::Reloaded));
        assert_eq!(running(&supervisor).pid, pid);

        let listen = ("listen", "{host: 127.0.0.1, port: 4243}");
        let applied = supervisor.apply(node.write(3, &[listen]), Release::OLDEST).await;
        let reason = RestartReason::Key("listen.port".to_owned());
        assert_eq!(applied, Ok(Applied::Restarted(Restart::Change(reason))));
        let restarted = running(&supervisor);
        assert_eq!(restarted.port, Some(4243));
        assert_ne!(restarted.pid, pid);
        supervisor.stop().await;
    });
}

#[test]
fn what_nebula_would_refuse_leaves_the_running_one_alone() {
    in_each_release("refuses", async |node| {
        let supervisor = Supervisor::start(node.place(), Times::default());
        supervisor.apply(node.write(1, &[]), Release::OLDEST).await.unwrap();
        let before = running(&supervisor);

        let hosts = ("static_host_map", "{'10.42.0.9': ['192.0.2.1']}"); // no port
        let refused = supervisor.apply(node.write(2, &[hosts]), Release::OLDEST).await;
        let release = node.release();
        assert_eq!(refused, Err(ApplyError::Test(TestError::Refused { release })));

        let route =
            "{dev: neb1, mtu: 1300, unsafe_routes: [{route: 10.42.8.0/24, via: 10.42.0.9}]}";
        let refused = supervisor.apply(node.write(2, &[("tun", route)]), Release::OLDEST).await;
        let (route, network) = ("10.42.8.0/24".parse().unwrap(), "10.42.0.0/16".parse().unwrap());
        assert_eq!(refused, Err(ApplyError::Obstacle(Obstacle::UnsafeRoute { route, network })));

        let taken = std::net::UdpSocket::bind("127.0.0.1:4300").unwrap();
        let listen = ("listen", "{host: 127.0.0.1, port: 4300}");
        let refused = supervisor.apply(node.write(2, &[listen]), Release::OLDEST).await;
        assert_eq!(refused, Err(ApplyError::Obstacle(Obstacle::Port { port: 4300 })));
        drop(taken);

        ip(&["link", "add", "neb2", "type", "bridge"]).unwrap();
        let tun = ("tun", "{dev: neb2, mtu: 1300}");
        let refused = supervisor.apply(node.write(2, &[tun]), Release::OLDEST).await;
        let device = "neb2".to_owned();
        assert_eq!(refused, Err(ApplyError::Obstacle(Obstacle::Device { device })));

        let quiet = ("logging", "{level: error}");
        let refused = supervisor.apply(node.write(2, &[quiet]), Release::OLDEST).await;
        assert_eq!(refused, Err(ApplyError::Obstacle(Obstacle::LogLevel)));

        let refused = supervisor.apply(node.write(2, &[]), Release::new(2, 0, 0)).await;
        let error = refused.unwrap_err();
        assert!(matches!(error, ApplyError::Find(FindError::TooOld { .. })), "{error}");

        assert_eq!(running(&supervisor), before);
        // And it takes the next.
        let applied = supervisor.apply(node.write(3, &[]), Release::OLDEST).await;
        assert_eq!(applied, Ok(Applied::Reloaded));
        supervisor.stop().await;
    });
}

#[test]
fn a_start_that_fails_is_told_and_another_configuration_started_at_once() {
    in_each_release("fails", async |node| {
        let supervisor = Supervisor::start(node.place(), Times::default());
        // Nothing of this machine.
        let listen = ("listen", "{host: 192.0.2.77, port: 4242}");
        let failed = supervisor.apply(node.write(1, &[listen]), Release::OLDEST).await;
        let Err(ApplyError::NotStarted(Failure::AtStart { ended, line })) = failed else {
            panic!("{failed:?}")
        };
        assert_eq!(ended.code, Some(1));
        assert!(line.is_some_and(|line| line.contains("udp listener")), "the reason");
        assert!(matches!(*supervisor.state().borrow(), State::Waiting { failures: 1, .. }));
        let applied = supervisor.apply(node.write(2, &[]), Release::OLDEST).await;
        assert_eq!(applied, Ok(Applied::Started));
        supervisor.stop().await;
    });
}

#[test]
fn a_nebula_that_ends_is_started_again() {
    in_each_release("ends", async |node| {
        let times = Times { first_pause: Duration::from_millis(20), ..Times::default() };
        let supervisor = Supervisor::start(node.place(), times);
        supervisor.apply(node.write(1, &[]), Release::OLDEST).await.unwrap();
        let mut state = supervisor.state();
        for by in ["link", "kill"] {
            let before = running(&supervisor);
            state.mark_unchanged();
            match by {
                "link" => ip(&["link", "delete", "neb1"]).map(drop).unwrap(),
                _ => kill(before.pid, "KILL"),
            }
            let is_waiting = |state: &State| matches!(state, State::Waiting { .. });
            let waiting = state.wait_for(is_waiting).await.unwrap().clone();
            let State::Waiting { failure, .. } = waiting else { unreachable!() };
            match by {
                "link" => assert_eq!(failure, Failure::DeviceVanished),
                _ => assert!(
                    matches!(failure, Failure::Ended { ended, .. } if ended.signal == Some(9))
                ),
            }
            let is_running = |state: &State| matches!(state, State::Running(_));
            state.wait_for(is_running).await.unwrap();
            assert_ne!(running(&supervisor).pid, before.pid);
        }
        supervisor.stop().await;
    });
}

fn kill(pid: u32, signal: &str) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let signal = match signal {
        "KILL" => rustix::process::Signal::KILL,
        _ => rustix::process::Signal::STOP,
    };
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn the_nebula_of_a_former_supervisor_is_ended() {
    in_each_release("leftover", async |node| {
        let times = Times { first_pause: Duration::from_secs(600), ..Times::default() };
        // It stands for one that was killed.
        let former = Supervisor::start(node.place(), times);
        former.apply(node.write(1, &[]), Release::OLDEST).await.unwrap();
        let next = Supervisor::start(node.place(), Times::default());
        let applied = next.apply(node.write(1, &[]), Release::OLDEST).await;
        assert_eq!(applied, Ok(Applied::Started));
        let is_waiting = |state: &State| matches!(state, State::Waiting { .. });
        former.state().wait_for(is_waiting).await.unwrap();
        next.stop().await;
        former.stop().await;
    });
}

#[test]
fn a_nebula_that_does_not_answer_is_killed() {
    in_each_release("frozen", async |node| {
        let times = Times { stop: Duration::from_millis(200), ..Times::default() };
        let supervisor = Supervisor::start(node.place(), times);
        supervisor.apply(node.write(1, &[]), Release::OLDEST).await.unwrap();
        kill(running(&supervisor).pid, "STOP");
        // It neither reloads nor ends.
        let applied = supervisor.apply(node.write(2, &[]), Release::OLDEST).await;
        let waited = times.reload;
        assert_eq!(applied, Ok(Applied::Restarted(Restart::Hung { waited })));
        supervisor.stop().await;
        assert!(!has_device("neb1"));
    });
}

#[test]
fn the_release_is_read_and_judged() {
    in_each_release("found", async |node: &Node| {
        assert_eq!(node.nebula().await.release(), node.release());
        let needed = Release::new(1, 99, 0);
        let too_old = Nebula::find(Some(node.peer.nebula()), needed).await.unwrap_err();
        assert!(matches!(too_old, FindError::TooOld { found, .. } if found == node.release()));
        let cert = node.peer.nebula().with_file_name("nebula-cert");
        // Its answer begins alike; a program of another kind answers otherwise.
        assert!(Nebula::find(Some("/bin/true".as_ref()), needed).await.is_err());
        assert!(cert.exists());
    });
}
