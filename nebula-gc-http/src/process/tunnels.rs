//! How many tunnels a Nebula has, counted from what it says: it has no other way to tell without a
//! listener of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::line::Line;

/// How many peers are remembered: more than a network has that fits one machine.
const MOST: usize = 1 << 16;

/// How many tunnels a running Nebula has, while it runs.
#[derive(Debug, Clone, Default)]
pub(super) struct TunnelCount(Arc<AtomicU64>);

impl TunnelCount {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// That of the same Nebula, whatever it is now.
impl PartialEq for TunnelCount {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TunnelCount {}

/// The peers of which Nebula said that a tunnel to them is up, and not that it is down, each with our own
/// index of its latest tunnel.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    latest: BTreeMap<String, Option<String>>,
    count: TunnelCount,
}

impl Tunnels {
    pub(super) fn count(&self) -> TunnelCount {
        self.count.clone()
    }

    pub(super) fn take(&mut self, line: &Line) {
        // 1.10 and later name all addresses of a peer.
        let Some(peer) = line.field("vpnAddrs").or_else(|| line.field("vpnIp")) else { return };
        match line.message.as_str() {
            "Handshake message received" => self.open(peer, line, "initiatorIndex"),
            "Handshake message sent" => self.open(peer, line, "responderIndex"),
            // It looks only at tunnels through which something was sent.
            "Tunnel status" if line.field("tunnelCheck").is_some_and(|it| it.contains("dead")) => {
                self.close(peer, line)
            }
            message if message.contains("earing down") || message.contains("inactivity") => {
                self.close(peer, line)
            }
            _ => return,
        }
        self.count.0.store(self.latest.len() as u64, Ordering::Relaxed);
    }

    /// With the second message of a handshake, a tunnel is up at who sends it and who receives it.
    fn open(&mut self, peer: &str, line: &Line, own_index: &str) {
        let stage = line.field("handshake").unwrap_or_default();
        let is_second = ["stage:2", "\"stage\":2"].iter().any(|second| stage.contains(second));
        if is_second && (self.latest.len() < MOST || self.latest.contains_key(peer)) {
            let index = line.field(own_index).map(str::to_owned);
            self.latest.insert(peer.to_owned(), index);
        }
    }

    /// Unless it is an earlier tunnel, which another has followed. 1.6 doesn't say which one it is.
    fn close(&mut self, peer: &str, line: &Line) {
        let index = line.field("localIndex");
        let is_latest = self.latest.get(peer).is_some_and(|latest| {
            index.is_none() || latest.is_none() || latest.as_deref() == index
        });
        if is_latest {
            self.latest.remove(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[&str]) -> u64 {
        let mut tunnels = Tunnels::default();
        for line in lines {
            tunnels.take(&Line::read(line.as_bytes()).unwrap());
        }
        tunnels.count().get()
    }

    const FIRST: &str = r#"level=info msg="Handshake message sent" handshake="map[stage:1 style:ix_psk0]" initiatorIndex=7 localIndex=7 vpnIp=10.9.0.1"#;
    const RECEIVED: &str = r#"level=info msg="Handshake message received" handshake="map[stage:2 style:ix_psk0]" initiatorIndex=7 responderIndex=9 vpnIp=10.9.0.1"#;
    const SENT: &str = r#"level=INFO msg="Handshake message sent" vpnAddrs=[10.9.0.3] handshake="map[stage:2 style:ix_psk0]" initiatorIndex=5 responderIndex=8"#;

    #[test]
    fn a_tunnel_is_up_with_the_second_message_of_its_handshake() {
        assert_eq!(counted(&[FIRST]), 0);
        assert_eq!(counted(&[FIRST, RECEIVED]), 1);
        assert_eq!(counted(&[FIRST, RECEIVED, RECEIVED, SENT]), 2);
        let json = r#"{"handshake":{"stage":2,"style":"ix_psk0"},"initiatorIndex":3,"level":"info","msg":"Handshake message received","vpnIp":"10.9.0.3"}"#;
        assert_eq!(counted(&[json]), 1);
    }

    #[test]
    fn a_tunnel_that_nebula_ends_is_down() {
        for end in [
            r#"msg="Close tunnel received, tearing down." certName=b vpnIp=10.9.0.1"#,
            r#"msg="Close tunnel received, tearing down." localIndex=7 vpnIp=10.9.0.1"#,
            r#"msg="Tunnel status" localIndex=7 tunnelCheck="map[method:active state:dead]" vpnIp=10.9.0.1"#,
            r#"msg="Remote certificate is no longer valid, tearing down the tunnel" vpnIp=10.9.0.1"#,
            r#"msg="Dropping tunnel due to inactivity" localIndex=7 vpnIp=10.9.0.1"#,
        ] {
            assert_eq!(counted(&[RECEIVED, &format!("level=info {end}")]), 0, "{end}");
        }
    }

    #[test]
    fn the_end_of_an_earlier_tunnel_is_not_that_of_the_one_that_followed_it() {
        let again = RECEIVED.replace("initiatorIndex=7", "initiatorIndex=11");
        let end =
            r#"level=info msg="Close tunnel received, tearing down." localIndex=7 vpnIp=10.9.0.1"#;
        assert_eq!(counted(&[RECEIVED, &again, end]), 1);
        assert_eq!(counted(&[RECEIVED, &again, &end.replace("=7", "=11")]), 0);
    }
}
