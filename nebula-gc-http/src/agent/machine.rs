//! All networks of a machine: those that are joined are kept, those that are left are let go.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::directory::NodeDirectory;
use super::error::AgentError;
use super::keeper::{KeepOptions, keep};
use super::leaving::is_leaving;
use super::membership;
use super::node::Node;
use super::notify::Notify;

/// How often the directory is looked at for networks that were joined or left.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps all networks below a directory until `stop` says so; then stops their Nebulas.
///
/// # Errors
/// [`AgentError::File`], [`AgentError::Unfit`] where the directory can't be used at the start.
pub async fn run(
    nodes: &Path,
    options: KeepOptions,
    mut stop: watch::Receiver<bool>,
) -> Result<(), AgentError> {
    let nodes = NodeDirectory::create(nodes)?;
    let mut machine = Machine { nodes, options, kept: BTreeMap::new(), told: BTreeMap::new() };
    let notify = Notify::of_environment();
    machine.look().await;
    notify.ready();
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                machine.look().await;
                notify.alive();
            }
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    notify.stopping();
    let paths: Vec<PathBuf> = machine.kept.keys().cloned().collect();
    let ended = paths.iter().filter_map(|path| machine.kept.remove(path)).map(Kept::end);
    let ended: Vec<JoinHandle<()>> = ended.collect();
    for task in ended {
        let _ = task.await;
    }
    Ok(())
}

struct Machine {
    nodes: NodeDirectory,
    options: KeepOptions,
    kept: BTreeMap<PathBuf, Kept>,
    /// What was logged about directories that can't be kept, so that it is not logged every second.
    told: BTreeMap<PathBuf, String>,
}

/// A network that is kept.
struct Kept {
    /// The directory itself, whatever name it has.
    inode: u64,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Kept {
    fn end(self) -> JoinHandle<()> {
        let _ = self.stop.send(true);
        self.task
    }
}

impl Machine {
    /// Begins to keep what was joined, and lets go what was left or has ended.
    async fn look(&mut self) {
        let found = match self.found() {
            Ok(found) => found,
            Err(error) => {
                self.tell(self.nodes.path().to_owned(), &error);
                return;
            }
        };
        let gone: Vec<PathBuf> = self
            .kept
            .iter()
            .filter(|(path, kept)| found.get(*path) != Some(&kept.inode) || kept.task.is_finished())
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            if let Some(kept) = self.kept.remove(&path) {
                tracing::info!(directory = %path.display(), "left the network");
                let _ = kept.end().await;
            }
        }
        self.told.retain(|path, _| found.contains_key(path) || path == self.nodes.path());
        for (path, inode) in found {
            if !self.kept.contains_key(&path) {
                self.begin(path, inode);
            }
        }
    }

    fn begin(&mut self, path: PathBuf, inode: u64) {
        let (node, exposed) = match Node::open(&path) {
            Ok(opened) => opened,
            Err(error) => return self.tell(path, &error),
        };
        for exposed in exposed {
            tracing::warn!(
                file = %exposed.path.display(),
                "was accessible to other users, and is no longer; have this node revoked if somebody may \
                 have read it"
            );
        }
        self.told.remove(&path);
        let network = node.membership.network.clone();
        tracing::info!(network, directory = %path.display(), "keeping the network up to date");
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(keep(node, self.options.clone(), stopped));
        self.kept.insert(path, Kept { inode, stop, task });
    }

    /// The directories of nodes that have joined and are not leaving, with their inodes.
    fn found(&self) -> Result<BTreeMap<PathBuf, u64>, AgentError> {
        let nodes = self.nodes.path();
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(nodes).map_err(|error| AgentError::file(nodes, error))? {
            let path = entry.map_err(|error| AgentError::file(nodes, error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            let is_node = !name.starts_with('.') && path.join(membership::FILE).exists();
            if !is_node || is_leaving_at(&path) {
                continue;
            }
            found.insert(path, about.ino());
        }
        Ok(found)
    }

    /// Logs why something is not kept, once.
    fn tell(&mut self, path: PathBuf, error: &AgentError) {
        let text = error.to_string();
        if self.told.get(&path) != Some(&text) {
            tracing::error!(%error, "the network is not kept");
            self.told.insert(path, text);
        }
    }
}

fn is_leaving_at(path: &Path) -> bool {
    NodeDirectory::open(path).is_ok_and(|directory| is_leaving(&directory))
}
