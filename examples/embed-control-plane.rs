//! The control plane inside a program's own axum application: its routes beside the program's, one
//! service for both, and the maintenance that a service needs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use clap::Parser;
use nebula_gc_http::server::{DataDirectory, Server, Signals, keep_up};
use nebula_gc_http::{AddPool, Context, NetworkRef, Service, api};
use tokio::net::TcpListener;

/// Serve an application with a control plane inside, on a free port of this machine
#[derive(Parser)]
struct Arguments {
    /// Where the control plane keeps its database and its secrets
    #[arg(value_name = "DIR", default_value = "embedded-data")]
    data: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embed-control-plane: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { data }: Arguments) -> Result<(), Box<dyn Error>> {
    let directory = DataDirectory::open(&data)?;
    let service = Arc::new(directory.start()?);

    // The operations are methods of the service: no HTTP, no key.
    let pool = AddPool {
        network: Some(NetworkRef::new("office")?),
        prefix: "10.42.0.0/16".parse()?,
        version: None,
    };
    service.add_pool(Context::local(), pool).await?;

    let application = Router::new()
        .route("/", get(async || "our own page\n"))
        .route("/certificates/{network}", get(trusted))
        .with_state(Arc::clone(&service))
        // `/api/v1`, `/health` and so on; who asks is in the credential of each request.
        .fallback_service(api::router(Arc::clone(&service)));

    let mut signals = Signals::catch()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("Serving http://{} (stop with Ctrl-C)", listener.local_addr()?);
    // This server tells the API each client's address, which the audit log keeps, and ends long polls
    // when it stops. With `axum::serve`, use `into_make_service_with_connect_info::<SocketAddr>()`.
    let server = Server::new(listener, application);
    tokio::select! {
        served = server.run(async move { signals.next().await }) => served?,
        // Ends quarantines, blocks replaced certificates, and whatever else time brings.
        never = keep_up(Arc::clone(&service)) => match never {},
    }
    // Leaves one file that is the whole database.
    service.close().await;
    Ok(())
}

/// A route of our own over the same service: the CAs that a network trusts, without a credential.
async fn trusted(
    State(service): State<Arc<Service>>,
    Path(network): Path<String>,
) -> Result<String, StatusCode> {
    let network = NetworkRef::new(network).map_err(|_| StatusCode::NOT_FOUND)?;
    let pem = service.network_ca(Context::local(), network).await;
    pem.map_err(|error| {
        StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    })
}
