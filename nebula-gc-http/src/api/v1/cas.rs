//! CAs of a network: listing, adding and retiring them, and importing hosts.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use nebula_pki::{Certificate, Fingerprint};
use tokio::task::spawn_blocking;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, AskWith, checked};
use super::page::{Page, Paging, after};
use super::problem::Problem;
use super::remaining::Changing;
use super::respond::{Answer, json};
use super::values::{read, read_some};
use crate::error::Unavailable;
use crate::service::{
    Action, ActiveCa, CaDetails, CaFiles, CaSource, HostImport, ImportConflict, ImportReport,
};
use crate::wire::{
    ActiveCa as ActiveCaView, Ca as CaView, Id, ImportBody, ImportConflict as ConflictView,
    ImportReport as ImportView, NewCa, RetireBody, Secret, Timestamp,
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

/// The first CA of a new network, which has the network's name where only its lifetime is asked for.
pub(super) fn read_first_ca(body: NewCa, network: &NetworkRef) -> Result<CaSource, Problem> {
    let is_usual = body.signer.is_none() && body.certificate.is_none() && body.key.is_none();
    let name = match &body.name {
        Some(name) => Some(read("ca.name", name.as_str())?),
        None if is_usual && body.lifetime_seconds.is_some() => {
            Some(Label::new(network.as_str()).map_err(Problem::from)?)
        }
        None => None,
    };
    source(body, name)
}

fn read_new_ca(body: NewCa) -> Result<CaSource, Problem> {
    let name = read_some("name", body.name.clone())?;
    source(body, name)
}

/// Where the CA of this name comes from.
fn source(body: NewCa, name: Option<Label>) -> Result<CaSource, Problem> {
    let form = "give one of: name; signer; certificate and key";
    if name.is_none() && body.lifetime_seconds.is_some() {
        return Err(Problem::invalid("lifetimeSeconds", "is for a new CA: give its name, too"));
    }
    if let Some(name) = name {
        return match (body.signer, body.certificate, body.key, body.passphrase) {
            (None, None, None, None) => Ok(CaSource::New { name, lifetime: body.lifetime_seconds }),
            _ => Err(Problem::invalid("name", form)),
        };
    }
    match (body.signer, body.certificate, body.key) {
        (Some(signer), None, None) if body.passphrase.is_none() => Ok(CaSource::Signer(signer)),
        (None, Some(certificate), Some(key)) => {
            let (key, passphrase) = (key.into_text(), body.passphrase.map(Secret::into_text));
            Ok(CaSource::Imported(CaFiles { certificate, key, passphrase }))
        }
        (None, Some(_), None) => {
            Err(Problem::invalid("key", "is missing: a CA signs with its private key"))
        }
        _ => Err(Problem::invalid("certificate", form)),
    }
}

impl From<ActiveCa> for ActiveCaView {
    fn from(ca: ActiveCa) -> Self {
        Self { id: ca.id.to_string(), network: ca.network, fingerprint: ca.fingerprint.to_string() }
    }
}

impl From<CaDetails> for CaView {
    fn from(ca: CaDetails) -> Self {
        let details = ca.certificate.unverified_details();
        Self {
            id: ca.id.to_string(),
            name: details.name().into_owned(),
            state: ca.state.word().to_owned(),
            fingerprint: ca.certificate.fingerprint().to_string(),
            version: ca.certificate.version().number(),
            not_before: Timestamp(details.not_before()),
            not_after: Timestamp(details.not_after()),
            standing: ca.standing.word().to_owned(),
            signer: ca.signer,
            certificates: ca.certificates,
            certificate: ca.certificate.to_pem(),
            created_at: Timestamp(ca.created_at),
        }
    }
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
    request_body = NewCa,
    responses((status = 200, description = "The CA signs now, or did already.", body = ActiveCaView),
        (status = 429, description = "Too many other keys are being decrypted.",
            body = super::problem::Document, content_type = "application/problem+json")))]
async fn add_ca(State(service): State<Arc<Service>>, ask: AskWith<NewCa, NetworkRef>) -> Answer {
    let source = checked(&service, &ask.context, read_new_ca(ask.body)).await?;
    let changing = Changing::new(&service, &ask.context, &ask.path);
    let ca = service.add_ca(ask.context, Some(ask.path), source).await?;
    changing.answer(Ok(json(ActiveCaView::from(ca)))).await
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
    let changing = Changing::new(&service, &ask.context, &network);
    let ca = service.retire_ca(ask.context, network, id, force).await?;
    changing.answer(Ok(json(CaView::from(ca)))).await
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
