//! CAs of a network: listing, adding and retiring them, and importing hosts.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use nebula_pki::{Certificate, Fingerprint};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, checked};
use super::page::{Page, Paging, after};
use super::problem::Problem;
use super::respond::{Answer, json};
use super::values::{Id, Secret, Timestamp, not_null};
use crate::error::Unavailable;
use crate::service::{
    Action, ActiveCa, CaDetails, CaFiles, CaSource, HostImport, ImportConflict, ImportReport,
};
use crate::{CaId, Error, Label, NetworkRef, Service};

/// The largest import, in bytes: about 10,000 hosts.
pub(super) const IMPORT_LIMIT: usize = 4 * 1024 * 1024;

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new()
        .routes(routes!(list_cas, add_ca))
        .routes(routes!(read_ca))
        .routes(routes!(retire_ca))
        .routes(routes!(import_hosts))
}

/// A CA: a new one by `name`, or for the key of a `signer`, or one with `certificate` and `key`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = NewCa)]
pub(super) struct CaBody {
    /// Create a CA of this name, whose key is sealed by the server. No other CA that the network
    /// trusts may have the name.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 128)]
    name: Option<Label>,
    /// Lifetime of a new CA: a day to 30 years. Default: 10 years. For a new network it may be
    /// given alone: its first CA then has the network's name.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = i64, required = false, minimum = 86_400, maximum = 946_080_000)]
    lifetime_seconds: Option<i64>,
    /// Create a CA for the key of this signer, which the server's settings define.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false)]
    signer: Option<String>,
    /// The certificate of an existing CA, as `nebula-cert` creates it, as PEM.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false)]
    certificate: Option<String>,
    /// Its private key, as PEM. It is sealed before it is stored, and never returned.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, write_only)]
    key: Option<Secret>,
    /// The passphrase of an encrypted key. Decryption may use as much memory as the server's
    /// setting `ca-key-memory` allows (default: 2 GiB, what `nebula-cert` needs), and four times
    /// that over all passes.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, write_only)]
    passphrase: Option<Secret>,
}

impl CaBody {
    /// The first CA of a new network, which has the network's name where only its lifetime is asked
    /// for.
    pub(super) fn read_first(self, network: &NetworkRef) -> Result<CaSource, Problem> {
        let is_usual = self.signer.is_none() && self.certificate.is_none() && self.key.is_none();
        if self.name.is_some() || !is_usual || self.lifetime_seconds.is_none() {
            return self.read();
        }
        let name = Label::new(network.as_str()).map_err(Problem::from)?;
        Self { name: Some(name), ..self }.read()
    }

    pub(super) fn read(self) -> Result<CaSource, Problem> {
        let form = "give one of: name; signer; certificate and key";
        let is_new = self.name.is_some();
        if !is_new && self.lifetime_seconds.is_some() {
            return Err(Problem::invalid("lifetimeSeconds", "is for a new CA: give its name, too"));
        }
        if let Some(name) = self.name {
            return match (self.signer, self.certificate, self.key, self.passphrase) {
                (None, None, None, None) => {
                    Ok(CaSource::New { name, lifetime: self.lifetime_seconds })
                }
                _ => Err(Problem::invalid("name", form)),
            };
        }
        match (self.signer, self.certificate, self.key) {
            (Some(signer), None, None) if self.passphrase.is_none() => Ok(CaSource::Signer(signer)),
            (None, Some(certificate), Some(Secret(key))) => {
                let passphrase = self.passphrase.map(|Secret(text)| text);
                Ok(CaSource::Imported(CaFiles { certificate, key, passphrase }))
            }
            (None, Some(_), None) => {
                Err(Problem::invalid("key", "is missing: a CA signs with its private key"))
            }
            _ => Err(Problem::invalid("certificate", form)),
        }
    }
}

/// The CA that signs for a network now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ActiveCa)]
struct ActiveCaView {
    #[schema(value_type = Id)]
    id: String,
    /// The name of its network.
    network: String,
    /// SHA-256, in hexadecimal.
    fingerprint: String,
}

impl From<ActiveCa> for ActiveCaView {
    fn from(ca: ActiveCa) -> Self {
        Self { id: ca.id.to_string(), network: ca.network, fingerprint: ca.fingerprint.to_string() }
    }
}

