//! Formats answers for people: tables, and lines of names and values.

use nebula_gc_http::client::printable;
use serde_json::{Map, Value};

use super::answer::seconds;
use super::fields::duration;
use super::table::{self, Look};
use crate::clock::time;
use crate::times::{WEEK, ago, day, span};

/// The end of the names of durations.
const SECONDS: &str = "Seconds";

/// The columns that only `--wide` shows.
const WIDE: &[&str] = &["id", "node", "key"];
/// The columns that are cut where the terminal is too narrow; others have words, numbers and addresses.
const CUT: &[&str] = &[
    "name",
    "user",
    "groups",
    "note",
    "detail",
    "reason",
    "fingerprint",
    "signer",
    "device",
    "actor",
    "subject",
    "network",
    "scope",
    "purpose",
    "servers",
    "nodeName",
    "joinTokenName",
    "keyFingerprint",
    "source",
    "prefixes",
    "pool",
];

/// A list as a table: one line for each, as wide as the terminal, with times as people read them.
pub(super) fn listing(items: &[Value], columns: &[&str], look: Look) -> String {
    let is_shown = |column: &&&str| look.is_wide || !WIDE.contains(*column);
    let columns: Vec<&str> = columns.iter().filter(is_shown).copied().collect();
    let mut rows: Vec<Vec<String>> =
        vec![columns.iter().map(|column| list_heading(column, look)).collect()];
    let cell = |item: &Value, column: &str| match at(item, column).and_then(|it| moment(column, it))
    {
        Some(at) if !look.is_wide => when(look.now, at),
        _ => column_text(item, column),
    };
    rows.extend(items.iter().map(|item| columns.iter().map(|column| cell(item, column)).collect()));
    let can_be_cut = |column: usize| columns.get(column).is_some_and(|name| CUT.contains(name));
    table::fitted(rows, look.width, can_be_cut)
}

/// A list with all of its columns, as wide as they are.
pub(super) fn whole(items: &[Value], columns: &[&str]) -> String {
    listing(items, columns, Look { now: 0, width: None, is_wide: true })
}

/// The time that a column has, if it has times.
fn moment(column: &str, value: &Value) -> Option<i64> {
    let is_time = ["at", "since", "until", "notAfter", "notBefore"].contains(&column);
    (is_time || column.ends_with("At")).then(|| seconds(value)).flatten()
}

/// How long ago a time was, or in how long it comes: `3 h ago`, `in 9 d`; a date beyond a week.
fn when(now: i64, at: i64) -> String {
    match at.saturating_sub(now) {
        left @ 1..=WEEK => format!("in {}", span(left)),
        left if left > WEEK => day(at),
        _ => ago(now, at),
    }
}

/// `createdAt` is CREATED, where the time is not exact, and `ca.standing` CA.
fn list_heading(column: &str, look: Look) -> String {
    match column {
        "ca.standing" => "CA".to_owned(),
        "at" if !look.is_wide => "WHEN".to_owned(),
        "notAfter" if !look.is_wide => "ENDS".to_owned(),
        column if !look.is_wide => heading(column.strip_suffix("At").unwrap_or(column)),
        column => heading(column),
    }
}

/// One thing: a line for each of its fields, those of `first` before the others; below a field that is a
/// thing itself, the lines of that.
pub(super) fn thing(thing: &Map<String, Value>, first: &[&str], hidden: &[&str]) -> String {
    let mut lines = vec![];
    let later = thing.keys().map(String::as_str).filter(|name| !first.contains(name));
    let names = first.iter().copied().filter(|name| thing.contains_key(*name)).chain(later);
    for name in names.filter(|name| !hidden.contains(name)) {
        match thing.get(name) {
            Some(Value::Object(inner)) if inner.len() > 1 => {
                let inner = self::thing(inner, &[], hidden);
                lines.push((heading(name), inner.lines().map(indented).collect()));
            }
            Some(Value::Array(items)) if items.iter().any(Value::is_object) => {
                lines.push((heading(name), inner_table(items)));
            }
            Some(Value::Number(number)) if name.ends_with(SECONDS) => {
                let span = number.as_i64().map_or_else(|| number.to_string(), duration);
                lines.push((heading(name.trim_end_matches(SECONDS)), span));
            }
            value => lines.push((heading(name), cell(value))),
        }
    }
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let line = |(name, value): (String, String)| {
        // A value of several lines starts below its name.
        if value.contains('\n') {
            format!("{name}\n{}\n", value.trim_end())
        } else {
            format!("{name:<width$}  {value}\n")
        }
    };
    lines.into_iter().map(line).collect()
}

/// A list of objects inside an object, as a table of its own.
fn inner_table(items: &[Value]) -> String {
    let first = items.iter().find_map(Value::as_object);
    let columns: Vec<_> = first.into_iter().flat_map(Map::keys).map(String::as_str).collect();
    whole(items, &columns).lines().map(indented).collect()
}

fn indented(line: &str) -> String {
    format!("  {line}\n")
}

