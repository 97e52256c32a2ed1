//! Signers: programs and tokens that hold CA keys outside this process.

mod command;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nebula_pki::{CaParameters, Certificate, Error as PkiError, Issuer, Signer, Version};
use tokio::sync::{Semaphore, oneshot};
use uuid::Uuid;

pub use self::command::SignerCommand;
use crate::error::{Fault, Field, SignerFault};
use crate::{Error, TenantId};

/// An open signer, which any thread may use.
pub type OpenSigner = Box<dyn Signer + Send + Sync>;

/// How many signatures a signer makes at once by default.
const AT_ONCE: usize = 4;
/// How long a certificate may wait for its signature by default.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest name, in bytes.
const NAME_LIMIT: usize = 64;

/// The signers that networks may name for their CAs. They are defined by the server's settings,
/// never by its API.
///
/// ```
/// use nebula_gc_http::{SignerCommand, Signers};
///
/// let mut signers = Signers::default();
/// signers.add_command("vault", SignerCommand::new(["/usr/local/bin/sign", "--key", "overlay"]))?;
/// # Ok::<(), nebula_gc_http::Error>(())
/// ```
#[derive(Clone)]
pub struct Signers {
    named: BTreeMap<String, Arc<Named>>,
    /// The tenants whose networks may use each signer, if limited.
    tenants: BTreeMap<String, Vec<SignerTenant>>,
    patience: Duration,
}

/// A tenant whose networks may use a signer. It is not given by name, because names can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignerTenant {
    /// The default tenant.
    Default,
    /// The tenant with this id.
    Id(TenantId),
}

/// Who wants to use a signer for a CA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignerUser {
    /// Whether it is a root operator.
    pub(crate) is_root: bool,
    /// The owner of the CA's network.
    pub(crate) tenant: TenantId,
    /// Whether that is the default tenant.
    pub(crate) is_default: bool,
}

struct Named {
    open: Box<dyn Fn() -> Result<OpenSigner, PkiError> + Send + Sync>,
    opened: Mutex<Option<Arc<OpenSigner>>>,
    free: Arc<Semaphore>,
}

impl Default for Signers {
    fn default() -> Self {
        Self { named: BTreeMap::new(), tenants: BTreeMap::new(), patience: PATIENCE }
    }
}

