//! Clients that wait at one server, as agents do.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nebula_gc_http::client::{Client, ServerUrl};
use nebula_gc_http::wire::Desired;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Outcome;
use crate::nodes::{self, Size};
use crate::process::share;
use crate::report::{Bar, Bars};
use crate::server::ServerProcess;

/// How long an agent's poll waits.
const POLL: Duration = Duration::from_secs(25);

/// Has clients wait for changes that don't come, each with polls one after another, and holds what that
/// costs the server against its bar.
pub(crate) async fn measure(
    data: &Path,
    clients: usize,
    length: Duration,
    bars: &mut Bars,
) -> Outcome<()> {
    nodes::enroll_all(data, Size { networks: 1, nodes: clients }).await?;
    let server = ServerProcess::start(data)?;
    let alone = share(server.id(), Duration::from_secs(5)).await?;
    let before = server.resident()?;
    let polls = Arc::new(AtomicUsize::new(0));
    let mut waiting = JoinSet::new();
    for number in 0..clients {
        let (address, polls) = (server.address, Arc::clone(&polls));
        // They don't ask all at once.
        let delay = POLL * u32::try_from(number)? / u32::try_from(clients)?;
        waiting.spawn(async move {
            sleep(delay).await;
            wait(address, number, &polls).await
        });
    }
    sleep(POLL).await;
    polls.store(0, Ordering::Relaxed);
    let cost = tokio::select! {
        cost = share(server.id(), length) => cost?,
        Some(ended) = waiting.join_next() => return Err(format!("a client ended: {ended:?}").into()),
    };
    let each = server.resident()?.saturating_sub(before) / u64::try_from(clients)?;
    println!(
        "{clients} clients wait: {:.1} polls a second, {} KB of memory each; the server alone uses \
         {alone:.2} % of a core",
        f64::from(u32::try_from(polls.load(Ordering::Relaxed))?) / length.as_secs_f64(),
        each / 1000,
    );
    let name = format!("a server at which {clients} clients wait, % of a core");
    bars.hold(&name, &[cost], Bar::AtMost(5.0));
    Ok(())
}

/// One client, until it fails.
async fn wait(server: SocketAddr, number: usize, polls: &AtomicUsize) -> Outcome<()> {
    let server = ServerUrl { url: format!("http://{server}"), pins: vec![] };
    let client = Client::over(vec![server])?.with_key(&nodes::token(0, number));
    let own = client.read_own_node().await?;
    let desired = Desired { revision: own.revision, generation: own.generation };
    loop {
        if client.watch_own_node(desired, POLL).await?.is_some() {
            return Err("there is a change".into());
        }
        polls.fetch_add(1, Ordering::Relaxed);
    }
}
