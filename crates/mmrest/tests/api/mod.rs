//! The public items of a crate, from its sources.
#![allow(unreachable_pub, reason = "a module of a test")]

mod modules;
mod text;

use std::collections::BTreeSet;
use std::path::Path;

use syn::{ImplItem, Item, Type, Visibility};

use modules::{Crate, Found};
use text::{derives, fields, plain};

/// One line an item, sorted.
pub fn list(folder: &Path) -> String {
    let krate = Crate::read(&folder.join("src/lib.rs"));
    let mut lines = BTreeSet::new();
    let mut exported = Vec::new();
    export(&krate, &[], &mut Vec::new(), &mut lines, &mut exported);
    methods(&krate, &exported, &mut lines);
    lines.into_iter().map(|line| line + "\n").collect()
}

/// A type that can be named from outside: where it is defined, and what its lines begin with.
struct Exported {
    module: Vec<String>,
    name: String,
    start: String,
}

/// The items of a public module, and of those below it.
fn export(
    krate: &Crate,
    module: &[String],
    path: &mut Vec<String>,
    lines: &mut BTreeSet<String>,
    exported: &mut Vec<Exported>,
) {
    for (name, found) in krate.public(module) {
        match found {
            Found::Module(below) => {
                lines.insert(line(path, &format!("mod {name}")));
                path.push(name);
                export(krate, &below, path, lines, exported);
                path.pop();
            }
            Found::Item { module, item } => {
                let (start, more) = described(item, &name);
                lines.insert(line(path, &start));
                lines.extend(
                    more.iter()
                        .map(|more| line(path, &format!("{start}: {more}"))),
                );
                if let Some(own) = modules::name_of(item) {
                    exported.push(Exported {
                        module,
                        name: own,
                        start: line(path, &start),
                    });
                }
            }
            Found::Foreign(of) => {
                lines.insert(line(path, &format!("use {of}")));
            }
        }
    }
}

fn line(path: &[String], text: &str) -> String {
    match path {
        [] => text.to_owned(),
        path => format!("{}: {text}", path.join("::")),
    }
}

/// The line of an item, and the lines below it.
fn described(item: &Item, name: &str) -> (String, Vec<String>) {
    match item {
        Item::Fn(of) => {
            let mut signature = of.sig.clone();
            signature.ident = syn::Ident::new(name, signature.ident.span());
            (plain(&signature), Vec::new())
        }
        Item::Struct(of) => {
            let mut more = derives(&of.attrs);
            more.extend(fields(&of.fields, true));
            (format!("struct {name}{}", plain(&of.generics)), more)
        }
        Item::Enum(of) => {
            let mut more = derives(&of.attrs);
            more.extend(of.variants.iter().map(|variant| {
                let fields = fields(&variant.fields, false).join(", ");
                match &variant.fields {
                    syn::Fields::Unit => variant.ident.to_string(),
                    syn::Fields::Unnamed(_) => format!("{}({fields})", variant.ident),
                    syn::Fields::Named(_) => format!("{} {{ {fields} }}", variant.ident),
                }
            }));
            (format!("enum {name}{}", plain(&of.generics)), more)
        }
        Item::Trait(of) => {
            let functions = of.items.iter().map(|item| match item {
                syn::TraitItem::Fn(function) => plain(&function.sig),
                other => plain(other),
            });
            let above = if of.supertraits.is_empty() {
                String::new()
            } else {
                format!(": {}", plain(&of.supertraits))
            };
            (
                format!("trait {name}{}{above}", plain(&of.generics)),
                functions.collect(),
            )
        }
        Item::Const(of) => (format!("const {name}: {}", plain(&*of.ty)), Vec::new()),
        Item::Static(of) => (format!("static {name}: {}", plain(&*of.ty)), Vec::new()),
        Item::Type(of) => {
            let generics = plain(&of.generics);
            (
                format!("type {name}{generics} = {}", plain(&*of.ty)),
                Vec::new(),
            )
        }
        other => (plain(other), Vec::new()),
    }
}

/// The public inherent methods of the exported types, wherever they are implemented.
fn methods(krate: &Crate, exported: &[Exported], lines: &mut BTreeSet<String>) {
    for (module, items) in krate.modules() {
        for item in items {
            let Item::Impl(block) = item else { continue };
            let Type::Path(own) = &*block.self_ty else {
                continue;
            };
            if block.trait_.is_some() {
                continue;
            }
            let Some(name) = own.path.segments.last().map(|last| last.ident.to_string()) else {
                continue;
            };
            let Some(home) = krate.home(module, &name) else {
                continue;
            };
            let of = exported
                .iter()
                .filter(|of| of.module == home.0 && of.name == home.1);
            for of in of {
                for item in &block.items {
                    match item {
                        ImplItem::Fn(function) if is_public(&function.vis) => {
                            lines.insert(format!("{}: {}", of.start, plain(&function.sig)));
                        }
                        ImplItem::Const(constant) if is_public(&constant.vis) => {
                            let (name, of_type) = (&constant.ident, plain(&constant.ty));
                            lines.insert(format!("{}: const {name}: {of_type}", of.start));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

pub fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}
