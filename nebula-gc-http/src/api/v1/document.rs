//! The parts of the OpenAPI document that are not in the handlers.

use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, ObjectBuilder, OpenApi,
    OpenApiBuilder, Ref, RefOr, ResponseBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{Document, ProblemCode};
use super::remaining;

/// The name of the one security scheme.
const BEARER: &str = "bearer";

/// What the document says of the whole API.
pub(super) fn base() -> OpenApi {
    let bearer = SecurityScheme::Http(
        Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An operator key, a join token or a node token."))
            .build(),
    );
    let components = ComponentsBuilder::new()
        .security_scheme(BEARER, bearer)
        .schema(Document::name(), Document::schema())
        .schema(ProblemCode::name(), ProblemCode::schema())
        .build();
    let info = InfoBuilder::new()
        .title("Nebula control plane")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Enrolment, addresses, certificates and bundles for Nebula overlay networks.",
        ))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new(BEARER, [""; 0])]))
        .build()
}

/// What clients made from the document call values that are no names.
const VALUE_NAMES: [(&str, &[&str]); 3] = [
    ("Curve", &["Curve25519", "P256"]),
    ("InitiatingVersion", &["One", "Two"]),
    ("Versions", &["One", "Two", "Both"]),
];

/// Adds the possible errors to each operation, and names to enum values.
pub(super) fn finish(mut document: OpenApi) -> OpenApi {
    if let Some(components) = &mut document.components {
        for (schema, names) in VALUE_NAMES {
            if let Some(RefOr::T(Schema::Object(schema))) = components.schemas.get_mut(schema) {
                schema.extensions = Some(Extensions::from_iter([("x-enum-varnames", names)]));
            }
        }
    }
    for item in document.paths.paths.values_mut() {
        let reads = [&mut item.get, &mut item.head];
        for operation in reads.into_iter().flatten() {
            add_problems(operation, false);
        }
        let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in writes.into_iter().flatten() {
            add_problems(operation, true);
        }
    }
    document
}

fn add_problems(operation: &mut Operation, writes: bool) {
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let parameters: Vec<_> = parameters
        .iter()
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
        .collect();
    let has = |name: &str| parameters.iter().any(|parameter| parameter.name == name);
    let in_path = parameters.iter().any(|it| matches!(it.parameter_in, ParameterIn::Path));
    let has_body = operation.request_body.is_some();
    let has_tag = has("If-Match") || has("If-None-Match");
    let refusals = [
        (400, "The request is not usable.", true),
        (401, "No credential, or one that nobody has.", true),
        (403, "The credential does not permit this.", true),
        (404, "Not there, or not for this credential to see.", in_path || has_body),
        (409, "In conflict with what is there.", writes),
        (412, "The resource is not what If-Match expects.", has("If-Match")),
        (413, "The body is too large.", has_body),
        (415, "The body is not said to be JSON.", has_body),
        (422, "The Idempotency-Key was used for another request.", has("Idempotency-Key")),
        (500, "The server failed.", true),
        (503, "The server can't do this now. Asking again is safe.", true),
    ];
    for (status, description, applies) in refusals {
        let status: u16 = status;
        if applies && !operation.responses.responses.contains_key(&status.to_string()) {
            add(operation, status, description);
        }
    }
    add_headers(operation, has_tag);
}

const UNAPPLIED: &str = "How many active nodes report and have not reported that revision. Nodes that \
    never report do not count.";

/// Adds the headers of answers.
fn add_headers(operation: &mut Operation, has_tag: bool) {
    let operation_id = operation.operation_id.as_deref().unwrap_or_default();
    let moves = remaining::OPERATIONS.contains(&operation_id);
    let is_tagged = |status: &str| has_tag && (status == "200" || status == "304");
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let is_done = moves && (status == "200" || status == "204");
        let headers = [
            ("ETag", "The state of what is answered.", is_tagged(status)),
            ("Location", "Where it is.", status == "201"),
            ("Retry-After", "After how many seconds to ask again.", status == "429"),
            ("WWW-Authenticate", "Always `Bearer`.", status == "401"),
            ("Nebula-Revision", "The network's revision now.", is_done),
            ("Nebula-Unapplied", UNAPPLIED, is_done),
        ];
        for (name, description, _) in headers.into_iter().filter(|(_, _, comes)| *comes) {
            let is_number = name.starts_with("Nebula-");
            let kind = if is_number { Type::Integer } else { Type::String };
            let text = ObjectBuilder::new().schema_type(kind);
            let header =
                HeaderBuilder::new().schema(Some(text)).description(Some(description)).build();
            response.headers.insert(name.to_owned(), RefOr::T(header));
        }
    }
}

fn add(operation: &mut Operation, status: u16, description: &str) {
    let schema = Ref::from_schema_name(Document::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build();
    operation.responses.responses.insert(status.to_string(), RefOr::T(response));
}
