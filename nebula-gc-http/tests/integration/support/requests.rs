//! Requests to the service, of which a test changes what it is about.

use nebula_gc_http::{
    AddPool, Bearer, Change, Context, DeviceEnrollment, DeviceId, Enrollment, Expiry, Groups,
    Label, NetworkRef, NetworkSettings, NewJoinToken, NewNetwork, NodeName, Service, Versions,
};
use nebula_pki::key::{AgreementKey, PublicKey, SigningKey};
use nebula_pki::{CaParameters, Curve, Issuer, SystemRandom, Validity, Version};

/// When tests begin.
pub const START: i64 = 1_800_000_000;

pub fn demo() -> NetworkRef {
    NetworkRef::new("demo").unwrap()
}

/// Makes the network `demo`.
pub async fn make_demo(service: &Service, prefix: &str) {
    let prefix = prefix.parse().unwrap();
    let pool = AddPool { network: Some(demo()), prefix, version: None };
    service.add_pool(Context::local(), pool).await.unwrap();
}

pub fn new_key() -> PublicKey {
    new_key_on(Curve::Curve25519)
}

pub fn new_key_on(curve: Curve) -> PublicKey {
    AgreementKey::generate(curve, &mut SystemRandom).unwrap().public_key()
}

pub fn groups(names: &[&str]) -> Groups {
    Groups::new(names.iter().map(|&name| name.to_owned()).collect()).unwrap()
}

/// A network on `10.1.0.0/24` of which nothing else is said.
pub fn network(name: &str) -> NewNetwork {
    NewNetwork {
        name: NetworkRef::new(name).unwrap(),
        tenant: None,
        prefixes: vec!["10.1.0.0/24".parse().unwrap()],
        versions: Versions::V2,
        curve: Curve::Curve25519,
        settings: NetworkSettings::default(),
        pools: None,
    }
}

/// Of a node that says no more than it has to.
pub fn enrollment(name: &str) -> Enrollment {
    Enrollment {
        former_token: None,
        network: None,
        name: NodeName::new(name).unwrap(),
        public_key: new_key(),
        token: Bearer::new_node_token().unwrap(),
        device: None,
        user: None,
        groups: None,
        lighthouse: None,
        relay: None,
        addresses: None,
        mtu: None,
    }
}

/// Of a device in `demo` under its id as its name.
pub fn registration(device: &str, key: &PublicKey) -> DeviceEnrollment {
    DeviceEnrollment {
        network: Some(demo()),
        device: DeviceId::new(device).unwrap(),
        name: NodeName::new(device).unwrap(),
        public_key: key.clone(),
        groups: Change::Keep,
        lighthouse: Change::Keep,
    }
}

/// One that presets nothing.
pub fn join_token(uses: i64, seconds: i64) -> NewJoinToken {
    NewJoinToken {
        name: Label::new("token").unwrap(),
        uses,
        expires: Expiry::In(seconds),
        name_pattern: None,
        device: None,
        approval: false,
        groups: Groups::default(),
        relay: false,
        lighthouse: false,
        pool: None,
        user: None,
        addresses: None,
        ephemeral_seconds: None,
    }
}

/// A CA `old` that is valid for 400 days from then on, and its key.
pub fn ca(version: Version, since: i64) -> (Issuer<SigningKey>, String) {
    let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
    let pem = key.to_pem().to_string();
    let validity = Validity { not_before: since, not_after: since + 400 * 86_400 };
    (Issuer::self_signed(version, CaParameters::new("old", validity), key).unwrap(), pem)
}
