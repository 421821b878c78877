//! The configuration that trains on files that were looked at.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::{Inspection, Role, Scale};

/// A `[data]` section, and `[text]` where there is a BERT; none where the files do not suffice.
pub(super) fn suggest(inspections: &[Inspection]) -> Option<String> {
    let files = Files { inspections };
    let section = files
        .sequences()
        .or_else(|| files.one(Role::Pickle, "mmsa"))
        .or_else(|| files.one(Role::Packed, "packed"))
        .or_else(|| files.table())?;
    let mut text = format!("[data]\n{section}");
    if let Some(bert) = files.first(Role::TextEncoder) {
        let _ = write!(text, "\n[text]\nbert = {}\n", quoted(&bert.path));
        if bert.usable.why.contains("from_scratch") {
            text += "from_scratch = true\n";
        }
    }
    Some(text)
}

struct Files<'a> {
    inspections: &'a [Inspection],
}

impl<'a> Files<'a> {
    fn all(&self, role: Role) -> impl Iterator<Item = &'a Inspection> {
        let inspections = self.inspections.iter();
        inspections.filter(move |inspection| inspection.usable.role == Some(role))
    }

    fn first(&self, role: Role) -> Option<&'a Inspection> {
        self.all(role).next()
    }

    /// The folder that all given files are below.
    fn folder(&self, files: &[&Inspection]) -> PathBuf {
        let mut folders = files.iter().map(|file| match file.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        });
        let mut common = folders.next().unwrap_or(Path::new(".")).to_path_buf();
        for folder in folders {
            while !folder.starts_with(&common) {
                if !common.pop() {
                    break;
                }
            }
        }
        common
    }

    /// `kind = "sdk"`: labels, and words, a table or features besides.
    fn sequences(&self) -> Option<String> {
        let labels = self.first(Role::Labels)?;
        let parts = [Role::Words, Role::Table, Role::Vision, Role::Audio].map(|r| self.first(r));
        let [words, table, vision, audio] = parts;
        let text = words.or(table);
        let modalities: Vec<&str> = [("text", text), ("vision", vision), ("audio", audio)]
            .into_iter()
            .filter_map(|(name, file)| file.map(|_| name))
            .collect();
        if modalities.is_empty() {
            return None;
        }
        let table_splits = table.filter(|table| !table.splits.is_empty());
        let folds = match table_splits {
            Some(_) => None,
            None => self.first(Role::Folds),
        };
        let every = [Some(labels), words, table, vision, audio, folds];
        let files: Vec<&Inspection> = every.into_iter().flatten().collect();
        let folder = self.folder(&files);
        let mut lines = vec![
            "kind = \"sdk\"".to_owned(),
            format!("dir = {}", quoted(&folder)),
            format!("modalities = {modalities:?}"),
            self.line(Role::Labels, labels, &folder),
        ];
        for role in [Role::Words, Role::Table, Role::Vision, Role::Audio] {
            let file = self.first(role);
            lines.extend(file.map(|file| self.line(role, file, &folder)));
        }
        if text.is_some() {
            let from = if table.is_some() { "table" } else { "words" };
            lines.push(format!("text_from = {from:?}"));
        }
        lines.extend(splits(table_splits.is_some(), folds, labels, &folder));
        lines.extend(scale(labels));
        Some(lines.join("\n") + "\n")
    }

    /// A pickle or a packed set.
    fn one(&self, role: Role, kind: &str) -> Option<String> {
        let file = self.first(role)?;
        let held = ["text", "vision", "audio"].into_iter();
        let held: Vec<&str> = held
            .filter(|&name| {
                let table = name == "text" && self.first(Role::Table).is_some();
                table || file.sequences.iter().any(|s| s.name == name && s.rows > 0)
            })
            .collect();
        let folder = self.folder(&[file]);
        let mut lines = vec![
            format!("kind = {kind:?}"),
            format!("dir = {}", quoted(&folder)),
            format!("modalities = {held:?}"),
            self.line(role, file, &folder),
        ];
        if kind == "mmsa" {
            let table = self.first(Role::Table);
            let table = table.map(|table| self.line(Role::Table, table, &folder));
            lines.extend(table);
        }
        lines.extend(scale(file));
        Some(lines.join("\n") + "\n")
    }

    fn table(&self) -> Option<String> {
        let table = self.first(Role::Table)?;
        let folder = self.folder(&[table]);
        let mut lines = vec![
            "kind = \"table\"".to_owned(),
            format!("dir = {}", quoted(&folder)),
            "modalities = [\"text\"]".to_owned(),
            self.line(Role::Table, table, &folder),
            "split_from = \"table\"".to_owned(),
        ];
        lines.extend(scale(table));
        Some(lines.join("\n") + "\n")
    }

    /// `key = "file"`, and which other files could stand there.
    fn line(&self, role: Role, file: &Inspection, folder: &Path) -> String {
        let key = role.key().trim_start_matches("data.");
        let name = file.path.strip_prefix(folder).unwrap_or(&file.path);
        let others: Vec<String> = self
            .all(role)
            .filter(|other| other.path != file.path)
            .map(Inspection::name)
            .collect();
        match others.as_slice() {
            [] => format!("{key} = {}", quoted(name)),
            others => format!("{key} = {} # or {}", quoted(name), others.join(", ")),
        }
    }
}

/// Where the split comes from: the table, a folds file beside, or the standard folds that the labels' videos are in.
fn splits(
    table: bool,
    folds: Option<&Inspection>,
    labels: &Inspection,
    folder: &Path,
) -> Vec<String> {
    if table {
        return vec!["split_from = \"table\"".to_owned()];
    }
    let by_folds = "split_from = \"folds\"".to_owned();
    if let Some(folds) = folds {
        let name = folds.path.strip_prefix(folder).unwrap_or(&folds.path);
        return vec![by_folds, format!("folds = {}", quoted(name))];
    }
    match labels.folds.first() {
        Some(standard) => vec![
            by_folds,
            format!("folds = \"data/folds/{}.json\"", standard.name),
        ],
        None => vec![
            by_folds,
            "folds = \"folds.json\" # to be written: {\"train\": [..], \"valid\": [..], \"test\": [..]}"
                .to_owned(),
        ],
    }
}

fn scale(file: &Inspection) -> Option<String> {
    let labels = file.labels.as_ref()?;
    (labels.scale == Scale::Five).then(|| "label_range = [-1.0, 1.0]".to_owned())
}

/// A TOML string.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}
