//! The servers that nodes may ask: a list that an operator of the whole store sets, and that a key of the
//! store signs. Nodes keep that key from when they join, and believe no list that another signed.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use nebula_bundle::Endpoint;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::text::from_hex;

/// How many servers a list may have.
pub const MOST_SERVERS: usize = 16;
/// How long a URL may be, in bytes.
const LONGEST_URL: usize = 512;
/// What a signature is for, so that it is of no use for anything else.
const DOMAIN: &[u8] = b"nebula-gc server list 1\0";

/// SHA-256 of a server's public key (of its SubjectPublicKeyInfo, RFC 7469). Written in Base64 for URLs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin(pub [u8; 32]);

/// The public key of a store, by which its lists of servers are verified. Written in Base64 for URLs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ServerListKey(pub [u8; 32]);

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ListedServer {
    /// `https://host`, or `http://host:port` where nodes may use plain HTTP; without a slash at the end.
    pub url: String,
    /// The pin of its TLS key: SHA-256 of the SubjectPublicKeyInfo, in Base64 for URLs. Default: its
    /// certificate must be trusted by the node's system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub pin: Option<Pin>,
    /// The pin of the TLS key that it will have next: nodes accept both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = String, required = false))]
    pub next_pin: Option<Pin>,
}

/// A list as it comes from a server, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "server", schema(as = ServerList))]
pub struct SignedServerList {
    /// Rises with each change, and past any that a store lost which was restored from a copy; 0 for a
    /// list that was never set, which is empty.
    #[cfg_attr(feature = "server", schema(minimum = 0))]
    serial: i64,
    servers: Vec<ListedServer>,
    /// By the store's key: Ed25519, in Base64 for URLs.
    signature: String,
}

/// A list that the store's key signed, or one that is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerList {
    serial: i64,
    servers: Vec<ListedServer>,
}

/// Why a list can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerListError {
    /// A URL is none that nodes can use.
    #[error("{url}: must be as in https://nebula.example.org, without user, query or fragment")]
    Url {
        /// What was given.
        url: String,
    },
    /// There is a pin, and no TLS.
    #[error("{url}: has a pin, which needs https://")]
    PinWithoutTls {
        /// The server's URL.
        url: String,
    },
    /// There is a next pin, and none now.
    #[error("{url}: has a next pin, but none now: nodes would go on without one")]
    OnlyNextPin {
        /// The server's URL.
        url: String,
    },
    /// A server is there twice.
    #[error("{url}: is given more than once")]
    Repeated {
        /// The server's URL.
        url: String,
    },
    /// Some are reached safely, and others less so.
    #[error(
        "{url}: must have TLS and a pin where the others have: nodes never go to a less safe one"
    )]
    Mixed {
        /// The URL of the less safe server.
        url: String,
    },
    /// There are too many servers, or none.
    #[error("there are {count} servers, 1 to {MOST_SERVERS} are allowed")]
    Count {
        /// How many.
        count: usize,
    },
    /// Another key signed it, or something else.
    #[error("the list of servers was not signed by the store that this node joined")]
    Signature,
}

impl ServerList {
    /// The list that a store begins with: no server, so that nodes go on with those they know.
    #[must_use]
    pub fn empty() -> Self {
        Self { serial: 0, servers: vec![] }
    }

    /// A list that takes the place of the one with the serial before.
    ///
    /// # Errors
    /// [`ServerListError`], but for its `Signature`.
    pub fn new(serial: i64, servers: Vec<ListedServer>) -> Result<Self, ServerListError> {
        let count = servers.len();
        if !(1..=MOST_SERVERS).contains(&count) {
            return Err(ServerListError::Count { count });
        }
        let mut urls = BTreeSet::new();
        for server in &servers {
            server.check()?;
            if !urls.insert(&server.url) {
                return Err(ServerListError::Repeated { url: server.url.clone() });
            }
        }
        let safest = servers.iter().map(ListedServer::safety).max();
        match servers.iter().find(|server| Some(server.safety()) < safest) {
            Some(server) => Err(ServerListError::Mixed { url: server.url.clone() }),
            None => Ok(Self { serial, servers }),
        }
    }

