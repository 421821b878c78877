//! A crate's modules, and what names mean in them.

use std::collections::BTreeMap;
use std::path::Path;

use syn::{Attribute, Item, Meta, UseTree};

use super::is_public;

type Path_ = Vec<String>;

/// Every module of a crate by its path, with its items.
pub struct Crate(BTreeMap<Path_, Vec<Item>>);

/// What a name means.
pub enum Found<'a> {
    /// A module of the crate.
    Module(Path_),
    /// An item, and the module it is defined in.
    Item { module: Path_, item: &'a Item },
    /// Something of another crate.
    Foreign(String),
}

/// A name that a `use` brings in: as what, and from where.
struct Use {
    name: String,
    path: Path_,
    public: bool,
}

impl Crate {
    /// Reads a crate from its root file.
    pub fn read(lib: &Path) -> Self {
        let mut modules = BTreeMap::new();
        read(lib, lib.parent().unwrap(), Vec::new(), &mut modules);
        Self(modules)
    }

    pub fn modules(&self) -> impl Iterator<Item = (&Path_, &Vec<Item>)> {
        self.0.iter()
    }

    /// What a module shows to the outside: its public items and modules, and what it hands on.
    pub fn public(&self, module: &[String]) -> Vec<(String, Found<'_>)> {
        let mut found = Vec::new();
        for item in &self.0[module] {
            match item {
                Item::Mod(of) if is_public(&of.vis) => {
                    let name = of.ident.to_string();
                    let below = [module, std::slice::from_ref(&name)].concat();
                    found.push((name, Found::Module(below)));
                }
                Item::Use(_) | Item::Mod(_) => {}
                other if visibility(other) => {
                    if let Some(name) = name_of(other) {
                        let (module, item) = (module.to_vec(), other);
                        found.push((name, Found::Item { module, item }));
                    }
                }
                _ => {}
            }
        }
        for of in self.uses(module).into_iter().filter(|of| of.public) {
            assert_ne!(of.name, "*", "a public glob in {module:?}");
            let resolved = self.resolve(module, &of.path);
            let text = of.path.join("::");
            found.extend(if resolved.is_empty() {
                vec![(of.name, Found::Foreign(text))]
            } else {
                resolved
                    .into_iter()
                    .map(|one| (of.name.clone(), one))
                    .collect()
            });
        }
        found
    }

    /// Where the type that a name means in a module is defined, and its name there.
    pub fn home(&self, module: &[String], name: &str) -> Option<(Path_, String)> {
        let found = self.resolve(module, &["self".into(), name.into()]);
        found.into_iter().find_map(|found| match found {
            Found::Item { module, item } => Some((module, name_of(item)?)),
            _ => None,
        })
    }

    /// What a path means in a module: a name may stand for a module and for an item at once.
    fn resolve(&self, module: &[String], path: &[String]) -> Vec<Found<'_>> {
        let Some((name, before)) = path.split_last() else {
            return Vec::new();
        };
        let Some(within) = self.enter(module, before) else {
            return Vec::new();
        };
        self.named(&within, name, 0)
    }

    /// The module that the beginning of a path leads to; none where that is another crate.
    fn enter(&self, module: &[String], path: &[String]) -> Option<Path_> {
        let mut at = module.to_vec();
        for step in path {
            match step.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => {
                    at.pop();
                }
                name => {
                    let below = [at.as_slice(), &[name.to_owned()]].concat();
                    if self.0.contains_key(&below) {
                        at = below;
                        continue;
                    }
                    let handed_on = self.uses(&at).into_iter().find(|of| of.name == name)?;
                    let (last, before) = handed_on.path.split_last()?;
                    let within = self.enter(&at, before)?;
                    at = [within.as_slice(), std::slice::from_ref(last)].concat();
                    self.0.get(&at)?;
                }
            }
        }
        Some(at)
    }

    /// What a name means in a module itself, through what the module uses.
    fn named(&self, module: &[String], name: &str, depth: usize) -> Vec<Found<'_>> {
        assert!(depth < 20, "{name} in {module:?} goes round in circles");
        let mut found = Vec::new();
        for item in self.0.get(module).into_iter().flatten() {
            let is_other = matches!(item, Item::Use(_) | Item::Mod(_));
            if !is_other && name_of(item).as_deref() == Some(name) {
                let (module, item) = (module.to_vec(), item);
                found.push(Found::Item { module, item });
            }
        }
        for of in self.uses(module) {
            let Some((last, before)) = of.path.split_last() else {
                continue;
            };
            let Some(within) = self.enter(module, before) else {
                continue;
            };
            if of.name == name && (within != module || last != name) {
                found.extend(self.named(&within, last, depth + 1));
            } else if last == "*" && within != module && found.is_empty() {
                found.extend(self.named(&within, name, depth + 1));
            }
        }
        found
    }

    fn uses(&self, module: &[String]) -> Vec<Use> {
        let mut uses = Vec::new();
        for item in self.0.get(module).into_iter().flatten() {
            if let Item::Use(of) = item {
                leaves(&of.tree, &mut Vec::new(), is_public(&of.vis), &mut uses);
            }
        }
        uses
    }
}

