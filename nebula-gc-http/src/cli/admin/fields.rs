//! Turns the fields of an operation into flags, and flags into a request.

use std::error::Error;
use std::fs;
use std::io::{self, Read};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches};
use nebula_gc_http::client::{ClientError, Request};
use serde_json::{Map, Value, json};

use super::names::{self, Found};
use super::operation::{Field, Kind, Operation, Place};
use crate::terminal;

/// The parameter that names a revision.
const REVISION: &str = "revision";
/// Fields whose flags name one group.
const GROUP_CHANGES: [&str; 2] = ["addGroups", "removeGroups"];
const UNSET: &str = "unset";
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const IF_MATCH: &str = "If-Match";
/// The parameters of paging, which are no flags.
const PAGING: [&str; 2] = ["cursor", "limit"];

/// The flags of an operation, and its positional arguments.
pub(super) fn arguments(operation: &Operation) -> Vec<Arg> {
    let fields = operation.fields.iter().filter(|field| is_flag(field));
    let mut arguments: Vec<_> = fields
        .map(|field| argument(&Field { help: with_flags(&field.help, operation), ..field.clone() }))
        .collect();
    let takes_away = |field: &&Field| operation.is_patch() && field.can_be_null;
    let names: Vec<_> = operation.fields.iter().filter(takes_away).map(flag).collect();
    if !names.is_empty() {
        let values = PossibleValuesParser::new(names);
        let help = "Remove this value; may be given more than once";
        let unset = Arg::new(UNSET).long(UNSET).value_name("FLAG").action(ArgAction::Append);
        arguments.push(unset.value_parser(values).help(help));
    }
    arguments
}

/// Whether a field of a path is a positional argument.
pub(super) fn is_positional(field: &Field) -> bool {
    field.place == Place::Path && !is_optional(field)
}

/// Of the present revision, unless another is named.
fn is_optional(field: &Field) -> bool {
    field.name == REVISION && field.place == Place::Path
}

/// Whether a field is a flag or a positional argument.
pub(super) fn is_flag(field: &Field) -> bool {
    match field.place {
        Place::Path | Place::Body => true,
        Place::Query => !PAGING.contains(&field.name.as_str()),
        Place::Header => [IDEMPOTENCY_KEY, IF_MATCH].contains(&field.name.as_str()),
    }
}

/// The request that the arguments make.
pub(super) fn request(operation: &Operation, matches: &ArgMatches) -> Result<Request, String> {
    request_for(operation, matches, &Found::new())
}

/// As [`request`], with these ids in place of names.
pub(super) fn request_for(
    operation: &Operation,
    matches: &ArgMatches,
    found: &Found,
) -> Result<Request, String> {
    let mut in_path = vec![];
    let mut body = Map::new();
    let mut query = vec![];
    let unset: Vec<&String> =
        matches.try_get_many(UNSET).ok().flatten().into_iter().flatten().collect();
    for field in operation.fields.iter().filter(|field| is_flag(field)) {
        let values: Vec<&String> = matches.get_many(&field.name).into_iter().flatten().collect();
        let values = found.get(&field.name).map_or(values, |id| vec![id]);
        let Some(first) = values.first() else {
            if unset.iter().any(|name| **name == flag(field)) {
                body.insert(field.name.clone(), Value::Null);
            }
            continue;
        };
        match field.place {
            Place::Path => in_path.push((field.name.clone(), (*first).clone())),
            Place::Query => query.push((field.name.clone(), plain(&value(field, &values)?))),
            Place::Body => {
                let value = value(field, &values)?;
                match field.name.split_once('.') {
                    None => body.insert(field.name.clone(), value),
                    Some((outer, inner)) => {
                        let outer = body.entry(outer).or_insert_with(|| json!({}));
                        outer.as_object_mut().and_then(|it| it.insert(inner.to_owned(), value))
                    }
                };
            }
            Place::Header => {}
        }
    }
    if operation.is_patch() && body.is_empty() && query.is_empty() {
        return Err("nothing to change: give at least one flag; --help lists them".to_owned());
    }
    let mut request = operation.request(&in_path)?;
    for (name, value) in query {
        request = request.query(&name, value);
    }
    if operation.fields.iter().any(|field| field.place == Place::Body) {
        request = request.body(Value::Object(body));
    }
    let header = |name: &str| -> Option<&String> { matches.try_get_one(name).ok().flatten() };
    if operation.has(Place::Header, IDEMPOTENCY_KEY) {
        let own = || uuid::Uuid::now_v7().to_string();
        let key = header(IDEMPOTENCY_KEY).cloned().unwrap_or_else(own);
        request = request.idempotency_key(&key).map_err(|error| error.to_string())?;
    }
    if let Some(etag) = header(IF_MATCH) {
        request = request.if_match(&quoted(etag)).map_err(|error| error.to_string())?;
    }
    Ok(request)
}

