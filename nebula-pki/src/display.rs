//! Certificates as `nebula-cert print` 1.10 and later shows them: the JSON that Go's
//! `encoding/json` writes of a sorted map.

use ipnet::IpNet;

use crate::fingerprint::hex;
use crate::{Certificate, Error, Version};

/// The time zone UTC, for [`Certificate::to_json`] and [`Certificate::to_text`].
#[must_use]
pub fn utc(_unix: i64) -> i32 {
    0
}

impl Certificate {
    /// One line of JSON, without a line feed, as `nebula-cert print -json` writes each member of
    /// its array.
    ///
    /// The zone gives the offset from UTC, in seconds east, at a Unix time: the reference shows
    /// times in its process's time zone. Say [`utc`] for that of UTC.
    ///
    /// ```
    /// # let pem = include_bytes!("../tests/vectors/v2-25519/basic.crt");
    /// use nebula_pki::{Certificate, utc};
    ///
    /// let json = Certificate::from_pem(pem)?.to_json(utc)?;
    /// assert!(json.starts_with(r#"{"curve":"CURVE25519","details":{"groups":null,"#));
    /// # Ok::<(), nebula_pki::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::UnprintableTime`], where the reference prints an empty line for the whole array.
    pub fn to_json(&self, zone: impl Fn(i64) -> i32) -> Result<String, Error> {
        self.write(Writer::new(Style::Compact), zone)
    }

    /// The same, indented by tabs, without a final line feed, as `nebula-cert print` writes it and
    /// `nebula-cert verify` quotes it.
    ///
    /// # Errors
    ///
    /// [`Error::UnprintableTime`], where the reference prints the reason in angle brackets.
    pub fn to_text(&self, zone: impl Fn(i64) -> i32) -> Result<String, Error> {
        self.write(Writer::new(Style::Indented), zone)
    }

    /// One line of JSON, without a line feed, as `nebula-cert print -json` up to release 1.9 writes it
    /// for programs that read those: `ips` and `subnets` in place of `networks` and
    /// `unsafeNetworks`, no `version`, and one object a line instead of an array. Those releases know
    /// no version 2; one is shown in the same form.
    ///
    /// # Errors
    ///
    /// [`Error::UnprintableTime`].
    pub fn to_legacy_json(&self, zone: impl Fn(i64) -> i32) -> Result<String, Error> {
        let details = self.unverified_details();
        let (not_after, not_before) = (details.not_after(), details.not_before());
        let mut out = Writer::new(Style::Compact);
        out.open('{');
        out.key("details");
        out.open('{');
        out.member("curve", &self.curve().to_string());
        out.key("groups");
        out.list(details.groups_bytes(), true);
        out.key("ips");
        out.list(&texts(details.networks()), true);
        out.key("isCa");
        out.raw(if details.is_ca() { "true" } else { "false" });
        out.member("issuer", &hex(details.issuer_bytes()));
        out.key("name");
        out.string(details.name_bytes());
        out.member("notAfter", &rfc3339(not_after, zone(not_after))?);
        out.member("notBefore", &rfc3339(not_before, zone(not_before))?);
        out.member("publicKey", &hex(self.public_key()));
        out.key("subnets");
        out.list(&texts(details.unsafe_networks()), true);
        out.close('}');
        out.member("fingerprint", &self.fingerprint().to_string());
        out.member("signature", &hex(self.signature()));
        out.close('}');
        Ok(out.text)
    }

    /// Writes the members in the order of their names; what version 2 keeps out of the signed
    /// details is outside of them here, too.
    fn write(&self, mut out: Writer, zone: impl Fn(i64) -> i32) -> Result<String, Error> {
        let details = self.unverified_details();
        let (not_after, not_before) = (details.not_after(), details.not_before());
        let (curve, public_key) = (self.curve().to_string(), hex(self.public_key()));
        let v1 = self.version() == Version::V1;

        out.open('{');
        if !v1 {
            out.member("curve", &curve);
        }
        out.key("details");
        out.open('{');
        if v1 {
            out.member("curve", &curve);
        }
        out.key("groups");
        out.list(details.groups_bytes(), v1);
        out.key("isCa");
        out.raw(if details.is_ca() { "true" } else { "false" });
        out.member("issuer", &hex(details.issuer_bytes()));
        out.key("name");
        out.string(details.name_bytes());
        out.key("networks");
        out.list(&texts(details.networks()), v1);
        out.member("notAfter", &rfc3339(not_after, zone(not_after))?);
        out.member("notBefore", &rfc3339(not_before, zone(not_before))?);
        if v1 {
            out.member("publicKey", &public_key);
        }
        out.key("unsafeNetworks");
        out.list(&texts(details.unsafe_networks()), v1);
        out.close('}');
        out.member("fingerprint", &self.fingerprint().to_string());
        if !v1 {
            out.member("publicKey", &public_key);
        }
        out.member("signature", &hex(self.signature()));
        out.key("version");
        out.raw(&self.version().number().to_string());
        out.close('}');
        Ok(out.text)
    }
}

