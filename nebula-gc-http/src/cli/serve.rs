//! `nebula-gc serve`.

mod screen;

use std::error::Error;
use std::io::Write as _;
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
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use self::screen::Screen;
use crate::{arguments, terminal};

/// How often the TLS files are checked for changes.
const TLS_FILES_INTERVAL: Duration = Duration::from_secs(5);
/// Files that are open besides connections: the database, its log, its readers, the standard error.
const OTHER_FILES: u64 = 64;
/// The exit code after Ctrl-C, as shells report it.
const INTERRUPTED: i32 = 130;

pub(crate) fn command() -> Command {
    let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    let command = Command::new("serve").about("Run the server").long_about(
        "Run the server\n\n\
             The first start creates the data directory (mode 0700) with the database, the server's \
             secrets and operator.key (mode 0600), the key for requests to it. Ctrl-C or SIGTERM stops \
             the server after the requests in progress; a second one stops it at once. SIGHUP reloads \
             the TLS certificate.",
    ).after_help("Example:\n  nebula-gc serve --data /var/lib/nebula-gc --listen 127.0.0.1:8080");
    arguments::with_settings(command, &names)
}

pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let (settings, unknown) = arguments::settings(matches)?;
    settings.check_plain_http()?;
    let filter = EnvFilter::try_new(&settings.log).map_err(|error| format!("log: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal::has_colour())
        .init();
    for name in unknown {
        tracing::warn!(name, "unknown environment variable ignored");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = serve(&runtime, settings);
    // Background tasks are not waited for.
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
    fit_open_files(&mut limits);
    let signers = settings.signers()?;
    let tls = settings.tls.map(|(certificate, key)| Tls::load(certificate, key)).transpose();
    let tls = tls.map_err(|error| format!("tls-certificate, tls-key: {error}"))?;
    let directory =
        DataDirectory::open(&settings.data).map_err(|error| format!("data: {error}"))?;
    let mut directory = directory.with_signers(signers);
    if let Some(path) = settings.secrets_file {
        directory = directory.with_secrets_file(path);
    }
    // Each start writes the secrets, where they are not there.
    let is_new = !directory.secrets().path().exists();
    let has_postgres = settings.database.is_some();
    let service = match settings.database {
        None => directory.start()?,
        Some(url) => directory.start_over(url.expose())?,
    };
    let service = Arc::new(service.with_options(options));
    let router = settings.cors_origins.admit(api::router(Arc::clone(&service)));
    let mut server = Server::new(listener, router).limits(limits);
    let screen = Screen {
        data: &settings.data,
        is_new,
        has_postgres,
        scheme: if tls.is_some() { "https" } else { "http" },
        address,
        public_url: settings.public_url.as_deref(),
        pin: tls.as_ref().map(Tls::pin),
        operator_key: &directory.operator_key(),
    };
    let screen = screen.to_string();
    if let Some(url) = settings.public_url {
        server = server.public_url(url);
    }
    let first = stop_at_signals()?;
    runtime.block_on(async {
        let mut hangup = signal(SignalKind::hangup())?;
        if let Some(tls) = tls {
            server = server.tls(tls.clone());
            tokio::spawn(async move { tls.follow(hangup, TLS_FILES_INTERVAL).await });
        } else {
            // Caught, so that it does not end a server that has nothing to reload.
            tokio::spawn(async move { while hangup.recv().await.is_some() {} });
        }
        // A reader of the first lines may close the pipe; the server runs on.
        let _ = std::io::stdout().write_all(screen.as_bytes());
        let stop = async move {
            // An error says that the thread that would tell is gone.
            let _ = first.await;
            tracing::info!("stopping: finishing requests in progress");
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

/// Lowers the limit of connections to what the limit of open files allows.
fn fit_open_files(limits: &mut Limits) {
    let Some(files) = raise_file_limit() else { return };
    let most = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).max(1);
    if limits.connections <= most {
        return;
    }
    let asked = std::mem::replace(&mut limits.connections, most);
    // The default was not asked for, and most of it is available.
    if asked == Limits::default().connections && most >= asked / 2 {
        tracing::debug!(most, "max-connections lowered to fit the limit of open files");
        return;
    }
    tracing::warn!(
        max_connections = asked,
        most,
        "max-connections lowered to fit the limit of open files: raise its hard limit (ulimit -Hn, \
         LimitNOFILE= in systemd), or lower max-connections"
    );
}

/// Waits for signals on a thread of its own: tells the server of the first one, and ends the process at
/// the second, whatever the rest of it does. One place counts them, because signals that arrive before
/// they are waited for are one.
fn stop_at_signals() -> Result<oneshot::Receiver<()>, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::catch()?
    };
    let (tell, first) = oneshot::channel();
    std::thread::Builder::new().name("nebula-gc-signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            signals.next().await;
            // The server may have ended by itself.
            let _ = tell.send(());
            signals.next().await;
        });
        tracing::warn!("stopped at once by a second signal");
        std::process::exit(INTERRUPTED);
    })?;
    Ok(first)
}
