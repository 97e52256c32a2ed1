//! The network under an overlay: one namespace for each node, and one with a bridge between them.
//! Every link is made inside them, so nothing of the host's own is touched.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::peers::in_path;

/// The bridge; the nodes are to be dropped before it.
pub struct Underlay {
    name: String,
    bridge: Namespace,
    hosts: u8,
}

/// One node's place on the underlay.
pub struct Host {
    namespace: Namespace,
    pub address: String,
}

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

    /// Adds a node's namespace, with an address.
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
        Host { namespace, address }
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