/// The text of an item in a column.
fn column_text(item: &Value, column: &str) -> String {
    let value = at(item, column);
    match (column, value) {
        ("detail", Some(Value::String(text))) => safe(&lease_times(text)),
        ("detail", Some(Value::Object(map))) => {
            let dated = map.iter().map(|(name, value)| match (name.as_str(), value.as_i64()) {
                ("before" | "until", Some(at)) => (name.clone(), time(at).into()),
                _ => (name.clone(), value.clone()),
            });
            cell(Some(&Value::Object(dated.collect())))
        }
        _ => cell(value),
    }
}

/// An event's detail about a lease, with its times as dates.
fn lease_times(detail: &str) -> String {
    let dated = |part: &str| {
        let (words, at) = part.rsplit_once(' ')?;
        let at = at.parse().ok().filter(|at| *at > 0)?;
        matches!(words, "held until" | "ends").then(|| format!("{words} {}", time(at)))
    };
    let parts = detail.split(", ").map(|part| dated(part).unwrap_or_else(|| part.to_owned()));
    parts.collect::<Vec<_>>().join(", ")
}

/// The value at `a.b`.
fn at<'a>(item: &'a Value, column: &str) -> Option<&'a Value> {
    column.split('.').try_fold(item, |item, name| item.get(name))
}

/// `usage.free` is FREE, `createdAt` CREATED AT.
fn heading(column: &str) -> String {
    let name = printable(column.rsplit('.').next().unwrap_or(column));
    let mut heading = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            heading.push(' ');
        }
        heading.push(c.to_ascii_uppercase());
    }
    heading
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::String(text)) => safe(text),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(",")
        }
        Some(Value::Object(map)) => {
            let parts = map
                .iter()
                .map(|(name, value)| [&printable(name), "=", &cell(Some(value))].concat());
            parts.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Text from elsewhere, such as names and reasons, made safe to print. PEM keeps its lines.
fn safe(text: &str) -> String {
    match text.starts_with("-----BEGIN ") {
        true => text.lines().map(|line| printable(line) + "\n").collect(),
        false => printable(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_reach_inside() {
        let items =
            [json!({"id": "a", "in": {"side": 1}}), json!({"id": "long", "in": {"side": null}})];
        assert_eq!(whole(&items, &["id", "in.side"]), "ID    SIDE\na     1\nlong  -\n");
    }

    #[test]
    fn a_list_has_no_ids_and_relative_times_unless_all_is_asked_for() {
        let (now, width) = (1_795_953_600, Some(44));
        let items = [json!({"id": "0192", "name": "x".repeat(40), "expiresAt": time(now + 7200),
            "revokedAt": time(now - 60), "ca": {"standing": "healthy"}})];
        let columns = ["id", "name", "expiresAt", "revokedAt", "ca.standing"];
        let shown = listing(&items, &columns, Look { now, width, is_wide: false });
        let expected = "NAME              EXPIRES  REVOKED   CA\n\
                        xxxxxxxxxxxxxxx…  in 2 h   60 s ago  healthy\n";
        assert_eq!(shown, expected);
        let wide = listing(&items, &columns, Look { now, width: None, is_wide: true });
        assert!(wide.starts_with("ID    NAME ") && wide.contains(&time(now + 7200)), "{wide}");
    }

    #[test]
    fn things_inside_a_thing_are_a_table() {
        let it = json!({"done": 2, "open": [{"index": 7, "name": "a", "reason": "is\nnone"}]});
        let shown = thing(it.as_object().unwrap(), &[], &[]);
        assert_eq!(shown, "DONE  2\nOPEN\n  INDEX  NAME  REASON\n  7      a     is\\nnone\n");
    }

    #[test]
    fn a_thing_begins_with_what_matters() {
        let it = json!({"a": [1, 2], "name": "x\u{1b}[2J", "png": "…", "u": {"free": true},
            "v": {"holdSeconds": 1209600, "png": 2, "what": null}});
        let shown = thing(
            it.as_object().into_iter().next().map_or(&Map::new(), |it| it),
            &["name"],
            &["png"],
        );
        assert_eq!(
            shown,
            "NAME  x\\u{1b}[2J\nA     1,2\nU     free=yes\nV\n  HOLD  14d\n  WHAT  -\n"
        );
    }

    #[test]
    fn times_in_what_an_event_tells_are_dates() {
        let items = [
            json!({"detail": "moved, lease 7, ends 1800000000, held until 1796123338"}),
            json!({"detail": {"before": 1_800_000_000, "revision": 1_800_000_000}}),
            json!({"detail": "lease 7, ends never, held until 0"}),
        ];
        let shown = whole(&items, &["detail"]);
        assert_eq!(
            shown.lines().skip(1).collect::<Vec<_>>(),
            [
                "moved, lease 7, ends 2027-01-15T08:00:00Z, held until 2026-12-01T11:08:58Z",
                "before=2027-01-15T08:00:00Z revision=1800000000",
                "lease 7, ends never, held until 0",
            ]
        );
    }

    #[test]
    fn no_field_of_an_answer_commands_the_terminal() {
        let it =
            json!({"a\u{9b}": "\u{1b}", "b": {"\u{1b}": 1}, "c": [{"\u{202e}": {"\u{7}": 2}}]});
        let shown = thing(it.as_object().unwrap(), &[], &[]);
        assert!(
            !shown.contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'),
            "{shown:?}"
        );
    }
}
