//! Networks as operators make, read and change them.

mod settings;

use ipnet::IpNet;
use nebula_alloc::pool::{self, Pool};
use nebula_alloc::store::Transaction;
use nebula_alloc::{AddressRange, Family, NetworkId, usable};
use nebula_pki::{Curve, Version};
use serde_json::{Map, Value, json};

pub use self::settings::NetworkSettings;
use self::settings::check_initiating;
pub(super) use self::settings::check_mtu;
use super::context::Context;
use crate::error::{Conflict, Fault, Field, Kind};
use crate::names::{check_seen, hidden_id};
use crate::service::access::{Action, Principal, authorize};
use crate::service::audit::Entry;
use crate::service::cas::{CaSource, NewCa, check_permits, signer_user};
use crate::service::exclusive::{Created, Repeat, Work};
use crate::service::pools::{Addresses, refusal};
use crate::service::precondition::{Expected, Tag};
use crate::service::revision::move_revision;
use crate::service::{Service, authority};
use crate::store::ca::CaState;
use crate::store::network::{self, Network, Revision, Versions};
use crate::store::operator_key::Scope;
use crate::store::{ca, damaged, tenant};
use crate::{Error, NetworkRef, TenantId, id};

/// How long a released address is kept from others, at least, in seconds: a day.
const HOLD_SECONDS: i64 = 86_400;
/// How long a native node's certificate is valid, in seconds: 14 days.
const NODE_LIFETIME: i64 = 14 * 86_400;
/// The MTU of nodes' devices, in bytes: Nebula's own default.
const MTU: u32 = 1300;

/// Addresses that no host on an overlay can have: unspecified, loopback, link-local, multicast,
/// reserved (IANA's registries of special-purpose addresses).
const RESERVED: [&str; 8] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/3",
    "::/96",
    "::ffff:0:0/96",
    "fe80::/10",
    "ff00::/8",
];

/// A network to be made.
#[derive(Debug, Clone)]
pub struct NewNetwork {
    /// Its name, unique over all tenants.
    pub name: NetworkRef,
    /// Who owns it: where left out, the caller's tenant, or the default one.
    pub tenant: Option<TenantId>,
    /// Its prefixes, one or two, of different families.
    pub prefixes: Vec<IpNet>,
    /// Which certificates its nodes have.
    pub versions: Versions,
    /// The curve of its keys.
    pub curve: Curve,
    /// What may be changed later.
    pub settings: NetworkSettings,
    /// Where its addresses come from, in the order of use: all of its prefixes where left out.
    pub pools: Option<Vec<Addresses>>,
}

/// What is to change of a network; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct NetworkPatch {
    /// Its name.
    pub name: Option<NetworkRef>,
    /// Its prefixes: those it has, or larger ones around them, and one of a family that it has none
    /// of, which gets a pool of all its addresses.
    pub prefixes: Option<Vec<IpNet>>,
    /// From 1 to both or 2, and from both to 2. Nodes have them with their next certificates.
    pub versions: Option<Versions>,
    /// [`NetworkSettings::lifetime`]
    pub lifetime: Option<i64>,
    /// [`NetworkSettings::hold_seconds`]
    pub hold_seconds: Option<i64>,
    /// [`NetworkSettings::hold_alone`]
    pub hold_alone: Option<bool>,
    /// [`NetworkSettings::silence_seconds`]
    pub silence_seconds: Option<Option<i64>>,
    /// [`NetworkSettings::mtu`]
    pub mtu: Option<u32>,
    /// [`NetworkSettings::initiating_version`]
    pub initiating_version: Option<Option<Version>>,
}

impl Network {
    /// What tells this state from its others.
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag::new(self.id, self.changes).and(self.revision.0)
    }
}

