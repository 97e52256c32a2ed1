//! Nodes that wait for a change, and what a change costs them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::client::Client;
use crate::nodes::{Size, network_name, token};
use crate::operations::{REASON, text_of};
use crate::report::{Bar, Bars, percentile};
use crate::server::ServerProcess;

/// How many polls are begun at once.
const AT_ONCE: usize = 64;
/// How long a poll waits, in seconds, the longest there is.
const WAIT: u64 = 60;

/// Has `polls` nodes wait, network by network, then revokes one node of the first network.
pub(crate) async fn measure(
    server: &ServerProcess,
    size: Size,
    polls: usize,
    bars: &mut Bars,
) -> Outcome<()> {
    let polls = polls.min(size.networks * size.nodes);
    let before = server.resident()?;
    let started = Instant::now();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut waiting = JoinSet::new();
    for number in 0..polls {
        let (network, node) = (number / size.nodes, number % size.nodes);
        let (turns, server) = (Arc::clone(&turns), server.address);
        waiting.spawn(async move {
            let turn = turns.acquire_owned().await?;
            let mut client = Raw::connect(server, token(network, node)).await?;
            let own = client.get("/api/v1/node").await?;
            let (revision, generation) =
                (number_of(&own, "revision")?, number_of(&own, "generation")?);
            let path = format!(
                "/api/v1/node/watch?revision={revision}&generation={generation}&waitSeconds={WAIT}"
            );
            client.send(&path).await?;
            drop(turn);
            Outcome::Ok((network, node, client))
        });
    }
    let mut polling = vec![];
    while let Some(poll) = waiting.join_next().await {
        polling.push(poll??);
    }
    // The last were sent just now; and mimalloc gives back after a moment what it does not need.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = server.resident()?;
    println!(
        "{polls} polls begun in {:.1} s; the server's memory: {} MiB before, {} MiB after",
        started.elapsed().as_secs_f64(),
        before >> 20,
        after >> 20,
    );
    let each = after.saturating_sub(before) / u64::try_from(polls.max(1))?;
    bars.hold(
        "memory of a waiting node, connection included, KB",
        &[f64::from(u32::try_from(each)?) / 1000.0],
        Bar::AtMost(20.0),
    );

    let mut told = JoinSet::new();
    let mut others = vec![];
    for (network, node, client) in polling {
        if network == 0 && node != 0 {
            told.spawn(hold_new_bundle(client));
        } else {
            others.push(client);
        }
    }
    let nodes = told.len();
    let mut operator = Client::connect(server.address, &server.operator_key).await?;
    let leaving = text_of(&operator.get_as(&token(0, 0), "/api/v1/node").await?.body, "id")?;
    let path = format!("/api/v1/networks/{}/nodes/{leaving}/revoke", network_name(0));
    let revoked = Instant::now();
    let answer = operator.post(&path, REASON).await?;
    if answer.status != 200 {
        return Err(String::from_utf8_lossy(&answer.body).into());
    }
    let committed = revoked.elapsed();
    let (mut woken, mut held) = (vec![], vec![]);
    while let Some(node) = told.join_next().await {
        let (woke, holds) = node??;
        woken.push(woke - revoked);
        held.push(holds - revoked);
    }
    woken.sort();
    held.sort();
    println!("\na revocation in a network of which {nodes} nodes wait");
    println!("  answered after               {:.0} ms", committed.as_secs_f64() * 1e3);
    for (what, times) in [("woken", &woken), ("with their new bundle", &held)] {
        let (half, all) = (percentile(times, 500), percentile(times, 1000));
        println!("  {what:<28} half after {half}, all after {all}");
    }
    drop(others);
    Ok(())
}

/// When a waiting node was woken, and when it held its new bundle.
async fn hold_new_bundle(mut client: Raw) -> Outcome<(Instant, Instant)> {
    let news = client.receive().await?;
    let woken = Instant::now();
    if number_of(&news, "revision").is_err() {
        return Err("a poll was answered without news".into());
    }
    let bundle = client.get("/api/v1/node/bundle").await?;
    if !bundle.starts_with(b"PK") {
        return Err("not a bundle".into());
    }
    Ok((woken, Instant::now()))
}

/// A connection that needs little memory: thousands are open.
struct Raw {
    stream: TcpStream,
    server: SocketAddr,
    token: String,
}

impl Raw {
    async fn connect(server: SocketAddr, token: String) -> Outcome<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, server, token })
    }

    async fn get(&mut self, path: &str) -> Outcome<Vec<u8>> {
        self.send(path).await?;
        self.receive().await
    }

    async fn send(&mut self, path: &str) -> Outcome<()> {
        let Self { server, token, .. } = self;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    /// The body of an answer of 200, whose length is given.
    async fn receive(&mut self) -> Outcome<Vec<u8>> {
        let mut received = vec![];
        loop {
            let head = received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(head) = head {
                let text = String::from_utf8_lossy(received.get(..head).unwrap_or_default());
                if !text.starts_with("HTTP/1.1 200") {
                    return Err(text.into_owned().into());
                }
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .ok_or("no length")?
                    .parse::<usize>()?;
                if received.len() >= head + 4 + length {
                    return Ok(received.split_off(head + 4));
                }
            }
            let before = received.len();
            received.resize(before + 8192, 0);
            let read = self.stream.read(received.get_mut(before..).unwrap_or_default()).await?;
            received.truncate(before + read);
            if read == 0 {
                return Err("the server closed a connection".into());
            }
        }
    }
}

/// A number in a flat JSON object.
fn number_of(json: &[u8], name: &str) -> Outcome<i64> {
    let text = std::str::from_utf8(json)?;
    let name = format!("\"{name}\":");
    let rest = text.split_once(&name).ok_or("not in the answer")?.1;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}
