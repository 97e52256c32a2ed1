use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::Service;

/// How often what time brings about is looked for.
const EVERY: Duration = Duration::from_secs(15);

/// Has a service do what time brings about, for as long as this is polled. What it is at when it is
/// dropped was committed or will be done by the next pass.
pub async fn keep_up(service: Arc<Service>) -> Infallible {
    loop {
        match service.upkeep().await {
            Ok(Some(done)) => tracing::debug!(?done, "upkeep"),
            Ok(None) => tracing::trace!("another instance does the upkeep"),
            Err(error) => tracing::error!(?error, "upkeep; it goes on with the next pass"),
        }
        tokio::time::sleep(EVERY).await;
    }
}
