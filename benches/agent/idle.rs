//! An agent that keeps networks in which nothing happens.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nebula_gc_http::client::{Client, Request};
use tokio::time::sleep;

use crate::Outcome;
use crate::nodes::{self, Size, network_name};
use crate::process::{resident, share};
use crate::report::{Bar, Bars};
use crate::server::ServerProcess;

/// How many networks an agent keeps.
const NETWORKS: [usize; 2] = [1, 3];
/// Nebula without a network device, which needs no rights, at any port.
const LOCAL: &str = "tun: {disabled: true}\nlisten: {port: 0}\n";

/// The programs.
pub(crate) struct Programs {
    pub(crate) agent: PathBuf,
    pub(crate) nebula: PathBuf,
}

impl Programs {
    /// `nebula-gc-agent` beside this program, and the newest `nebula` at hand.
    pub(crate) fn find() -> Outcome<Self> {
        let agent = std::env::current_exe()?.with_file_name("nebula-gc-agent");
        if !agent.is_file() {
            let command = "cargo build -p nebula-gc-http --no-default-features --features agent-cli, with \
                the same profile";
            return Err(format!("{} is missing: {command}", agent.display()).into());
        }
        let directories: Vec<PathBuf> = match std::env::var_os("NEBULA_BIN_DIR") {
            Some(all) => {
                let releases: Result<Vec<_>, _> = fs::read_dir(all)?.collect();
                let mut paths: Vec<_> =
                    releases?.into_iter().map(|release| release.path()).collect();
                paths.sort_by_key(|path| numbers(path));
                paths.reverse();
                paths
            }
            None => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect(),
        };
        let mut found = directories.into_iter().map(|directory| directory.join("nebula"));
        let nebula = found.find(|path| path.is_file());
        let missing = "nebula is missing, in NEBULA_BIN_DIR and the search path";
        Ok(Self { agent, nebula: nebula.ok_or(missing)? })
    }
}

/// The numbers in a directory's name, such as those of a release.
fn numbers(path: &Path) -> Vec<u32> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split('.').map_while(|number| number.parse().ok()).collect()
}

/// Joins networks, and holds against their bars what an agent uses that keeps them.
pub(crate) async fn measure(
    place: &Path,
    programs: &Programs,
    length: Duration,
    bars: &mut Bars,
) -> Outcome<()> {
    let networks = NETWORKS.into_iter().max().unwrap_or_default();
    nodes::enroll_all(&place.join("server"), Size { networks, nodes: 0 }).await?;
    let server = ServerProcess::start(&place.join("server"))?;
    for count in NETWORKS {
        let directory = place.join(format!("{count}-networks"));
        for network in 0..count {
            join(&server, programs, &directory, network).await?;
        }
        let agent = Agent::start(programs, &directory)?;
        for network in 0..count {
            agent.healthy(&directory.join(network_name(network))).await?;
        }
        sleep(Duration::from_secs(5)).await;
        let processor = share(agent.id(), length).await?;
        let megabytes = f64::from(u32::try_from(resident(agent.id())? >> 10)?) / 1000.0 * 1.024;
        let of = |what: &str| format!("an agent with {count} networks, {what}");
        let room = 12.0 + 3.0 * f64::from(u32::try_from(count)?);
        bars.hold(&of("MB of memory"), &[megabytes], Bar::AtMost(room));
        bars.hold(&of("% of a core"), &[processor], Bar::AtMost(0.1));
    }
    Ok(())
}

async fn join(
    server: &ServerProcess,
    programs: &Programs,
    directory: &Path,
    network: usize,
) -> Outcome<()> {
    let name = network_name(network);
    let operator =
        Client::new(&format!("http://{}", server.address))?.with_key(&server.operator_key);
    let token = std::collections::BTreeMap::from([("name", "bench")]);
    let token = serde_json::to_value(token)?;
    let made =
        operator.send(Request::post(&format!("/networks/{name}/join-tokens"), token)).await?;
    let made = made.json()?;
    let token = made.get("secret").and_then(|token| token.as_str()).ok_or("no join token")?;
    let link = format!("http://{}/join#token={token}", server.address);
    let node = format!("bench-{}", directory.file_name().unwrap_or_default().to_string_lossy());
    let output = Command::new(&programs.agent)
        .args(["join", &link, "--name", &node, "--allow-plain-http", "--dir"])
        .arg(directory)
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let own = directory.join(name).join("local.d");
    DirBuilder::new().mode(0o700).create(&own)?;
    Ok(fs::write(own.join("bench.yml"), LOCAL)?)
}

/// The agent's process.
struct Agent {
    process: Child,
    log: PathBuf,
}

impl Agent {
    fn start(programs: &Programs, directory: &Path) -> Outcome<Self> {
        let log = directory.with_extension("log");
        let process = Command::new(&programs.agent)
            .arg("agent")
            .arg("--dir")
            .arg(directory)
            .arg("--nebula")
            .arg(&programs.nebula)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        Ok(Self { process, log })
    }

    fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the network's Nebula runs and its server knows.
    async fn healthy(&self, node: &Path) -> Outcome<()> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let state = fs::read_to_string(node.join("state.json")).unwrap_or_default();
            let state: serde_json::Value = serde_json::from_str(&state).unwrap_or_default();
            let runs = state.pointer("/nebula/running").and_then(serde_json::Value::as_bool);
            if runs == Some(true) && state.get("reported").is_some_and(|it| !it.is_null()) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(fs::read_to_string(&self.log)?.into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its Nebulas; there is no other way to send it without unsafe code.
        let id = self.process.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.process.wait();
    }
}