/// `silenceSeconds` is `--silence`, `namePattern` `--name-pattern`, `ca.signer` `--ca-signer`.
pub(super) fn flag(field: &Field) -> String {
    let name = match field.kind {
        Kind::Seconds => field.name.strip_suffix("Seconds").unwrap_or(&field.name),
        // Each is given by itself: `--add-group ops`.
        _ if GROUP_CHANGES.contains(&field.name.as_str()) => field.name.trim_end_matches('s'),
        _ => &field.name,
    };
    let mut flag = String::new();
    for c in name.replace('.', "-").chars() {
        if c.is_ascii_uppercase() && !flag.is_empty() && !flag.ends_with('-') {
            flag.push('-');
        }
        flag.push(c.to_ascii_lowercase());
    }
    flag
}

/// A refusal that names a field of the API, with the flag in its place that was given for it.
pub(super) fn with_flag(
    error: Box<dyn Error>,
    operation: &Operation,
    matches: &ArgMatches,
) -> Box<dyn Error> {
    let problem = error.downcast_ref::<ClientError>().and_then(ClientError::problem);
    let Some(name) = problem.and_then(|problem| problem.field.as_deref()) else { return error };
    let is_meant = |field: &&Field| {
        field.name.rsplit('.').next() == Some(name)
            && !is_positional(field)
            && matches.try_contains_id(&field.name).unwrap_or_default()
    };
    let mut given = operation.fields.iter().filter(is_meant).map(flag);
    let (Some(flag), None) = (given.next(), given.next()) else { return error };
    let said = terminal::said(&*error);
    match said.strip_prefix(&format!("{name}: ")) {
        Some(rest) if flag != name => format!("--{flag}: {rest}").into(),
        _ => error,
    }
}

/// A help text of the API's document, with the flags in place of the fields' names.
fn with_flags(help: &str, operation: &Operation) -> String {
    let body = operation.fields.iter().filter(|field| field.place == Place::Body);
    body.fold(help.to_owned(), |help, field| {
        let name = field.name.rsplit('.').next().unwrap_or_default();
        help.replace(&format!("`{name}`"), &format!("--{}", flag(field)))
    })
}

fn argument(field: &Field) -> Arg {
    let name = flag(field);
    let shown = match &field.kind {
        Kind::Whole => "NUMBER",
        Kind::Seconds => "TIME",
        Kind::YesOrNo => "BOOL",
        Kind::Json => "JSON",
        Kind::Secret => "@FILE",
        Kind::Texts => "LIST",
        Kind::Wrapped(inner) => inner,
        Kind::Text | Kind::OneOf(_) | Kind::WordOr(..) => {
            field.name.rsplit('.').next().unwrap_or(&name)
        }
    };
    let shown = shown.replace('-', "_").to_ascii_uppercase();
    let hint = match field.kind {
        Kind::Seconds => "; such as 14d, 12h, 30m or a number of seconds".to_owned(),
        Kind::Texts => "; separated by commas, or given more than once".to_owned(),
        Kind::WordOr(ref words, ref names) => {
            let forms = names.iter().map(|name| format!("{name}={}", name.to_ascii_uppercase()));
            let forms: Vec<_> = words.iter().cloned().chain(forms).collect();
            format!("; {}", forms.join(", "))
        }
        Kind::Text if field.name.ends_with("At") => "; such as 2030-01-31T12:00:00Z".to_owned(),
        Kind::Text if is_pem(field) => "; as @FILE".to_owned(),
        _ => String::new(),
    };
    let help = match field.name.as_str() {
        IDEMPOTENCY_KEY => {
            "Identifies this request when it is sent again; default: a new one".to_owned()
        }
        IF_MATCH => "Fail unless the ETag, which `show` prints, is still this one".to_owned(),
        REVISION if field.place == Place::Path => "Default: the network's present one".to_owned(),
        _ if let Some(hint) = names::hint(field) => match field.place {
            Place::Path => format!("Its {hint}"),
            _ => format!("{}: its {hint}", field.help),
        },
        _ if field.place == Place::Path && field.help.is_empty() => "Its id".to_owned(),
        _ => [field.help.as_str(), &hint].concat().trim_start_matches("; ").to_owned(),
    };
    let mut argument = Arg::new(field.name.clone()).value_name(shown).help(help);
    argument = argument.required(field.is_required && !is_optional(field));
    if let Some((outer, _)) = field.name.split_once('.') {
        argument = argument.conflicts_with(outer.to_owned());
    }
    if !is_positional(field) {
        argument = argument.long(name);
    }
    match &field.kind {
        Kind::OneOf(words) => argument.value_parser(PossibleValuesParser::new(words.clone())),
        Kind::Texts => argument.action(ArgAction::Append).value_delimiter(','),
        Kind::YesOrNo => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(PossibleValuesParser::new(["true", "false"])),
        _ => argument,
    }
}