impl Service {
    /// The networks that the caller sees, after the one of this id, at most `limit`.
    ///
    /// # Errors
    /// Those of access.
    pub async fn networks(
        &self,
        context: Context,
        after: Option<NetworkId>,
        limit: i64,
    ) -> Result<Vec<Network>, Error> {
        self.read(move |tx, shared| {
            let principal = Principal::authenticate(tx, &shared.secrets, &context, shared.now())?;
            principal.permit(Action::ReadNetwork)?;
            let after = after.unwrap_or(NetworkId([0; 16]));
            match principal.scope() {
                Scope::Root => network::after(tx, after, limit),
                Scope::Tenant(tenant) => network::after_of_tenant(tx, tenant, after, limit),
                Scope::Network(own) if own > after => {
                    Ok(network::by_id(tx, own)?.into_iter().collect())
                }
                Scope::Network(_) => Ok(vec![]),
            }
        })
        .await
    }

    /// One network.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn network(&self, context: Context, name: NetworkRef) -> Result<Network, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            Ok(authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&name))?.1)
        })
        .await
    }

    /// Makes a network with its CA and pools.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Conflict`] where another has the name,
    /// [`Error::IdempotencyKeyReused`], and those of access.
    pub async fn create_network(
        &self,
        context: Context,
        request: NewNetwork,
        repeat: Option<Repeat>,
    ) -> Result<Created<Network>, Error> {
        self.create_network_with(context, request, repeat, None).await
    }

    /// As [`create_network`](Self::create_network), with a CA of one's own choice; the network has that
    /// CA's curve.
    ///
    /// # Errors
    /// As [`create_network`](Self::create_network) and [`add_ca`](Self::add_ca).
    pub async fn create_network_with(
        &self,
        context: Context,
        request: NewNetwork,
        repeat: Option<Repeat>,
        ca: Option<CaSource>,
    ) -> Result<Created<Network>, Error> {
        self.admit(&context).await?;
        request.check()?;
        let mut request = request;
        let ca = match ca {
            None => None,
            Some(source) => {
                // A signer is asked for nobody who may not make this network.
                let (asked, tenant) = (context.clone(), request.tenant);
                let user = self
                    .read(move |tx, shared| {
                        let (secrets, now) = (&shared.secrets, shared.now());
                        let principal = Principal::authenticate(tx, secrets, &asked, now)?;
                        principal.permit(Action::CreateNetwork)?;
                        let tenant = owner(tx, &principal, tenant)?;
                        signer_user(tx, &principal, tenant)
                    })
                    .await?;
                let version = request.versions.oldest();
                let kind = (version, request.curve);
                let ca = self.make_ca(request.name.as_str(), kind, user, source).await?;
                request.curve = ca.certificate.curve();
                Some(ca)
            }
        };
        self.exclusive(context, move |work| {
            work.principal.permit(Action::CreateNetwork)?;
            let tenant = owner(work.tx, work.principal, request.tenant)?;
            work.once(
                repeat.as_ref(),
                |work, id| {
                    let found = network::by_id(work.tx, NetworkId(id))?;
                    let found = found.filter(|network| work.principal.sees(network));
                    found.ok_or(Error::NotFound { kind: Kind::Network, name: None })
                },
                |work| {
                    let network = create(work, &request, tenant, ca.as_ref())?;
                    Ok((network.id.0, network, None))
                },
            )
        })
        .await
    }

    /// Changes a network. Its revision moves where the bundles of its nodes change, or their
    /// certificates are due because a prefix grows.
    ///
    /// # Errors
    /// As [`create_network`](Self::create_network), and [`Error::Precondition`].
    pub async fn change_network(
        &self,
        context: Context,
        name: NetworkRef,
        expected: Expected,
        patch: NetworkPatch,
    ) -> Result<Network, Error> {
        self.exclusive(context, move |work| {
            let former = work.network(Action::ChangeNetwork, &name)?;
            expected.check(&former.tag())?;
            change(work, former, &patch)
        })
        .await
    }

    /// The certificates of the CAs that a network trusts, as PEM.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of access.
    pub async fn network_ca(&self, context: Context, name: NetworkRef) -> Result<String, Error> {
        self.read(move |tx, shared| {
            let (secrets, now) = (&shared.secrets, shared.now());
            let (_, network) =
                authorize(tx, secrets, &context, now, Action::ReadNetwork, Some(&name))?;
            Ok(ca::trusted(tx, network.id)?.iter().map(nebula_pki::Certificate::to_pem).collect())
        })
        .await
    }
}

