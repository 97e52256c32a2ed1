//! `nebula-gc serve`.

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Command};
use nebula_gc_http::api;
use nebula_gc_http::server::{
    DataDirectory, Limits, Server, Signals, Tls, keep_up, raise_file_limit,
};
use nebula_gc_http::settings::{SETTINGS, Settings};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::arguments;

/// How often the certificate's files are looked at.
const LOOK_AT_FILES: Duration = Duration::from_secs(5);
/// Files that are open beside the connections: the database, its log, its readers, what is logged.
const OTHER_FILES: u64 = 64;
/// As a shell tells the end by Ctrl-C.
const INTERRUPTED: i32 = 130;

pub(crate) fn command() -> Command {
    let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    let command = Command::new("serve").about("Run the server").long_about(
        "Run the server\n\n\
             The first start makes the data directory (0700): the database, the server's secrets, \
             and operator.key (0600), the key that requests are made with. Later starts use what \
             is there. Ctrl-C or SIGTERM stops it after finishing what is in flight; a second one \
             stops it at once. SIGHUP has it read the TLS certificate anew.",
    );
    arguments::with_settings(command, &names)
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let (settings, unknown) = arguments::settings(matches)?;
    settings.check_plain_http()?;
    let filter = EnvFilter::try_new(&settings.log).map_err(|error| format!("log: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    for name in unknown {
        tracing::warn!(name, "this variable of the environment is no setting");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = serve(&runtime, settings);
    // What still runs is not waited for.
    runtime.shutdown_background();
    served
}

fn serve(
    runtime: &tokio::runtime::Runtime,
    settings: Settings,
) -> Result<ExitCode, Box<dyn Error>> {
    let Settings { listen, mut limits, options, .. } = settings;
    let listener = runtime
        .block_on(TcpListener::bind(listen))
        .map_err(|error| format!("listen: {listen}: {error}; --listen names another address"))?;
    let address = listener.local_addr()?;
    fit_into_files(&mut limits);
    let signers = settings.signers()?;
    let tls = settings.tls.map(|(certificate, key)| Tls::load(certificate, key)).transpose();
    let tls = tls.map_err(|error| format!("tls-certificate, tls-key: {error}"))?;
    let directory = DataDirectory::open(settings.data).map_err(|error| format!("data: {error}"))?;
    let mut directory = directory.with_signers(signers);
    if let Some(path) = settings.secrets_file {
        directory = directory.with_secrets_file(path);
    }
    let service = match settings.database {
        None => directory.start()?,
        Some(url) => directory.start_over(url.expose())?,
    };
    let service = Arc::new(service.with_options(options));
    let router = settings.cors_origins.admit(api::router(Arc::clone(&service)));
    let mut server = Server::new(listener, router).limits(limits);
    if let Some(url) = settings.public_url {
        server = server.public_url(url);
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    end_at_the_second_signal()?;
    runtime.block_on(async {
        let mut first = Signals::catch()?;
        let mut hangup = signal(SignalKind::hangup())?;
        if let Some(tls) = tls {
            server = server.tls(tls.clone());
            tokio::spawn(async move { tls.follow(hangup, LOOK_AT_FILES).await });
        } else {
            // Caught, so that it does not end a server that has nothing to load anew.
            tokio::spawn(async move { while hangup.recv().await.is_some() {} });
        }
        let operator_key = directory.operator_key();
        // Who reads the first line may close the pipe; that is no reason not to serve.
        let _ = writeln!(
            std::io::stdout(),
            "Serving {scheme}://{address}/ (stop with Ctrl-C).\n{}",
            key_line(&operator_key)
        );
        let stop = async move {
            first.next().await;
            tracing::info!("stopping: finishing what is in flight");
        };
        let served = tokio::select! {
            served = server.run(stop) => served,
            never = keep_up(Arc::clone(&service)) => match never {},
        };
        service.close().await;
        served?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Where the operator key is, which may have been moved since the first start.
fn key_line(file: &Path) -> String {
    match file.try_exists() {
        Ok(false) => format!(
            "No operator key is in {}: say where yours is (--key-file), or stop this and make another \
             (nebula-gc operator-key new)",
            file.display()
        ),
        _ => format!("The operator key is in {}", file.display()),
    }
}

/// Takes no more connections than there are files for them.
fn fit_into_files(limits: &mut Limits) {
    let Some(files) = raise_file_limit() else { return };
    let most = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).max(1);
    if limits.connections <= most {
        return;
    }
    let asked = std::mem::replace(&mut limits.connections, most);
    // Nobody asked for the default, and most of it is there.
    if asked == Limits::default().connections && most >= asked / 2 {
        tracing::debug!(most, "at most so many connections, as the limit of open files has it");
        return;
    }
    tracing::warn!(
        max_connections = asked,
        most,
        "the limit of open files allows fewer connections: raise its hard limit (ulimit -Hn, \
         LimitNOFILE= in systemd), or lower max-connections"
    );
}

/// Whatever the rest of the process is at, the second signal ends it: a thread of its own waits for
/// that, which waits for nothing else.
fn end_at_the_second_signal() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::catch()?
    };
    std::thread::Builder::new().name("nebula-gc-signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            signals.next().await;
            signals.next().await;
        });
        tracing::warn!("stopped at once");
        std::process::exit(INTERRUPTED);
    })?;
    Ok(())
}
