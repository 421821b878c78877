//! One split of a pickle as it is stored: a dictionary of columns, or a list of segments.

use crate::pickle::{Element, Id, Kind, Pickle, Value};
use crate::{Modality, Split};

use super::cells::{Column, Columns};

/// What a column of a split is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Id,
    Text,
    Label,
    Frames(Modality),
    /// Stated lengths of a modality's sequences.
    Lengths(Modality),
}

impl Role {
    /// The keys it is found under; the first is the one that errors name.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Id => &["id", "ids", "segment_id"],
            Self::Text | Self::Frames(Modality::Text) => {
                &["raw_text", "raw_texts", "transcript", "text"]
            }
            Self::Label => &["regression_labels", "labels", "label", "sentiment"],
            Self::Frames(Modality::Vision) => &["vision", "visual", "video"],
            Self::Frames(Modality::Audio) => &["audio", "acoustic"],
            Self::Lengths(Modality::Vision) => &["vision_lengths", "visual_lengths"],
            Self::Lengths(Modality::Audio) => &["audio_lengths", "acoustic_lengths"],
            Self::Lengths(Modality::Text) => &[],
        }
    }
}

/// Keys of MMSA's and CH-SIMS's releases that are not needed: text is encoded from the words.
const NOT_NEEDED: [&str; 12] = [
    "text",
    "text_bert",
    "classification_labels",
    "annotations",
    "annotation",
    "regression_labels_T",
    "regression_labels_A",
    "regression_labels_V",
    "labels",
    "mask",
    "translated_text",
    "text_lengths",
];

/// Fields of a segment that is a tuple, and fields of those, are no more.
const MOST_FIELDS: usize = 12;

/// A split of a release.
#[derive(Debug)]
pub(super) struct View {
    /// Which of the pickles it is in.
    pub(super) pickle: usize,
    /// None of data that are not divided.
    pub(super) split: Option<Split>,
    /// What the file calls the split.
    pub(super) name: String,
    pub(super) form: Form,
}

/// How a split is stored.
#[derive(Debug)]
pub(super) enum Form {
    /// A dictionary with an array or a list for each key.
    Columns(Id),
    /// A list of `((words, vision, audio), label, id)`, one for each segment.
    Segments(Box<Segments>),
}

/// The fields of each segment of a list.
#[derive(Debug, Default)]
pub(super) struct Segments {
    words: Vec<Id>,
    vision: Vec<Id>,
    audio: Vec<Id>,
    labels: Vec<Id>,
    ids: Vec<Id>,
    /// Lengths of vision and audio, where every segment states them.
    lengths: [Vec<Id>; 2],
}

impl Form {
    /// Tells how a split is stored, or why it is not known.
    pub(super) fn read(value: Value<'_>) -> Result<Self, String> {
        match value.kind() {
            Kind::Dict => Ok(Self::Columns(value.id())),
            Kind::List | Kind::Tuple => Ok(Self::Segments(Box::new(Segments::read(value)?))),
            _ => Err(format!("{}, not a dictionary", value.what())),
        }
    }

    /// Number of segments, as far as ids or labels tell.
    pub(super) fn segments(&self, pickle: &Pickle, value: Value<'_>) -> Option<usize> {
        match self {
            Self::Segments(segments) => Some(segments.ids.len()),
            Self::Columns(_) => {
                let column = [Role::Id, Role::Label]
                    .into_iter()
                    .find_map(|role| found(pickle, value, role))?;
                rows(column.1)
            }
        }
    }

    pub(super) fn is_empty_list(&self) -> bool {
        matches!(self, Self::Segments(segments) if segments.ids.is_empty())
    }

    /// Whether a dictionary has a column for a role.
    pub(super) fn has_key(&self, pickle: &Pickle, role: Role, value: Value<'_>) -> bool {
        matches!(self, Self::Columns(_)) && found(pickle, value, role).is_some()
    }
}

/// The rows of an array, a list or a tuple.
fn rows(value: Value<'_>) -> Option<usize> {
    match value.kind() {
        Kind::Dict => None,
        _ => value
            .array()
            .map(|array| array.rows())
            .or_else(|| value.count()),
    }
}

