//! Reads the settings file, in TOML.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::signer::{self, SignerSetting};
use super::{Given, SETTINGS, SettingFault, SettingsError};

/// The table with the signers.
const SIGNERS: &str = "signers";

/// The settings of a file, a key for each, and its signers, a table for each.
pub(super) fn read(
    path: &Path,
    text: &str,
) -> Result<(Vec<Given>, Vec<SignerSetting>), SettingsError> {
    let at = |offset: usize| {
        let before = text.as_bytes().iter().take(offset);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        format!("{}, line {line}", path.display())
    };
    let table = DeTable::parse(text).map_err(|error| SettingsError {
        place: at(error.span().map_or(0, |span| span.start)),
        fault: SettingFault::Syntax {
            offset: error.span().map_or(0, |span| span.start),
            words: error.message().to_owned(),
        },
    })?;
    // In the order of the file, so that the first mistake is the one that is reported.
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let (mut given, mut signers) = (Vec::new(), Vec::new());
    for (key, value) in entries {
        if &**key.get_ref() == SIGNERS {
            let refuse = |offset, key: String, fault| {
                let place = format!("{}: {key}", at(offset));
                SettingsError { place, fault }
            };
            signers = signer::read(key.span().start, value.get_ref(), refuse)?;
            continue;
        }
        let place = at(key.span().start);
        let refuse =
            |fault| Err(SettingsError { place: format!("{place}: {}", key.get_ref()), fault });
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == &**key.get_ref()) else {
            return refuse(SettingFault::Unknown);
        };
        let value = match value.get_ref() {
            DeValue::Boolean(switch) if setting.is_switch => switch.to_string(),
            _ if setting.is_switch => return refuse(SettingFault::NotSwitch),
            DeValue::String(text) if !setting.is_number => text.to_string(),
            DeValue::Integer(number) if setting.is_number => number.to_string(),
            _ if setting.is_number => return refuse(SettingFault::NotNumber),
            _ => return refuse(SettingFault::NotText),
        };
        given.push(Given { place: format!("{place}: {}", setting.name), setting, value });
    }
    Ok((given, signers))
}
