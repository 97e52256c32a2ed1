//! PKCS#11 URIs (RFC 7512).

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cryptoki::context::Info;
use cryptoki::slot::{SlotInfo, TokenInfo};
use zeroize::Zeroizing;

use crate::Error;
use crate::error::UriDefect;

/// Which key in which token of which module (RFC 7512):
/// `pkcs11:token=ca;object=nebula?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-value=1234`.
///
/// All attributes of the RFC are known. What the path names must identify exactly one key:
///
/// | of | attributes |
/// |---|---|
/// | the key | `object` (its label), `id`, `type` (`private` or `public`: a pair has both) |
/// | the token | `token` (its label), `manufacturer`, `model`, `serial` |
/// | the slot it is in | `slot-id`, `slot-description`, `slot-manufacturer` |
/// | the module | `library-description`, `library-manufacturer`, `library-version` |
///
/// The query says where the module is and how to log in:
///
/// | attribute | |
/// |---|---|
/// | `module-path` | absolute: a file, or the directory in which `module-name` is |
/// | `module-name` | such as `softhsm2` for `libsofthsm2.so`; without `module-path` in the directories where systems keep modules |
/// | `pin-value` | the PIN; without it and `pin-source` nobody logs in |
/// | `pin-source` | the absolute path, or `file:` URI, of a file whose last line end is not part of the PIN. The RFC's `\|` before a program is refused |
///
/// Other attributes of the path, vendors' too, are refused, because without them another key would
/// match. Others of the query are ignored (RFC 7512, 2.5), but not behind a `pin-value`, whose `&` has to
/// be written as `%26`.
#[derive(Default)]
pub struct Pkcs11Uri {
    module_path: Option<PathBuf>,
    module_name: Option<String>,
    /// What token, slot and module are to be called, by the names of the attributes.
    texts: BTreeMap<&'static str, String>,
    library_version: Option<(u8, u8)>,
    slot_id: Option<u64>,
    object: Option<Value>,
    id: Option<Value>,
    pin: Option<Value>,
    pin_source: Option<PathBuf>,
}

/// The attributes that are compared as text.
const TEXTS: [&str; 8] = [
    "token",
    "manufacturer",
    "model",
    "serial",
    "slot-description",
    "slot-manufacturer",
    "library-description",
    "library-manufacturer",
];

/// Where systems keep modules.
const DIRECTORIES: [&str; 10] = [
    "/usr/lib/pkcs11",
    "/usr/lib64/pkcs11",
    "/usr/lib/x86_64-linux-gnu/pkcs11",
    "/usr/lib/aarch64-linux-gnu/pkcs11",
    "/usr/lib/softhsm",
    "/usr/lib64/softhsm",
    "/usr/local/lib/pkcs11",
    "/usr/local/lib/softhsm",
    "/opt/homebrew/lib/pkcs11",
    "/opt/homebrew/lib/softhsm",
];

/// Decoded, and perhaps a PIN.
type Value = Zeroizing<Vec<u8>>;

impl Pkcs11Uri {
    /// The file of the module.
    pub(super) fn module(&self) -> Result<PathBuf, Error> {
        let Some(name) = &self.module_name else {
            return Ok(self.module_path.clone().unwrap_or_default());
        };
        match &self.module_path {
            Some(path) if !path.is_dir() => Ok(path.clone()),
            Some(directory) => find_module(directory, name),
            None => DIRECTORIES
                .iter()
                .find_map(|directory| find_module(directory.as_ref(), name).ok())
                .ok_or_else(|| Error::Pkcs11 {
                    action: "find the module",
                    reason: format!(
                        "none of the usual directories has a file named {name}; module-path names it"
                    ),
                }),
        }
    }

    pub(super) fn object(&self) -> Option<&[u8]> {
        self.object.as_ref().map(|label| label.as_slice())
    }

    pub(super) fn id(&self) -> Option<&[u8]> {
        self.id.as_ref().map(|id| id.as_slice())
    }

    pub(super) fn is_token(&self, token: &TokenInfo) -> bool {
        self.is("token", token.label())
            && self.is("manufacturer", token.manufacturer_id())
            && self.is("model", token.model())
            && self.is("serial", token.serial_number())
    }

