//! Where a test's rows are, whichever engine keeps them.

use std::path::PathBuf;

use nebula_alloc::store::{Row, Transaction};
use nebula_alloc::{Actor, Postgres, PostgresReaders, Readers, Sqlite, clock};
use nebula_gc_http::{Database, Error, verify};
use tempfile::TempDir;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy)]
pub enum Engine {
    Sqlite,
    Postgres,
}

pub enum Place {
    File(PathBuf, #[allow(dead_code, reason = "it goes when it is dropped")] TempDir),
    Server(String),
}

impl Place {
    /// An empty one; nothing where the engine is missing.
    pub fn on(engine: Engine) -> Option<Self> {
        Some(match engine {
            Engine::Sqlite => {
                let directory = tempfile::tempdir().unwrap();
                Self::File(directory.path().join("test.db"), directory)
            }
            Engine::Postgres => {
                Self::Server(crate::shared::postgres::cluster_in_memory()?.schema())
            }
        })
    }

    pub fn open(&self) -> Database {
        match self {
            Self::File(path, _) => Sqlite::open(path).unwrap().into(),
            Self::Server(url) => Postgres::connect(url).unwrap().into(),
        }
    }

    /// Says that it is this time, whatever events say. Nobody writes meanwhile.
    pub fn confirm_clock(&self, now: i64) {
        let confirm = |tx: &mut dyn Transaction| clock::confirm(tx, now, &Actor::named("a test"));
        match self {
            Self::File(path, _) => Sqlite::open(path).unwrap().transaction(confirm).unwrap(),
            Self::Server(url) => Postgres::connect(url).unwrap().transaction(confirm).unwrap(),
        }
    }

    /// As one text, for another process.
    pub fn address(&self) -> String {
        match self {
            Self::File(path, _) => path.display().to_string(),
            Self::Server(url) => url.clone(),
        }
    }

    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// What is committed, beside whoever writes.
    pub fn read<T>(&self, work: impl FnOnce(&mut dyn Transaction) -> Result<T, Error>) -> T {
        match self {
            Self::File(path, _) => Readers::open(path, 1).unwrap().read(work),
            Self::Server(url) => PostgresReaders::open(url, 1).unwrap().read(work),
        }
        .unwrap()
    }

    pub fn query(&self, sql: &str) -> Vec<Row> {
        self.read(|tx| Ok(tx.query(sql, &[])?))
    }

    /// A number that one query answers.
    #[track_caller]
    pub fn number(&self, query: &str) -> i64 {
        self.query(query).first().unwrap().columns().integer().unwrap()
    }

    /// Every row of every table, to compare. Not who is there and since when: that changes by
    /// itself where instances share a database.
    pub fn rows(&self) -> Vec<String> {
        let tables = match self {
            Self::File(..) => "SELECT name FROM sqlite_schema WHERE type = 'table'",
            Self::Server(_) => {
                "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema()"
            }
        };
        self.read(|tx| {
            let mut rows = vec![];
            for table in tx.query(tables, &[])? {
                let table = table.columns().text()?;
                if table != "alloc_instance" {
                    let found = tx.query(&format!("SELECT * FROM {table}"), &[])?;
                    rows.extend(found.iter().map(|row| format!("{table}: {row:?}")));
                }
            }
            assert!(!rows.is_empty());
            rows.sort();
            Ok(rows)
        })
    }

    /// Changes rows behind the service's back.
    pub fn sql(&self, text: &str) {
        match self {
            Self::File(path, _) => {
                rusqlite::Connection::open(path).unwrap().execute_batch(text).unwrap();
            }
            Self::Server(url) => {
                let schema = url.rsplit_once("search_path=").unwrap().1.trim_end_matches('\'');
                let cluster = crate::shared::postgres::cluster_in_memory().unwrap();
                drop(cluster.sql(&format!("SET search_path = {schema}; {text}")));
            }
        }
    }

    /// That all rules hold.
    #[track_caller]
    pub fn verify(&self, now: i64) {
        assert_eq!(self.read(|tx| verify(tx, now)), []);
    }
}