/// A CA of a network.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Ca)]
struct CaView {
    #[schema(value_type = Id)]
    id: CaId,
    name: String,
    /// `active`: it signs; `trusted`: its certificates are accepted; `retired`: its certificates
    /// are refused.
    state: &'static str,
    /// SHA-256, in hexadecimal.
    fingerprint: String,
    /// The version of its certificate.
    version: u8,
    not_before: Timestamp,
    not_after: Timestamp,
    /// `valid`, `not_yet_valid`, `ends_soon` (within 60 days, or in the last third of its lifetime
    /// if that is shorter) or `expired`.
    standing: &'static str,
    /// The signer that holds its key; null if the server holds it, or did before the CA was
    /// retired.
    #[schema(required)]
    signer: Option<String>,
    /// How many current certificates of nodes it has signed.
    certificates: i64,
    /// Its certificate, as PEM.
    certificate: String,
    created_at: Timestamp,
}

impl From<CaDetails> for CaView {
    fn from(ca: CaDetails) -> Self {
        let details = ca.certificate.unverified_details();
        Self {
            id: ca.id,
            name: details.name().into_owned(),
            state: ca.state.word(),
            fingerprint: ca.certificate.fingerprint().to_string(),
            version: ca.certificate.version().number(),
            not_before: Timestamp(details.not_before()),
            not_after: Timestamp(details.not_after()),
            standing: ca.standing.word(),
            signer: ca.signer,
            certificates: ca.certificates,
            certificate: ca.certificate.to_pem(),
            created_at: Timestamp(ca.created_at),
        }
    }
}

/// How to retire a CA.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RetireBody {
    /// Retire it even if nodes have certificates of it: they are refused from then on, and each
    /// node gets new ones when it renews. Default: false.
    #[serde(default)]
    force: bool,
}

/// Hosts of a running network.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ImportBody {
    /// Their certificates as PEM. Several certificates of one host have its name, and an address or
    /// the key in common: the newest is its current one.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false)]
    certificates: Option<String>,
    /// The fingerprints that the hosts block, one on each line, as in `pki.blocklist`.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false)]
    blocklist: Option<String>,
    /// Only report what would happen. Default: false.
    #[serde(default)]
    dry_run: bool,
    /// Skip hosts with conflicts. Default: false, which imports nothing if there is any conflict.
    #[serde(default)]
    skip_conflicts: bool,
}

/// The outcome of an import, or of a dry run.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportReport)]
struct ImportView {
    /// How many hosts were already nodes with these certificates.
    present: usize,
    /// How many hosts became nodes, or would.
    imported: usize,
    /// The conflicts of the other hosts.
    conflicts: Vec<ConflictView>,
    /// How many fingerprints are newly blocked, or would be.
    blocked: usize,
}

/// A conflict that prevents the import of a host.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportConflict)]
struct ConflictView {
    /// The position of the host's first certificate among all that were sent, from 0. The reason
    /// says which of several certificates is meant.
    index: usize,
    /// The host's name.
    name: String,
    /// The conflict, for people.
    reason: String,
}

impl From<ImportReport> for ImportView {
    fn from(report: ImportReport) -> Self {
        let view = |ImportConflict { index, name, obstacle }| {
            let reason = obstacle.to_string();
            ConflictView { index, name, reason }
        };
        Self {
            present: report.present,
            imported: report.imported,
            conflicts: report.conflicts.into_iter().map(view).collect(),
            blocked: report.blocked,
        }
    }
}

/// Add a CA that signs for a network from now on. The previous one is still trusted. Nodes accept
/// certificates of the new one once they have applied the revision that this moves to.
#[utoipa::path(post, path = "/networks/{network}/cas", operation_id = "add_ca", tag = "networks",
    params(("network" = String, Path, description = "The network's name or id.")),
    request_body = CaBody,
    responses((status = 200, description = "The CA signs now, or did already.", body = ActiveCaView),
        (status = 429, description = "Too many other keys are being decrypted.",
            body = super::problem::Document, content_type = "application/problem+json")))]
async fn add_ca(State(service): State<Arc<Service>>, ask: AskWith<CaBody, NetworkRef>) -> Answer {
    let source = checked(&service, &ask.context, ask.body.read()).await?;
    let ca = service.add_ca(ask.context, Some(ask.path), source).await?;
    Ok(json(ActiveCaView::from(ca)))
}

/// List a network's CAs, including retired ones, oldest first.
#[utoipa::path(get, path = "/networks/{network}/cas", operation_id = "list_cas", tag = "networks",
    params(("network" = String, Path, description = "The network's name or id."), Paging),
    responses((status = 200, description = "A page of CAs.", body = Page<CaView>)))]