    /// `info` is asked only if it matters: not all modules answer.
    pub(super) fn is_slot(
        &self,
        id: u64,
        info: impl FnOnce() -> Result<SlotInfo, Error>,
    ) -> Result<bool, Error> {
        if self.slot_id.is_some_and(|wanted| wanted != id) {
            return Ok(false);
        }
        if !self.texts.keys().any(|name| name.starts_with("slot-")) {
            return Ok(true);
        }
        let info = info()?;
        Ok(self.is("slot-description", info.slot_description())
            && self.is("slot-manufacturer", info.manufacturer_id()))
    }

    /// The same for the module.
    pub(super) fn is_library(
        &self,
        info: impl FnOnce() -> Result<Info, Error>,
    ) -> Result<bool, Error> {
        let is_asked = self.texts.keys().any(|name| name.starts_with("library-"));
        if !is_asked && self.library_version.is_none() {
            return Ok(true);
        }
        let info = info()?;
        let version = (info.library_version().major(), info.library_version().minor());
        Ok(self.is("library-description", info.library_description())
            && self.is("library-manufacturer", info.manufacturer_id())
            && self.library_version.is_none_or(|wanted| wanted == version))
    }

    fn is(&self, name: &str, found: &str) -> bool {
        self.texts.get(name).is_none_or(|wanted| wanted == found)
    }

    /// The PIN, or that in the file that `pin-source` names.
    pub(super) fn pin(&self) -> Result<Option<Value>, Error> {
        let Some(path) = &self.pin_source else { return Ok(self.pin.clone()) };
        let mut pin = fs::read(path).map(Zeroizing::new).map_err(|error| Error::PinSource {
            path: path.display().to_string(),
            kind: error.kind(),
        })?;
        let length = pin
            .strip_suffix(b"\n")
            .map_or(pin.len(), |line| line.strip_suffix(b"\r").unwrap_or(line).len());
        pin.truncate(length);
        // A module would take it for a wrong one, and count a try.
        if pin.is_empty() {
            let path = path.display().to_string();
            return Err(Error::EmptyPinSource { path });
        }
        Ok(Some(pin))
    }

    /// Sets an attribute of the path.
    fn locate(&mut self, name: &str, value: Value) -> Result<(), UriDefect> {
        if let Some(name) = TEXTS.iter().find(|text| **text == name) {
            return match self.texts.insert(name, text(value)?) {
                None => Ok(()),
                Some(_) => Err(UriDefect::Repeated),
            };
        }
        match name {
            "slot-id" => {
                set(&mut self.slot_id, text(value)?.parse().map_err(|_| UriDefect::NotNumber)?)
            }
            "library-version" => set(&mut self.library_version, version(&text(value)?)?),
            "object" => set(&mut self.object, value),
            "id" => set(&mut self.id, value),
            "type" => match value.as_slice() {
                // A pair has one label and one id.
                b"private" | b"public" => Ok(()),
                _ => Err(UriDefect::NotKeyPair),
            },
            _ => Err(UriDefect::Unknown),
        }
    }

    /// Sets an attribute of the query.
    fn access(&mut self, name: &str, value: Value) -> Result<(), UriDefect> {
        match name {
            "module-path" => set(&mut self.module_path, absolute(text(value)?)?),
            "module-name" => {
                let name = text(value)?;
                if name.contains(['/', '\\']) {
                    return Err(UriDefect::NameIsPath);
                }
                set(&mut self.module_name, name)
            }
            "pin-value" => set(&mut self.pin, value),
            "pin-source" => {
                let path = text(value)?;
                if path.starts_with('|') {
                    return Err(UriDefect::Program);
                }
                let path = path.strip_prefix("file:").unwrap_or(&path);
                // An empty authority.
                let path = path.strip_prefix("//").unwrap_or(path);
                set(&mut self.pin_source, absolute(path.to_owned())?)
            }
            _ => Err(UriDefect::Unknown),
        }
    }
}

/// The file in the directory that has this name, but for `lib` and the like before it and a suffix
/// such as `.so` behind it; case does not count.
fn find_module(directory: &Path, name: &str) -> Result<PathBuf, Error> {
    let missing = |reason: String| Error::Pkcs11 { action: "find the module", reason };
    let place = directory.display();
    let entries =
        fs::read_dir(directory).map_err(|error| missing(format!("{place}: {}", error.kind())))?;
    let wanted = name.to_lowercase();
    let mut found: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|file| is_named(file, &wanted))
        .collect();
    // Of libx.so and libx.so.1 the first.
    found.sort_by_key(|file| (file.len(), file.clone()));
    match found.first() {
        Some(file) => Ok(directory.join(file)),
        None => Err(missing(format!("{place} has no file named {name}"))),
    }
}

