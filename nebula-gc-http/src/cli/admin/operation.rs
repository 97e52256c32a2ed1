//! The operations of the API, read from its OpenAPI document.

use std::sync::LazyLock;

use nebula_gc_http::client::Request;
use serde_json::{Map, Value};

/// The document that the server serves; a test keeps the file up to date.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../openapi.json")).unwrap_or_default()
});

/// An operation of the API.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) id: String,
    method: String,
    /// Below `/api/v1`, with its parameters in braces.
    path: String,
    pub(crate) summary: String,
    pub(crate) fields: Vec<Field>,
    /// Whether it returns a list, in pages.
    pub(crate) is_list: bool,
    /// Whether it returns a file, not JSON.
    pub(crate) is_file: bool,
    /// The fields of the answer, or of each item of a list.
    pub(crate) answers: Map<String, Value>,
}

/// A parameter or field of a request.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Its name in the API; `ca.signer` for a field of an object.
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    pub(crate) is_required: bool,
    /// Whether `null` removes it.
    pub(crate) can_be_null: bool,
    /// The least and the largest number.
    pub(crate) limits: (Option<i64>, Option<i64>),
    pub(crate) help: String,
}

/// Where a field stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
    Body,
}

/// What values a field takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A text that must not appear on a command line.
    Secret,
    OneOf(Vec<String>),
    Whole,
    /// A duration: a number of seconds in the API, `14d` on the command line.
    Seconds,
    YesOrNo,
    Texts,
    /// An object that has only this, a text.
    Wrapped(String),
    /// A word, or an object that has only one of these: `root`, `tenant=ID`.
    WordOr(Vec<String>, Vec<String>),
    Json,
}

/// All operations of the document.
pub(crate) fn all() -> Vec<Operation> {
    let paths = DOCUMENT.get("paths").and_then(Value::as_object);
    let operation = |(path, item): (&String, &Value)| {
        let path = path.strip_prefix("/api/v1").unwrap_or(path).to_owned();
        let item = item.as_object().cloned().unwrap_or_default();
        item.into_iter().map(move |(method, said)| Operation::read(&method, &path, &said))
    };
    paths.into_iter().flatten().flat_map(operation).collect()
}

impl Operation {
    fn read(method: &str, path: &str, said: &Value) -> Self {
        let parameters = said.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let mut fields: Vec<_> = parameters.filter_map(|it| parameter(resolved(it))).collect();
        let body = said.pointer("/requestBody/content/application~1json/schema");
        fields.extend(properties(body.unwrap_or(&Value::Null)));
        // As a help text lists them.
        fields.sort_by_key(|field| (field.place == Place::Header, !field.is_required));
        let contents = ["/responses/200/content", "/responses/201/content"];
        let success =
            contents.iter().find_map(|content| said.pointer(content)?.as_object()?.iter().next());
        let answer = success.map_or(&Value::Null, |(_, content)| resolved(&content["schema"]));
        let item = items_of(answer).unwrap_or(answer);
        Self {
            id: text(&said["operationId"]),
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            // The first sentence.
            summary: words_of(&said["summary"])
                .split(". ")
                .next()
                .unwrap_or_default()
                .trim_end_matches('.')
                .to_owned(),
            is_list: fields.iter().any(|field| field.name == "cursor"),
            is_file: success.is_some_and(|(media, _)| media != "application/json"),
            fields,
            answers: item["properties"].as_object().cloned().unwrap_or_default(),
        }
    }

    /// Whether it changes part of a resource, so that omitted fields keep their values.
    pub(crate) fn is_patch(&self) -> bool {
        self.method == "PATCH"
    }

    /// Whether it only reads.
    pub(crate) fn is_read(&self) -> bool {
        self.method == "GET"
    }

    /// Whether it creates something.
    pub(crate) fn is_creation(&self) -> bool {
        self.method == "POST"
    }

    pub(crate) fn has(&self, place: Place, name: &str) -> bool {
        self.fields.iter().any(|field| field.place == place && field.name == name)
    }

    /// The request, with the path's parameters in place.
    pub(crate) fn request(&self, in_path: &[(String, String)]) -> Result<Request, String> {
        let method = self.method.parse().map_err(|_| format!("{}: not a method", self.method))?;
        let mut path = self.path.clone();
        for (name, value) in in_path {
            path = path.replace(&format!("{{{name}}}"), &Request::segment(value));
        }
        Ok(Request::new(method, &path))
    }

    /// `GET /tenants/{tenant}`.
    pub(crate) fn route(&self) -> String {
        format!("{} /api/v1{}", self.method, self.path)
    }
}

/// What the items of a page are; the page is all of the answer, or one of its fields.
fn items_of(answer: &Value) -> Option<&Value> {
    let properties = answer["properties"].as_object()?;
    let own = properties.get("items");
    let mut fields = properties.values().map(resolved);
    let inner = || fields.find_map(|field| field["properties"].get("items"));
    Some(resolved(&own.or_else(inner)?["items"]))
}

