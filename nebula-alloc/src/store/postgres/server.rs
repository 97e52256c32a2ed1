//! The servers that a URL names, one by one: each has a deadline of its own, so that one that
//! accepts connections and then says nothing does not keep the next from being asked.

use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::pipeline::Reply;
use super::place::Place;
use super::session::{Session, resolve};
use super::target::Target;
use super::url::Address;
use super::{connection, value};
use crate::error::{Error, Outage};

const ASK: &str = "SELECT current_setting('fsync'), current_setting('full_page_writes'),
     current_setting('synchronous_commit'), current_setting('server_encoding'),
     CASE WHEN pg_is_in_recovery() THEN NULL
         ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
     current_setting('default_transaction_read_only')";

/// A server that answered, and its settings.
pub(super) struct Server {
    pub(super) session: Session,
    pub(super) place: Place,
    pub(super) synchronous_commit: String,
    /// Whether transactions write only when they say so.
    read_only: String,
    /// The process that served the first question.
    pub(super) pid: i64,
    target: Target,
    /// `None` of a standby.
    pub(super) timeline: Option<u32>,
}

impl Server {
    /// Connects and sees whether durability can rest on it.
    pub(super) fn ask(target: &Target, patience: Duration) -> Result<Self, Error> {
        Self::try_ask(target, patience).map_err(|error| match error {
            Error::Unavailable(cause) => Error::Unavailable(Outage::Server {
                name: name(&target.config),
                cause: Box::new(cause),
            }),
            other => other,
        })
    }

    fn try_ask(target: &Target, patience: Duration) -> Result<Self, Error> {
        let untold = || Error::Unavailable(Outage::NoSettings);
        let mut session = Session::open(target, patience)?;
        let Reply::Rows(rows) = session.one(ASK, &[])? else { return Err(untold()) };
        let row = value::row(rows.first().ok_or_else(untold)?)?;
        let mut row = row.columns();
        check("fsync", row.text()?, "on", "on")?;
        check("full_page_writes", row.text()?, "on", "on")?;
        let synchronous_commit = row.text()?.to_owned();
        check("synchronous_commit", &synchronous_commit, "on", "remote_apply")?;
        check("server_encoding", row.text()?, "UTF8", "UTF8")?;
        let timeline = match row.optional_text()? {
            Some(digits) => Some(u32::from_str_radix(digits, 16).map_err(|_| untold())?),
            None => None,
        };
        let read_only = row.text()?.to_owned();
        let pid = connection::process(&mut session)?;
        let place = Place::find(&mut session)?;
        let target = target.clone();
        Ok(Self { session, place, synchronous_commit, read_only, pid, target, timeline })
    }

    /// Sees whether it can be written through this connection.
    pub(super) fn check_writing(&mut self) -> Result<(), Error> {
        if self.read_only != "off" {
            return Err(Error::Setting {
                name: "default_transaction_read_only",
                expected: "off",
                found: self.read_only.clone(),
            });
        }
        connection::check_process(&mut self.session, self.pid, &self.target)
    }
}

/// That a setting has its expected value, or another that will do.
fn check(
    name: &'static str,
    found: &str,
    expected: &'static str,
    other: &str,
) -> Result<(), Error> {
    if found == expected || found == other {
        return Ok(());
    }
    Err(Error::Setting { name, expected, found: found.into() })
}

/// Each address of each host, in the order of the URL, with all other settings; and what could not
/// be resolved.
pub(super) fn servers(address: &Address, patience: Duration) -> Vec<Result<Target, Error>> {
    let config = &address.config;
    let only = |host, at, port| Target {
        config: only(config, host, at, port),
        encryption: address.encryption.clone(),
    };
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    let mut servers = Vec::new();
    for index in 0..hosts.len().max(addresses.len()) {
        let (host, at) = (hosts.get(index), addresses.get(index).copied());
        let ports = config.get_ports();
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        match (host, at) {
            (Some(Host::Tcp(name)), None) => match resolve(name, port, patience) {
                Ok(found) => {
                    servers.extend(found.into_iter().map(|found| Ok(only(host, Some(found), port))))
                }
                Err(error) => servers.push(Err(error)),
            },
            _ => servers.push(Ok(only(host, at, port))),
        }
    }
    servers
}

/// For messages: where a server is. Its `Debug` form has more than should be shown.
pub(super) fn name(server: &Config) -> String {
    let host = match server.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => server.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
    };
    let port = server.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}")
}

/// The same settings for one server. A `Config` takes more hosts, but gives none back.
fn only(config: &Config, host: Option<&Host>, address: Option<IpAddr>, port: u16) -> Config {
    let mut one = Config::new();
    match host {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        #[cfg(unix)]
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    if let Some(address) = address {
        one.hostaddr(address);
    }
    one.port(port);
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(database) = config.get_dbname() {
        one.dbname(database);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    if let Some(timeout) = config.get_connect_timeout() {
        one.connect_timeout(*timeout);
    }
    if let Some(timeout) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts())
        .target_session_attrs(config.get_target_session_attrs());
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn of(url: &str) -> Vec<Config> {
        let servers = servers(&Address::parse(url).unwrap(), PATIENCE);
        servers.into_iter().map(|server| server.unwrap().config).collect()
    }

    #[test]
    fn a_single_server_keeps_every_setting() {
        let url = "host=name hostaddr=127.0.0.1 port=6000 user=me password=secret dbname=base \
             options=-cjit=off application_name=program sslnegotiation=direct \
             connect_timeout=7 tcp_user_timeout=8 keepalives=0 keepalives_idle=9 \
             keepalives_interval=10 keepalives_retries=11 target_session_attrs=read-write \
             channel_binding=disable load_balance_hosts=random";
        assert_eq!(of(url), [url.parse().unwrap()]);
    }

    #[test]
    fn each_host_and_address_is_a_server_with_its_port() {
        let names = |url| of(url).iter().map(name).collect::<Vec<_>>();
        assert_eq!(names("host=127.0.0.1,/run/b port=1,2"), ["127.0.0.1:1", "/run/b:2"]);
        assert_eq!(names("hostaddr=127.0.0.1,127.0.0.2"), ["127.0.0.1:5432", "127.0.0.2:5432"]);
        assert_eq!(names("host=/run/a,/run/b port=3"), ["/run/a:3", "/run/b:3"]);
    }
}
