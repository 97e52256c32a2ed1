//! Which networks need another CA, for the log.

use super::Stop;
use crate::error::time;
use crate::service::cas;
use crate::service::core::Service;
use crate::store::duty;
use crate::{CaStanding, Error, NetworkCa};

/// Telling of them, as a duty.
const TELLING: &str = "ending CAs";
/// How often they are told, in seconds: once a day.
const EVERY: i64 = 86_400;

impl Service {
    pub(super) async fn tell_of_cas(&self) -> Result<(), Stop> {
        let ending = self
            .read(|tx, shared| {
                let now = shared.now();
                if !duty::is_due(tx, TELLING, now, EVERY)? {
                    return Ok(None);
                }
                cas::ending(tx, now).map(Some)
            })
            .await?;
        let Some(ending) = ending else { return Ok(()) };
        let instance = self.shared.instance.clone();
        self.chore(move |tx, now, _| duty::done(tx, TELLING, &instance, now.saturating_add(EVERY)))
            .await?;
        for (NetworkCa { fingerprint, not_after, standing, .. }, network) in ending {
            if standing == CaStanding::Expired {
                let expired = Error::CaExpired { network, at: not_after };
                tracing::error!(%fingerprint, "{expired}");
                continue;
            }
            tracing::warn!(
                network,
                %fingerprint,
                not_after = time(not_after),
                "this network's CA ends soon, and with it every certificate; add another: \
                 nebula-gc admin networks add-ca"
            );
        }
        Ok(())
    }
}