impl Signers {
    /// Adds a signer. `open` is called at the first use, and again until it succeeds: a signer may
    /// be unavailable when the server starts. `at_once` is how many signatures it makes at once.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is not 1 to 64 letters, digits, `-`, `_` or `.`, or
    /// is there already.
    pub fn add(
        &mut self,
        name: &str,
        at_once: usize,
        open: impl Fn() -> Result<OpenSigner, PkiError> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=NAME_LIMIT).contains(&name.len()) || !name.bytes().all(is_usual) {
            return Err(Fault::SignerName.of_entry(name).of(Field::Signers));
        }
        let signer = Named {
            open: Box::new(open),
            opened: Mutex::default(),
            free: Arc::new(Semaphore::new(at_once.max(1))),
        };
        match self.named.insert(name.to_owned(), Arc::new(signer)) {
            None => Ok(()),
            Some(_) => Err(Fault::RepeatedEntry { entry: name.to_owned() }.of(Field::Signers)),
        }
    }

    /// Adds a program that holds a key.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_command(&mut self, name: &str, command: SignerCommand) -> Result<(), Error> {
        self.add(name, AT_ONCE, move || Ok(Box::new(command.open()?)))
    }

    /// Adds a key in a PKCS#11 token, by its URI. A token makes one signature at a time.
    ///
    /// # Errors
    /// As [`add`](Self::add), and for a URI that is none.
    #[cfg(feature = "pkcs11")]
    pub fn add_pkcs11(&mut self, name: &str, uri: &str) -> Result<(), Error> {
        use nebula_pki::{Pkcs11Signer, Pkcs11Uri};
        // It may hold a PIN, so the error does not repeat it.
        let parse = |uri: &str| uri.parse::<Pkcs11Uri>();
        parse(uri).map_err(|error| Fault::from(error).of_entry(name).of(Field::Signers))?;
        let uri = zeroize::Zeroizing::new(uri.to_owned());
        self.add(name, 1, move || Ok(Box::new(Pkcs11Signer::open(parse(&uri)?)?)))
    }

    /// Limits a signer to networks of these tenants. Without a limit only root operator keys may
    /// use it, in any network.
    pub fn limit(&mut self, name: &str, tenants: impl IntoIterator<Item = SignerTenant>) {
        self.tenants.insert(name.to_owned(), tenants.into_iter().collect());
    }

    /// Whether there is a signer of this name that this user may use. Existing CAs are not
    /// affected.
    pub(crate) fn may_use(&self, name: &str, user: SignerUser) -> bool {
        let is_own = |tenant: &SignerTenant| match tenant {
            SignerTenant::Default => user.is_default,
            SignerTenant::Id(id) => *id == user.tenant,
        };
        self.named.contains_key(name)
            && self.tenants.get(name).map_or(user.is_root, |tenants| tenants.iter().any(is_own))
    }

    /// How long a certificate may wait for its signature before the request fails; at least a
    /// second. Default: 20 s.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience: patience.max(Duration::from_secs(1)), ..self }
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Creates the certificate of a CA, signed by a signer's own key.
    pub(crate) async fn self_signed(
        &self,
        name: &str,
        version: Version,
        ca: CaParameters,
    ) -> Result<Certificate, Error> {
        self.run(name, move |signer| {
            Ok(Issuer::self_signed(version, ca, signer)?.certificate().clone())
        })
        .await
        .map_err(|fault| fault.of(name))
    }

    pub(crate) async fn sign(&self, name: &str, message: Vec<u8>) -> Result<Vec<u8>, Error> {
        let signed = self.run(name, move |signer| signer.sign(&message)).await;
        signed.map_err(|fault| fault.of(name))
    }

    /// Runs on a separate thread: a signer may take any time, and one that never returns must not
    /// use up the runtime's threads. Its slot is freed when it returns.
    async fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&OpenSigner) -> Result<T, PkiError> + Send + 'static,
    ) -> Result<T, SignerFault> {
        let signer = self.named.get(name).cloned().ok_or(SignerFault::NotConfigured)?;
        let done = async {
            let place =
                Arc::clone(&signer.free).acquire_owned().await.map_err(|_| SignerFault::Closed)?;
            let (answer, outcome) = oneshot::channel();
            let worker = move || {
                // The request may have timed out.
                let _ = answer.send(signer.opened().and_then(|signer| work(&signer)));
                drop(place);
            };
            thread::Builder::new()
                .name("nebula-gc-signer".to_owned())
                .spawn(worker)
                .map_err(|_| SignerFault::NoThread)?;
            outcome.await.map_err(|_| SignerFault::Panicked)?.map_err(SignerFault::Failed)
        };
        match tokio::time::timeout(self.patience, done).await {
            Ok(done) => done,
            Err(_) => Err(SignerFault::Timeout { seconds: self.patience.as_secs() }),
        }
    }
}

impl FromStr for SignerTenant {
    type Err = Error;

    /// Reads `default` or an id.
    fn from_str(text: &str) -> Result<Self, Error> {
        match Uuid::try_parse(text).ok().filter(|id| id.to_string() == text) {
            _ if text == "default" => Ok(Self::Default),
            Some(id) => Ok(Self::Id(id.into_bytes().into())),
            None => Err(Fault::NotTenantId { text: text.to_owned() }.of(Field::Tenants)),
        }
    }
}

impl Named {
    fn opened(&self) -> Result<Arc<OpenSigner>, PkiError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = &*opened {
            return Ok(Arc::clone(signer));
        }
        let signer = Arc::new((self.open)()?);
        *opened = Some(Arc::clone(&signer));
        Ok(signer)
    }
}

impl fmt::Debug for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signers")
            .field("names", &self.named.keys())
            .field("patience", &self.patience)
            .finish()
    }
}
