//! How the older systems allocate: a row for each address of the pool, of which a transaction takes
//! the lowest free one that no other has locked.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_postgres::{Client, NoTls, Statement};

use crate::Outcome;
use crate::load::{self, Load, new_owner};

/// As many as the pool of connections of one such server has.
pub(crate) const CONNECTIONS: usize = 8;

/// How many addresses a second there are enough of, and how many at least.
const PER_SECOND: f64 = 20_000.0;
const AT_LEAST: f64 = 65_534.0;

/// The index holds only what the query is about, which is the best that can be done for it.
const SCHEMA: &str = "
CREATE TABLE ip_pool (
    id BIGINT NOT NULL PRIMARY KEY,
    address INET NOT NULL UNIQUE,
    status TEXT NOT NULL,
    owner BYTEA
);
CREATE INDEX ip_pool_free ON ip_pool (address) WHERE status = 'free';
CREATE TABLE ip_allocations (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ip_id BIGINT NOT NULL REFERENCES ip_pool (id),
    owner BYTEA NOT NULL UNIQUE,
    at TIMESTAMPTZ NOT NULL DEFAULT now()
);";
const NEXT: &str = "SELECT id FROM ip_pool WHERE status = 'free'
     ORDER BY address LIMIT 1 FOR UPDATE SKIP LOCKED";
const TAKE: &str = "UPDATE ip_pool SET status = 'allocated', owner = $2 WHERE id = $1";
const RECORD: &str = "INSERT INTO ip_allocations (ip_id, owner) VALUES ($1, $2)";

/// The older system, with as many servers as it has pools of connections.
pub(crate) struct Older {
    runtime: Runtime,
    servers: Vec<Arc<ConnectionPool>>,
}

impl Older {
    /// Makes the tables, with enough addresses for so long.
    pub(crate) fn prepare(url: &str, servers: usize, length: Duration) -> Outcome<Self> {
        let runtime = load::runtime()?;
        let addresses = (PER_SECOND * length.as_secs_f64()).max(AT_LEAST);
        let servers = runtime.block_on(async {
            let client = connect(url).await?;
            client.batch_execute(SCHEMA).await?;
            client
                .batch_execute(&format!(
                    "INSERT INTO ip_pool SELECT number, inet '10.0.0.0' + number, 'free'
                     FROM generate_series(CAST(1 AS BIGINT), {addresses:.0}) AS number"
                ))
                .await?;
            client.batch_execute("VACUUM ANALYZE ip_pool").await?;
            let mut pools = Vec::new();
            for _ in 0..servers {
                pools.push(Arc::new(ConnectionPool::new(url).await?));
            }
            Outcome::Ok(pools)
        })?;
        Ok(Self { runtime, servers })
    }

    /// Lets so many clients of each of the first servers allocate.
    pub(crate) fn run(&self, servers: usize, clients: usize, length: Duration) -> Outcome<Load> {
        let pools: Vec<_> = self.servers.iter().take(servers).cloned().collect();
        let clients = clients * pools.len();
        let mut pools = pools.into_iter().cycle();
        load::run_tasks(&self.runtime, clients, length, || {
            let pool = pools.next();
            move || {
                let pool = pool.clone();
                async move { pool.ok_or("no server")?.allocate().await }
            }
        })
    }
}

/// Connections that clients share; who waits longest is next.
struct ConnectionPool {
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl ConnectionPool {
    async fn new(url: &str) -> Outcome<Self> {
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS {
            idle.push(Connection::new(connect(url).await?).await?);
        }
        Ok(Self { permits: Semaphore::new(CONNECTIONS), idle: Mutex::new(idle) })
    }

    async fn allocate(&self) -> Outcome<()> {
        let _permit = self.permits.acquire().await?;
        let connection = self.idle()?.pop().ok_or("a permit stands for a connection")?;
        let result = connection.allocate().await;
        self.idle()?.push(connection);
        result
    }

    fn idle(&self) -> Outcome<MutexGuard<'_, Vec<Connection>>> {
        self.idle.lock().map_err(|_| "a client panicked".into())
    }
}

/// A connection with its statements prepared.
struct Connection {
    client: Client,
    next: Statement,
    take: Statement,
    record: Statement,
}

impl Connection {
    async fn new(client: Client) -> Outcome<Self> {
        let next = client.prepare(NEXT).await?;
        let take = client.prepare(TAKE).await?;
        let record = client.prepare(RECORD).await?;
        Ok(Self { client, next, take, record })
    }

    async fn allocate(&self) -> Outcome<()> {
        let owner = new_owner().0;
        let owner = owner.as_slice();
        self.client.batch_execute("BEGIN").await?;
        let row = self.client.query_one(&self.next, &[]).await?;
        let id: i64 = row.try_get(0)?;
        self.client.execute(&self.take, &[&id, &owner]).await?;
        self.client.execute(&self.record, &[&id, &owner]).await?;
        self.client.batch_execute("COMMIT").await?;
        Ok(())
    }
}

async fn connect(url: &str) -> Outcome<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Its errors reach whoever asks next.
    tokio::spawn(connection);
    Ok(client)
}
