//! Renders `README.md`: how to start the node from the unpacked archive.

use std::fmt::Write as _;
use std::path::Path;

use crate::inputs::{Network, Node};

/// The note beside installed files.
pub(crate) fn installed(directory: &Path) -> String {
    format!(
        "# A Nebula node

These files were installed by a program, which replaces them when the network changes: what is
changed here is lost. Nebula is started so:

    nebula -config {}
",
        directory.join("nebula.yml").display()
    )
}

pub(crate) fn write(network: &Network, node: &Node) -> String {
    let details = node.certificates.details();
    // A name may hold any printable character; as an indented block it can't be
    // read as Markdown.
    let name: String =
        details.name().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut addresses = String::new();
    for net in details.networks() {
        // Writing to a String does not fail.
        let _ = writeln!(addresses, "    {}    on the network {}", net.addr(), net.trunc());
    }
    let relay = if node.relay {
        let port = node.listen_port();
        format!(
            "This node is a relay: it passes packets on between others that can't reach each other, so UDP port {port} must reach it.\n"
        )
    } else {
        String::new()
    };
    let lighthouse = match &node.lighthouse {
        Some(endpoints) => {
            let all: Vec<String> =
                endpoints.iter().map(|endpoint| format!("`{endpoint}`")).collect();
            format!(
                "This node is a lighthouse: the others look for it at {}, so UDP port {} must reach it.\n",
                all.join(", "),
                node.listen_port()
            )
        }
        None if network.lighthouses.is_empty() => {
            "The network has no lighthouse yet, so this node can't find others. Register one, then fetch this archive again.\n".to_owned()
        }
        None => String::new(),
    };
    let device = &network.tun.dev;
    format!(
        "# A Nebula node

Name and overlay addresses:

    {name}
{addresses}
{lighthouse}{relay}
| file | what |
|---|---|
| `ca.crt` | whom this node trusts |
| `node.crt` | who this node is |
| `nebula.yml` | its configuration |
| `node.key` | its private key: **not in this archive**, it never left the device |

## Start

1. Put `node.key` beside these files, readable by its owner alone (`chmod 600 node.key`).
2. Check: `nebula -test -config nebula.yml`
3. Start, as root, in this directory: `nebula -config nebula.yml`

Paths in `nebula.yml` are relative to the directory that `nebula` is started in. Where the system has no
IPv6, set `listen.host` to `0.0.0.0`. `tun.dev` may be changed; it must differ from that of other networks
on this machine.

## To have it started

**Linux with systemd**: put the files into `/etc/nebula/{device}`, and this into
`/etc/systemd/system/nebula-{device}.service`; then `systemctl enable --now nebula-{device}`.

    [Unit]
    Wants=network-online.target
    After=network-online.target
    [Service]
    WorkingDirectory=/etc/nebula/{device}
    ExecStart=/usr/bin/nebula -config nebula.yml
    ExecReload=/bin/kill -HUP $MAINPID
    Restart=always
    [Install]
    WantedBy=multi-user.target

**Docker**, in this directory, with the network of the machine:

    docker run -d --name nebula-{device} --restart unless-stopped --network host --cap-add NET_ADMIN \\
        --device /dev/net/tun -v \"$PWD:/config:ro\" -w /config nebulaoss/nebula -config nebula.yml

**macOS**: `sudo nebula -config nebula.yml`. The system numbers the device itself (`utun`), whatever
`tun.dev` says.

**Windows**, as administrator, in this directory; Nebula's own `wintun.dll` belongs beside
`nebula.exe`. `-config` takes the whole path, and so do `pki.ca`, `pki.cert` and `pki.key` here:

    nebula.exe -service install -config C:\\nebula\\{device}\\nebula.yml
    nebula.exe -service start

## Update

When the network changes (a node was revoked, a lighthouse was added), fetch the archive again,
unpack it over these files, and send `SIGHUP` to the running `nebula`: it reads them anew, and
tunnels stay up. On Windows, restart it.

If no other node answers, look at the clock first: certificates are valid for a given time only.
"
    )
}
