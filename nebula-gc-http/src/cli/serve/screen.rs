//! What a server says once it serves: where everything is, and at its first start what to do next.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nebula_gc_http::shell_word;

/// Where `nebula-gc admin` finds server and key unless it is told.
const USUAL_SERVER: &str = "http://127.0.0.1:8080";
const USUAL_KEY: &str = "nebula-gc-data/operator.key";

pub(super) struct Screen<'a> {
    pub(super) data: &'a Path,
    /// Whether this is the first start.
    pub(super) is_new: bool,
    pub(super) has_postgres: bool,
    pub(super) scheme: &'a str,
    pub(super) address: SocketAddr,
    /// As the settings have it.
    pub(super) public_url: Option<&'a str>,
    /// SHA-256 of the public key of the server's certificate.
    pub(super) pin: Option<[u8; 32]>,
    pub(super) operator_key: &'a Path,
}

impl Screen<'_> {
    /// Where programs on this machine find the server.
    fn local_url(&self) -> String {
        let (scheme, mut address) = (self.scheme, self.address);
        match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => address.set_ip([127, 0, 0, 1].into()),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
                address.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
            }
            _ => {}
        }
        format!("{scheme}://{address}")
    }

    /// It may have been moved since the first start.
    fn write_key(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.operator_key.display();
        match self.operator_key.try_exists() {
            Ok(false) => writeln!(
                f,
                "Your key   not in {key}: name its file with --key-file, or stop the server and create \
                 another (nebula-gc operator-key new)"
            ),
            _ => writeln!(f, "Your key   {key} (root; keep it, the server never reads it)"),
        }
    }

    /// A command that works as it is printed.
    fn write_next(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nNext, in another terminal:")?;
        write!(f, "  nebula-gc admin")?;
        let (server, key) = (self.local_url(), self.operator_key.to_string_lossy());
        if server != USUAL_SERVER {
            write!(f, " --server {server}")?;
        }
        if let Some(pin) = self.pin {
            write!(f, " --pin {}", curl_pin(pin))?;
        }
        if key != USUAL_KEY {
            write!(f, " --key-file {}", shell_word(&key))?;
        }
        writeln!(f, " networks create --name home --prefixes 10.42.0.0/16")
    }
}

impl fmt::Display for Screen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, address) = (self.scheme, self.address);
        writeln!(f, "nebula-gc {}", env!("CARGO_PKG_VERSION"))?;
        let new = if self.is_new { " (new)" } else { "" };
        writeln!(f, "Data       {}{new}", self.data.display())?;
        let database = if self.has_postgres { "PostgreSQL" } else { "SQLite, nebula-gc.db" };
        writeln!(f, "Database   {database}")?;
        writeln!(f, "Listening  {scheme}://{address}")?;
        match self.public_url {
            Some(url) => writeln!(f, "Devices    {url}")?,
            None if address.ip().is_unspecified() => {
                writeln!(
                    f,
                    "Devices    unknown URL: set --public-url, so that there are join links"
                )?;
            }
            None => writeln!(f, "Devices    {scheme}://{address} (--public-url names another)")?,
        }
        if let Some(pin) = self.pin {
            writeln!(f, "Pin        {}", curl_pin(pin))?;
        }
        self.write_key(f)?;
        if self.is_new { self.write_next(f) } else { Ok(()) }
    }
}

/// As curl's `--pinnedpubkey` takes it.
fn curl_pin(pin: [u8; 32]) -> String {
    format!("sha256//{}", STANDARD.encode(pin))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_says_what_comes_next_in_a_command_that_works() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("operator.key");
        std::fs::write(&key, "").unwrap();
        let screen = Screen {
            data: directory.path(),
            is_new: true,
            has_postgres: false,
            scheme: "https",
            address: "0.0.0.0:8443".parse().unwrap(),
            public_url: None,
            pin: Some([7; 32]),
            operator_key: &key,
        };
        let said = screen.to_string();
        let pin = "sha256//BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
        assert!(said.contains(&format!("Pin        {pin}\n")), "{said}");
        assert!(said.contains("Devices    unknown URL: set --public-url"), "{said}");
        let command = format!(
            "  nebula-gc admin --server https://127.0.0.1:8443 --pin {pin} --key-file {} networks create",
            key.display()
        );
        assert!(said.contains(&command), "{said}");
        let later = Screen { is_new: false, public_url: Some("https://gc.example"), ..screen };
        let said = later.to_string();
        assert!(
            said.contains("Devices    https://gc.example\n") && !said.contains("Next"),
            "{said}"
        );
        std::fs::remove_file(&key).unwrap();
        assert!(later.to_string().contains("operator-key new"));
    }
}