    /// Rises with each change.
    #[must_use]
    pub fn serial(&self) -> i64 {
        self.serial
    }

    /// The servers, in the order in which nodes try them.
    #[must_use]
    pub fn servers(&self) -> &[ListedServer] {
        &self.servers
    }

    /// Signs it with the store's key.
    #[cfg(feature = "service")]
    pub(crate) fn signed(self, key: &ed25519_dalek::SigningKey) -> SignedServerList {
        use ed25519_dalek::Signer as _;
        let signature = key.sign(&message(self.serial, &self.servers));
        SignedServerList {
            serial: self.serial,
            servers: self.servers,
            signature: URL_SAFE_NO_PAD.encode(signature.to_bytes()),
        }
    }
}

impl SignedServerList {
    /// The list, if the store's key signed it and nodes can use it.
    ///
    /// # Errors
    /// [`ServerListError`].
    pub fn verify(self, key: &ServerListKey) -> Result<ServerList, ServerListError> {
        let Self { serial, servers, signature } = self;
        let is_signed = || {
            let key = VerifyingKey::from_bytes(&key.0).ok()?;
            let signature = URL_SAFE_NO_PAD.decode(&signature).ok()?;
            let signature = Signature::from_slice(&signature).ok()?;
            key.verify_strict(&message(serial, &servers), &signature).ok()
        };
        is_signed().ok_or(ServerListError::Signature)?;
        if (serial, servers.as_slice()) == (0, &[]) {
            return Ok(ServerList::empty());
        }
        ServerList::new(serial, servers)
    }

    /// Its number, as the server says it.
    #[must_use]
    pub fn unverified_serial(&self) -> i64 {
        self.serial
    }
}

impl ListedServer {
    /// Whether its connections are encrypted.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// Plain HTTP, TLS, TLS with a pin.
    fn safety(&self) -> u8 {
        u8::from(self.uses_tls()) + u8::from(self.pin.is_some())
    }

    fn check(&self) -> Result<(), ServerListError> {
        let url = || self.url.clone();
        let is_short = self.url.len() <= LONGEST_URL && !self.url.ends_with('/');
        let is_plain = self.url.bytes().all(|byte| byte.is_ascii_graphic())
            && !self.url.contains(['?', '#', '@', '\\']);
        if !is_short || !is_plain || !names_a_host(&self.url) {
            return Err(ServerListError::Url { url: url().chars().take(LONGEST_URL).collect() });
        }
        if !self.uses_tls() && (self.pin.is_some() || self.next_pin.is_some()) {
            return Err(ServerListError::PinWithoutTls { url: url() });
        }
        if self.pin.is_none() && self.next_pin.is_some() {
            return Err(ServerListError::OnlyNextPin { url: url() });
        }
        Ok(())
    }
}

/// Whether a URL has a host and a port that can be asked. A list that holds another would keep its nodes
/// from every server, the better ones too.
fn names_a_host(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    // An IPv6 address is in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, "443"),
    };
    let address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    };
    // A name is judged as those of lighthouses are, which leaves out "localhost".
    let is_host = address.is_some_and(|address| !address.is_unspecified())
        || host == "localhost"
        || format!("{host}:1").parse::<Endpoint>().is_ok();
    is_host && port.parse::<NonZeroU16>().is_ok() && !port.starts_with('+')
}

/// The bytes that are signed: each text follows its length, so that no two lists have the same.
fn message(serial: i64, servers: &[ListedServer]) -> Vec<u8> {
    let mut message = DOMAIN.to_vec();
    message.extend(serial.to_be_bytes());
    message.extend((servers.len() as u64).to_be_bytes());
    for server in servers {
        message.extend((server.url.len() as u64).to_be_bytes());
        message.extend(server.url.as_bytes());
        for pin in [server.pin, server.next_pin] {
            message.push(u8::from(pin.is_some()));
            message.extend(pin.map_or([0; 32], |pin| pin.0));
        }
    }
    message
}

