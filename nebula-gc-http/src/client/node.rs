//! What a device does for itself: enrol, and then, with its node token, wait for changes, fetch its
//! bundle, renew, report and rotate its token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use zeroize::Zeroizing;

use super::call::tagged;
use super::{Answer, Client, ClientError, EnrollmentAnswer, Key, Request, Tagged};
use crate::server_list::SignedServerList;
use crate::wire::{Desired, EnrollmentBody, NodeToken, OwnNode, Renewal, Renewed, Report, Secret};

/// The largest accepted answer about a node, in bytes.
const NODE_LIMIT: usize = 16 << 20;
/// The prefix by which people and secret scanners recognise node tokens.
const NODE_TOKEN_PREFIX: &str = "nebula-node-";
/// After how many seconds to ask again whether an operator has approved a device, unless the server says
/// another time.
const ASK_AGAIN: u64 = 5;
/// The longest that a server waits, in seconds.
const LONGEST_WAIT: u64 = 60;

/// Which archive of a bundle to fetch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A ZIP.
    #[default]
    Zip,
    /// A gzipped tar archive.
    TarGz,
}

/// A bundle as the server packs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedBundle {
    /// The archive: at most 16 MiB, not yet checked.
    pub archive: Vec<u8>,
    /// The network's revision that it is of.
    pub revision: i64,
    /// The node's generation that it is of.
    pub generation: i64,
    /// SHA-256 of its files, as the server says.
    pub digest: String,
    /// What proves to a server which bundle this is, if the server gives receipts.
    pub receipt: Option<String>,
    /// By which the server recognises the archive when it is asked for again.
    pub etag: String,
}

/// A new node token of 256 random bits, to enrol with or to rotate to. It must be stored before it is
/// sent, so that a lost answer costs nothing.
///
/// # Errors
/// [`ClientError::Randomness`].
pub fn new_node_token() -> Result<Secret, ClientError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|_| ClientError::Randomness { what: "a node token" })?;
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
    Ok([NODE_TOKEN_PREFIX, &text].concat().into())
}

