//! This program once more, as a server.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nebula_gc_http::server::{DataDirectory, serve};
use tokio::net::TcpListener;

use crate::Outcome;

pub(crate) struct ServerProcess {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) operator_key: String,
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
        let operator_key =
            std::fs::read_to_string(data.join("operator.key"))?.trim_end().to_owned();
        Ok(Self { process, address: line.trim_end().parse()?, operator_key })
    }

    /// Its process id.
    #[allow(dead_code, reason = "shared with another program")]
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// How much of its memory is in use, in bytes.
    pub(crate) fn resident(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It stops when its standard input is closed; its own end is all there is to wait for.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

pub(crate) async fn serve_until_closed(data: &Path) -> Outcome<()> {
    let service = Arc::new(DataDirectory::open(data)?.start()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let closed = async {
        let read = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut vec![]));
        let _ = read.await;
    };
    serve(listener, service, closed).await?;
    Ok(())
}
