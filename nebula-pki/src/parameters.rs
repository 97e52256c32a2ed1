//! What an issuer is asked for: the parameters of a new CA or host certificate.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

use crate::key::PublicKey;
use crate::validity::go_time;
use crate::{Certificate, Error, Validity, VerifiedCertificate};

/// What a new CA certificate is to say.
///
/// Groups, networks and unsafe networks limit what the CA may sign; none means no limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CaParameters {
    pub(crate) name: String,
    pub(crate) validity: Validity,
    pub(crate) groups: Vec<String>,
    pub(crate) networks: Vec<IpNet>,
    pub(crate) unsafe_networks: Vec<IpNet>,
}

impl CaParameters {
    /// A CA without limits. The name has 1 to 253 bytes; the end is later than the beginning.
    #[must_use]
    pub fn new(name: impl Into<String>, validity: Validity) -> Self {
        Self {
            name: name.into(),
            validity,
            groups: Vec::new(),
            networks: Vec::new(),
            unsafe_networks: Vec::new(),
        }
    }

    /// The only groups that it may give.
    #[must_use]
    pub fn groups(self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { groups: groups.into_iter().map(Into::into).collect(), ..self }
    }

    /// The only ranges from which it may give networks.
    #[must_use]
    pub fn networks(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { networks: networks.into_iter().collect(), ..self }
    }

    /// The only ranges for which it may name routers.
    #[must_use]
    pub fn unsafe_networks(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { unsafe_networks: networks.into_iter().collect(), ..self }
    }
}

/// What a new host certificate is to say.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostParameters {
    /// That of a renewal need not be UTF-8.
    pub(crate) name: Vec<u8>,
    pub(crate) networks: Vec<IpNet>,
    pub(crate) public_key: PublicKey,
    pub(crate) validity: Validity,
    /// The same.
    pub(crate) groups: Vec<Vec<u8>>,
    pub(crate) unsafe_networks: Vec<IpNet>,
}

impl HostParameters {
    /// A host in no group and routing nothing.
    ///
    /// The name has 1 to 253 bytes. Networks are the host's addresses, each with the prefix length
    /// of the overlay network: exactly one, IPv4, in version 1; one or more in version 2.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        networks: Vec<IpNet>,
        public_key: PublicKey,
        validity: Validity,
    ) -> Self {
        Self {
            name: name.into().into_bytes(),
            networks,
            public_key,
            validity,
            groups: Vec::new(),
            unsafe_networks: Vec::new(),
        }
    }

    /// What a certificate says, byte for byte and in its order, for the same key and another
    /// validity. Issue it in the same [`version`](crate::Certificate::version).
    ///
    /// Names and groups that are not UTF-8 stay as they are, and so do repeated groups. The
    /// certificate is a verified one, so that a blocked or foreign one is never extended; an expired one
    /// can be verified at its own first second.
    ///
    /// # Errors
    ///
    /// [`Error::CaAsHost`], and those of [`PublicKey::from_raw`]: the reference also certifies
    /// unusable keys.
    pub fn renewal_of(old: &VerifiedCertificate, validity: Validity) -> Result<Self, Error> {
        let (certificate, details) = (old.certificate(), old.details());
        if details.is_ca() {
            return Err(Error::CaAsHost { name: details.name().into_owned() });
        }
        Ok(Self {
            name: details.name_bytes().to_vec(),
            networks: details.networks().to_vec(),
            public_key: PublicKey::from_raw(certificate.curve(), certificate.public_key())?,
            validity,
            groups: details.groups_bytes().to_vec(),
            unsafe_networks: details.unsafe_networks().to_vec(),
        })
    }

    /// The groups it is in, none of them empty. Order and repetition are kept.
    #[must_use]
    pub fn groups(self, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let groups = groups.into_iter().map(|group| group.into().into_bytes()).collect();
        Self { groups, ..self }
    }

    /// The networks beyond the overlay that it routes.
    #[must_use]
    pub fn unsafe_networks(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self { unsafe_networks: networks.into_iter().collect(), ..self }
    }
}

impl fmt::Debug for HostParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> =
            self.groups.iter().map(|group| String::from_utf8_lossy(group)).collect();
        f.debug_struct("HostParameters")
            .field("name", &String::from_utf8_lossy(&self.name))
            .field("networks", &self.networks)
            .field("public_key", &self.public_key)
            .field("validity", &self.validity)
            .field("groups", &groups)
            .field("unsafe_networks", &self.unsafe_networks)
            .finish()
    }
}

impl Validity {
    /// From a time, in Unix seconds, for so long, as far as the CA is valid itself: a CA signs nothing
    /// that begins before it or ends after it. Parts of a second do not count.
    ///
    /// ```
    /// # use nebula_pki::{Certificate, Error, Validity};
    /// # fn example(ca: &Certificate, now: i64) -> Result<(), Error> {
    /// let two_weeks = std::time::Duration::from_secs(14 * 86_400);
    /// // A little before now, for nodes whose clocks are behind.
    /// let validity = Validity::starting(now - 300, two_weeks, ca)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::CaExpired`] or [`Error::CaNotYetValid`] when the CA is not valid at any time of it.
    pub fn starting(not_before: i64, lifetime: Duration, ca: &Certificate) -> Result<Self, Error> {
        let of_ca = ca.unverified_details().validity();
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let not_after = not_before.saturating_add(lifetime);
        let issuer = ca.fingerprint();
        // Of what is asked for nothing wraps: it is to end with the CA.
        let time = |unix: i64| unix.saturating_add(go_time(0));
        if go_time(of_ca.not_after) < time(not_before) {
            let Self { not_before, not_after } = of_ca;
            return Err(Error::CaExpired { issuer, not_before, not_after });
        }
        if go_time(of_ca.not_before) > time(not_after) {
            let Self { not_before, not_after } = of_ca;
            return Err(Error::CaNotYetValid { issuer, not_before, not_after });
        }
        Ok(Self {
            not_before: not_before.max(of_ca.not_before),
            not_after: not_after.min(of_ca.not_after),
        })
    }
}