/// Whether a field holds PEM, which is read from files.
fn is_pem(field: &Field) -> bool {
    field.name.trim_end_matches('s').ends_with("certificate")
}

fn value(field: &Field, given: &[&String]) -> Result<Value, String> {
    let one = given.first().map(|text| text.as_str()).unwrap_or_default();
    let refuse = |reason: &str| format!("--{}: {one}: {reason}", flag(field));
    Ok(match &field.kind {
        Kind::Text if is_pem(field) && !one.starts_with(['@', '-']) => {
            return Err(refuse("pass the file's name as @FILE, or @- for the standard input"));
        }
        Kind::Text => json!(contents(one).map_err(|error| refuse(&error))?),
        Kind::Secret if !one.starts_with('@') => {
            return Err(format!("--{}: other users can see flags: pass @FILE or @-", flag(field)));
        }
        Kind::Secret => json!(contents(one).map_err(|error| refuse(&error))?),
        Kind::OneOf(_) => json!(one),
        Kind::Whole => {
            let number: i64 = one.parse().map_err(|_| refuse("must be a whole number"))?;
            json!(number)
        }
        Kind::Seconds => {
            json!(seconds(one).ok_or_else(|| refuse("must be a duration such as 14d, 12h or 90s"))?)
        }
        Kind::YesOrNo => json!(one == "true"),
        Kind::Texts => {
            let texts = given.iter().filter(|text| !text.is_empty());
            let texts: Result<Vec<_>, _> = texts.map(|text| contents(text)).collect();
            json!(texts.map_err(|error| refuse(&error))?)
        }
        Kind::Wrapped(inner) => json!({ inner: one }),
        Kind::WordOr(_, names) => match one.split_once('=') {
            Some((name, value)) if names.iter().any(|it| it == name) => json!({ name: value }),
            _ => json!(one),
        },
        Kind::Json => {
            let text = contents(one).map_err(|error| refuse(&error))?;
            serde_json::from_str(&text).map_err(|error| refuse(&error.to_string()))?
        }
    })
}

/// The text itself, or for `@FILE` that of the file and for `@-` that of the standard input, without the
/// newline at its end.
fn contents(text: &str) -> Result<String, String> {
    let read = match text.strip_prefix('@') {
        None => return Ok(text.to_owned()),
        Some("-") => read_all(io::stdin()),
        Some(path) => fs::read(path),
    };
    let read = read.map_err(|error| error.to_string())?;
    if read.starts_with(&[0xff, 0xfe]) || read.starts_with(&[0xfe, 0xff]) {
        return Err("is UTF-16: save it as UTF-8".to_owned());
    }
    let read = String::from_utf8(read).map_err(|_| "is not UTF-8".to_owned())?;
    // Some editors write a byte order mark.
    let read = read.strip_prefix('\u{feff}').unwrap_or(&read);
    Ok(read.strip_suffix('\n').unwrap_or(read).to_owned())
}

fn read_all(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut read = vec![];
    from.read_to_end(&mut read)?;
    Ok(read)
}

/// `14d`, `12h`, `30m`, `90s`, `90`, or several of them: `1d12h`.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let mut sum: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = match after.chars().next() {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            Some('w') => 7 * 86_400,
            Some('y') => 365 * 86_400,
            Some(_) => return None,
        };
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = after.get(1..).unwrap_or_default();
    }
    (!text.is_empty()).then_some(sum)
}

/// A number of seconds as the largest unit that it is a multiple of.
pub(super) fn duration(seconds: i64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(unit, _)| seconds != 0 && seconds % unit == 0);
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

/// An ETag with its quotes, which shells remove.
fn quoted(etag: &str) -> String {
    if etag == "*" || etag.starts_with('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_sums_of_units() {
        for (text, expected) in [("90", 90), ("90s", 90), ("14d", 1_209_600), ("1d12h", 129_600)] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for wrong in ["", "d", "1x", "-1", "1.5h", "99999999999999999999", "9223372036854775807d"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
