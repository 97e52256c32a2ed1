use serde_json::Value;
use tracing::Level;

/// The longest line that is read, in bytes; what is longer is cut.
pub(super) const LINE_LIMIT: usize = 8 << 10;
/// How much of a field is shown, in characters.
const SHOWN: usize = 300;
/// What stands for what is not shown.
const LEFT_OUT: &str = "(left out)";

/// What Nebula says when the start has come so far that a signal is caught.
pub(super) const ACTIVE: &str = "Nebula interface is active";
/// What it says first at a reload.
pub(super) const RELOADING: &str = "Caught HUP, reloading config";
/// What it says at the end of a reload with a changed firewall.
pub(super) const FIREWALL: &str = "New firewall has been installed";

/// A line that Nebula printed, without what could be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) message: String,
    fields: Vec<(String, String)>,
    /// Whether it is an entry of Nebula's log; others are panics, and faults from before there is a log.
    pub(super) is_entry: bool,
}

/// Whether this is how Go begins to say why it ends a program.
pub(super) fn is_panic(text: &str) -> bool {
    text.starts_with("panic:") || text.starts_with("fatal error:")
}

impl Line {
    /// Nothing for an empty line, and for one that could be a part of a private key.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim();
        let fields = if text.starts_with('{') { json(text) } else { pairs(text) };
        let Some((level, message, fields)) = fields.and_then(entry) else {
            return Self::other(text);
        };
        Some(Self { level, message, fields, is_entry: true })
    }

    /// One that is no entry of the log. Quotes of the configuration are left out.
    fn other(text: &str) -> Option<Self> {
        let is_one_long_word = text.len() > 20 && !text.contains([' ', '\t']); // as in a PEM
        if text.is_empty() || is_one_long_word || may_be_key(text) {
            return None;
        }
        let message = match text.split_once("failed to load config") {
            Some(_) => format!("failed to load config: {LEFT_OUT}"),
            None => shown(text),
        };
        Some(Self { level: Level::ERROR, message, fields: vec![], is_entry: false })
    }

    /// In the place of so many others.
    pub(super) fn left_out(count: u64) -> Self {
        let message = format!("{count} lines were left out");
        Self { level: Level::WARN, message, fields: vec![], is_entry: false }
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is about another node, which may have brought it about.
    pub(super) fn is_of_others(&self) -> bool {
        const OF_OTHERS: [&str; 7] =
            ["udpAddr", "from", "handshake", "certName", "remoteIndex", "localIndex", "peer"];
        OF_OTHERS.iter().any(|name| self.field(name).is_some())
    }

    /// Whether it says that a part of a reload was not taken. Any error does, but for those about other
    /// nodes, and those that change nothing.
    pub(super) fn is_refusal(&self) -> bool {
        const HARMLESS: [&str; 5] = [
            "Failed to set listen.read_buffer",
            "Failed to set listen.write_buffer",
            "Failed to set listen.so_mark",
            "DNS resolution failed for static_map host",
            "Failed to process handshake packet",
        ];
        self.is_entry
            && self.level == Level::ERROR
            && !HARMLESS.contains(&self.message.as_str())
            && !self.is_of_others()
    }

    /// In one line: the message and, where it says why, the reason.
    pub(super) fn summary(&self) -> String {
        match self.field("error") {
            Some(error) => format!("{}: {error}", self.message),
            None => self.message.clone(),
        }
    }

    /// The message and the fields, but for a certificate, which is long.
    pub(super) fn in_full(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in self.fields.iter().filter(|(name, _)| name != "cert") {
            text.push_str(&format!(" {name}={value:?}"));
        }
        text
    }

    /// As it is logged here: lines that come by the thousand, one for each entry of a list, are details.
    pub(super) fn logged_level(&self) -> Level {
        match self.message.as_str() {
            "Blocklisting cert" | "Firewall rule added" => Level::DEBUG,
            _ => self.level,
        }
    }
}

type Fields = Vec<(String, String)>;

/// Level, message and the rest; nothing where one of the first two is missing.
fn entry(fields: Fields) -> Option<(Level, String, Fields)> {
    let (mut level, mut message, mut rest) = (None, None, vec![]);
    for (name, value) in fields {
        match name.as_str() {
            "level" => level = Some(level_of(&value)),
            "msg" if may_be_key(&value) => message = Some(LEFT_OUT.to_owned()),
            "msg" => message = Some(shown(&value)),
            "time" => {}
            // They may quote the configuration.
            _ if value.contains("yaml") || may_be_key(&value) => {
                rest.push((name, LEFT_OUT.to_owned()))
            }
            _ => rest.push((name, shown(&value))),
        }
    }
    Some((level?, message?, rest))
}

