//! A network namespace and a directory with the files of one node.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nebula_gc_http::process::{Configuration, Nebula, Place, Release};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use super::peers::{self, Peer};

/// Where a Nebula of one release runs; dropping it deletes the namespace.
pub(super) struct Node {
    pub(super) peer: Peer,
    namespace: String,
    directory: TempDir,
}

/// Runs the test in a namespace of its own for each release, side by side; or tells why it can't.
#[track_caller]
pub(super) fn in_each_release(test: &str, body: impl AsyncFn(&Node) + Copy + Send + Sync) {
    if !Path::new("/dev/net/tun").exists() {
        return peers::skip("/dev/net/tun");
    }
    thread::scope(|scope| {
        let releases = peers::releases().into_iter();
        let threads: Vec<_> = releases
            .filter_map(|peer| Node::new(test, peer))
            .map(|node| scope.spawn(move || node.run(body)))
            .collect();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

impl Node {
    fn new(test: &str, peer: Peer) -> Option<Self> {
        let namespace = format!("nebula-gc-{}-{test}-{}", std::process::id(), peer.release);
        if let Err(refusal) = ip(&["netns", "add", &namespace]) {
            peers::skip(&format!("the right to make network namespaces ({refusal})"));
            return None;
        }
        let node = Self { peer, namespace, directory: tempfile::tempdir().unwrap() };
        ip(&["-netns", &node.namespace, "link", "set", "lo", "up"]).unwrap();
        node.cert(&["ca", "-name", "ca"]);
        node.sign("10.42.0.1/16", &[]);
        Some(node)
    }

    /// On this thread alone, which is in the namespace from here on, and so are its children.
    fn run(&self, body: impl AsyncFn(&Self)) {
        let namespace = File::open(format!("/run/netns/{}", self.namespace)).unwrap();
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(body(self));
    }

    pub(super) fn cert(&self, arguments: &[&str]) -> String {
        self.peer.nebula_cert(self.path(), arguments)
    }

    /// Makes the node another certificate, with a new key.
    pub(super) fn sign(&self, address: &str, more: &[&str]) {
        for file in ["node.crt", "node.key"] {
            let _ = fs::remove_file(self.path().join(file));
        }
        let usual = ["sign", "-name", "node", "-ip", address];
        let files = ["-out-crt", "node.crt", "-out-key", "node.key"];
        self.cert(&[&usual[..], &files, more].concat());
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path().join("nebula.yml")
    }

    pub(super) fn release(&self) -> Release {
        self.peer.release.parse().unwrap()
    }

    pub(super) async fn nebula(&self) -> Nebula {
        Nebula::find(Some(self.peer.nebula()), Release::OLDEST).await.unwrap()
    }

    pub(super) fn place(&self) -> Place {
        Place {
            name: "test".to_owned(),
            directory: self.path().to_owned(),
            config: self.config(),
            pid_file: self.path().join("nebula.pid"),
            program: Some(self.peer.nebula().to_owned()),
        }
    }

    /// Writes `nebula.yml`: the usual one and these sections, which take the places of those of the same
    /// name. Returns what is in the files now.
    pub(super) fn write(&self, generation: u32, sections: &[(&str, &str)]) -> Configuration {
        let usual = [
            ("pki", "{}"),
            ("listen", "{host: 127.0.0.1, port: 4242}"),
            ("tun", "{dev: neb1, mtu: 1300}"),
            ("lighthouse", "{interval: 60}"),
            ("static_host_map", "{}"),
        ];
        let replaced = |name: &str| sections.iter().any(|(section, _)| *section == name);
        let all = usual.iter().filter(|(name, _)| !replaced(name)).chain(sections);
        let mut text = String::new();
        for (name, value) in all {
            let files = ["ca: ca.crt", "cert: node.crt", "key: node.key"].join(", ");
            match *name {
                "pki" => {
                    let more = value.trim_matches(['{', '}']);
                    text += &format!("pki: {{{files}, {more}}}\n");
                }
                name => text += &format!("{name}: {value}\n"),
            }
        }
        text += &format!(
            "firewall:\n  x_generation: {generation}\n  outbound: [{{port: any, proto: any, host: any}}]\n"
        );
        // As it is installed: never half of it.
        let aside = self.path().join("aside");
        fs::write(&aside, &text).unwrap();
        fs::rename(&aside, self.config()).unwrap();
        let read = |file: &str| fs::read_to_string(self.path().join(file)).unwrap();
        Configuration::read(&text, &read("node.crt"), &read("ca.crt")).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(refusal) = ip(&["netns", "delete", &self.namespace]) {
            eprintln!("network namespace {} is still there: {refusal}", self.namespace);
        }
    }
}

pub(super) fn ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
