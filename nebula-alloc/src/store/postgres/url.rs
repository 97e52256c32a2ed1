//! The address of a database: what the driver reads of it, and what it knows nothing of.
//!
//! The forms and names are those of libpq,
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>.

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::encryption::Encryption;
use crate::Error;

/// A database's address, parsed. Not to be shown: it holds a password.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) encryption: Encryption,
}

impl Address {
    /// Reads `postgresql://…` or `name=value` words.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] names what is wrong, never a value that may be a password.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let mut encryption = Encryption::default();
        let rest = split(url, &mut encryption)?;
        // The parser's words may quote what it did not understand, and that may be a password.
        let config: Config = rest.parse().map_err(|_| not_an_address())?;
        let is_split = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
        if config.get_hosts().iter().any(is_split) {
            return Err(Error::Setting {
                name: "url",
                expected: "%40 for each @ of the password (and %25 for each %)",
                found: "an address with more than one @".into(),
            });
        }
        Ok(Self { config, encryption })
    }
}

/// What the driver knows.
const KNOWN: &[&str] = &[
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

fn not_an_address() -> Error {
    Error::Setting {
        name: "url",
        expected: "postgresql://user:password@host/database?option=value",
        found: "not the address of a PostgreSQL server".into(),
    }
}

/// Takes out what is for [`Encryption`], and returns the rest in its form.
fn split(url: &str, encryption: &mut Encryption) -> Result<String, Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return split_words(url, encryption);
    }
    // A question mark may be part of the password.
    let begin = url.find('@').unwrap_or_default();
    let Some(mark) = url[begin..].find('?').map(|at| begin + at) else { return Ok(url.into()) };
    let (head, options) = (&url[..mark], &url[mark + 1..]);
    let mut rest = Vec::new();
    for option in options.split('&') {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        if encryption.set(name, &percent_decoded(value)?)? {
            continue;
        }
        if !name.is_empty() && !KNOWN.contains(&name) {
            return Err(Error::Setting {
                name: "url",
                expected: "options that are known here",
                found: format!("the option {name}"),
            });
        }
        rest.push(option);
    }
    Ok(if rest.is_empty() { head.to_owned() } else { format!("{head}?{}", rest.join("&")) })
}

fn split_words(words: &str, encryption: &mut Encryption) -> Result<String, Error> {
    let mut rest = String::new();
    let mut left = words.trim_start();
    while !left.is_empty() {
        let (name, after) = left.split_once('=').ok_or_else(not_an_address)?;
        let after = after.trim_start();
        let (value, length) = word(after).ok_or_else(not_an_address)?;
        if !encryption.set(name.trim_end(), &value)? {
            rest.push_str(&format!("{name}={} ", &after[..length]));
        }
        left = after[length..].trim_start();
    }
    Ok(rest)
}

/// The value that a text begins with, and how long it is there: up to a space, or quoted; a backslash
/// stands before what is meant as it is.
fn word(text: &str) -> Option<(String, usize)> {
    let is_quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut letters = text.char_indices().skip(usize::from(is_quoted));
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' if is_quoted => return Some((value, at + 1)),
            '\\' => value.push(letters.next()?.1),
            _ if !is_quoted && letter.is_whitespace() => return Some((value, at)),
            _ => value.push(letter),
        }
    }
    (!is_quoted).then_some((value, text.len()))
}

fn percent_decoded(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.split_first_chunk::<2>().filter(|_| first == b'%');
        let escaped = escaped.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = escaped.unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| not_an_address())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::encryption::SslMode;

    fn parse(url: &str) -> Address {
        Address::parse(url).unwrap()
    }

    #[test]
    fn options_for_encryption_are_taken_out_wherever_they_are() {
        for url in [
            "postgresql://me:pa?ss@host:6/base?sslmode=verify-ca&sslrootcert=/a%20b.pem&connect_timeout=7",
            "postgres://me:pa?ss@host:6/base?connect_timeout=7&sslmode=verify-ca&sslrootcert=/a%20b.pem",
            r"host=host port=6 sslmode='verify-ca' user=me password='pa?ss' dbname=base sslrootcert=/a\ b.pem connect_timeout = 7",
        ] {
            let Address { config, encryption } = parse(url);
            let expected: Config =
                "host=host port=6 user=me password=pa?ss dbname=base connect_timeout=7"
                    .parse()
                    .unwrap();
            assert_eq!(config, expected, "{url}");
            assert_eq!(encryption.mode, Some(SslMode::VerifyCa), "{url}");
            assert_eq!(encryption.root_certificates.unwrap().to_str(), Some("/a b.pem"), "{url}");
        }
    }

    #[test]
    fn a_password_may_have_any_character() {
        let password = |url| parse(url).config.get_password().map(<[u8]>::to_vec).unwrap();
        let url = "postgres://me:%40%2F%3A%25%3F%23%26%20%27%5C@host/base?sslmode=disable";
        assert_eq!(password(url), br#"@/:%?#& '\"#);
        assert_eq!(password("postgres://me:a/b:c?d#e&f=g@host/base"), b"a/b:c?d#e&f=g");
        assert_eq!(password(r"host=h password='@/:%?#& \'\\' sslmode=disable"), br#"@/:%?#& '\"#);
    }

    #[test]
    fn what_is_not_understood_is_refused_and_not_repeated() {
        for url in [
            "postgres://me:sec@ret@host/base",
            "postgres://me:secret@host/base?sslcrl=/file",
            "host=x password=its secret",
            "host=x password='secret",
            r"host=x password=secret\",
            "host=x password=secret sslcrl=/file",
            "secret",
        ] {
            let refused = format!("{:?}", Address::parse(url).map(drop).unwrap_err());
            assert!(!refused.contains("secret") && !refused.contains("ret@"), "{refused}");
        }
        for (url, named) in [
            ("postgres://me:secret@host/base?sslmode=verify_full", "verify_full"),
            ("postgres://me:secret@host/base?connect_timeout=7&sslcrl=/file", "the option sslcrl"),
        ] {
            let refused = Address::parse(url).map(drop).unwrap_err().to_string();
            assert!(refused.contains(named) && !refused.contains("secret"), "{refused}");
        }
    }
}
