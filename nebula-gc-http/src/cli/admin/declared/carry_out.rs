//! Carries out one step, and keeps the secrets that it makes.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nebula_gc_http::client::{Client, ClientError, Request, printable};
use nebula_pki::files::replace;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::answer::text_of;
use super::super::operation::Field;
use super::section::{JOIN_TOKENS, NETWORKS, OPERATOR_KEYS, POOLS, Section};
use super::server::Server;
use super::step::{Act, Step};
use super::value;
use crate::terminal;

/// The end of the name of a file that says that a secret is being made.
const UNFINISHED: &str = ".unfinished";
const LOCK: &str = ".lock";
/// How a credential is called whose secret was not kept.
const LOST: &str = "unfinished by apply";

/// The directory for the links and keys that are made.
///
/// A secret is shown once, in the answer to its creation. So a file with the creation's idempotency key is
/// there before; whoever finds it, without the secret beside it, revokes what may have been created.
pub(super) struct Links {
    directory: PathBuf,
    /// Held as long as this is.
    _lock: File,
}

impl Links {
    /// Opens the directory, which is made if it is not there, and locks it.
    pub(super) fn open(directory: &Path) -> Result<Self, String> {
        make_private(directory)?;
        let path = directory.join(LOCK);
        let mut open = File::options();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        let lock = open.write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(|error| format!("{}: {error}", path.display()))?;
        lock.try_lock().map_err(|_| {
            format!(
                "{}: another apply writes its links there; wait for its end",
                directory.display()
            )
        })?;
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    /// `office.laptops.link` for a token of a network, `monitoring.key` for a key.
    fn path(&self, section: &Section, network: Option<&str>, key: &str) -> PathBuf {
        // A point is between the parts alone, so that no two have one name.
        let encoded = |part| Request::segment(part).replace('.', "%2E");
        let parts = network.into_iter().chain([key]).map(encoded);
        let end = if section.name == JOIN_TOKENS.name { "link" } else { "key" };
        self.directory.join(format!("{}.{end}", parts.collect::<Vec<_>>().join(".")))
    }

    /// Revokes what a former run created without keeping its secret, so that it is created anew.
    pub(super) async fn take_back_unfinished(
        &self,
        client: &Client,
        server: &mut Server,
    ) -> Result<(), Box<dyn Error>> {
        let at = |error: io::Error| format!("{}: {error}", self.directory.display());
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(at)?,
        };
        for entry in entries {
            let path = entry.map_err(at)?.path();
            if path.to_str().is_some_and(|path| path.ends_with(UNFINISHED)) {
                take_back(&path, client, server).await?;
            }
        }
        Ok(())
    }
}

/// What is being created, in a file.
#[derive(Serialize, Deserialize)]
struct Creation {
    section: String,
    network: Option<String>,
    name: String,
    body: Value,
    idempotency_key: String,
}

