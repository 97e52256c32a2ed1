//! Command-line flags as Go's `flag` package reads them: one dash or two, `-x v` or `-x=v`, the last
//! of several wins, and the first argument that is not a flag ends them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::clock::{HOUR, SECOND};
use crate::failure::{Failure, Failures, Refusal};
use crate::quote::quote;

/// One of the program's modes.
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    /// The placeholder of its arguments in usage texts.
    pub(crate) takes: &'static str,
    pub(crate) about: &'static str,
    /// What else the manual page says of it.
    pub(crate) details: &'static str,
    pub(crate) flags: &'static [Flag],
    /// What its argument may be, if it takes one.
    pub(crate) arguments: &'static [&'static str],
    pub(crate) run: fn(&Values) -> Result<(), Failures>,
}

/// One flag of a mode.
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What the reference's usage says of it; for a flag of ours, what ours says.
    pub(crate) about: &'static str,
    /// What it does beyond the reference.
    pub(crate) beyond: &'static str,
    /// Values to propose when completing.
    pub(crate) values: &'static [&'static str],
}

/// What a flag takes, and its default.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Switch,
    Text(&'static str),
    /// A file, or `-` for a standard stream.
    Path(&'static str),
    Number(u64),
    /// A number, or `1,2`.
    Versions,
    /// Nanoseconds.
    Duration(i64),
}

/// What was given, and the defaults of what was not.
pub(crate) struct Values {
    values: BTreeMap<&'static str, Value>,
    /// The arguments after the flags.
    pub(crate) rest: Vec<OsString>,
}

enum Value {
    Switch(bool),
    Text(OsString),
    Number(u64),
    Pair,
    Duration(i64),
}

impl Values {
    pub(crate) fn parse(flags: &[Flag], arguments: &[OsString]) -> Result<Self, Refusal> {
        let mut values: BTreeMap<_, _> =
            flags.iter().map(|flag| (flag.name, flag.kind.default())).collect();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.as_slice().first() {
            let Some(named) = strip_dashes(argument) else { break };
            let _ = arguments.next();
            if named.is_empty() {
                break;
            }
            if matches!(named.first(), Some(b'-' | b'=')) {
                return Err(Refusal::Invalid(format!(
                    "bad flag syntax: {}",
                    argument.to_string_lossy()
                )));
            }
            let (name, mut value) = match named.iter().position(|byte| *byte == b'=') {
                Some(at) => (named.get(..at), named.get(at + 1..).map(os_string)),
                None => (Some(named), None),
            };
            let name = String::from_utf8_lossy(name.unwrap_or_default());
            let Some(flag) = flags.iter().find(|flag| flag.name == name) else {
                return Err(match &*name {
                    "h" | "help" => Refusal::Help,
                    name => Refusal::Invalid(format!("flag provided but not defined: -{name}")),
                });
            };
            if matches!(flag.kind, Kind::Switch) {
                let value = value.unwrap_or_else(|| "true".into());
                let switch = parse_switch(&value).ok_or_else(|| {
                    let value = quote(value.as_encoded_bytes());
                    Refusal::Invalid(format!(
                        "invalid boolean value {value} for -{name}: parse error"
                    ))
                })?;
                values.insert(flag.name, Value::Switch(switch));
                continue;
            }
            if value.is_none() {
                value = arguments.next().cloned();
            }
            let value = value
                .ok_or_else(|| Refusal::Invalid(format!("flag needs an argument: -{name}")))?;
            let parsed = flag.kind.parse(&value).map_err(|reason| {
                let value = quote(value.as_encoded_bytes());
                Refusal::Invalid(format!("invalid value {value} for flag -{name}: {reason}"))
            })?;
            values.insert(flag.name, parsed);
        }
        Ok(Self { values, rest: arguments.cloned().collect() })
    }

    pub(crate) fn switch(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Switch(true)))
    }

    /// The path that a flag must give.
    pub(crate) fn required(&self, name: &str) -> Result<&OsStr, Failure> {
        let path = self.raw(name);
        if path.is_empty() { Err(Failure::required(name)) } else { Ok(path) }
    }

    /// Text. The reference takes any bytes; certificates made from them are not UTF-8, and some that
    /// it then writes cannot be read.
    pub(crate) fn text(&self, name: &str) -> Result<&str, Failure> {
        self.raw(name)
            .to_str()
            .ok_or_else(|| Failure::usage(format!("the value of -{name} is not UTF-8")))
    }

    /// Text of a flag, or of the one that was its name before if it is empty.
    pub(crate) fn text_or(&self, name: &str, old: &str) -> Result<&str, Failure> {
        match self.text(name)? {
            "" => self.text(old),
            text => Ok(text),
        }
    }

    /// A path, or text that need not be UTF-8.
    pub(crate) fn raw(&self, name: &str) -> &OsStr {
        match self.get(name) {
            Some(Value::Text(text)) => text,
            _ => OsStr::new(""),
        }
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        match self.get(name) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        }
    }

    /// Whether `1,2` was given.
    pub(crate) fn is_pair(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Pair))
    }

    /// Nanoseconds.
    pub(crate) fn duration(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Value::Duration(nanoseconds)) => *nanoseconds,
            _ => 0,
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let value = self.values.get(name);
        debug_assert!(value.is_some(), "the mode has no flag {name}");
        value
    }
}

