//! Reads settings from the command line, the environment and the file.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use nebula_gc_http::server::DataDirectory;
use nebula_gc_http::settings::{SETTINGS, Setting, Settings, Sources};

const CONFIG: &str = "config";
const CONFIG_VARIABLE: &str = "NEBULAGC_CONFIG";

/// Adds the flags of these settings, and `--config`.
pub(crate) fn with_settings(command: Command, names: &[&str]) -> Command {
    let settings = SETTINGS.iter().filter(|setting| names.contains(&setting.name));
    let config = Arg::new(CONFIG).long(CONFIG).value_name("FILE").help(format!(
        "Read settings from this TOML file; flags and the environment take precedence \
         [environment: {CONFIG_VARIABLE}]"
    ));
    command.arg(config).args(settings.map(argument))
}

fn argument(setting: &'static Setting) -> Arg {
    let mut help =
        format!("{} [environment: {}] [file: {}]", setting.help, setting.variable(), setting.name);
    if let Some(default) = setting.default {
        help += &format!(" [default: {default}]");
    }
    let argument = Arg::new(setting.name).long(setting.name).value_name(setting.value).help(help);
    if setting.is_switch {
        return argument.num_args(0..=1).require_equals(true).default_missing_value("true");
    }
    argument
}

/// Reads the settings. Also returns environment variables with our prefix that are not known.
pub(crate) fn settings(matches: &ArgMatches) -> Result<(Settings, Vec<String>), Box<dyn Error>> {
    let text = |name| matches.try_get_one::<String>(name).ok().flatten().cloned();
    let flags: Vec<_> = SETTINGS
        .iter()
        .filter_map(|setting| Some((setting.name.to_owned(), text(setting.name)?)))
        .collect();
    // A variable that is not UTF-8 is none of ours.
    let environment: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let variable = || {
        let (_, path) = environment.iter().find(|(name, _)| name == CONFIG_VARIABLE)?;
        (!path.is_empty()).then(|| path.clone())
    };
    let file = match text(CONFIG).or_else(variable) {
        Some(path) => {
            let contents = read_text(Path::new(&path), CONFIG_LIMIT);
            let contents = contents.map_err(|error| format!("config: {path}: {error}"))?;
            Some((path, contents))
        }
        None => None,
    };
    let file = file.as_ref().map(|(path, contents)| (Path::new(path), contents.as_str()));
    let settings = Settings::read(Sources { flags: &flags, environment: &environment, file })?;
    let unknown = Settings::unknown_variables(&environment);
    Ok((settings, unknown.into_iter().map(str::to_owned).collect()))
}

/// The data directory of these settings, for commands that do not serve.
pub(crate) fn data_directory(settings: &Settings) -> DataDirectory {
    let directory = DataDirectory::at(&settings.data);
    match &settings.secrets_file {
        Some(path) => directory.with_secrets_file(path),
        None => directory,
    }
}

/// The largest accepted settings file, in bytes.
const CONFIG_LIMIT: u64 = 1 << 20;

/// Reads a text file, which may be a pipe, of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= limit) {
        return Ok(text);
    }
    Err(io::Error::other(format!("is longer than {limit} bytes")))
}
