//! The bundled server: a control plane over an embedded database, with a demo network.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use nebula_gc_http::server::{DataDirectory, Signals, forbid_dumps, serve};
use nebula_gc_http::{AddPool, Context, NetworkRef};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Run the control plane with an embedded database and a demo network on 10.99.1.0/24
///
/// The first start makes the data directory (0700): the database, the server's secrets, and
/// operator.key (0600), the key that requests are made with. Later starts use what is there.
/// Ctrl-C or SIGTERM stops it after the requests in progress.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen. The server speaks plain HTTP, so that this is an address of loopback: beyond
    /// this machine, put TLS in front of it, or use `nebula-gc serve`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where to keep the database and the secrets
    #[arg(long, value_name = "DIR", default_value = "nebula-gc-data")]
    data: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    forbid_dumps();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { listen, data }: Arguments) -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();

    if !listen.ip().to_canonical().is_loopback() {
        return Err(format!(
            "--listen {listen}: is reachable from other machines, and plain HTTP exposes keys and tokens"
        )
        .into());
    }
    let listener =
        TcpListener::bind(listen).await.map_err(|error| format!("--listen {listen}: {error}"))?;
    let address = listener.local_addr()?;
    let directory = DataDirectory::open(&data)?;
    let service = Arc::new(directory.start()?);

    let demo = AddPool {
        network: Some(NetworkRef::new("demo")?),
        prefix: "10.99.1.0/24".parse()?,
        version: None,
    };
    service.add_pool(Context::local(), demo).await?;

    // Caught before the guide says that the server can be stopped.
    let mut signals = Signals::catch()?;
    let stop = async move {
        signals.next().await;
        tracing::info!("stopping: finishing requests in progress");
    };
    print_guide(address, &directory.operator_key());
    serve(listener, service, stop).await?;
    Ok(())
}

/// The lines that bring a device in, to be run as they are.
fn print_guide(address: SocketAddr, operator_key: &Path) {
    let in_quotes = operator_key.display().to_string().replace('\'', r"'\''");
    let operator_key = operator_key.display();
    println!(
        r#"Serving http://{address}/ (stop with Ctrl-C).
The operator key is in {operator_key}

Two devices that ping each other, on this machine (Linux with Nebula; as root, for tun devices), from the
directory you started this in:

  cargo build --release -p nebula-gc-http --features cli
  sudo examples/two-devices target/release/nebula-gc http://{address} '{in_quotes}'

Or bring a device in with curl, by the routes for clients of older systems:

  cargo run --release -p examples --example keygen -- device-1
  curl -fsS -o device-1/registered.json 'http://{address}/api/nebula/register' -H "Authorization: Bearer $(cat '{in_quotes}')" -H 'Content-Type: application/json' -d '{{"projectId":"demo","deviceId":"device-1","deviceName":"device-1","publicKey":"'"$(sed -n 2p device-1/node.pub)"'"}}'
  curl -fsS -o device-1/device-1.zip 'http://{address}/api/nebula/bundle/device-1?projectId=demo' -H "Authorization: Bearer $(cat '{in_quotes}')"

Then, where Nebula is installed: unzip device-1/device-1.zip -d device-1, and as root
in device-1: nebula -config nebula.yml
"#
    );
}
