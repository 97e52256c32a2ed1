//! CAs and certificates to measure with.

use std::error::Error;

use nebula_pki::key::{AgreementKey, SigningKey};
use nebula_pki::{
    Blocklist, CaParameters, CaPool, Certificate, Curve, Fingerprint, HostParameters, Issuer,
    Random, SystemRandom, Validity, Version,
};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A time at which everything here is valid.
pub(crate) const AT: i64 = 1_800_000_000;

const DAY: i64 = 86_400;

pub(crate) struct Authority {
    pub(crate) issuer: Issuer<SigningKey>,
    /// The issuer's, once more.
    pub(crate) key: SigningKey,
    device: AgreementKey,
}

impl Authority {
    pub(crate) fn new(curve: Curve) -> Outcome<Self> {
        Self::named("Example CA", curve)
    }

    fn named(name: &str, curve: Curve) -> Outcome<Self> {
        let key = SigningKey::generate(curve, &mut SystemRandom)?;
        let signer = SigningKey::from_bytes(curve, &key.to_bytes())?;
        let validity = Validity { not_before: AT - 30 * DAY, not_after: AT + 3650 * DAY };
        let parameters = CaParameters::new(name, validity);
        let issuer = Issuer::self_signed(Version::V2, parameters, signer)?;
        let device = AgreementKey::generate(curve, &mut SystemRandom)?;
        Ok(Self { issuer, key, device })
    }

    /// What a fleet's certificates look like: a name, an address, two groups.
    pub(crate) fn host(&self) -> Outcome<HostParameters> {
        let validity = Validity { not_before: AT - DAY, not_after: AT + 365 * DAY };
        let networks = vec!["10.99.17.5/16".parse()?];
        let public_key = self.device.public_key();
        let host = HostParameters::new("device-0042.example.net", networks, public_key, validity);
        Ok(host.groups(["servers", "eu-central"]))
    }

    /// A certificate, and what its signature covers.
    pub(crate) fn certificate(&self, version: Version) -> Outcome<(Certificate, Vec<u8>)> {
        let host = self.host()?;
        let message = self.issuer.prepare(version, &host)?.to_be_signed().to_vec();
        Ok((self.issuer.issue(version, &host)?.into_certificate(), message))
    }
}

/// Many CAs with keys of their own, and a host of each.
pub(crate) struct Authorities {
    pub(crate) pool: CaPool,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) hosts: Vec<Certificate>,
}

impl Authorities {
    pub(crate) fn new(count: usize, curve: Curve) -> Outcome<Self> {
        let mut pool = CaPool::new();
        let (mut certificates, mut hosts) = (vec![], vec![]);
        for index in 0..count {
            let authority = Authority::named(&format!("Example CA {index}"), curve)?;
            let certificate = authority.issuer.certificate().clone();
            pool.add(certificate.clone())?;
            certificates.push(certificate);
            hosts.push(authority.certificate(Version::V2)?.0);
        }
        Ok(Self { pool, certificates, hosts })
    }
}

/// Fingerprints that are nobody's.
pub(crate) fn blocklist(count: usize) -> Outcome<Blocklist> {
    let mut fingerprint = [0; 32];
    (0..count)
        .map(|_| {
            SystemRandom.fill(&mut fingerprint)?;
            Ok(Fingerprint::from_bytes(fingerprint))
        })
        .collect()
}
