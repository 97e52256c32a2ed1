//! The signers of the settings file: who holds the keys of CAs that the server does not hold itself.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::{SettingFault, Settings, SettingsError, seconds};
use crate::{SignerCommand, SignerTenant, Signers};

/// A signer, which holds CA keys outside the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerSetting {
    /// Its name in the API.
    pub name: String,
    /// Where its key is.
    pub source: SignerSource,
    /// The tenants whose networks may use it. Without it only root operator keys may, in any network.
    pub tenants: Option<Vec<SignerTenant>>,
}

/// Where a signer's key is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignerSource {
    /// A program signs.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// How long one request may take.
        time: Option<Duration>,
    },
    /// The key is in a PKCS#11 token.
    Pkcs11 {
        /// Its URI (RFC 7512).
        uri: String,
    },
}

impl Settings {
    /// The signers, ready to be used.
    ///
    /// # Errors
    /// [`SettingsError`] for an invalid one.
    pub fn signers(&self) -> Result<Signers, SettingsError> {
        let mut signers = Signers::default().with_patience(self.signer_patience);
        for SignerSetting { name, source, tenants } in &self.signers {
            let added = match source {
                SignerSource::Command { command, time } => {
                    let command = SignerCommand::new(command);
                    let command =
                        time.iter().fold(command, |command, time| command.with_time(*time));
                    signers.add_command(name, command)
                }
                #[cfg(feature = "pkcs11")]
                SignerSource::Pkcs11 { uri } => signers.add_pkcs11(name, uri),
                #[cfg(not(feature = "pkcs11"))]
                SignerSource::Pkcs11 { .. } => {
                    use crate::error::{Fault, Field};
                    Err(Fault::NotBuilt.of(Field::Pkcs11))
                }
            };
            if let Some(tenants) = tenants {
                signers.limit(name, tenants.iter().copied());
            }
            added.map_err(|error| SettingsError {
                place: format!("[signers.{name}]"),
                fault: SettingFault::Signer(Box::new(error)),
            })?;
        }
        Ok(signers)
    }
}

/// The file's tables `[signers.NAME]`. `refuse` makes an error of an offset, a key and what is wrong with it.
pub(super) fn read(
    offset: usize,
    value: &DeValue<'_>,
    refuse: impl Fn(usize, String, SettingFault) -> SettingsError,
) -> Result<Vec<SignerSetting>, SettingsError> {
    let DeValue::Table(signers) = value else {
        return Err(refuse(offset, "signers".to_owned(), SettingFault::NotSigners));
    };
    let mut read = Vec::new();
    for (name, value) in signers {
        let place = name.span().start;
        let name = name.get_ref().to_string();
        let DeValue::Table(table) = value.get_ref() else {
            return Err(refuse(place, format!("signers.{name}"), SettingFault::NotTable));
        };
        match signer(&name, table) {
            Ok(signer) => read.push((place, signer)),
            Err(Wrong { at, key, fault }) => {
                let key = key.iter().fold(format!("signers.{name}"), |name, key| name + ": " + key);
                return Err(refuse(at.unwrap_or(place), key, fault));
            }
        }
    }
    // In the order of the file.
    read.sort_by_key(|(place, _)| *place);
    Ok(read.into_iter().map(|(_, signer)| signer).collect())
}

/// What is wrong with a key, or with the table as a whole.
struct Wrong {
    /// The key's offset.
    at: Option<usize>,
    key: Option<String>,
    fault: SettingFault,
}

fn signer(name: &str, table: &DeTable<'_>) -> Result<SignerSetting, Wrong> {
    let (mut command, mut uri, mut time, mut tenants) = (None, None, None, None);
    for (key, value) in table {
        let refuse = |fault| {
            let (at, key) = (Some(key.span().start), Some(key.get_ref().to_string()));
            Err(Wrong { at, key, fault })
        };
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("command", DeValue::Array(words)) => {
                let word = |word: &DeValue<'_>| match word {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                };
                let words = words.iter().map(|value| word(value.get_ref()));
                command = words.collect::<Option<Vec<_>>>().filter(|words| !words.is_empty());
                if command.is_none() {
                    return refuse(SettingFault::NoProgram);
                }
            }
            ("command", _) => return refuse(SettingFault::NotList),
            ("pkcs11", DeValue::String(text)) if is_pkcs11(text) => {
                uri = Some(text.to_string());
            }
            ("pkcs11", _) => {
                return refuse(SettingFault::NotPkcs11);
            }
            ("time", DeValue::Integer(number)) => match seconds(&number.to_string()) {
                Ok(given) => time = Some(given),
                Err(fault) => return refuse(fault),
            },
            ("time", _) => return refuse(SettingFault::NotSeconds),
            ("tenants", value) => match read_tenants(value) {
                Some(read) => tenants = Some(read),
                None => return refuse(SettingFault::NotTenants),
            },
            _ => return refuse(SettingFault::UnknownSignerKey),
        }
    }
    let whole = |fault| Err(Wrong { at: None, key: None, fault });
    let source = match (command, uri, time) {
        (Some(command), None, time) => SignerSource::Command { command, time },
        (None, Some(uri), None) => SignerSource::Pkcs11 { uri },
        (None, Some(_), Some(_)) => {
            let (key, fault) = (Some("time".to_owned()), SettingFault::TimeWithoutCommand);
            return Err(Wrong { at: None, key, fault });
        }
        (Some(_), Some(_), _) => {
            return whole(SettingFault::TwoSources);
        }
        (None, None, _) => return whole(SettingFault::NoSource),
    };
    Ok(SignerSetting { name: name.to_owned(), source, tenants })
}

/// URI schemes are case-insensitive.
fn is_pkcs11(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("pkcs11"))
}

/// Some tenants, at least one.
fn read_tenants(value: &DeValue<'_>) -> Option<Vec<SignerTenant>> {
    let DeValue::Array(list) = value else { return None };
    let tenant = |value: &DeValue<'_>| match value {
        DeValue::String(text) => text.parse().ok(),
        _ => None,
    };
    let read: Option<Vec<_>> = list.iter().map(|value| tenant(value.get_ref())).collect();
    read.filter(|tenants| !tenants.is_empty())
}