impl Kind {
    fn default(self) -> Value {
        match self {
            Self::Switch => Value::Switch(false),
            Self::Text(text) | Self::Path(text) => Value::Text(text.into()),
            Self::Number(number) => Value::Number(number),
            Self::Versions => Value::Number(0),
            Self::Duration(nanoseconds) => Value::Duration(nanoseconds),
        }
    }

    fn parse(self, value: &OsStr) -> Result<Value, &'static str> {
        let text = || value.to_str().ok_or(SYNTAX);
        match self {
            Self::Switch => parse_switch(value).map(Value::Switch).ok_or(SYNTAX),
            Self::Text(_) | Self::Path(_) => Ok(Value::Text(value.to_owned())),
            Self::Versions if value == "1,2" => Ok(Value::Pair),
            Self::Number(_) | Self::Versions => parse_number(text()?).map(Value::Number),
            Self::Duration(_) => parse_duration(text()?).map(Value::Duration).ok_or(SYNTAX),
        }
    }
}

const SYNTAX: &str = "parse error";
const RANGE: &str = "value out of range";

/// What follows one dash or two; nothing for `--`, `None` for what is not a flag.
fn strip_dashes(argument: &OsStr) -> Option<&[u8]> {
    match argument.as_encoded_bytes() {
        [b'-', b'-', named @ ..] => Some(named),
        [b'-', named @ ..] if !named.is_empty() => Some(named),
        _ => None,
    }
}

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStrExt;
    OsStr::from_bytes(bytes).to_owned()
}

