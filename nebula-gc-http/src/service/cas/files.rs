//! CAs that `nebula-cert` made, as they are brought in.

use std::fmt;

use nebula_pki::key::{Argon2Parameters, EncryptedKey, SigningKey};
use nebula_pki::{Certificate, Error as PkiError, Issuer};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::Error;
use crate::error::{Fault, Field, Limit, Unavailable};

/// The most memory that all of Argon2's passes together may go over, as a multiple of what one may
/// take.
const PASSES: u64 = 4;
/// How many keys may be opened or wait for that.
const PLACES: usize = 4;
/// When to ask again where more do, in seconds: opening one takes about that.
const RETRY_SECONDS: i64 = 10;

/// A CA's certificate and key, as `nebula-cert` writes them. They are read for those only who may
/// bring them in: an encrypted key takes the memory and the time that it demands. A key may demand
/// [`Options::key_memory`](crate::Options::key_memory) at most, and passes over four times that in all.
pub struct CaFiles {
    /// The certificate, as PEM.
    pub certificate: String,
    /// The private key, as PEM.
    pub key: Zeroizing<String>,
    /// What opens the key, where it is encrypted.
    pub passphrase: Option<Zeroizing<String>>,
}

impl fmt::Debug for CaFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaFiles").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl CaFiles {
    /// Both, if they belong together; opening the key may take so much memory, in KiB.
    pub(super) async fn read(self, memory_kib: u32) -> Result<(Certificate, SigningKey), Error> {
        let certificates = Certificate::from_pem_many(self.certificate.as_bytes());
        let certificate = match certificates.as_deref() {
            Ok([certificate]) => certificate.clone(),
            Ok(_) => return Err(Fault::NotOneCertificate.of(Field::Certificate)),
            Err(error) => return Err(Fault::from(error.clone()).of(Field::Certificate)),
        };
        let key = match self.passphrase {
            None => SigningKey::from_pem(self.key.as_bytes())
                .map_err(|error| Fault::from(error).of(Field::Key))?,
            Some(passphrase) => open(&self.key, passphrase, memory_kib).await?,
        };
        let issuer = Issuer::new(certificate, &key).map_err(|error| {
            let is_key = error == PkiError::SignerMismatch;
            Fault::from(error).of(if is_key { Field::Key } else { Field::Certificate })
        })?;
        let certificate = issuer.certificate().clone();
        Ok((certificate, key))
    }
}

/// Those that are opened or wait.
static OPENING: Semaphore = Semaphore::const_new(PLACES);
/// One at a time: together they would need the memory of all.
static ONE: Mutex<()> = Mutex::const_new(());

async fn open(
    key: &str,
    passphrase: Zeroizing<String>,
    most_kib: u32,
) -> Result<SigningKey, Error> {
    let key = EncryptedKey::from_pem(key.as_bytes())
        .map_err(|error| Fault::from(error).of(Field::Key))?;
    check_cost(key.parameters(), most_kib)?;
    let Ok(place) = OPENING.try_acquire() else {
        let limit = Limit::EncryptedKeys;
        return Err(Error::RateLimited { limit, retry_after: RETRY_SECONDS });
    };
    let turn = ONE.lock().await;
    let opened = spawn_blocking(move || {
        // Who asked may have gone away; the memory is in use until here.
        let (_place, _turn) = (place, turn);
        key.open(passphrase.as_bytes()).map_err(|error| match error {
            PkiError::WrongPassphrase | PkiError::EmptyPassphrase => {
                Fault::from(error).of(Field::Passphrase)
            }
            other => Fault::from(other).of(Field::Key),
        })
    });
    opened.await.map_err(|_| Unavailable::Panicked { task: "decrypting a key" })?
}

fn check_cost(parameters: Argon2Parameters, most_kib: u32) -> Result<(), Error> {
    let Argon2Parameters { memory_kib, iterations, .. } = parameters;
    let work = u64::from(memory_kib).saturating_mul(u64::from(iterations));
    let most_work = u64::from(most_kib).saturating_mul(PASSES);
    if memory_kib <= most_kib && work <= most_work {
        return Ok(());
    }
    Err(Fault::CostlyKey { memory_kib, iterations, most_kib, most_work }.of(Field::Key))
}

#[cfg(test)]
mod tests {
    use nebula_pki::{Curve, SystemRandom};

    use super::*;

    #[test]
    fn what_opening_a_key_may_cost() {
        let permitted = |memory_kib, iterations| {
            let parameters = Argon2Parameters { memory_kib, iterations, parallelism: 4 };
            check_cost(parameters, 2 << 20).is_ok()
        };
        assert!(check_cost(Argon2Parameters::default(), 2 << 20).is_ok());
        assert!(check_cost(Argon2Parameters::default(), 1 << 20).is_err());
        assert!(permitted(2 << 20, 4) && permitted(64 << 10, 128));
        assert!(!permitted((2 << 20) + 1, 1));
        assert!(!permitted(2 << 20, 5) && !permitted(64 << 10, 129) && !permitted(1, u32::MAX));
    }

    #[tokio::test]
    async fn one_more_than_may_wait_is_refused_at_once() {
        let key = SigningKey::generate(Curve::Curve25519, &mut SystemRandom).unwrap();
        let parameters = Argon2Parameters { memory_kib: 64, iterations: 1, parallelism: 1 };
        let sealed = EncryptedKey::seal(&key, b"horse", parameters, &mut SystemRandom).unwrap();
        let pem = sealed.to_pem();
        let ask = |passphrase: &str| open(&pem, Zeroizing::new(passphrase.to_owned()), 64);
        let turn = ONE.lock().await;
        let mut waiting: Vec<_> = (0..PLACES).map(|_| Box::pin(ask("horse"))).collect();
        for one in &mut waiting {
            assert!(
                std::future::poll_fn(|context| {
                    std::task::Poll::Ready(one.as_mut().poll(context).is_pending())
                })
                .await
            );
        }
        let refused = ask("horse").await.err();
        assert!(
            matches!(refused, Some(Error::RateLimited { retry_after: RETRY_SECONDS, .. })),
            "{refused:?}"
        );
        // One that gives up makes room.
        drop(waiting.pop());
        drop(turn);
        let wrong = Box::pin(ask("cow"));
        for one in waiting {
            assert!(one.await.is_ok());
        }
        let wrong = wrong.await.err();
        assert!(matches!(wrong, Some(Error::Invalid { field: Field::Passphrase, .. })));
    }
}
