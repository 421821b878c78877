//! Parts of the sources as one line.

use quote::ToTokens;
use syn::{Attribute, Fields, Meta};

use super::is_public;

/// Tokens as they are usually written.
pub fn plain(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string().replace('\n', " ");
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" > ", "> "),
        (" >", ">"),
        ("-> ", "-> "),
        (" ,", ","),
        (" ;", ";"),
        (" : ", ": "),
        ("& ", "&"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        ("[ ", "["),
        (" ]", "]"),
        ("' ", "'"),
        (",)", ")"),
        (", )", ")"),
        (", >", ">"),
        (",>", ">"),
        ("->", "-> "),
        ("->  ", "-> "),
        (">-> ", "> -> "),
        ("- >", "->"),
        (")->", ") ->"),
        ("  ", " "),
    ] {
        text = text.replace(from, to);
    }
    text.trim().to_owned()
}

/// `derive A, B`, where something is derived.
pub fn derives(attributes: &[Attribute]) -> Vec<String> {
    let lists = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::List(list) if list.path.is_ident("derive") => Some(plain(&list.tokens)),
            _ => None,
        });
    let mut names: Vec<String> = lists
        .flat_map(|list| list.split(", ").map(String::from).collect::<Vec<_>>())
        .collect();
    names.sort();
    if names.is_empty() {
        Vec::new()
    } else {
        vec![format!("derive {}", names.join(", "))]
    }
}

/// The fields that are public, those of a struct with `pub` before them; of a variant all are.
pub fn fields(fields: &Fields, of_struct: bool) -> Vec<String> {
    let before = if of_struct { "pub " } else { "" };
    let shown = fields
        .iter()
        .enumerate()
        .filter(|(_, field)| !of_struct || is_public(&field.vis));
    shown
        .map(|(index, field)| {
            let of_type = plain(&field.ty);
            match (&field.ident, of_struct) {
                (Some(name), _) => format!("{before}{name}: {of_type}"),
                (None, true) => format!("{before}{index}: {of_type}"),
                (None, false) => of_type,
            }
        })
        .collect()
}