/// Rust writes addresses as Go does, IPv4-mapped ones with dots included.
fn texts(networks: &[IpNet]) -> Vec<Vec<u8>> {
    networks.iter().map(|network| network.to_string().into_bytes()).collect()
}

/// A time as Go's `time.Time` marshals itself: whole seconds, `Z` for UTC, the seconds of an offset
/// cut off, and an error outside of the years 0 to 9999 or a day's offset.
fn rfc3339(unix: i64, offset: i32) -> Result<String, Error> {
    let local = unix.saturating_add(offset.into());
    let (year, month, day) = civil(local.div_euclid(86_400));
    let minutes = offset.unsigned_abs() / 60;
    if !(0..=9_999).contains(&year) || minutes >= 24 * 60 {
        return Err(Error::UnprintableTime { time: unix, offset });
    }
    let second = local.rem_euclid(86_400);
    let zone = match offset {
        0 => "Z".to_owned(),
        _ => {
            let sign = if offset / 60 < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
    };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}"))
}

/// Year, month and day of a count of days since 1970-01-01 in the Gregorian calendar: Howard
/// Hinnant's `civil_from_days`, which begins each year in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Compact,
    Indented,
}

/// Writes JSON as Go's `encoding/json` does.
struct Writer {
    text: String,
    style: Style,
    depth: usize,
    /// Whether the innermost bracket holds nothing yet.
    empty: bool,
}

impl Writer {
    fn new(style: Style) -> Self {
        Self { text: String::new(), style, depth: 0, empty: true }
    }

    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        self.depth += 1;
        self.empty = true;
    }

    fn close(&mut self, bracket: char) {
        self.depth -= 1;
        if !self.empty {
            self.line();
        }
        self.text.push(bracket);
        self.empty = false;
    }

    /// Begins the next item of the innermost bracket.
    fn item(&mut self) {
        if !self.empty {
            self.text.push(',');
        }
        self.empty = false;
        self.line();
    }

    fn line(&mut self) {
        if self.style == Style::Indented {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n('\t', self.depth));
        }
    }

    fn key(&mut self, name: &str) {
        self.item();
        self.string(name.as_bytes());
        self.text.push_str(if self.style == Style::Indented { ": " } else { ":" });
    }

    fn member(&mut self, name: &str, value: &str) {
        self.key(name);
        self.string(value.as_bytes());
    }

    fn raw(&mut self, value: &str) {
        self.text.push_str(value);
    }

    /// A list of strings. An empty one is a nil slice in the reference's version 2.
    fn list(&mut self, items: &[Vec<u8>], brackets_if_empty: bool) {
        if items.is_empty() && !brackets_if_empty {
            return self.raw("null");
        }
        self.open('[');
        for item in items {
            self.item();
            self.string(item);
        }
        self.close(']');
    }

    /// A string, safe within HTML and JavaScript; each byte that is not UTF-8 becomes U+FFFD.
    fn string(&mut self, bytes: &[u8]) {
        self.text.push('"');
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' => self.text.push_str("\\\""),
                    '\\' => self.text.push_str("\\\\"),
                    '\u{8}' => self.text.push_str("\\b"),
                    '\u{c}' => self.text.push_str("\\f"),
                    '\n' => self.text.push_str("\\n"),
                    '\r' => self.text.push_str("\\r"),
                    '\t' => self.text.push_str("\\t"),
                    '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                        self.text.push_str(&format!("\\u{:04x}", u32::from(character)));
                    }
                    _ => self.text.push(character),
                }
            }
            self.text.extend(chunk.invalid().iter().map(|_| "\\ufffd"));
        }
        self.text.push('"');
    }
}