impl NewNetwork {
    /// The ranges of its pools.
    fn check(&self) -> Result<Vec<AddressRange>, Error> {
        self.settings.check()?;
        check_initiating(self.settings.initiating_version, self.versions)?;
        let usable = check_prefixes(&self.prefixes, self.versions)?;
        check_mtu(self.settings.mtu, self.prefixes.iter().any(|prefix| prefix.addr().is_ipv6()))?;
        let Some(pools) = &self.pools else { return Ok(usable) };
        let resolve = |range: &Addresses| range.among(self.prefixes.iter().copied());
        let ranges: Result<_, Fault> = pools.iter().map(resolve).collect();
        ranges.map_err(|fault| fault.of(Field::Pools))
    }
}

impl NetworkPatch {
    /// The network as it is to be, and the usable addresses of the prefix that it gains.
    fn apply(&self, former: &Network) -> Result<(Network, Vec<AddressRange>), Error> {
        let had = NetworkSettings::of(former);
        let settings = NetworkSettings {
            lifetime: self.lifetime.unwrap_or(had.lifetime),
            hold_seconds: self.hold_seconds.unwrap_or(had.hold_seconds),
            hold_alone: self.hold_alone.unwrap_or(had.hold_alone),
            silence_seconds: self.silence_seconds.unwrap_or(had.silence_seconds),
            mtu: self.mtu.unwrap_or(had.mtu),
            initiating_version: match self.initiating_version {
                // What is shown where nobody chose is no choice.
                Some(Some(asked))
                    if former.versions == Versions::Both && asked == former.begins_with() =>
                {
                    had.initiating_version
                }
                Some(asked) => asked,
                None => had.initiating_version,
            },
        };
        settings.check()?;
        let mut network = settings.apply(former.clone());
        if let Some(name) = &self.name {
            network.name = name.to_string();
        }
        if let Some(versions) = self.versions {
            use Versions::{Both, V1, V2};
            let later = matches!((former.versions, versions), (V1, Both | V2) | (Both, V2));
            if versions != former.versions && !later {
                return Err(Conflict::OlderVersions.into());
            }
            network.versions = versions;
        }
        check_initiating(self.initiating_version.flatten(), network.versions)?;
        if self.initiating_version == Some(None) && former.versions == Versions::Both {
            return Err(Fault::VersionNeeded.of(Field::InitiatingVersion));
        }
        let had_ipv6 = former.prefix_v6.is_some();
        if self.mtu.is_some() {
            check_mtu(network.mtu, had_ipv6)?;
        }
        let Some(prefixes) = &self.prefixes else { return Ok((network, vec![])) };
        let usable = check_prefixes(prefixes, network.versions)?;
        let mut gains = vec![];
        for family in [Family::V4, Family::V6] {
            let asked = prefixes.iter().copied().find(|prefix| self::family(*prefix) == family);
            match (former.prefix(family), asked) {
                (Some(has), Some(asked)) if asked.contains(&has) => {}
                (None, None) => {}
                (None, Some(_)) => {
                    gains.extend(usable.iter().filter(|range| range.family() == family));
                }
                (Some(has), _) => {
                    return Err(Conflict::PrefixFixed { prefix: has }.into());
                }
            }
            match family {
                Family::V4 => network.prefix_v4 = asked,
                Family::V6 => network.prefix_v6 = asked,
            }
        }
        check_mtu(network.mtu, network.prefix_v6.is_some() && !had_ipv6)?;
        Ok((network, gains))
    }
}

