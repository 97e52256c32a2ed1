//! Runs the blocks of a page.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use super::page::Page;
use super::peers;

/// Where pages say that the server is.
const ADDRESS: &str = "127.0.0.1:8080";
/// What a page may use beside `nebula-gc`, Nebula and what every Linux has.
const PROGRAMS: [&str; 4] = ["curl", "jq", "openssl", "unzip"];
/// Longer than any page takes on a busy machine, in seconds.
const LIMIT: &str = "300";

/// What the page needs and is not there.
pub fn missing(page: &Page) -> Option<String> {
    if uses(page, "nebula") && nebula().is_none() {
        return Some("a nebula of 1.10 or later".to_owned());
    }
    if page.needs_machines() {
        if nebula().is_none() {
            return Some("a nebula of 1.10 or later".to_owned());
        }
        let may = Command::new("unshare").args(["--net", "--mount", "ip", "link"]).output();
        if !may.is_ok_and(|output| output.status.success()) || !Path::new("/dev/net/tun").exists() {
            return Some("the right to make network namespaces, which root has".to_owned());
        }
    }
    let missing = PROGRAMS.into_iter().find(|program| uses(page, program) && !is_there(program));
    missing.map(|program| format!("the program {program}"))
}

fn uses(page: &Page, program: &str) -> bool {
    let runs = page.blocks.iter().filter(|block| block.not_run.is_none());
    let mut words = runs
        .flat_map(|block| block.script.split(|c: char| c.is_whitespace() || "|$(;".contains(c)));
    words.any(|word| word == program || word.strip_suffix("-cert") == Some(program))
}

