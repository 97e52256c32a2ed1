//! The network under an overlay: one namespace for each node, and one with a bridge between them.
//! Every link is made inside them, so nothing of the host's own is touched.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::peers::in_path;

/// The bridge; the nodes are to be dropped before it.
pub struct Underlay {
    name: String,
    bridge: Namespace,
    hosts: u8,
}

/// A machine's place on the underlay, where one or more nodes are.
#[derive(Clone)]
pub struct Host {
    namespace: Arc<Namespace>,
    /// Where others see it.
    pub address: String,
    /// What it is behind.
    router: Option<Arc<Namespace>>,
}

/// A router that hides a machine, as those at home do: another port for each that it sends to, and
/// nothing in but answers.
const SYMMETRIC_NAT: &str = "
table ip nat {
    chain postrouting {
        type nat hook postrouting priority 100;
        oifname \"underlay\" masquerade fully-random
    }
}
table ip filter {
    chain input {
        type filter hook input priority 0; policy drop;
        iifname \"lan\" accept
        ct state established,related accept
    }
    chain forward {
        type filter hook forward priority 0; policy drop;
        iifname \"lan\" accept
        ct state established,related accept
    }
}
";

/// A network namespace; dropping it deletes it.
struct Namespace(String);

impl Underlay {
    /// Makes one for a test, or tells what is missing for it.
    pub fn new(test: &str) -> Result<Self, String> {
        for program in ["ip", "ping"] {
            in_path(program).ok_or_else(|| format!("the program {program}"))?;
        }
        if !Path::new("/dev/net/tun").exists() {
            return Err("/dev/net/tun".to_owned());
        }
        // Of this process, so that runs beside each other don't meet.
        let name = format!("nebula-gc-{}-{test}", std::process::id());
        let bridge = Namespace::new(format!("{name}-bridge")).map_err(|refusal| {
            format!("the right to make network namespaces, which root has ({refusal})")
        })?;
        bridge.ip("link add bridge type bridge")?;
        bridge.ip("link set bridge up")?;
        Ok(Self { name, bridge, hosts: 0 })
    }

    /// Adds a machine behind a router with symmetric NAT, or tells what is missing for it.
    pub fn behind_nat(&mut self, name: &str) -> Result<Host, String> {
        in_path("nft").ok_or("the program nft")?;
        let router = self.host(&format!("{name}-router"));
        let namespace = Namespace::new(format!("{}-{name}", self.name))?;
        router
            .namespace
            .ip(&format!("link add lan type veth peer name underlay netns {}", namespace.0))?;
        for (place, command) in [
            (&*router.namespace, "address add 192.168.7.1/24 dev lan"),
            (&*router.namespace, "link set lan up"),
            (&namespace, "link set lo up"),
            (&namespace, "address add 192.168.7.2/24 dev underlay"),
            (&namespace, "link set underlay up"),
            (&namespace, "route add default via 192.168.7.1"),
        ] {
            place.ip(command)?;
        }
        router.run("sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], "")?;
        router.run("nft", &["-f", "-"], SYMMETRIC_NAT)?;
        let Host { namespace: router, address, .. } = router;
        Ok(Host { namespace: Arc::new(namespace), address, router: Some(router) })
    }

    /// Adds a machine's namespace, with an address.
    pub fn host(&mut self, name: &str) -> Host {
        self.hosts += 1;
        let address = format!("198.51.100.{}", self.hosts);
        let namespace = Namespace::new(format!("{}-{name}", self.name)).expect("as the bridge's");
        let (port, peer) = (format!("port{}", self.hosts), &namespace.0);
        for (place, command) in [
            (&self.bridge, format!("link add {port} type veth peer name underlay netns {peer}")),
            (&self.bridge, format!("link set {port} master bridge up")),
            (&namespace, "link set lo up".to_owned()),
            (&namespace, format!("address add {address}/24 dev underlay")),
            (&namespace, "link set underlay up".to_owned()),
        ] {
            place.ip(&command).expect("it worked for the bridge");
        }
        Host { namespace: Arc::new(namespace), address, router: None }
    }
}

impl Host {
    /// A program to be started in the namespace; `ip` becomes it, so its process id is the child's.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace.0]).arg(program);
        command
    }

    /// Moves the calling thread into the namespace: its sockets, and threads that it starts, are there.
    pub fn enter(&self) {
        self.entering()();
    }

    /// What does that in another thread.
    pub fn entering(&self) -> impl FnOnce() + Send + 'static {
        let path = format!("/run/netns/{}", self.namespace.0);
        move || {
            let namespace = std::fs::File::open(path).expect("it was made");
            let network = Some(rustix::thread::LinkNameSpaceType::Network);
            let moved = rustix::thread::move_into_link_name_space(namespace.as_fd(), network);
            moved.expect("root may");
        }
    }

    /// Whether it is behind a router.
    pub fn is_hidden(&self) -> bool {
        self.router.is_some()
    }

    /// Runs a program with this input, which has to succeed.
    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<(), String> {
        let mut command = self.command(Path::new(program));
        command.args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let stdin = child.stdin.take();
        stdin
            .expect("it is a pipe")
            .write_all(input.as_bytes())
            .map_err(|error| error.to_string())?;
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Begins to send one ping, which succeeds if it is answered within 0.3 s.
    pub fn ping(&self, address: &str) -> Child {
        self.command(Path::new("ping"))
            .args(["-n", "-q", "-c1", "-W0.3", address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ping is there")
    }
}

impl Namespace {
    fn new(name: String) -> Result<Self, String> {
        ip(&["netns", "add", &name])?;
        Ok(Self(name))
    }

    fn ip(&self, command: &str) -> Result<(), String> {
        let arguments: Vec<&str> =
            ["-netns", &self.0].into_iter().chain(command.split(' ')).collect();
        ip(&arguments)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(refusal) = ip(&["netns", "delete", &self.0]) {
            eprintln!("network namespace {} is still there: {refusal}", self.0);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().expect("ip is there");
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim_end()
    ))
}
