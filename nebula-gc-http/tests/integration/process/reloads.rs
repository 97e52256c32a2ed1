//! Is what the table of reloads says true of each release? A real Nebula runs with the old
//! configuration, is told to reload with the new one in place, and shows whether it took it over.
//!
//! Keys of which nothing can be seen from outside are not here: `am_lighthouse`, `am_relay`,
//! `use_relays`, `cipher`, `routines`, `handshakes`, `timers` and `initiating_version`.

use std::fs;
use std::net::UdpSocket;
use std::process::Stdio;
use std::time::Duration;

use nebula_gc_http::process::{Change, Configuration, Release, change_between};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::place::{Node, in_each_release, ip};

/// How it shows that the new configuration is in force.
#[derive(Clone, Copy)]
enum Sign {
    /// A line of the log holds this.
    Line(&'static str),
    /// The device has this MTU.
    Mtu(&'static str),
    /// There is a route to this network.
    Route(&'static str),
    /// There is a device of this name.
    Device(&'static str),
    /// The device has this address.
    Address(&'static str),
    /// The UDP port is taken.
    Port(&'static str),
}
use Sign::{Address, Device, Line, Mtu, Port, Route};

type Sections = &'static [(&'static str, &'static str)];

/// Old and new sections, the oldest minor release that knows the key, and the sign.
const KEYS: [(Sections, Sections, u16, Sign); 34] = [
    (&[], &[], 6, Line("New firewall has been installed")),
    (&[], &[("lighthouse", "{interval: 5}")], 6, Line("lighthouse.interval changed")),
    (
        &[LIGHTHOUSE],
        &[LIGHTHOUSE, ("lighthouse", "{interval: 60, hosts: ['10.42.0.9']}")],
        6,
        Line("lighthouse.hosts has changed"),
    ),
    (&[], &[LIGHTHOUSE], 6, Line("static_host_map has changed")),
    (
        &[],
        &[("lighthouse", "{interval: 60, remote_allow_list: {'192.0.2.0/24': true}}")],
        6,
        Line("remote_allow_ranges has changed"),
    ),
    (
        &[],
        &[(
            "lighthouse",
            "{interval: 60, remote_allow_ranges: {'10.42.0.0/24': {'192.0.2.0/24': true}}}",
        )],
        6,
        Line("remote_allow_ranges has changed"),
    ),
    (
        &[],
        &[("lighthouse", "{interval: 60, local_allow_list: {'192.0.2.0/24': true}}")],
        6,
        Line("local_allow_list has changed"),
    ),
    (
        &[],
        &[("lighthouse", "{interval: 60, advertise_addrs: ['192.0.2.1:4242']}")],
        6,
        Line("advertise_addrs has changed"),
    ),
    (
        &[],
        &[(
            "lighthouse",
            "{interval: 60, calculated_remotes: \
             {'10.42.0.0/16': [{mask: 192.168.0.0/16, port: 4242}]}}",
        )],
        7,
        Line("calculated_remotes has changed"),
    ),
    (
        &[("lighthouse", "{am_lighthouse: true}"), DNS],
        &[("lighthouse", "{am_lighthouse: true, serve_dns: true}"), DNS],
        6,
        Line("Starting DNS responder"),
    ),
    (&[], &[("static_map", "{cadence: 1m}")], 7, Line("static_map.cadence has changed")),
    (&[], &[("listen", "{host: 127.0.0.1, port: 4243}")], 6, Port("127.0.0.1:4243")),
    (&[], &[("listen", "{host: 0.0.0.0, port: 4242}")], 6, Port("127.0.0.2:4242")),
    (
        &[],
        &[("listen", "{host: 127.0.0.1, port: 4242, read_buffer: 100000}")],
        6,
        Line("listen.read_buffer was set"),
    ),
    (
        &[],
        &[("listen", "{host: 127.0.0.1, port: 4242, write_buffer: 100000}")],
        6,
        Line("listen.write_buffer was set"),
    ),
    (&[], &[("punchy", "{punch: true}")], 6, Line("punchy.punch changed")),
    (&[], &[("punchy", "{respond: true}")], 6, Line("punchy.respond changed")),
    (&[], &[("punchy", "{delay: 2s}")], 6, Line("punchy.delay changed")),
    (&[], &[("punchy", "{respond_delay: 2s}")], 7, Line("punchy.respond_delay changed")),
    (
        &[],
        &[("punchy", "{target_all_remotes: true}")],
        7,
        Line("punchy.target_all_remotes changed"),
    ),
    (&[], &[("relay", "{relays: ['10.42.0.9']}")], 6, Line("Read relay from config")),
    (&[], &[("tun", "{dev: neb1, mtu: 1400}")], 6, Mtu("1400")),
    (&[], &[("tun", "{dev: neb9, mtu: 1300}")], 6, Device("neb9")),
    (
        &[],
        &[("tun", "{dev: neb1, mtu: 1300, routes: [{route: 10.42.9.0/24, mtu: 1200}]}")],
        6,
        Route("10.42.9.0/24"),
    ),
    (
        &[],
        &[(
            "tun",
            "{dev: neb1, mtu: 1300, unsafe_routes: [{route: 192.0.2.0/24, via: 10.42.0.9}]}",
        )],
        6,
        Route("192.0.2.0/24"),
    ),
    (&[], &[("logging", "{format: json}")], 6, Line("\"msg\":")),
    (
        &[],
        &[(
            "stats",
            "{type: prometheus, listen: '127.0.0.1:9100', path: /m, namespace: n, subsystem: s, \
             interval: 10s}",
        )],
        6,
        Line("Starting prometheus stats listener"),
    ),
    (&[], &[("preferred_ranges", "['192.0.2.0/24']")], 6, Line("preferred_ranges changed")),
    (
        &[],
        &[(
            "pki",
            "{blocklist: [abababababababababababababababababababababababababababababababab]}",
        )],
        6,
        Line("Blocklist"),
    ),
    (
        &[("pki", "{disconnect_invalid: true}")],
        &[("pki", "{disconnect_invalid: false}")],
        6,
        Line("pki.disconnect_invalid changed"),
    ),
    (
        &[],
        &[("tunnels", "{drop_inactive: true, inactivity_timeout: 3m}")],
        10,
        Line("Inactivity timeout has changed"),
    ),
    (&[("local_range", "192.0.2.0/24")], &[], 6, Line("local_range changed")),
    (&[], &[("cipher", "chachapoly")], 6, Line("cipher changed")),
    (&[], &[("of_a_later_release", "1")], 6, Line("of_a_later_release changed")),
];

const LIGHTHOUSE: (&str, &str) = ("static_host_map", "{'10.42.0.9': ['127.0.0.1:4999']}");
const DNS: (&str, &str) = ("dns", "{host: 127.0.0.1, port: 5353}");

#[test]
fn a_reload_takes_over_the_keys_that_the_table_says() {
    in_each_release("keys", async |node| {
        let mut wrong = vec![];
        for (old, new, since, sign) in KEYS {
            let mut running = Reloaded::start(node, old).await;
            let (release, change) = (node.release(), running.reload(new).await);
            let is_known = release >= Release::new(1, since, 0);
            let name = format!("{release}: {old:?} -> {new:?}");
            wrong.extend(running.judge(change, is_known.then_some(sign), &name).await);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    });
}

/// With the MTU the routes go, which nothing but an error says.
#[test]
fn a_reload_with_another_mtu_loses_unsafe_routes() {
    in_each_release("mtu", async |node| {
        let tun = |mtu: &str| {
            format!(
                "{{dev: neb1, mtu: {mtu}, unsafe_routes: [{{route: 192.0.2.0/24, via: 10.42.0.9}}]}}"
            )
        };
        let mut running = Reloaded::start(node, &[("tun", &tun("1300"))]).await;
        let change = running.reload(&[("tun", &tun("1400"))]).await;
        assert!(matches!(change, Change::Restart(_)), "{change:?}");
        let failed = running.lines.iter().any(|line| line.contains("Failed to remove route"));
        let is_ignored = node.release() < Release::new(1, 9, 0);
        assert!(failed || is_ignored, "{}", running.lines.join("\n"));
        running.end().await;
    });
}

#[test]
fn a_reload_takes_over_the_certificates_that_the_table_says() {
    in_each_release("certificates", async |node| {
        let refreshed = Line("refreshed from disk");
        let cases: [(&str, &str, &[&str], Sign); 4] = [
            ("renewed", "10.42.0.1/16", &[], refreshed),
            ("groups", "10.42.0.1/16", &["-groups", "a"], refreshed),
            ("another address", "10.42.0.2/16", &[], Address("10.42.0.2/16")),
            ("another prefix", "10.42.0.1/24", &[], Address("10.42.0.1/24")),
        ];
        for (name, address, more, sign) in cases {
            node.sign("10.42.0.1/16", &[]);
            let mut running = Reloaded::start(node, &[]).await;
            node.sign(address, more);
            let change = running.reload(&[]).await;
            let release = node.release();
            // 1.6 takes it over, but its peers are not told.
            let is_untold = name == "groups" && release < Release::new(1, 9, 0);
            let change = if is_untold { Change::Reload { is_marked: true } } else { change };
            let wrong = running.judge(change, Some(sign), &format!("{release}: {name}")).await;
            assert_eq!(wrong, None);
        }
    });
}

#[test]
fn a_reload_does_not_move_a_node_to_the_address_of_another_version() {
    in_each_release("versions", async |node| {
        if node.release() < Release::new(1, 10, 0) {
            return;
        }
        fs::remove_file(node.path().join("ca.crt")).unwrap();
        fs::remove_file(node.path().join("ca.key")).unwrap();
        node.cert(&["ca", "-name", "old", "-version", "1"]);
        node.sign("10.42.0.1/16", &[]);
        let mut running = Reloaded::start(node, &[]).await;
        let old = fs::read_to_string(node.path().join("ca.crt")).unwrap();
        fs::remove_file(node.path().join("ca.crt")).unwrap();
        fs::remove_file(node.path().join("ca.key")).unwrap();
        node.cert(&["ca", "-name", "new", "-version", "2"]);
        node.sign("10.42.0.2/16", &[]);
        let new = fs::read_to_string(node.path().join("ca.crt")).unwrap();
        fs::write(node.path().join("ca.crt"), old + &new).unwrap();
        let change = running.reload(&[]).await;
        assert!(
            running.lines.iter().any(|line| line.contains("refreshed from disk")),
            "it says so"
        );
        let wrong = running.judge(change, Some(Address("10.42.0.2/16")), "version 2").await;
        assert_eq!(wrong, None);
    });
}

/// A Nebula, and what it has said since it was told to reload.
struct Reloaded<'a> {
    node: &'a Node,
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    old: Configuration,
    lines: Vec<String>,
    /// Whether it goes on to take signals.
    goes_on: bool,
}

impl<'a> Reloaded<'a> {
    async fn start(node: &'a Node, sections: &[(&str, &str)]) -> Self {
        let old = node.write(1, sections);
        let mut process = Command::new(node.peer.nebula())
            .args(["-config".as_ref(), node.config().as_os_str()])
            .current_dir(node.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut running = Self { node, process, output, old, lines: vec![], goes_on: true };
        assert!(running.read_to("Nebula interface is active").await, "{:?}", running.lines);
        while !is_there(Address("10.42.0.1/")) {
            sleep(Duration::from_millis(5)).await;
        }
        running.lines.clear();
        running
    }

    /// Reloads with these sections, and waits for the end of that. Returns what the table says.
    async fn reload(&mut self, sections: &[(&str, &str)]) -> Change {
        let new = self.node.write(2, sections);
        self.hang_up();
        let marker = "New firewall has been installed";
        self.goes_on = self.read_to(marker).await;
        if self.goes_on {
            // What comes behind the firewall is over when the next reload has begun.
            self.node.write(3, sections);
            self.hang_up();
            self.goes_on = self.read_to(marker).await;
        }
        change_between(&self.old, &new, self.node.release())
    }

    async fn read_to(&mut self, end: &str) -> bool {
        loop {
            let line = timeout(Duration::from_secs(3), self.output.next_line()).await;
            let Ok(Ok(Some(line))) = line else { return false };
            let is_end = line.contains(end);
            self.lines.push(line);
            if is_end {
                return true;
            }
        }
    }

    fn hang_up(&self) {
        let pid = i32::try_from(self.process.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::HUP).unwrap();
    }

    /// Compares what the table says with what there is to see; with nothing where the release doesn't
    /// know the key. Returns how they differ.
    async fn judge(self, change: Change, sign: Option<Sign>, name: &str) -> Option<String> {
        let is_taken = self.goes_on
            && sign.is_none_or(|sign| match sign {
                Line(text) => self.lines.iter().any(|line| line.contains(text)),
                sign => is_there(sign),
            });
        let expected = matches!(change, Change::Reload { .. });
        let lines = self.lines.join("\n");
        self.end().await;
        (is_taken != expected).then(|| format!("{name}: {change:?}, taken: {is_taken}\n{lines}"))
    }

    async fn end(mut self) {
        self.process.start_kill().unwrap();
        self.process.wait().await.unwrap();
    }
}

fn is_there(sign: Sign) -> bool {
    let shows =
        |arguments: &[&str], text: &str| ip(arguments).is_ok_and(|shown| shown.contains(text));
    match sign {
        Line(_) => false,
        Mtu(mtu) => shows(&["link", "show", "dev", "neb1"], &format!("mtu {mtu} ")),
        Route(network) => shows(&["route", "show", "dev", "neb1"], network),
        Device(name) => shows(&["link", "show"], name),
        Address(address) => shows(&["address", "show", "dev", "neb1"], address),
        Port(address) => UdpSocket::bind(address).is_err(),
    }
}