/// Reads a file and those of its modules; `folder` is where the files of its modules are.
fn read(file: &Path, folder: &Path, module: Path_, modules: &mut BTreeMap<Path_, Vec<Item>>) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut items = syn::parse_file(&text).unwrap().items;
    items.retain(|item| !only_for_tests(item));
    for item in &items {
        let Item::Mod(of) = item else { continue };
        let name = of.ident.to_string();
        let below = [module.as_slice(), std::slice::from_ref(&name)].concat();
        let beside = folder.join(&name).with_extension("rs");
        let inside = folder.join(&name);
        match &of.content {
            Some((_, items)) => {
                modules.insert(below, items.clone());
            }
            None if beside.is_file() => read(&beside, &inside, below, modules),
            None => read(&inside.join("mod.rs"), &inside, below, modules),
        }
    }
    modules.insert(module, items);
}

fn leaves(tree: &UseTree, path: &mut Path_, public: bool, uses: &mut Vec<Use>) {
    let mut push = |name: String, last: String, path: &Path_| {
        let path = match last.as_str() {
            "self" => path.clone(),
            _ => [path.as_slice(), &[last]].concat(),
        };
        uses.push(Use { name, path, public });
    };
    match tree {
        UseTree::Path(of) => {
            path.push(of.ident.to_string());
            leaves(&of.tree, path, public, uses);
            path.pop();
        }
        UseTree::Group(of) => of
            .items
            .iter()
            .for_each(|item| leaves(item, path, public, uses)),
        UseTree::Name(of) => {
            let last = of.ident.to_string();
            let name = match last.as_str() {
                "self" => path.last().cloned().unwrap_or_default(),
                _ => last.clone(),
            };
            push(name, last, path);
        }
        UseTree::Rename(of) => push(of.rename.to_string(), of.ident.to_string(), path),
        UseTree::Glob(_) => push("*".into(), "*".into(), path),
    }
}

/// The name of an item that can be exported.
pub fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Fn(of) => &of.sig.ident,
        Item::Struct(of) => &of.ident,
        Item::Enum(of) => &of.ident,
        Item::Trait(of) => &of.ident,
        Item::Const(of) => &of.ident,
        Item::Static(of) => &of.ident,
        Item::Type(of) => &of.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn visibility(item: &Item) -> bool {
    match item {
        Item::Fn(of) => is_public(&of.vis),
        Item::Struct(of) => is_public(&of.vis),
        Item::Enum(of) => is_public(&of.vis),
        Item::Trait(of) => is_public(&of.vis),
        Item::Const(of) => is_public(&of.vis),
        Item::Static(of) => is_public(&of.vis),
        Item::Type(of) => is_public(&of.vis),
        _ => false,
    }
}

fn only_for_tests(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Fn(of) => &of.attrs,
        Item::Mod(of) => &of.attrs,
        Item::Use(of) => &of.attrs,
        Item::Struct(of) => &of.attrs,
        Item::Impl(of) => &of.attrs,
        Item::Const(of) => &of.attrs,
        _ => &[],
    };
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}
