use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cryptoki::slot::TokenInfo;
use zeroize::Zeroizing;

use crate::Error;

/// Which key in which token of which module (RFC 7512):
/// `pkcs11:token=ca;object=nebula?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-value=1234`.
///
/// The path may name the token by `token` (its label), `manufacturer`, `model`, `serial` and
/// `slot-id`, and the key by `object` (its label), `id` and `type=private`. What it does not name
/// must not be needed to tell one from another. The query has `module-path` (absolute, required)
/// and `pin-value`, or `pin-source`: the absolute path of a file, whose last line end is not part
/// of the PIN. Without either nobody logs in. Other attributes are refused.
#[derive(Default)]
pub struct Pkcs11Uri {
    module: PathBuf,
    token: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
    serial: Option<String>,
    slot_id: Option<u64>,
    object: Option<Value>,
    id: Option<Value>,
    pin: Option<Value>,
    pin_source: Option<PathBuf>,
}

/// Decoded, and perhaps a PIN.
type Value = Zeroizing<Vec<u8>>;

impl Pkcs11Uri {
    pub(super) fn module(&self) -> &Path {
        &self.module
    }

    pub(super) fn object(&self) -> Option<&[u8]> {
        self.object.as_ref().map(|label| label.as_slice())
    }

    pub(super) fn id(&self) -> Option<&[u8]> {
        self.id.as_ref().map(|id| id.as_slice())
    }

    pub(super) fn is_token(&self, slot_id: u64, token: &TokenInfo) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        self.slot_id.is_none_or(|wanted| wanted == slot_id)
            && is(&self.token, token.label())
            && is(&self.manufacturer, token.manufacturer_id())
            && is(&self.model, token.model())
            && is(&self.serial, token.serial_number())
    }

    /// The PIN, or that in the file that `pin-source` names.
    pub(super) fn pin(&self) -> Result<Option<Value>, Error> {
        let Some(path) = &self.pin_source else { return Ok(self.pin.clone()) };
        let mut pin = fs::read(path).map(Zeroizing::new).map_err(|error| Error::PinSource {
            path: path.display().to_string(),
            reason: error.kind().to_string(),
        })?;
        let length = pin
            .strip_suffix(b"\n")
            .map_or(pin.len(), |line| line.strip_suffix(b"\r").unwrap_or(line).len());
        pin.truncate(length);
        Ok(Some(pin))
    }

    /// Sets an attribute of the path.
    fn locate(&mut self, name: &str, value: Value) -> Result<(), &'static str> {
        match name {
            "token" => set(&mut self.token, text(value)?),
            "manufacturer" => set(&mut self.manufacturer, text(value)?),
            "model" => set(&mut self.model, text(value)?),
            "serial" => set(&mut self.serial, text(value)?),
            "slot-id" => {
                set(&mut self.slot_id, text(value)?.parse().map_err(|_| "it is not a number")?)
            }
            "object" => set(&mut self.object, value),
            "id" => set(&mut self.id, value),
            "type" if value.as_slice() == b"private" => Ok(()),
            "type" => Err("it is not \"private\""),
            _ => Err(UNKNOWN),
        }
    }

    /// Sets an attribute of the query.
    fn access(&mut self, name: &str, value: Value) -> Result<(), &'static str> {
        match name {
            "module-path" if self.module.as_os_str().is_empty() => {
                self.module = absolute(text(value)?)?;
                Ok(())
            }
            "module-path" => Err(TWICE),
            "pin-value" => set(&mut self.pin, value),
            "pin-source" => {
                let path = text(value)?;
                let path = path.strip_prefix("file:").unwrap_or(&path);
                // An empty authority.
                let path = path.strip_prefix("//").unwrap_or(path);
                set(&mut self.pin_source, absolute(path.to_owned())?)
            }
            _ => Err(UNKNOWN),
        }
    }
}

const UNKNOWN: &str = "it is not known here";
const TWICE: &str = "it is given twice";

impl FromStr for Pkcs11Uri {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::Pkcs11Uri`], which never holds any part of the PIN.
    fn from_str(uri: &str) -> Result<Self, Error> {
        let refused = |attribute: &str, reason| {
            Err(Error::Pkcs11Uri { attribute: attribute.chars().take(64).collect(), reason })
        };
        let Some(uri) = uri.strip_prefix("pkcs11:") else {
            return refused("pkcs11:", "the URI does not begin with it");
        };
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let mut parsed = Self::default();
        for attribute in path.split(';').filter(|_| !path.is_empty()) {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            if let Err(reason) = decode(value).and_then(|value| parsed.locate(name, value)) {
                return refused(name, reason);
            }
        }
        for attribute in query.split('&').filter(|_| !query.is_empty()) {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match decode(value).and_then(|value| parsed.access(name, value)) {
                Ok(()) => {}
                // It may be the rest of a PIN with an ampersand in it.
                Err(UNKNOWN) if parsed.pin.is_some() => {
                    return refused("pin-value", "it is followed by an unknown attribute");
                }
                Err(reason) => return refused(name, reason),
            }
        }
        if parsed.pin.is_some() && parsed.pin_source.is_some() {
            return refused("pin-source", "there is a pin-value as well");
        }
        if parsed.module.as_os_str().is_empty() {
            return refused("module-path", "it is missing");
        }
        Ok(parsed)
    }
}

impl fmt::Debug for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.object().map(String::from_utf8_lossy);
        f.debug_struct("Pkcs11Uri")
            .field("token", &self.token)
            .field("object", &object)
            .finish_non_exhaustive()
    }
}

fn set<T>(attribute: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match attribute.replace(value) {
        None => Ok(()),
        Some(_) => Err(TWICE),
    }
}

fn text(value: Value) -> Result<String, &'static str> {
    String::from_utf8(value.to_vec()).map_err(|_| "it is not UTF-8")
}

fn absolute(path: String) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(path);
    if path.is_absolute() { Ok(path) } else { Err("its path is not absolute") }
}

/// Undoes the percent-encoding (RFC 3986); a plus sign stands for itself.
fn decode(value: &str) -> Result<Value, &'static str> {
    if value.is_empty() {
        return Err("it has no value");
    }
    // Of its final size, so that no part of a PIN stays behind where it grew.
    let mut decoded = Zeroizing::new(Vec::with_capacity(value.len()));
    let mut rest = value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let (digits, after) = rest.split_first_chunk::<2>().ok_or(BAD_ESCAPE)?;
                let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
                let byte = high.zip(low).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
                rest = after;
                byte.ok_or(BAD_ESCAPE)?
            }
            b'!'..=b'~' => *byte,
            _ => return Err("it holds a character that has to be written as %XX"),
        });
    }
    Ok(decoded)
}

const BAD_ESCAPE: &str = "it has a % without two hexadecimal digits";
