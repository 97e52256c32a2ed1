//! This program once more, as the server.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nebula_gc_http::server::{DataDirectory, serve};
use nebula_gc_http::{AddPool, Context, NetworkRef};
use tokio::net::TcpListener;

use crate::Outcome;

/// What the kernel shows of the writing thread's name.
const WRITER: &str = "nebula-alloc-wr";

/// The server's process.
pub(crate) struct ServerProcess {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) operator_key: String,
}

/// Processor time that a server has used.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    /// By all of its threads.
    pub(crate) all: Duration,
    /// By the writing one.
    pub(crate) writer: Duration,
}

impl ServerProcess {
    pub(crate) fn start(data: &Path) -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = process.stdout.take().ok_or("piped")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let operator_key = fs::read_to_string(data.join("operator.key"))?.trim_end().to_owned();
        Ok(Self { process, address: line.trim_end().parse()?, operator_key })
    }

    /// What it has used so far; `proc_pid_stat(5)`. Ticks are 10 ms.
    pub(crate) fn used(&self) -> Outcome<Used> {
        let proc = Path::new("/proc").join(self.process.id().to_string());
        let ticks = |stat: &Path| -> Outcome<u64> {
            let stat = fs::read_to_string(stat)?;
            // The name, in parentheses, may have spaces; user and system time are the 12th and 13th
            // field behind it.
            let (_, fields) = stat.rsplit_once(')').ok_or("a stat without name")?;
            let times = fields.split_ascii_whitespace().skip(11).take(2);
            times.map(|ticks| Ok(ticks.parse::<u64>()?)).sum()
        };
        let mut writer = 0;
        for task in fs::read_dir(proc.join("task"))? {
            let task = task?.path();
            let is_writer = |name: &String| name.trim_end() == WRITER;
            if fs::read_to_string(task.join("comm")).is_ok_and(|name| is_writer(&name)) {
                writer += ticks(&task.join("stat"))?;
            }
        }
        let all = ticks(&proc.join("stat"))?;
        let [all, writer] = [all, writer].map(|ticks| Duration::from_millis(ticks * 10));
        Ok(Used { all, writer })
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It stops when its standard input is closed; its own end is all there is to wait for.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

#[tokio::main]
pub(crate) async fn serve_until_closed(data: &Path) -> Outcome<()> {
    let directory = DataDirectory::open(data)?;
    let service = Arc::new(directory.start()?);
    let pool = AddPool {
        network: Some(NetworkRef::new("bench")?),
        prefix: "10.0.0.0/8".parse()?,
        version: None,
    };
    service.add_pool(Context::local(), pool).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let closed = async {
        let read = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut vec![]));
        let _ = read.await;
    };
    serve(listener, service, closed).await?;
    Ok(())
}