async fn take_back(
    path: &Path,
    client: &Client,
    server: &mut Server,
) -> Result<(), Box<dyn Error>> {
    let at = |error: io::Error| format!("{}: {error}", path.display());
    let creation: Creation = serde_json::from_slice(&fs::read(path).map_err(at)?)
        .map_err(|error| format!("{}: {error}; remove it", path.display()))?;
    let section = creation.section();
    let network = creation.network.as_deref();
    // The server answers what it made, if it did, and makes it now, if it did not.
    match client.send(creation.request()?).await {
        Ok(made) => {
            let made = made.json()?;
            let id = text_of(&made, "id").unwrap_or_default();
            // The name is for the one to be made: a file makes none whose name one has that is revoked.
            let path = format!("{}/{}", section.path(network), Request::segment(id));
            client.send(Request::patch(&path, json!({ "name": LOST }))).await?;
            revoke(client, section, network, id).await?;
        }
        // It made nothing then either.
        Err(ClientError::Refused { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    fs::remove_file(path).map_err(at)?;
    server.read_section(client, section, network).await
}

impl Creation {
    fn section(&self) -> &'static Section {
        if self.section == JOIN_TOKENS.name { JOIN_TOKENS } else { OPERATOR_KEYS }
    }

    fn request(&self) -> Result<Request, ClientError> {
        let path = self.section().path(self.network.as_deref());
        Request::post(&path, self.body.clone()).idempotency_key(&self.idempotency_key)
    }
}

async fn revoke(
    client: &Client,
    section: &Section,
    network: Option<&str>,
    id: &str,
) -> Result<(), Box<dyn Error>> {
    let path = format!("{}/{}", section.path(network), Request::segment(id));
    client.send(Request::delete(&path)).await?;
    Ok(())
}

/// Carries out a step, and reads its section anew: later steps name what it made.
pub(super) async fn carry_out(
    step: &Step,
    client: &Client,
    server: &mut Server,
    links: Option<&Links>,
) -> Result<(), Box<dyn Error>> {
    let Step { section, network, key, .. } = step;
    let network = network.as_deref();
    match &step.act {
        Act::Delete(id) => revoke(client, section, network, id).await?,
        Act::Change(id) => {
            let path = format!("{}/{}", section.path(network), Request::segment(id));
            let body = Value::Object(body(step, server)?);
            client.send(Request::patch(&path, body)).await?;
        }
        Act::Create => {
            let mut body = body(step, server)?;
            body.insert(section.key.to_owned(), key.as_str().into());
            if step.without_pools {
                body.insert("pools".to_owned(), json!([]));
            }
            let body = Value::Object(body);
            match links.filter(|_| section.has_secret) {
                Some(links) => create_secret(step, body, client, links).await?,
                None => {
                    client.send(Request::post(&section.path(network), body)).await?;
                }
            }
        }
    }
    server.read_section(client, section, network).await?;
    if section.name == NETWORKS.name {
        // A new one may have pools.
        server.read_section(client, POOLS, Some(key)).await?;
    }
    Ok(())
}

async fn create_secret(
    step: &Step,
    body: Value,
    client: &Client,
    links: &Links,
) -> Result<(), Box<dyn Error>> {
    let creation = Creation {
        section: step.section.name.to_owned(),
        network: step.network.clone(),
        name: step.key.clone(),
        body,
        idempotency_key: Uuid::now_v7().to_string(),
    };
    let path = links.path(step.section, step.network.as_deref(), &step.key);
    let at = |error: io::Error| format!("{}: {error}", path.display());
    let aside = PathBuf::from(format!("{}{UNFINISHED}", path.display()));
    write_new(&aside, &serde_json::to_vec(&creation)?).map_err(at)?;
    let made = match client.send(creation.request()?).await {
        Err(refused @ ClientError::Refused { .. }) => {
            fs::remove_file(&aside).map_err(at)?;
            return Err(refused.into());
        }
        made => made?.json()?,
    };
    // There is no link where the server does not know the URL that devices use.
    if let Some(warning) = text_of(&made, "warning") {
        terminal::warn(&format!("{}: {}", step.what(), printable(warning)));
    }
    let secret = text_of(&made, "link").or(text_of(&made, "secret")).unwrap_or_default();
    write_new(&path, format!("{secret}\n").as_bytes()).map_err(at)?;
    Ok(fs::remove_file(&aside).map_err(at)?)
}

/// Writes a file that is this user's alone, whatever was there: a link is not followed, and who could read
/// a former file can't read this one.
fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => replace(path, contents, 0o600),
    }
}

fn make_private(directory: &Path) -> Result<(), String> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder.recursive(true).create(directory);
    made.map_err(|error| format!("{}: {error}", directory.display()))
}

/// The step's fields as the API takes them, with ids in place of names.
fn body(step: &Step, server: &Server) -> Result<Map<String, Value>, String> {
    let network = step.network.as_deref();
    let field = |(field, value, _): &(&'static Field, Value, Value)| {
        let value = with_id(field, value, server, network)?;
        Ok((field.name.clone(), value::to_api(field, &value)))
    };
    step.fields.iter().map(field).collect()
}

fn with_id(
    field: &Field,
    value: &Value,
    server: &Server,
    network: Option<&str>,
) -> Result<Value, String> {
    let missing = |field: &str, name: &str| format!("{field}: there is no {field} {name:?}");
    match value.as_str() {
        Some(name) if ["tenant", "pool"].contains(&&*field.name) => {
            let id = server.id_of(&field.name, network, name);
            Ok(id.ok_or_else(|| missing(&field.name, name))?.into())
        }
        Some(scope) if field.name == "scope" => match scope.split_once('=') {
            Some((of, name)) => {
                let id = server.id_of(of, None, name).ok_or_else(|| missing(of, name))?;
                Ok(format!("{of}={id}").into())
            }
            None => Ok(value.clone()),
        },
        _ => Ok(value.clone()),
    }
}