/// A text that is not 32 bytes in Base64 or hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 bytes in Base64 or hexadecimal")]
pub struct NotThirtyTwoBytes;

macro_rules! base64_texts {
    ($($type:ident),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }

        /// Base64, for URLs or not, or hexadecimal; also as curl (`sha256//…`) writes pins.
        impl FromStr for $type {
            type Err = NotThirtyTwoBytes;

            fn from_str(text: &str) -> Result<Self, NotThirtyTwoBytes> {
                thirty_two_bytes(text).map(Self).ok_or(NotThirtyTwoBytes)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

base64_texts! { Pin, ServerListKey }

fn thirty_two_bytes(text: &str) -> Option<[u8; 32]> {
    let text =
        text.strip_prefix("sha256//").or_else(|| text.strip_prefix("sha256:")).unwrap_or(text);
    let bytes = match text.len() {
        64 => from_hex(text)?,
        _ => URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD.decode(text)).ok()?,
    };
    bytes.try_into().ok()
}

#[cfg(all(test, feature = "service"))]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn server(url: &str) -> ListedServer {
        ListedServer { url: url.to_owned(), pin: None, next_pin: None }
    }

    #[test]
    fn only_what_the_store_signed_is_believed() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = ServerListKey(key.verifying_key().to_bytes());
        let pinned = |url| ListedServer { pin: Some(Pin([1; 32])), ..server(url) };
        let list = vec![pinned("https://a.example"), pinned("https://b.example:8443/base")];
        let list = ServerList::new(3, list).unwrap();
        let signed = list.clone().signed(&key);
        let text = serde_json::to_string(&signed).unwrap();
        let read: SignedServerList = serde_json::from_str(&text).unwrap();
        assert_eq!(read.clone().verify(&public), Ok(list));
        let other = ServerListKey(SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes());
        assert_eq!(read.verify(&other), Err(ServerListError::Signature));
        for (from, to) in [
            ("\"serial\":3", "\"serial\":4"),
            ("a.example", "c.example"),
            ("\"pin\"", "\"nextPin\""),
            (":8443/base", ""),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            let changed: SignedServerList = serde_json::from_str(&changed).unwrap();
            assert_eq!(changed.verify(&public), Err(ServerListError::Signature), "{to}");
        }
        let empty = ServerList::empty().signed(&key);
        assert_eq!(empty.verify(&public), Ok(ServerList::empty()));
    }

    #[test]
    fn a_server_that_no_node_could_ask_is_refused() {
        for url in [
            "",
            "https://",
            "https://:1",
            "ftp://a",
            "https://a/",
            "https://u@a",
            "https://a?b",
            "https://192.0.2.256:8443",
            "https://a..b",
            "https://*.example.org",
            "https://a:84433",
            "https://a:",
            "https://[fd00::1",
        ] {
            let refused = ServerList::new(1, vec![server(url)]);
            assert!(matches!(refused, Err(ServerListError::Url { .. })), "{url}");
        }
        for url in [
            "https://a",
            "http://127.0.0.1:8080",
            "http://localhost:1",
            "https://[fd00::1]:8443",
            "https://a.b/c",
        ] {
            assert!(ServerList::new(1, vec![server(url)]).is_ok(), "{url}");
        }
        let long = format!("https://{}", "a".repeat(LONGEST_URL));
        assert!(ServerList::new(1, vec![server(&long)]).is_err());
        let open = ListedServer { pin: Some(Pin([1; 32])), ..server("http://a") };
        let later = ListedServer { next_pin: Some(Pin([1; 32])), ..server("https://a") };
        let pinned = ListedServer { pin: Some(Pin([1; 32])), ..server("https://b") };
        let mixed =
            [vec![server("https://a"), server("http://b")], vec![pinned, server("https://a")]];
        let others = [vec![open], vec![later], vec![server("https://a"); 2], vec![]];
        for servers in mixed.into_iter().chain(others) {
            assert!(ServerList::new(1, servers.clone()).is_err(), "{servers:?}");
        }
    }
}