fn parameter(said: &Value) -> Option<Field> {
    let place = match said["in"].as_str()? {
        "path" => Place::Path,
        "query" => Place::Query,
        "header" => Place::Header,
        _ => return None,
    };
    let name = text(&said["name"]);
    let (schema, _) = not_null(resolved(&said["schema"]));
    Some(Field {
        kind: kind(&name, schema),
        place,
        is_required: said["required"].as_bool().unwrap_or_default(),
        can_be_null: false,
        limits: limits(schema),
        help: help(said, schema),
        name,
    })
}

fn properties(body: &Value) -> Vec<Field> {
    let body = resolved(body);
    let required = |name: &str| {
        let names = body["required"].as_array();
        names.is_some_and(|names| names.iter().any(|it| it.as_str() == Some(name)))
    };
    let properties = body["properties"].as_object().into_iter().flatten();
    properties
        .flat_map(|(name, said)| {
            let (schema, can_be_null) = not_null(resolved(said));
            let field = Field {
                name: name.clone(),
                place: Place::Body,
                kind: kind(name, schema),
                is_required: required(name),
                can_be_null,
                limits: limits(schema),
                help: help(said, schema),
            };
            let inner = if field.kind == Kind::Json { self::properties(schema) } else { vec![] };
            let inner = inner.into_iter().map(|inner| Field {
                name: format!("{name}.{}", inner.name),
                // It is only where there is what it is in.
                is_required: false,
                ..inner
            });
            let inner: Vec<_> = inner.collect();
            [field].into_iter().chain(inner)
        })
        .collect()
}

fn limits(schema: &Value) -> (Option<i64>, Option<i64>) {
    (schema["minimum"].as_i64(), schema["maximum"].as_i64())
}

fn kind(name: &str, schema: &Value) -> Kind {
    if let Some(words) = words(schema) {
        return Kind::OneOf(words);
    }
    let is = |wanted: &str| match &schema["type"] {
        Value::Array(types) => types.iter().any(|it| it == wanted),
        one => one == wanted,
    };
    if is("integer") {
        return if name.ends_with("Seconds") { Kind::Seconds } else { Kind::Whole };
    }
    if is("boolean") {
        return Kind::YesOrNo;
    }
    if is("array") {
        let items = resolved(&schema["items"]);
        return if items["type"] == "string" { Kind::Texts } else { Kind::Json };
    }
    if is("string") {
        return if schema["writeOnly"] == true { Kind::Secret } else { Kind::Text };
    }
    if let Some(name) = only_text(schema) {
        return Kind::Wrapped(name.clone());
    }
    let each = schema["oneOf"].as_array().into_iter().flatten();
    let (words_of, others): (Vec<_>, Vec<_>) =
        each.map(resolved).map(|one| (words(one), one)).partition(|(words, _)| words.is_some());
    let own = words_of.into_iter().filter_map(|(words, _)| words).flatten().collect();
    let mut others = others.into_iter().map(|(_, one)| one).peekable();
    if others.peek().is_none() {
        return Kind::Json;
    }
    others
        .map(|one| only_text(one).cloned())
        .collect::<Option<_>>()
        .map_or(Kind::Json, |names| Kind::WordOr(own, names))
}

/// The name of an object's only property, where that is a text.
fn only_text(schema: &Value) -> Option<&String> {
    let mut properties = schema["properties"].as_object()?.iter();
    match (properties.next(), properties.next()) {
        (Some((name, inner)), None) if resolved(inner)["type"] == "string" => Some(name),
        _ => None,
    }
}

/// The words of an enumeration: a list, or one constant each where the words are documented.
fn words(schema: &Value) -> Option<Vec<String>> {
    if let Some(words) = schema["enum"].as_array() {
        return Some(words.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    let each = schema["oneOf"].as_array()?;
    let word = |one: &Value| {
        let only = one["enum"].as_array().filter(|words| words.len() == 1);
        one["const"].as_str().or_else(|| only?.first()?.as_str()).map(str::to_owned)
    };
    each.iter().map(word).collect()
}

/// A schema without its `null`, and whether it has one.
fn not_null(schema: &Value) -> (&Value, bool) {
    for of in ["oneOf", "anyOf"] {
        let Some(each) = schema[of].as_array() else { continue };
        let mut others = each.iter().filter(|one| one["type"] != "null");
        if let (Some(one), None) = (others.next(), others.next())
            && each.len() > 1
        {
            return (resolved(one), true);
        }
    }
    let types = schema["type"].as_array();
    (schema, types.is_some_and(|types| types.iter().any(|it| it == "null")))
}

/// What a reference leads to.
fn resolved(schema: &Value) -> &Value {
    match schema["$ref"].as_str().and_then(|it| DOCUMENT.pointer(it.strip_prefix('#')?)) {
        Some(there) => resolved(there),
        None => schema,
    }
}

/// What stands beside the reference comes before what stands behind it.
fn help(said: &Value, schema: &Value) -> String {
    let own = words_of(&said["description"]);
    let own = if own.is_empty() { words_of(&schema["description"]) } else { own };
    own.trim_end_matches('.').to_owned()
}

/// A text without its line breaks.
fn words_of(value: &Value) -> String {
    text(value).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