/// The column of a dictionary for a role, with its key.
fn found<'p>(_: &'p Pickle, value: Value<'p>, role: Role) -> Option<(&'static str, Value<'p>)> {
    let mut keys = role.keys().iter();
    keys.find_map(|&key| {
        let column = value.get(key)?;
        // Under "text" MMSA has vectors; others have the words.
        let fits = match (role, key) {
            (Role::Text, "text") => is_text(column),
            (Role::Frames(_), "video") => !is_text(column),
            _ => true,
        };
        fits.then_some((key, column))
    })
}

/// Whether a column holds text, by its type or its first item.
fn is_text(value: Value<'_>) -> bool {
    if let Kind::Array(array) = value.kind()
        && array.dtype().element != Element::Object
    {
        return array.dtype().element == Element::Text;
    }
    let first = value.first();
    first.is_some_and(|first| matches!(first.kind(), Kind::Text))
}

impl View {
    /// The split's dictionary; none of a list.
    pub(super) fn value<'p>(&self, pickle: &'p Pickle) -> Option<Value<'p>> {
        match self.form {
            Form::Columns(id) => Some(pickle.value(id)),
            Form::Segments(_) => None,
        }
    }

    /// Whether there is a column for a role.
    pub(super) fn has(&self, pickle: &Pickle, role: Role) -> bool {
        self.key(pickle, role).is_some()
    }

    /// The key of a role's column, or of the field of segments that stands for it.
    pub(super) fn key(&self, pickle: &Pickle, role: Role) -> Option<&'static str> {
        match &self.form {
            Form::Columns(id) => found(pickle, pickle.value(*id), role).map(|(key, _)| key),
            Form::Segments(segments) => {
                let there = segments.ids.is_empty() || !segments.of(role).is_empty();
                there.then(|| role.keys().first().copied()).flatten()
            }
        }
    }

    /// Reads a role's column; none where there is none.
    pub(super) fn column(
        &self,
        pickle: &Pickle,
        role: Role,
        columns: &mut Columns,
    ) -> crate::Result<Option<Result<Column, String>>> {
        match &self.form {
            Form::Columns(id) => match found(pickle, pickle.value(*id), role) {
                Some((_, value)) => columns.read(value).map(Some),
                None => Ok(None),
            },
            Form::Segments(segments) => {
                let ids = segments.of(role);
                if ids.is_empty() && !segments.ids.is_empty() {
                    return Ok(None);
                }
                let values: Vec<Value<'_>> = ids.iter().map(|&id| pickle.value(id)).collect();
                columns.rows(&values).map(Some)
            }
        }
    }

    /// Where the frames of a modality are.
    pub(super) fn frames<'p>(
        &'p self,
        pickle: &'p Pickle,
        modality: Modality,
    ) -> Option<Frames<'p>> {
        let role = Role::Frames(modality);
        match &self.form {
            Form::Columns(id) => {
                let (_, value) = found(pickle, pickle.value(*id), role)?;
                Some(Frames::Column(value))
            }
            Form::Segments(segments) => {
                let ids = segments.of(role);
                (segments.ids.is_empty() || !ids.is_empty()).then_some(Frames::Each(ids))
            }
        }
    }

    /// The words of each segment, where it is a list of them.
    pub(super) fn words(&self, pickle: &Pickle) -> Option<Vec<Id>> {
        match &self.form {
            Form::Segments(segments) => Some(segments.words.clone()),
            Form::Columns(id) => {
                let (_, value) = found(pickle, pickle.value(*id), Role::Text)?;
                let first = value.first()?;
                matches!(first.kind(), Kind::List | Kind::Tuple).then_some(())?;
                let items = value.items()?;
                Some(items.iter().map(|item| item.id()).collect())
            }
        }
    }

    /// Whether frames come before the zeros that fill up a sequence, by the keys that are there.
    pub(super) fn frames_come_first(&self, pickle: &Pickle) -> bool {
        let Some(value) = self.value(pickle) else {
            return true;
        };
        let lengths = [Modality::Vision, Modality::Audio].map(Role::Lengths);
        let by_role = [Role::Text, lengths[0], lengths[1]];
        by_role
            .into_iter()
            .any(|role| found(pickle, value, role).is_some())
            || ["regression_labels", "text_bert"]
                .iter()
                .any(|key| value.get(key).is_some())
    }

    /// Keys of arrays that could be frames and are not read.
    pub(super) fn unused(&self, pickle: &Pickle) -> Vec<String> {
        let Some(value) = self.value(pickle) else {
            return Vec::new();
        };
        let frames = [Modality::Vision, Modality::Audio].map(Role::Frames);
        let roles = [Role::Id, Role::Text, Role::Label, frames[0], frames[1]];
        let used: Vec<&str> = roles
            .into_iter()
            .filter_map(|role| found(pickle, value, role).map(|(key, _)| key))
            .collect();
        let entries = value.entries().unwrap_or_default();
        let unused = entries.into_iter().filter_map(|(key, value)| {
            let key = key.name()?;
            let known = used.contains(&key) || NOT_NEEDED.contains(&key);
            (!known && could_be_frames(value)).then(|| key.to_owned())
        });
        unused.take(20).collect()
    }
}