async fn list_cas(State(service): State<Arc<Service>>, ask: Ask<NetworkRef, Paging>) -> Answer {
    let Paging { cursor, limit } = ask.query;
    let after = after(&service, &ask.context, cursor, "cas").await?.map(CaId::from);
    let cas = service.cas(ask.context, ask.path, after, limit.and_one()).await?;
    let page: Page<CaView> = Page::new(cas, limit, "cas", |ca| ca.id.as_bytes().to_vec());
    Ok(json(page))
}

/// Read a CA.
#[utoipa::path(get, path = "/networks/{network}/cas/{ca}", operation_id = "read_ca",
    tag = "networks",
    params(("network" = String, Path, description = "The network's name or id."), ("ca" = Id, Path)),
    responses((status = 200, description = "The CA.", body = CaView)))]
async fn read_ca(State(service): State<Arc<Service>>, ask: Ask<(NetworkRef, CaId)>) -> Answer {
    let (network, id) = ask.path;
    let ca = service.ca(ask.context, network, id).await?;
    Ok(json(CaView::from(ca)))
}

/// Remove a CA from all bundles, permanently: once nodes have applied the revision that this moves
/// to, they accept nothing that it has signed. Refused for the CA that signs, and, unless forced,
/// while nodes have current certificates of it, which the answer lists (all of them: the list of
/// nodes with `ca`).
#[utoipa::path(post, path = "/networks/{network}/cas/{ca}/retire", operation_id = "retire_ca",
    tag = "networks",
    params(("network" = String, Path, description = "The network's name or id."), ("ca" = Id, Path)),
    request_body = RetireBody,
    responses((status = 200, description = "The CA is retired, or was already.", body = CaView)))]
async fn retire_ca(
    State(service): State<Arc<Service>>,
    ask: AskWith<RetireBody, (NetworkRef, CaId)>,
) -> Answer {
    let ((network, id), force) = (ask.path, ask.body.force);
    let ca = service.retire_ca(ask.context, network, id, force).await?;
    Ok(json(CaView::from(ca)))
}

/// Import the hosts of a running network, whose CA this network has: they become nodes with their
/// existing addresses and certificates. Repeat the request to finish an interrupted import.
#[utoipa::path(post, path = "/networks/{network}/import", operation_id = "import_hosts",
    tag = "networks",
    params(("network" = String, Path, description = "The network's name or id.")),
    request_body = ImportBody,
    responses((status = 200, description = "The outcome of the import.", body = ImportView)))]
async fn import_hosts(
    State(service): State<Arc<Service>>,
    ask: AskWith<ImportBody, NetworkRef, super::ask::Nothing, IMPORT_LIMIT>,
) -> Answer {
    // Checked before megabytes are parsed, which is done beside other requests.
    service.authorize(&ask.context, Action::Import, Some(&ask.path)).await?;
    let blocklist = blocklist(ask.body.blocklist.as_deref().unwrap_or_default())?;
    let certificates = match ask.body.certificates {
        None if blocklist.is_empty() => {
            return Err(Problem::invalid("certificates", "give certificates, a blocklist or both"));
        }
        None => vec![],
        Some(pem) => spawn_blocking(move || Certificate::from_pem_many(pem.as_bytes()))
            .await
            .map_err(|_| Error::from(Unavailable::Panicked { task: "parsing certificates" }))?
            .map_err(|error| Problem::invalid("certificates", error.to_string()))?,
    };
    let request = HostImport {
        network: Some(ask.path),
        certificates,
        blocklist,
        skips_conflicts: ask.body.skip_conflicts,
        is_dry_run: ask.body.dry_run,
    };
    let report = service.import_hosts(ask.context, request).await?;
    Ok(json(ImportView::from(report)))
}

/// The fingerprints of a list as people write it: one per line or separated by commas, with YAML's
/// dashes and quotes, and comments after `#`.
fn blocklist(text: &str) -> Result<Vec<Fingerprint>, Problem> {
    let mut found = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let words = line.split([' ', '\t', ',', '"', '\'', '-', '\r']);
        for word in words.filter(|word| !word.is_empty()) {
            let fingerprint = word.to_ascii_lowercase().parse().map_err(|_| {
                let reason =
                    format!("line {number}: must be a fingerprint, of 64 hexadecimal digits");
                Problem::invalid("blocklist", reason)
            })?;
            found.insert(fingerprint);
        }
    }
    Ok(found.into_iter().collect())
}