fn may_be_key(text: &str) -> bool {
    ["-----BEGIN", "-----END", "PRIVATE KEY"].iter().any(|mark| text.contains(mark))
}

fn level_of(word: &str) -> Level {
    match word.to_ascii_lowercase().as_str() {
        "info" => Level::INFO,
        "warn" | "warning" => Level::WARN,
        "debug" => Level::DEBUG,
        "trace" => Level::TRACE,
        _ => Level::ERROR,
    }
}

fn shown(text: &str) -> String {
    crate::text::printable(&text.chars().take(SHOWN).collect::<String>())
}

fn json(text: &str) -> Option<Fields> {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(text).ok()?;
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Some(fields.into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// `name=value name="quoted value"`. A value that is cut ends with the line.
fn pairs(mut text: &str) -> Option<Fields> {
    let mut fields = vec![];
    while !text.is_empty() {
        let (name, rest) = text.split_once('=')?;
        if name.is_empty() || name.contains([' ', '"']) {
            return None;
        }
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (value, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                (value.to_owned(), rest)
            }
        };
        fields.push((name.to_owned(), value));
        text = rest.trim_start();
    }
    Some(fields)
}

/// What stands before the closing quote, and what comes behind it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, other)) => value.push(other),
                None => {}
            },
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Line {
        Line::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_forms_of_all_releases_are_read_alike() {
        for text in [
            r#"time="2026-11-29T17:17:46Z" level=info msg="Nebula interface is active" build=1.9.3 interface=nebula1 udpAddr="0.0.0.0:4242""#,
            "time=2026-11-29T17:17:48.176Z level=INFO msg=\"Nebula interface is active\" interface=nebula1 build=1.11.0 udpAddr=0.0.0.0:4242",
            r#"{"interface":"nebula1","level":"info","msg":"Nebula interface is active","time":"t","udpAddr":"0.0.0.0:4242"}"#,
        ] {
            let line = read(text);
            assert_eq!((line.level, line.message.as_str()), (Level::INFO, ACTIVE));
            assert_eq!(line.field("interface"), Some("nebula1"));
            assert_eq!(line.field("udpAddr"), Some("0.0.0.0:4242"));
        }
    }

    #[test]
    fn a_peer_cannot_say_what_nebula_says() {
        let line = read(r#"time=t level=info msg="Handshake" certName="x\" msg=\"Caught HUP" a=b"#);
        assert_eq!(line.message, "Handshake");
        assert_eq!(line.field("certName"), Some("x\" msg=\"Caught HUP"));
        assert_eq!(line.field("a"), Some("b"));
    }

    #[test]
    fn errors_about_others_refuse_nothing() {
        let is_refusal = |rest: &str| read(&format!("time=t level=ERROR {rest}")).is_refusal();
        assert!(is_refusal(r#"msg="Static host address could not be parsed" vpnAddr=10.0.0.1"#));
        assert!(is_refusal(r#"msg="Failed to load ca from config" error="x""#));
        assert!(!is_refusal(r#"msg="Invalid certificate from host" udpAddr=192.0.2.1:1"#));
        assert!(!is_refusal(r#"msg="Failed to set listen.read_buffer" error=x"#));
        assert!(!read("time=t level=warning msg=x").is_refusal());
        assert!(!read("panic: runtime error").is_refusal());
    }

    #[test]
    fn what_could_be_a_key_is_left_out() {
        for text in [
            "-----BEGIN NEBULA X25519 PRIVATE KEY-----",
            "3L5q9rVxPq4m0PqQzI1Z2x0vJq2mU9Y1cK0dZy1aQpE=",
            "",
        ] {
            assert_eq!(Line::read(text.as_bytes()), None, "{text}");
        }
        let line = read("failed to load config: yaml: cannot unmarshal !!str `3L5q9rV`");
        assert_eq!(line.summary(), "failed to load config: (left out)");
        let line = read(r#"time=t level=info msg="-----BEGIN" a="PRIVATE KEY""#);
        assert_eq!(line.in_full(), r#"(left out) a="(left out)""#);
        let line = read(r#"time=t level=error msg=x error="yaml: `3L5q9rV`""#);
        assert_eq!(line.summary(), "x: (left out)");
    }

    #[test]
    fn no_bytes_are_too_strange() {
        for text in ["=", "a=\"", "a=\"\\", "\u{1b}[2J a", "{\"a\":", "level=info msg", "\u{ff}"] {
            let line = Line::read(text.as_bytes()).map(|line| line.in_full());
            assert!(!line.is_some_and(|line| line.contains('\u{1b}')), "{text:?}");
        }
        assert!(read(&format!("level=info msg={}", "x".repeat(9000))).message.len() <= SHOWN);
    }
}