/// Whether a value is an array of at least two axes, or one of arrays.
fn could_be_frames(value: Value<'_>) -> bool {
    let array = value.array();
    if let Some(array) = array.filter(|array| array.dtype().element != Element::Object) {
        return array.dtype().is_numeric() && array.shape().len() >= 2 && array.row_elements() > 1;
    }
    let first = value.first();
    first.is_some_and(|first| first.array().is_some_and(|array| array.row_elements() > 1))
}

/// Frames as they are stored.
pub(super) enum Frames<'p> {
    /// An array, or a list of one for each segment.
    Column(Value<'p>),
    /// One value for each segment.
    Each(&'p [Id]),
}

impl Segments {
    fn of(&self, role: Role) -> &[Id] {
        match role {
            Role::Id => &self.ids,
            Role::Text | Role::Frames(Modality::Text) => &self.words,
            Role::Label => &self.labels,
            Role::Frames(Modality::Vision) => &self.vision,
            Role::Frames(Modality::Audio) => &self.audio,
            Role::Lengths(Modality::Vision) => &self.lengths[0],
            Role::Lengths(Modality::Audio) => &self.lengths[1],
            Role::Lengths(Modality::Text) => &[],
        }
    }

    /// Reads a list of tuples, or says which is none.
    fn read(list: Value<'_>) -> Result<Self, String> {
        let mut segments = Self::default();
        for (place, item) in list.items().unwrap_or_default().into_iter().enumerate() {
            let added = segments.push(item);
            added.map_err(|reason| {
                format!(
                    "{}, not a dictionary, and its item {place} is {reason}",
                    list.what()
                )
            })?;
        }
        let all = segments.ids.len();
        for lengths in &mut segments.lengths {
            if lengths.len() != all {
                lengths.clear();
            }
        }
        Ok(segments)
    }

    /// Adds a segment: `((words, vision, audio), label, id)`; `((indices, vision, audio, words), label, id)`, the lengths of
    /// vision and audio perhaps after the words; or the same without the inner tuple.
    fn push(&mut self, item: Value<'_>) -> Result<(), String> {
        let wanted = "not ((words, vision, audio), label, id)";
        let Some(fields) = fields(item) else {
            return Err(format!("{}, {wanted}", item.what()));
        };
        let inner = fields.first().copied().and_then(self::fields);
        let (features, label, id) = match (fields.as_slice(), inner) {
            (&[_, label, id], Some(features)) => (features, label, id),
            (&[ref features @ .., label, id], _) if features.len() >= 3 => {
                (features.to_vec(), label, id)
            }
            _ => {
                return Err(format!(
                    "{} of {} fields, {wanted}",
                    item.what(),
                    fields.len()
                ));
            }
        };
        let (&[first, vision, audio, ..], rest) = (features.as_slice(), features.get(3..)) else {
            return Err(format!(
                "a segment of {} features, {wanted}",
                features.len()
            ));
        };
        let rest = rest.unwrap_or_default();
        let words = match rest.first() {
            Some(&words) if words.count().is_some() || matches!(words.kind(), Kind::Text) => words,
            _ => first,
        };
        self.words.push(words.id());
        self.vision.push(vision.id());
        self.audio.push(audio.id());
        self.labels.push(label.id());
        self.ids.push(id.id());
        if let &[_, vision, audio] = rest {
            self.lengths[0].push(vision.id());
            self.lengths[1].push(audio.id());
        }
        Ok(())
    }
}

/// The fields of a tuple or list of no more than a few.
fn fields(value: Value<'_>) -> Option<Vec<Value<'_>>> {
    let few = matches!(value.kind(), Kind::List | Kind::Tuple)
        && value.count().is_some_and(|count| count <= MOST_FIELDS);
    few.then(|| value.items()).flatten()
}