/// Where the newest Nebula is, if it knows certificates of version 2.
fn nebula() -> Option<PathBuf> {
    let number = |peer: &peers::Peer| peers::numbers(&peer.release);
    let newest = peers::releases().into_iter().max_by_key(number)?;
    let directory = newest.program.parent().map(Path::to_owned);
    directory.filter(|_| number(&newest) >= vec![1, 10])
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Runs a page in a directory of its own; what is wrong begins with the line of the block.
pub fn run(page: &Page) -> Result<(), String> {
    let home = tempfile::tempdir().unwrap();
    let [bin, kept, here] = ["bin", "kept", "here"].map(|name| home.path().join(name));
    for directory in [&bin, &kept, &here] {
        fs::create_dir(directory).unwrap();
    }
    symlink(env!("CARGO_BIN_EXE_nebula-gc"), bin.join("nebula-gc")).unwrap();
    let mut path = vec![bin];
    let has_nebula = uses(page, "nebula") || page.needs_machines();
    path.extend(Some(page).filter(|_| has_nebula).and_then(|_| nebula()));
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));

    let address = match page.needs_machines() {
        // It has a network of its own.
        true => ADDRESS.to_owned(),
        false => free_address().to_string(),
    };
    fs::write(home.path().join("page.sh"), script(page).replace(ADDRESS, &address)).unwrap();
    let mut command = Command::new("timeout");
    command.arg(LIMIT);
    if page.needs_machines() {
        // Whatever a page has started ends with its shell: an agent that is killed leaves its Nebula.
        command.args([
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
    }
    command
        .args(["bash", "../page.sh"])
        .current_dir(&here)
        .env_clear()
        .envs([("HOME", "."), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC")])
        .env("PATH", std::env::join_paths(path).unwrap())
        .envs((!page.needs_machines()).then_some(("NEBULAGC_LISTEN", &address)))
        .envs((!page.needs_machines()).then(|| ("NEBULAGC_SERVER", format!("http://{address}"))))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(kept.join("errors")).unwrap())
        .process_group(0);
    let mut group = Group(command.spawn().unwrap());
    let ended = group.0.wait().unwrap();
    drop(group);

    let said = |name: &str| {
        let said = fs::read_to_string(kept.join(name)).unwrap_or_default();
        said.replace(&address, ADDRESS)
    };
    let reached = said("reached");
    for block in page.blocks.iter().filter(|block| block.not_run.is_none()) {
        let (line, printed) = (block.line.to_string(), said(&block.line.to_string()));
        if !ended.success() && line == reached.trim() {
            return Err(format!("{line}: {ended}\n{}{printed}{}", block.script, said("errors")));
        }
        if let Some(expected) = &block.answer
            && !is_like(expected.trim_end(), printed.trim_end())
        {
            return Err(format!("{line}: expected\n{expected}\nnot\n{printed}"));
        }
    }
    assert!(ended.success(), "{ended} before any block\n{}", said("errors"));
    Ok(())
}

/// Everything that a page starts; dropping it ends what still runs.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // The server that the page started has its shell's group. It may have ended already.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// An address of loopback that no other page listens on.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, NEXT.fetch_add(1, Ordering::Relaxed), high, low | 1);
    let listener = TcpListener::bind((IpAddr::V4(host), 0)).unwrap();
    listener.local_addr().unwrap()
}

/// The blocks as one script, which keeps what each prints, and at which line it is.
fn script(page: &Page) -> String {
    let mut script = "set -euo pipefail\nkept=$PWD/../kept\n".to_owned();
    if page.needs_machines() {
        script += MACHINES;
    }
    for block in page.blocks.iter().filter(|block| block.not_run.is_none()) {
        let (line, commands) = (block.line, &block.script);
        let part = if block.is_server {
            // Its first lines are waited for; the rest stays in the pipe.
            format!(
                "exec {{serving}}< <({{\n{commands}}} 2>\"$kept/{line}.log\")\n\
                 said=; while read -r said <&\"$serving\" && [[ $said != Listening* ]]; do :; done\n\
                 [[ $said == Listening* ]] || {{ cat \"$kept/{line}.log\" >&2; exit 1; }}\n"
            )
        } else {
            let command = match block.is_on_laptop {
                true => format!("on_laptop \"$kept/{line}.sh\""),
                false => format!("bash -euo pipefail \"$kept/{line}.sh\""),
            };
            let file =
                format!("cat > \"$kept/{line}.sh\" <<'END-OF-BLOCK'\n{commands}END-OF-BLOCK\n");
            match (block.is_agent, block.is_on_laptop) {
                (true, _) => {
                    let status = match block.is_on_laptop {
                        true => "on_laptop <(echo nebula-gc status)",
                        false => "nebula-gc status",
                    };
                    format!(
                        "{file}{command} 2> \"$kept/{line}.log\" &\n\
                         for _ in {{1..100}}; do {status} > \"$kept/{line}\" && break; sleep 0.2; done\n"
                    )
                }
                (false, true) => format!("{file}{command} > \"$kept/{line}\"\n"),
                (false, false) => format!("{{\n{commands}}} > \"$kept/{line}\"\n"),
            }
        };
        // Writing to a text can't fail.
        let _ = write!(script, "echo {line} > \"$kept/reached\"\n{part}");
    }
    script
}

/// Two machines on one underlay: this one, and the laptop. Each has an `/etc/nebula-gc` of its own, which
/// nothing else of the machine sees.
const MACHINES: &str = r#"set -a
mkdir -p /run/netns /etc/nebula-gc ../etc/server ../etc/laptop
mount -t tmpfs netns /run/netns
mount --bind ../etc/server /etc/nebula-gc
ip netns add laptop
ip link add server type veth peer name underlay netns laptop
ip link set lo up
ip address add 192.0.2.1/24 dev server
ip link set server up
ip -n laptop link set lo up
ip -n laptop address add 192.0.2.2/24 dev underlay
ip -n laptop link set underlay up
on_laptop() {
    ip netns exec laptop unshare --mount bash -euo pipefail -c         'mount --bind "$0" /etc/nebula-gc; exec bash -euo pipefail "$1"' "$PWD/../etc/laptop" "$1"
}
"#;

/// Whether a text is as expected, in which each `…` stands for anything.
fn is_like(expected: &str, text: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}
