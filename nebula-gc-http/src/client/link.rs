//! Join links, with which devices join a network.

use zeroize::Zeroizing;

use super::error::{ClientError, LinkFault};
use crate::server_list::Pin;

/// A join link. It contains a secret, so it can't be printed.
pub struct JoinLink {
    /// The server's address.
    pub server: String,
    /// The join token.
    pub token: Zeroizing<String>,
    /// SHA-256 of the server's public key.
    pub pin: Option<[u8; 32]>,
    /// The curve of the network's keys as the API names it, where the link says that.
    pub curve: Option<String>,
}

impl JoinLink {
    /// Reads `https://host/join#token=…&pin=…`, as the API makes it.
    ///
    /// # Errors
    /// [`ClientError::Link`].
    pub fn parse(link: &str) -> Result<Self, ClientError> {
        let link = link.trim();
        let (address, said) = link.split_once('#').ok_or(ClientError::Link(LinkFault::Form))?;
        let server = address.strip_suffix("/join").unwrap_or(address).to_owned();
        let (mut token, mut pin, mut curve) = (None, None, None);
        for part in said.split('&') {
            match part.split_once('=') {
                Some(("token", text)) => token = Some(Zeroizing::new(text.to_owned())),
                Some(("pin", text)) => {
                    let Pin(bytes) = text.parse().map_err(|_| ClientError::Link(LinkFault::Pin))?;
                    pin = Some(bytes);
                }
                Some(("curve", text)) => curve = Some(text.to_owned()),
                // Later versions may add more.
                _ => {}
            }
        }
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or(ClientError::Link(LinkFault::NoToken))?;
        Ok(Self { server, token, pin, curve })
    }
}

impl std::fmt::Debug for JoinLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinLink").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn a_link_names_server_token_and_pin() {
        let pin = URL_SAFE_NO_PAD.encode([7; 32]);
        let link =
            format!("https://a.example:8443/base/join#token=nebula-join-x&pin={pin}&new=1\n");
        let link = JoinLink::parse(&link).unwrap();
        assert_eq!(link.server, "https://a.example:8443/base");
        assert_eq!((link.token.as_str(), link.pin), ("nebula-join-x", Some([7; 32])));
        assert!(!format!("{link:?}").contains("nebula-join"));
        for wrong in ["https://a.example/join", "https://a.example#token=", "x#pin=AA&token=b"] {
            assert!(JoinLink::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pin_is_read_in_each_of_its_forms() {
        let hex = "07".repeat(32);
        let pin =
            |text: &str| JoinLink::parse(&format!("https://a.example/join#token=t&pin={text}"));
        for text in [&format!("sha256//{}", STANDARD.encode([7; 32])), &hex] {
            assert_eq!(pin(text).unwrap().pin, Some([7; 32]), "{text}");
        }
        for text in ["", "AA", &"zz".repeat(32), &"07".repeat(31)] {
            assert!(pin(text).is_err(), "{text}");
        }
    }
}
