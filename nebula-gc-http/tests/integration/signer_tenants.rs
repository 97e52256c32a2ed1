//! Whose networks may have a signer of the settings hold their CAs' keys?

use crate::support::requests::{START, network};
use crate::support::{Engine, Place};
use nebula_gc_http::error::{Fault, Field};
use nebula_gc_http::{
    Bearer, CaSource, Context, Error, Label, NetworkRef, NewNetwork, NewOperatorKey, Reach, Role,
    ServerSecrets, Service, SignerTenant, Signers, TenantId,
};
use nebula_pki::key::SigningKey;
use nebula_pki::{Curve, SystemRandom};

/// The names of the signers here: for whom each is.
const SIGNERS: [&str; 4] = ["of-a", "of-b", "of-default", "of-nobody"];

struct Plane {
    service: Service,
    a: TenantId,
    b: TenantId,
    _place: Place,
}

impl Plane {
    async fn start() -> Self {
        let place = Place::on(Engine::Sqlite).unwrap();
        let secrets = ServerSecrets::generate().unwrap();
        let start = |signers| {
            let (database, secrets) = (place.open(), secrets.clone());
            Service::start_with(database, secrets, signers, || START, |_| Ok(())).unwrap()
        };
        let first = start(Signers::default());
        let mut tenants = vec![];
        for name in ["a", "b"] {
            let name = Label::new(name).unwrap();
            let made = first.create_tenant(Context::local(), name, None).await;
            tenants.push(made.unwrap().resource.id);
        }
        drop(first);
        let (a, b) = (*tenants.first().unwrap(), *tenants.last().unwrap());
        let mut signers = Signers::default();
        for name in SIGNERS {
            let pem = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap().to_pem();
            signers
                .add(name, 1, move || Ok(Box::new(SigningKey::from_pem(pem.as_bytes())?)))
                .unwrap();
        }
        signers.limit("of-a", [SignerTenant::Id(a)]);
        signers.limit("of-b", [SignerTenant::Id(b)]);
        signers.limit("of-default", [SignerTenant::Default]);
        Self { service: start(signers), a, b, _place: place }
    }

    async fn operator(&self, reach: Reach) -> Context {
        let name = Label::new("key").unwrap();
        let request = NewOperatorKey { name, role: Role::Owner, reach, expires_at: None };
        let made = self.service.create_operator_key(Context::local(), request, None).await;
        Context::bearer(made.unwrap().secret.unwrap())
    }

    async fn make(
        &self,
        caller: &Context,
        (name, tenant): (&str, Option<TenantId>),
        signer: Option<&str>,
    ) -> Result<(), Error> {
        let request = NewNetwork { tenant, ..network(name) };
        let source = signer.map(source);
        let made = self.service.create_network_with(caller.clone(), request, None, source).await;
        made.map(drop)
    }

    /// Which signers a caller may name for a CA of a network.
    async fn usable(&self, caller: &Context, network: &str) -> Vec<&'static str> {
        let mut usable = vec![];
        for signer in SIGNERS {
            let name = NetworkRef::new(network).unwrap();
            match self.service.add_ca(caller.clone(), Some(name), source(signer)).await {
                // Its key is that of a CA of the network already.
                Ok(_) | Err(Error::Conflict { .. }) => usable.push(signer),
                Err(refused) => assert_eq!(refused, self.unknown(signer)),
            }
        }
        usable
    }

    /// One that is for others is refused as one that is not there.
    fn unknown(&self, signer: &str) -> Error {
        let fault = Fault::NoSuchSigner { name: signer.to_owned() };
        Error::Invalid { field: Field::Signer, fault }
    }
}

fn source(signer: &str) -> CaSource {
    CaSource::Signer(signer.to_owned())
}

#[tokio::test]
async fn a_signer_is_for_the_networks_of_its_tenants() {
    let plane = Plane::start().await;
    let root = plane.operator(Reach::Root).await;
    for made in [("n-a", Some(plane.a)), ("n-b", Some(plane.b)), ("n-default", None)] {
        plane.make(&root, made, None).await.unwrap();
    }
    let of_a = plane.operator(Reach::Tenant(plane.a)).await;
    let of_b = plane.operator(Reach::Network(NetworkRef::new("n-b").unwrap())).await;
    assert_eq!(plane.usable(&of_a, "n-a").await, ["of-a"]);
    assert_eq!(plane.usable(&of_b, "n-b").await, ["of-b"]);
    // What nobody is named for is for those who may do everything.
    for caller in [&root, &Context::local()] {
        assert_eq!(plane.usable(caller, "n-a").await, ["of-a", "of-nobody"]);
        assert_eq!(plane.usable(caller, "n-b").await, ["of-b", "of-nobody"]);
        assert_eq!(plane.usable(caller, "n-default").await, ["of-default", "of-nobody"]);
    }
    // A network that is made with one.
    for signer in ["of-b", "of-default", "of-nobody", "none"] {
        let refused = plane.make(&of_a, ("new", None), Some(signer)).await;
        assert_eq!(refused, Err(plane.unknown(signer)));
    }
    plane.make(&of_a, ("new", None), Some("of-a")).await.unwrap();
    let elsewhere = plane.make(&of_a, ("other", Some(plane.b)), Some("of-b")).await;
    assert!(matches!(elsewhere, Err(Error::NotFound { .. })), "{elsewhere:?}");
    // A bearer secret that nobody has asks no signer.
    let nobody = Context::bearer(Bearer::new_operator_key().unwrap());
    let refused = plane.make(&nobody, ("nobody", None), Some("of-a")).await;
    assert!(matches!(refused, Err(Error::Unauthorized { .. })), "{refused:?}");
}
