//! Which servers a node asks: those of its join link, then those of the list that its store signs.

use super::error::AgentError;
use super::membership::{KnownServer, Membership};
use super::node::Node;
use crate::client::{Client, Request};
use crate::server_list::{ListedServer, ServerList, SignedServerList};

impl Node {
    /// Reads the list of servers, and takes it over if it is newer. Returns whether there are other
    /// servers to ask now.
    ///
    /// # Errors
    /// [`AgentError::Client`], [`AgentError::ServerList`], [`AgentError::File`].
    pub async fn read_servers(&mut self, client: &Client) -> Result<bool, AgentError> {
        if self.membership.servers_key.is_none() {
            return Ok(false);
        }
        let known = format!("\"{}\"", self.membership.serial);
        let answer = client.send(Request::get("/node/servers").if_none_match(&known)?).await?;
        if answer.status == 304 {
            return Ok(false);
        }
        let signed = serde_json::from_slice(&answer.body);
        self.take_servers(signed.map_err(|_| AgentError::Answer { header: "servers" })?)
    }

    /// As [`read_servers`](Self::read_servers), with a list that came.
    ///
    /// # Errors
    /// [`AgentError::ServerList`], [`AgentError::File`].
    pub fn take_servers(&mut self, signed: SignedServerList) -> Result<bool, AgentError> {
        let changed = adopt(&mut self.membership, signed)?;
        if changed {
            self.membership.write(&self.directory)?;
            let (network, serial) = (&self.membership.network, self.membership.serial);
            tracing::info!(network, serial, "the list of servers was taken over");
        }
        Ok(changed)
    }

    /// A server has answered: once it is one of the list, those before the list are forgotten.
    ///
    /// # Errors
    /// [`AgentError::File`].
    pub fn forget_former_servers(&mut self, answered: &str) -> Result<(), AgentError> {
        let servers = &mut self.membership.servers;
        let is_listed = servers.iter().any(|it| !it.former && is_same(&it.url, answered));
        if is_listed && servers.iter().any(|server| server.former) {
            servers.retain(|server| !server.former);
            self.membership.write(&self.directory)?;
        }
        Ok(())
    }
}

/// Takes a list over, if the store's key signed it and it is newer than the last one: never a server
/// without TLS or pin in the place of those with it.
pub(super) fn adopt(
    membership: &mut Membership,
    signed: SignedServerList,
) -> Result<bool, AgentError> {
    let Some(key) = &membership.servers_key else { return Ok(false) };
    let (given, has) = (signed.unverified_serial(), membership.serial);
    if given < has {
        tracing::warn!(
            network = membership.network,
            given,
            has,
            "an older list of servers is ignored"
        );
    }
    if given <= has {
        return Ok(false);
    }
    let list: ServerList = signed.verify(key)?;
    let known = &membership.servers;
    let uses_tls = known.iter().all(|server| server.url.starts_with("https://"));
    let is_pinned = known.iter().all(|server| !server.pins.is_empty());
    for server in list.servers() {
        if uses_tls && !server.uses_tls() || is_pinned && server.pin.is_none() {
            return Err(AgentError::Downgrade { url: server.url.clone() });
        }
    }
    let mut servers: Vec<_> = list.servers().iter().map(|listed| entry(listed, known)).collect();
    for former in known {
        if !servers
            .iter()
            .any(|server| is_same(&server.url, &former.url) && server.pins == former.pins)
        {
            servers.push(KnownServer { former: true, ..former.clone() });
        }
    }
    (membership.servers, membership.serial) = (servers, list.serial());
    Ok(true)
}

/// A pin that was set on this machine stays as it is.
fn entry(listed: &ListedServer, known: &[KnownServer]) -> KnownServer {
    let pinned = known.iter().find(|known| known.pinned_here && is_same(&known.url, &listed.url));
    match pinned {
        Some(pinned) => KnownServer { former: false, ..pinned.clone() },
        None => KnownServer {
            url: listed.url.clone(),
            pins: listed.pin.into_iter().chain(listed.next_pin).collect(),
            pinned_here: false,
            former: false,
        },
    }
}

/// URLs are written with and without a slash at the end.
fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

#[cfg(all(test, feature = "service"))]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::server_list::{Pin, ServerListKey};

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn joined(url: &str, pins: &[u8]) -> Membership {
        let mut membership: Membership =
            serde_json::from_str(r#"{"network": "n", "node": "n", "name": "n", "servers": []}"#)
                .unwrap();
        membership.servers_key = Some(ServerListKey(key().verifying_key().to_bytes()));
        let pins = pins.iter().map(|pin| Pin([*pin; 32])).collect();
        membership.servers =
            vec![KnownServer { url: url.to_owned(), pins, pinned_here: false, former: false }];
        membership
    }

    fn listed(url: &str, pin: Option<u8>, next_pin: Option<u8>) -> ListedServer {
        let pin_of = |pin: Option<u8>| pin.map(|pin| Pin([pin; 32]));
        ListedServer { url: url.to_owned(), pin: pin_of(pin), next_pin: pin_of(next_pin) }
    }

    fn signed(serial: i64, servers: Vec<ListedServer>) -> SignedServerList {
        ServerList::new(serial, servers).unwrap().signed(&key())
    }

    fn asked(membership: &Membership) -> Vec<(&str, usize, bool)> {
        let one = |it: &'_ KnownServer| (it.pins.len(), it.former);
        let all = membership.servers.iter();
        all.map(|it| (it.url.as_str(), one(it).0, one(it).1)).collect()
    }

    #[test]
    fn a_newer_list_is_asked_first_and_the_former_servers_stay_behind_it() {
        let mut membership = joined("https://a.example", &[1]);
        let list = vec![listed("https://b.example", Some(2), Some(3))];
        assert!(adopt(&mut membership, signed(4, list.clone())).unwrap());
        let both = [("https://b.example", 2, false), ("https://a.example", 1, true)];
        assert_eq!(asked(&membership), both);
        assert!(!adopt(&mut membership, signed(4, list.clone())).unwrap(), "it is the same");
        assert!(!adopt(&mut membership, signed(3, list)).unwrap(), "it is older");
        assert_eq!(membership.serial, 4);
    }

    #[test]
    fn no_list_leads_from_https_to_http_or_from_a_pin_to_none() {
        for (has, pins, worse) in [
            ("https://a.example", &[1][..], listed("https://b.example", None, None)),
            ("https://a.example", &[], listed("http://b.example", None, None)),
        ] {
            let mut membership = joined(has, pins);
            let before = membership.clone();
            let refused = adopt(&mut membership, signed(1, vec![worse]));
            assert!(matches!(refused, Err(AgentError::Downgrade { .. })));
            assert_eq!(membership, before);
        }
        let mut membership = joined("http://127.0.0.1:8080", &[]);
        let list = vec![listed("http://127.0.0.1:8081", None, None)];
        assert!(adopt(&mut membership, signed(1, list)).unwrap());
    }

    #[test]
    fn a_list_of_another_key_is_refused_and_a_pin_of_this_machine_stays() {
        let mut membership = joined("https://a.example", &[1]);
        membership.servers[0].pinned_here = true;
        let list = || signed(1, vec![listed("https://a.example", Some(2), None)]);
        assert!(adopt(&mut membership, list()).unwrap());
        assert_eq!(membership.servers[0].pins, [Pin([1; 32])]);
        membership.servers_key = Some(ServerListKey([9; 32]));
        membership.serial = 0;
        assert!(matches!(adopt(&mut membership, list()), Err(AgentError::ServerList(_))));
    }
}
