use std::sync::Arc;

use axum::extract::State;
use nebula_pki::Certificate;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::ask::{AskWith, checked};
use super::problem::Problem;
use super::respond::{Answer, json};
use super::values::{Id, not_null};
use crate::service::{
    Action, ActiveCa, CaFiles, CaSource, HostImport, ImportConflict, ImportReport,
};
use crate::{Error, Label, ProjectId, Service};

/// No import is larger, in bytes: that of about 10,000 hosts.
pub(super) const IMPORT_LIMIT: usize = 4 * 1024 * 1024;

pub(super) fn router() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::new().routes(routes!(add_ca)).routes(routes!(import_hosts))
}

/// A CA: a new one by `name`, or for the key of a `signer`, or one with `certificate` and `key`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = NewCa)]
pub(super) struct CaBody {
    /// Make a new one of this name, whose key is sealed here. No other CA that the network trusts is
    /// called so.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 128)]
    name: Option<Label>,
    /// How long a new one of that name is valid: a day to 30 years; 10 years where left out.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = i64, required = false, minimum = 86_400, maximum = 946_080_000)]
    lifetime_seconds: Option<i64>,
    /// Make a new one for the key that this signer of the server's settings holds.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false)]
    signer: Option<String>,
    /// The certificate of a CA that `nebula-cert` made, as PEM.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false)]
    certificate: Option<String>,
    /// Its private key, as PEM. It is sealed before it is stored, and told to nobody.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, write_only)]
    key: Option<Secret>,
    /// What opens the key, where it is encrypted. Opening it may take 2 GiB of memory at most, as
    /// `nebula-cert` demands by default, and passes over 8 GiB in all.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = String, required = false, write_only)]
    passphrase: Option<Secret>,
}

/// A text that is wiped from memory, and can't be printed.
struct Secret(Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

impl CaBody {
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

/// A CA that signs for a network now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ActiveCa)]
struct ActiveCaView {
    #[schema(value_type = Id)]
    id: String,
    /// The name of its network.
    network: String,
    /// SHA-256, in hex.
    fingerprint: String,
}

impl From<ActiveCa> for ActiveCaView {
    fn from(ca: ActiveCa) -> Self {
        Self { id: ca.id.to_string(), network: ca.network, fingerprint: ca.fingerprint.to_string() }
    }
}

/// Hosts of a running network.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ImportBody {
    /// Their certificates, one PEM block after the other; those of one host, of both versions,
    /// together.
    certificates: String,
    /// Only tell what would happen. False where left out.
    #[serde(default)]
    dry_run: bool,
    /// Leave out the hosts that something is in the way of. Else nothing is written where anything
    /// is, as where this is left out.
    #[serde(default)]
    skip_conflicts: bool,
}

/// What became of the hosts, or would.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ImportReport)]
struct ImportView {
    /// How many were nodes already, with these certificates.
    present: usize,
    /// How many became nodes, or would.
    imported: usize,
    /// What is in the way of the others.
    conflicts: Vec<ConflictView>,
}

/// What is in the way of a host.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportConflict)]
struct ConflictView {
    /// The place of its first certificate, from 0.
    index: usize,
    /// The host's name.
    name: String,
    /// What is in the way, in words.
    reason: String,
}

impl From<ImportReport> for ImportView {
    fn from(report: ImportReport) -> Self {
        let view = |ImportConflict { index, name, reason }| ConflictView { index, name, reason };
        Self {
            present: report.present,
            imported: report.imported,
            conflicts: report.conflicts.into_iter().map(view).collect(),
        }
    }
}

/// Make another CA the one that signs for a network. The one before is still trusted. Nodes accept
/// what the new one signs once they have applied the revision that this moves to.
#[utoipa::path(post, path = "/networks/{network}/cas", operation_id = "add_ca", tag = "networks",
    params(("network" = String, Path, description = "Its name or id.")),
    request_body = CaBody,
    responses((status = 200, description = "It signs now, or did already.", body = ActiveCaView),
        (status = 429, description = "Other encrypted keys are being opened.",
            body = super::problem::Document, content_type = "application/problem+json")))]
async fn add_ca(State(service): State<Arc<Service>>, ask: AskWith<CaBody, ProjectId>) -> Answer {
    let source = checked(&service, &ask.caller, ask.body.read()).await?;
    let ca = service.add_ca(ask.caller, ask.origin, Some(ask.path), source).await?;
    Ok(json(ActiveCaView::from(ca)))
}

/// Take over the hosts of a running network, whose CA it has: nodes with their addresses and
/// certificates as they are. What was interrupted is finished by asking again.
#[utoipa::path(post, path = "/networks/{network}/import", operation_id = "import_hosts",
    tag = "networks",
    params(("network" = String, Path, description = "Its name or id.")),
    request_body = ImportBody,
    responses((status = 200, description = "What became of each.", body = ImportView)))]
async fn import_hosts(
    State(service): State<Arc<Service>>,
    ask: AskWith<ImportBody, ProjectId, super::ask::Nothing, IMPORT_LIMIT>,
) -> Answer {
    // Before megabytes are parsed for nobody, and beside the other requests.
    service.authorize(&ask.caller, Action::Import, Some(&ask.path)).await?;
    let pem = ask.body.certificates;
    let certificates = spawn_blocking(move || Certificate::from_pem_many(pem.as_bytes()))
        .await
        .map_err(|_| Error::unavailable("parsing certificates panicked"))?
        .map_err(|error| Problem::invalid("certificates", error.to_string()))?;
    let request = HostImport {
        network: Some(ask.path),
        certificates,
        skips_conflicts: ask.body.skip_conflicts,
        is_dry_run: ask.body.dry_run,
    };
    let report = service.import_hosts(ask.caller, ask.origin, request).await?;
    Ok(json(ImportView::from(report)))
}