/// The usable addresses of each prefix of a network.
fn check_prefixes(prefixes: &[IpNet], versions: Versions) -> Result<Vec<AddressRange>, Error> {
    let refuse = |fault: Fault| Err(fault.of(Field::Prefixes));
    let count = |wanted| prefixes.iter().filter(|prefix| family(**prefix) == wanted).count();
    match (count(Family::V4), count(Family::V6)) {
        (0, 0) => return refuse(Fault::PrefixCount),
        (2.., _) | (_, 2..) => return refuse(Fault::PrefixPerFamily),
        (_, 1) if !versions.has_ipv6() => return refuse(Fault::Ipv6NeedsVersion2),
        (0, _) if versions == Versions::Both => return refuse(Fault::Version1NeedsIpv4),
        _ => {}
    }
    prefixes.iter().map(|prefix| check_prefix(*prefix)).collect()
}

/// The addresses of a prefix that nodes may have, if it is one for a network.
pub(super) fn check_prefix(prefix: IpNet) -> Result<AddressRange, Error> {
    let range = usable(prefix).ok_or_else(|| Fault::MappedIpv4.of(Field::Prefixes))?;
    for reserved in RESERVED {
        let reserved: IpNet = reserved.parse().map_err(|_| damaged("prefix"))?;
        if reserved.contains(&prefix) || prefix.contains(&reserved) {
            return Err(Fault::ReservedPrefix { reserved }.of(Field::Prefixes));
        }
    }
    Ok(range)
}

fn family(prefix: IpNet) -> Family {
    Family::of(prefix.addr())
}

/// The tenant that is to own a new network.
fn owner(
    tx: &mut dyn Transaction,
    principal: &Principal,
    asked: Option<TenantId>,
) -> Result<TenantId, Error> {
    let home = principal.home(tx)?;
    let Some(asked) = asked.filter(|asked| *asked != home) else { return Ok(home) };
    let sees = principal.scope() == Scope::Root;
    if sees && tenant::by_id(tx, asked)?.is_some() {
        return Ok(asked);
    }
    Err(Error::not_found(Kind::Tenant, asked))
}

/// Changes a network, with all that follows from it.
pub(super) fn change(
    work: &mut Work<'_>,
    former: Network,
    patch: &NetworkPatch,
) -> Result<Network, Error> {
    let (network, gains) = patch.apply(&former)?;
    let changed = differences(&former, &network);
    if changed.is_empty() {
        return Ok(former);
    }
    if former.name != network.name {
        check_unused(work, &network.name, Some(network.id))?;
    }
    if !network::update(work.tx, &network)? {
        return Err(Conflict::ChangedMeanwhile.into());
    }
    if prefixes(&former) != prefixes(&network) {
        let ca = ca::by_id(work.tx, network.active_ca)?.ok_or_else(|| damaged("CA"))?;
        check_permits(&ca.certificate, &network)
            .map_err(|prefix| Conflict::PrefixNotPermitted { field: Field::Prefixes, prefix })?;
    }
    for range in gains {
        create_pool(work, network.id, range, 0)?;
    }
    // Where a prefix grows, every node is told, because its certificate is due.
    let grows = has_grown(&former, &network);
    let rendered = |network: &Network| (network.mtu, network.begins_with());
    let moved = match rendered(&former) == rendered(&network) && !grows {
        true => None,
        false => Some(move_revision(work.tx, network.id, work.now)?),
    };
    let revision = moved.unwrap_or(network.revision);
    work.record(Entry {
        network: Some(network.id),
        detail: json!({
            "changed": changed.keys().collect::<Vec<_>>(),
            "former": changed,
            "revision": moved.map(|moved| moved.0),
        }),
        ..Entry::new("network.changed", network.id.as_bytes())
    })?;
    Ok(Network { changes: network.changes + 1, revision, ..network })
}