/// Whether a file has this name before its suffix, in any case.
fn is_named(file: &str, wanted: &str) -> bool {
    let file = file.to_lowercase();
    file.find(wanted)
        .and_then(|at| file.get(at + wanted.len()..))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// `MAJOR` or `MAJOR.MINOR`; MINOR defaults to 0.
fn version(text: &str) -> Result<(u8, u8), UriDefect> {
    let number = |text: &str| text.parse().map_err(|_| UriDefect::NotVersion);
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    Ok((number(major)?, number(minor)?))
}

/// In any case (RFC 3986, 3.1).
const SCHEME: &str = "pkcs11:";

impl FromStr for Pkcs11Uri {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::Pkcs11Uri`], which never holds any part of the PIN.
    fn from_str(uri: &str) -> Result<Self, Error> {
        let scheme = uri.get(..SCHEME.len()).filter(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
        let Some(uri) = scheme.and_then(|scheme| uri.get(scheme.len()..)) else {
            return Err(refused(SCHEME, UriDefect::Scheme));
        };
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let mut parsed = Self::default();
        for attribute in path.split(';').filter(|_| !path.is_empty()) {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            if let Err(defect) = decode(value).and_then(|value| parsed.locate(name, value)) {
                return Err(refused(name, defect));
            }
        }
        for attribute in query.split('&').filter(|_| !query.is_empty()) {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match decode(value).and_then(|value| parsed.access(name, value)) {
                Ok(()) => {}
                // A slip of a query names no other key, and vendors have their own (RFC 7512, 2.5).
                Err(UriDefect::Unknown) if parsed.pin.is_none() && !is_of_path(name) => {}
                // It may be the rest of a PIN with an ampersand in it.
                Err(UriDefect::Unknown) if parsed.pin.is_some() => {
                    return Err(refused("pin-value", UriDefect::UnknownAfterPin));
                }
                Err(defect) => return Err(refused(name, defect)),
            }
        }
        if parsed.pin.is_some() && parsed.pin_source.is_some() {
            return Err(refused("pin-source", UriDefect::PinTwice));
        }
        if parsed.module_path.is_none() && parsed.module_name.is_none() {
            return Err(refused("module-path", UriDefect::NoLocation));
        }
        Ok(parsed)
    }
}

fn refused(attribute: &str, defect: UriDefect) -> Error {
    Error::Pkcs11Uri { attribute: attribute.chars().take(64).collect(), defect }
}

impl fmt::Debug for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.object().map(String::from_utf8_lossy);
        f.debug_struct("Pkcs11Uri")
            .field("token", &self.texts.get("token"))
            .field("object", &object)
            .finish_non_exhaustive()
    }
}

/// Whether it is an attribute of the path, which was written into the query by mistake.
fn is_of_path(name: &str) -> bool {
    TEXTS.contains(&name) || ["slot-id", "library-version", "object", "id", "type"].contains(&name)
}

fn set<T>(attribute: &mut Option<T>, value: T) -> Result<(), UriDefect> {
    match attribute.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriDefect::Repeated),
    }
}

fn text(value: Value) -> Result<String, UriDefect> {
    String::from_utf8(value.to_vec()).map_err(|_| UriDefect::NotUtf8)
}

fn absolute(path: String) -> Result<PathBuf, UriDefect> {
    let path = PathBuf::from(path);
    if path.is_absolute() { Ok(path) } else { Err(UriDefect::NotAbsolute) }
}

/// Undoes the percent-encoding (RFC 3986); a plus sign stands for itself.
fn decode(value: &str) -> Result<Value, UriDefect> {
    if value.is_empty() {
        return Err(UriDefect::Empty);
    }
    // Of its final size, so that no part of a PIN stays behind where it grew.
    let mut decoded = Zeroizing::new(Vec::with_capacity(value.len()));
    let mut rest = value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let (digits, after) = rest.split_first_chunk::<2>().ok_or(UriDefect::Escape)?;
                let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
                let byte = high.zip(low).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
                rest = after;
                byte.ok_or(UriDefect::Escape)?
            }
            // Unescaped it begins a fragment, which these URIs have not.
            b'!'..=b'"' | b'$'..=b'~' => *byte,
            _ => return Err(UriDefect::Character),
        });
    }
    Ok(decoded)
}