#[cfg(not(unix))]
fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// As Go's `strconv.ParseBool`.
fn parse_switch(value: &OsStr) -> Option<bool> {
    match value.to_str()? {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// As Go's `strconv.ParseUint` with base 0: `0x`, `0o`, `0b` and a leading zero name the base, and
/// underscores may separate digits.
fn parse_number(text: &str) -> Result<u64, &'static str> {
    let lower = text.to_ascii_lowercase();
    let (base, digits, prefixed) = match lower.as_bytes() {
        [b'0', b'x', digits @ ..] => (16, digits, true),
        [b'0', b'o', digits @ ..] => (8, digits, true),
        [b'0', b'b', digits @ ..] => (2, digits, true),
        [b'0', digits @ ..] if !digits.is_empty() => (8, digits, true),
        digits => (10, digits, false),
    };
    let mut number = Some(0_u64);
    // An underscore may follow a digit or the prefix, and a digit must follow it.
    let (mut after_digit, mut any) = (prefixed, false);
    for byte in digits {
        if *byte == b'_' && after_digit {
            after_digit = false;
            continue;
        }
        let digit = char::from(*byte).to_digit(base).ok_or(SYNTAX)?;
        number = number.and_then(|n| n.checked_mul(base.into())?.checked_add(digit.into()));
        (after_digit, any) = (true, true);
    }
    if !any || !after_digit {
        return Err(SYNTAX);
    }
    number.ok_or(RANGE)
}

/// As Go's `time.ParseDuration`: `1h30m`, `1.5h`, `-90s`, `0`; in nanoseconds.
fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i128;
    loop {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let len = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(len)?;
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND.into(),
            "m" => 60 * i128::from(SECOND),
            "h" => HOUR.into(),
            _ => return None,
        };
        // Fifteen digits are more than the largest unit has nanoseconds.
        let fraction = fraction.get(..15).unwrap_or(fraction);
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        total += number(whole)?.checked_mul(unit)? + number(fraction)? * unit / scale;
        if total > i128::from(i64::MAX) + 1 {
            return None;
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

fn digits(text: &str) -> (&str, &str) {
    let len = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(len).unwrap_or((text, ""))
}

fn number(digits: &str) -> Option<i128> {
    if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok().map(Into::into) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [Flag; 4] = [
        flag("name", Kind::Text("")),
        flag("json", Kind::Switch),
        flag("count", Kind::Number(7)),
        flag("duration", Kind::Duration(HOUR)),
    ];

    const fn flag(name: &'static str, kind: Kind) -> Flag {
        Flag { name, kind, about: "", beyond: "", values: &[] }
    }

    fn parse(arguments: &[&str]) -> Result<Values, Refusal> {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        Values::parse(&FLAGS, &arguments)
    }

    fn invalid(arguments: &[&str]) -> String {
        match parse(arguments) {
            Err(Refusal::Invalid(message)) => message,
            _ => panic!("{arguments:?}"),
        }
    }

    #[test]
    fn flags_as_go_reads_them() {
        let values =
            parse(&["-name", "a", "--count=0x1_0", "-json", "-name=b=c", "-", "-json=0"]).unwrap();
        assert_eq!(values.raw("name"), "b=c");
        assert_eq!(values.number("count"), 16);
        assert!(values.switch("json"));
        assert_eq!(values.rest, ["-", "-json=0"]);
        assert_eq!(values.duration("duration"), HOUR);
        assert_eq!(parse(&["--", "-name", "a"]).unwrap().rest, ["-name", "a"]);
        assert_eq!(parse(&["-name", "-json"]).unwrap().raw("name"), "-json");
        assert_eq!(parse(&["-h=3"]).err(), Some(Refusal::Help));
    }

    #[test]
    fn refusals_in_gos_words() {
        assert_eq!(invalid(&["---name"]), "bad flag syntax: ---name");
        assert_eq!(invalid(&["-=x"]), "bad flag syntax: -=x");
        assert_eq!(invalid(&["-x=1"]), "flag provided but not defined: -x");
        assert_eq!(invalid(&["-name"]), "flag needs an argument: -name");
        assert_eq!(
            invalid(&["-json=no\n"]),
            r#"invalid boolean value "no\n" for -json: parse error"#
        );
        assert_eq!(
            invalid(&["-count", "1\""]),
            r#"invalid value "1\"" for flag -count: parse error"#
        );
        assert_eq!(
            invalid(&["-count", "18446744073709551616"]),
            r#"invalid value "18446744073709551616" for flag -count: value out of range"#
        );
    }

    #[test]
    fn numbers() {
        for (text, number) in
            [("0", 0), ("010", 8), ("0o17", 15), ("0B11", 3), ("1_000", 1000), ("0_7", 7)]
        {
            assert_eq!(parse_number(text), Ok(number), "{text}");
        }
        for text in ["", "-1", "+1", " 1", "1_", "_1", "1__0", "0x", "0x_", "09", "1e3"] {
            assert_eq!(parse_number(text), Err(SYNTAX), "{text}");
        }
        assert_eq!(parse_number("0xffffffffffffffff"), Ok(u64::MAX));
    }

    #[test]
    fn durations() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("1h30m", 5_400 * SECOND),
            ("1.5h", 5_400 * SECOND),
            ("-5s", -5 * SECOND),
            ("+.5s", SECOND / 2),
            ("100ms", SECOND / 10),
            ("1µs2ns", 1_002),
            ("0s", 0),
            ("0h0m0s", 0),
            ("1.s", SECOND),
            ("2562047h47m16.854775807s", i64::MAX),
            ("-2562047h47m16.854775808s", i64::MIN),
        ] {
            assert_eq!(parse_duration(text), Some(nanoseconds), "{text}");
        }
        for text in [
            "",
            "-",
            "5",
            "1d",
            ".s",
            "s",
            "1h5",
            "1 h",
            "2562047h47m16.854775808s",
            "--1s",
            "1e3s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