/// Makes a network with its CA and pools.
pub(super) fn create(
    work: &mut Work<'_>,
    request: &NewNetwork,
    tenant: TenantId,
    made: Option<&NewCa>,
) -> Result<Network, Error> {
    let ranges = request.check()?;
    check_unused(work, request.name.as_str(), None)?;
    let id = id::new_network();
    let (versions, curve, now) = (request.versions, request.curve, work.now);
    let secrets = &work.shared.secrets;
    let ca = match made {
        Some(made) => made.row(work.shared, id, CaState::Active)?,
        None => {
            authority::create(secrets, id, request.name.as_str(), (versions.oldest(), curve), now)?
        }
    };
    let of = |wanted| request.prefixes.iter().copied().find(|prefix| family(*prefix) == wanted);
    let network = request.settings.clone().apply(Network {
        id,
        tenant,
        name: request.name.to_string(),
        versions,
        curve,
        prefix_v4: of(Family::V4),
        prefix_v6: of(Family::V6),
        active_ca: ca.id,
        hold_seconds: 0,
        hold_alone: false,
        lifetime: 0,
        silence_seconds: None,
        mtu: 0,
        initiating_version: None,
        renew_before: None,
        revision: Revision::FIRST,
        wake_counter: 0,
        rendering: nebula_bundle::RENDERING,
        changes: 1,
        created_at: now,
    });
    if let Some(made) = made {
        made.check(now, &network)?;
        made.check_unused(work)?;
    }
    network::insert(work.tx, &network)?;
    ca::insert(work.tx, &ca, now)?;
    work.record(Entry {
        network: Some(id),
        detail: json!({"name": network.name, "revision": network.revision.0, "ca": ca.certificate.fingerprint().to_string()}),
        ..Entry::new("network.created", id.as_bytes())
    })?;
    for (position, range) in (0_i64..).zip(ranges) {
        create_pool(work, id, range, position)?;
    }
    Ok(network)
}

fn create_pool(
    work: &mut Work<'_>,
    network: NetworkId,
    range: AddressRange,
    position: i64,
) -> Result<(), Error> {
    let pool = Pool { id: id::new_pool(), network, range, position };
    let actor = work.author.actor();
    pool::create(work.tx, work.now, &actor, &pool).map_err(refusal)
}

/// That a name can be a network's: this one's, where it has another now.
fn check_unused(work: &mut Work<'_>, name: &str, former: Option<NetworkId>) -> Result<(), Error> {
    check_seen(Field::Name, name)?;
    let tx: &mut dyn Transaction = work.tx;
    if let Some(id) = hidden_id(name)
        && network::by_id(tx, NetworkId(id))?.is_some()
    {
        return Err(Error::NameIsId { name: name.to_owned(), kind: Kind::Network });
    }
    match network::by_key(tx, name)?.filter(|other| Some(other.id) != former) {
        None => Ok(()),
        Some(other) if work.principal.sees(&other) => {
            Err(Error::NameTaken { kind: Kind::Network, name: other.name })
        }
        // What other tenants have is not told.
        Some(_) => Err(Conflict::NameUnavailable.into()),
    }
}

fn prefixes(network: &Network) -> [Option<IpNet>; 2] {
    [network.prefix_v4, network.prefix_v6]
}

/// Whether a prefix is larger than it was, rather than new.
fn has_grown(former: &Network, network: &Network) -> bool {
    let mut pairs = prefixes(former).into_iter().zip(prefixes(network));
    pairs.any(|(had, has)| had.is_some() && had != has)
}

/// How what is different was before: for the audit log, and for `verify`, which judges what is older
/// by that.
fn differences(former: &Network, network: &Network) -> Map<String, Value> {
    let all = |network: &Network| {
        let prefixes = prefixes(network).into_iter().flatten();
        let versions = network.versions.as_slice().iter();
        [
            ("name", json!(network.name)),
            ("prefixes", prefixes.map(|prefix| prefix.to_string()).collect()),
            ("versions", versions.map(|version| version.number()).collect()),
            ("lifetime", json!(network.lifetime)),
            ("hold_seconds", json!(network.hold_seconds)),
            ("hold_alone", json!(network.hold_alone)),
            ("silence_seconds", json!(network.silence_seconds)),
            ("mtu", json!(network.mtu)),
            ("initiating_version", json!(network.initiating_version.map(Version::number))),
        ]
    };
    let pairs = all(former).into_iter().zip(all(network));
    let changed = pairs.filter(|(had, has)| had != has);
    changed.map(|((what, had), _)| (what.to_owned(), had)).collect()
}