/// With a join token (or an operator key) to enrol, and the node's own token for everything else.
impl Client {
    /// Enrols a device: `POST /enroll`. Repeated with the same key and node token, it answers what the
    /// node has, or whether an operator has approved it since.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn enroll_node(
        &self,
        device: &EnrollmentBody,
    ) -> Result<EnrollmentAnswer, ClientError> {
        let request = Request::new(Method::POST, "/enroll").json(device)?.repeatable();
        let answer = self.about_node(request).await?;
        if answer.status != 202 {
            return answer.read_as().map(Box::new).map(EnrollmentAnswer::Enrolled);
        }
        let seconds = answer.header("retry-after").and_then(|text| text.parse().ok());
        let retry_after = Duration::from_secs(seconds.unwrap_or(ASK_AGAIN));
        Ok(EnrollmentAnswer::Pending { pending: answer.read_as()?, retry_after })
    }

    /// Reads the node's own state: `GET /node`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_own_node(&self) -> Result<OwnNode, ClientError> {
        self.about_node(Request::get("/node")).await?.read_as()
    }

    /// Waits until the node's bundle differs from this one, for at most this time (whole seconds, at
    /// most 60): `GET /node/watch`. Nothing if it did not change. A node that has no bundle says zeros.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn watch_own_node(
        &self,
        has: Desired,
        wait: Duration,
    ) -> Result<Option<Desired>, ClientError> {
        let wait = wait.as_secs().min(LONGEST_WAIT);
        let request = Request::get("/node/watch")
            .query("revision", has.revision.to_string())
            .query("generation", has.generation.to_string())
            .query("waitSeconds", wait.to_string())
            .waiting(Duration::from_secs(wait));
        let answer = self.about_node(request).await?;
        if answer.status == 204 { Ok(None) } else { answer.read_as().map(Some) }
    }

    /// Fetches the node's current bundle: `GET /node/bundle`. Nothing if it is still the one with this
    /// ETag ([`FetchedBundle::etag`]). Nothing is issued for it.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn fetch_own_bundle(
        &self,
        format: ArchiveFormat,
        etag: Option<&str>,
    ) -> Result<Option<FetchedBundle>, ClientError> {
        self.fetch_bundle("/node/bundle", format, etag).await
    }

    /// Reads the servers that the node may ask: `GET /node/servers`. Nothing if it is still the list with
    /// this ETag. The list is to be verified with the key that came with the enrolment.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn read_own_servers(
        &self,
        etag: Option<&str>,
    ) -> Result<Option<Tagged<SignedServerList>>, ClientError> {
        let mut request = Request::get("/node/servers");
        if let Some(etag) = etag {
            request = request.if_none_match(etag)?;
        }
        let answer = self.about_node(request).await?;
        if answer.status == 304 { Ok(None) } else { tagged(&answer).map(Some) }
    }

    /// Renews the node's certificates, if they are due or it has another key: `POST /node/renew`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn renew_own_certificates(&self, renewal: &Renewal) -> Result<Renewed, ClientError> {
        // A repeat answers what the first one issued.
        let request = Request::new(Method::POST, "/node/renew").json(renewal)?.repeatable();
        self.about_node(request).await?.read_as()
    }

    /// Reports what the node has applied: `POST /node/report`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn report_own_node(&self, report: &Report) -> Result<(), ClientError> {
        let request = Request::new(Method::POST, "/node/report").json(report)?.repeatable();
        self.about_node(request).await.map(drop)
    }

    /// Replaces the node's token: `POST /node/token`. Where the answer is lost, the new token is tried
    /// as well. The caller stores the new token before, keeps both until this succeeds, and then goes on
    /// with a client that has the new one.
    ///
    /// # Errors
    /// As [`Client::send`]. If the new token is in force already, and the client has the old one:
    /// [`ClientError::Refused`] with status 401.
    pub async fn rotate_own_token(&self, new: &Secret) -> Result<(), ClientError> {
        let body = NodeToken { node_token: new.clone() };
        let request = Request::new(Method::POST, "/node/token").json(&body)?;
        let lost = match self.about_node(request.clone()).await {
            Err(lost @ ClientError::Timeout { .. }) => lost,
            // A proxy that had no answer may have passed it on.
            Err(lost) if lost.was_asked() && lost.is_passing() => lost,
            answered => return answered.map(drop),
        };
        let again = request.with_key(Key::new(new.expose())).repeatable();
        match self.about_node(again).await {
            // It did not arrive: the old one is in force.
            Err(refused) if refused.problem().is_some_and(|it| it.status == 401) => Err(lost),
            answered => answered.map(drop),
        }
    }

    pub(super) async fn fetch_bundle(
        &self,
        path: &str,
        format: ArchiveFormat,
        etag: Option<&str>,
    ) -> Result<Option<FetchedBundle>, ClientError> {
        let format = match format {
            ArchiveFormat::Zip => "zip",
            ArchiveFormat::TarGz => "tar.gz",
        };
        let mut request = Request::get(path).query("format", format);
        if let Some(etag) = etag {
            request = request.if_none_match(etag)?;
        }
        let answer = self.about_node(request).await?;
        if answer.status == 304 {
            return Ok(None);
        }
        Ok(Some(FetchedBundle {
            revision: answer.number("nebula-revision")?,
            generation: answer.number("nebula-generation")?,
            digest: answer.text("nebula-digest")?,
            receipt: answer.header("nebula-receipt").map(str::to_owned),
            etag: answer.text("etag")?,
            archive: answer.body.to_vec(),
        }))
    }

    async fn about_node(&self, request: Request) -> Result<Answer, ClientError> {
        self.send(request.at_most(NODE_LIMIT)).await
    }
}
