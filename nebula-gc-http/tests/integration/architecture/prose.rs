//! Which variants of errors are nothing but a text, so that a program can only match on its words.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// `file: Enum::Variant` of each, in order.
pub(crate) fn alone(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in files {
        let tokens: TokenStream = text.parse().expect("Rust");
        search(tokens, &mut |name, body| {
            for variant in variants(body) {
                if is_prose(&variant) {
                    found.push(format!("{file}: {name}::{}", variant.name));
                }
            }
        });
    }
    found
}

/// Calls `found` with each enum that is an error: that derives `Error`, or is declared with messages.
fn search(tokens: TokenStream, found: &mut impl FnMut(&str, &Group)) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut is_error = false;
    for (place, token) in tokens.iter().enumerate() {
        match (token, tokens.get(place + 1), tokens.get(place + 2)) {
            (
                TokenTree::Ident(word),
                Some(TokenTree::Ident(name)),
                Some(TokenTree::Group(body)),
            ) if word == "enum" && body.delimiter() == Delimiter::Brace => {
                let name = name.to_string();
                if is_error || name.ends_with("Error") || body.to_string().contains("# [error (") {
                    found(&name, body);
                }
                is_error = false;
            }
            (TokenTree::Ident(word), Some(TokenTree::Punct(_)), Some(TokenTree::Group(body)))
                if word == "messages" =>
            {
                for (name, body) in enums(body.stream()) {
                    found(&name, &body);
                }
            }
            (TokenTree::Group(group), ..) => match group.delimiter() {
                Delimiter::Bracket => is_error |= group.to_string().contains("thiserror :: Error"),
                _ => search(group.stream(), found),
            },
            _ => {}
        }
    }
}

/// All enums right inside a macro.
fn enums(tokens: TokenStream) -> Vec<(String, Group)> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let all = tokens.windows(3).filter_map(|three| match three {
        [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body)]
            if word == "enum" =>
        {
            Some((name.to_string(), body.clone()))
        }
        _ => None,
    });
    all.collect()
}

struct Variant {
    name: String,
    /// Each field's name, empty in a tuple, and type.
    fields: Vec<(String, String)>,
}

fn variants(body: &Group) -> Vec<Variant> {
    let parts = split(body.stream());
    let read = |part: Vec<TokenTree>| {
        let name = part.iter().find_map(|token| match token {
            TokenTree::Ident(name) => Some(name.to_string()),
            _ => None,
        })?;
        let fields = part.iter().find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() != Delimiter::Bracket => Some(group),
            _ => None,
        });
        let fields = fields.map(|group| split(group.stream())).unwrap_or_default();
        Some(Variant { name, fields: fields.into_iter().map(field).collect() })
    };
    parts.into_iter().filter_map(read).collect()
}

fn field(part: Vec<TokenTree>) -> (String, String) {
    // Without attributes.
    let is_kept = |token: &&TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() != Delimiter::Bracket,
        TokenTree::Punct(mark) => mark.as_char() != '#',
        _ => true,
    };
    let text: TokenStream = part.iter().filter(is_kept).cloned().collect();
    let text = text.to_string();
    match text.split_once(" : ") {
        Some((name, of)) => (name.to_owned(), of.to_owned()),
        None => (String::new(), text),
    }
}

/// Parts between commas.
fn split(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_comma =
        |token: &TokenTree| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ',');
    tokens.split(is_comma).filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect()
}

/// Whether the fields say why in words, and nothing else.
fn is_prose(variant: &Variant) -> bool {
    let is_words = |(name, of): &(String, String)| {
        let is_text = of.ends_with("String") || of.ends_with("str");
        is_text && ["", "reason", "message", "detail", "internal", "words"].contains(&&**name)
    };
    !variant.fields.is_empty() && variant.fields.iter().all(is_words)
}
