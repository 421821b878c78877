//! Tables of features that other programs write: OpenFace, openSMILE, py-feat.

mod rows;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::str::FromStr;

use mmrest_data::text::{few, quoted};
use serde::{Deserialize, Serialize};

pub(crate) use self::rows::TableReader;
use crate::error::{MediaError, Result};
use crate::file::MediaFile;

/// Frames of a face that is found with less confidence than this are left out.
pub const LEAST_CONFIDENCE: f32 = 0.5;

/// The most bytes of a table's header, all its lines together.
const MOST_HEADER: u64 = 1 << 20;

/// The program that wrote a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// OpenFace's `FeatureExtraction`: a row per frame of a video, with its time and the face's confidence.
    OpenFace,
    /// openSMILE: `SMILExtract`'s CSV and ARFF, or a table of its Python package; a row per frame, or per stretch of time
    /// (functionals).
    OpenSmile,
    /// py-feat: a row per frame and face, without times.
    PyFeat,
}

impl Tool {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenFace => "OpenFace",
            Self::OpenSmile => "openSMILE",
            Self::PyFeat => "py-feat",
        }
    }
}

/// Columns of OpenFace that published data sets hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFaceColumns {
    /// All 709 of CH-SIMS: gaze (288), pose (6), landmarks in two and three dimensions (340), shape (40), action units (35).
    All709,
    /// The 177 of CH-SIMS v2: pose (6), landmarks in two dimensions (136), action units (35).
    Some177,
}

impl OpenFaceColumns {
    /// Their names, in the order of OpenFace's own files.
    pub fn names(self) -> Vec<String> {
        let axes = |name: &str, axes: &[&str]| -> Vec<String> {
            axes.iter().map(|axis| format!("{name}{axis}")).collect()
        };
        let numbered = |names: &[&str], count: usize| -> Vec<String> {
            let all = names.iter();
            all.flat_map(|name| (0..count).map(move |i| format!("{name}{i}")))
                .collect()
        };
        let gaze = [
            axes("gaze_0_", &["x", "y", "z"]),
            axes("gaze_1_", &["x", "y", "z"]),
            axes("gaze_angle_", &["x", "y"]),
            numbered(
                &[
                    "eye_lmk_x_",
                    "eye_lmk_y_",
                    "eye_lmk_X_",
                    "eye_lmk_Y_",
                    "eye_lmk_Z_",
                ],
                56,
            ),
        ];
        let pose = axes("pose_", &["Tx", "Ty", "Tz", "Rx", "Ry", "Rz"]);
        let flat = numbered(&["x_", "y_"], 68);
        let deep = numbered(&["X_", "Y_", "Z_"], 68);
        let shape = [
            axes("p_", &["scale", "rx", "ry", "rz", "tx", "ty"]),
            numbered(&["p_"], 34),
        ];
        let intensities = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45];
        let presences = [
            1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45,
        ];
        let units = [
            intensities.map(|unit| format!("AU{unit:02}_r")).to_vec(),
            presences.map(|unit| format!("AU{unit:02}_c")).to_vec(),
        ];
        match self {
            Self::All709 => [
                gaze.concat(),
                pose,
                flat,
                deep,
                shape.concat(),
                units.concat(),
            ]
            .concat(),
            Self::Some177 => [pose, flat, units.concat()].concat(),
        }
    }
}

impl FromStr for OpenFaceColumns {
    type Err = UnknownColumns;

    fn from_str(name: &str) -> std::result::Result<Self, UnknownColumns> {
        match name {
            "709" => Ok(Self::All709),
            "177" => Ok(Self::Some177),
            _ => Err(UnknownColumns(name.to_owned())),
        }
    }
}

/// What is no name of [`OpenFaceColumns`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no columns of OpenFace \"{0}\": there are 709 and 177")]
pub struct UnknownColumns(pub String);

/// What is taken of the tables of a data set: the same columns of all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableSet {
    /// The program that wrote them.
    pub tool: Tool,
    /// The least confidence of a frame that is taken, of tables of faces.
    pub least_confidence: Option<f32>,
    /// Names of the columns, in order.
    pub columns: Vec<String>,
}

impl TableSet {
    /// What a table holds; of one of OpenFace the columns that are asked for, or the larger of the two sets that it has.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is of another program, or lacks columns.
    pub fn of(path: &Path, columns: Option<OpenFaceColumns>) -> Result<Self> {
        let header = Header::read(path.into())?;
        let tool = header.tool(path)?;
        let least_confidence = (tool != Tool::OpenSmile).then_some(LEAST_CONFIDENCE);
        let columns = match (tool, columns) {
            (Tool::OpenFace, Some(columns)) => columns.names(),
            (Tool::OpenFace, None) => {
                let has = |columns: &OpenFaceColumns| header.lacks(&columns.names()).is_empty();
                let sets = [OpenFaceColumns::All709, OpenFaceColumns::Some177];
                let largest = sets.into_iter().find(has);
                largest.unwrap_or(OpenFaceColumns::Some177).names()
            }
            (_, Some(_)) => {
                let reason = format!("a table of {}, not of OpenFace", tool.name());
                return Err(MediaError::text(path, reason));
            }
            (_, None) => header.features(tool),
        };
        let set = Self {
            tool,
            least_confidence,
            columns,
        };
        set.places(path, &header)?;
        Ok(set)
    }

    /// Where the columns are in a table.
    fn places(&self, path: &Path, header: &Header) -> Result<Vec<usize>> {
        let tool = header.tool(path)?;
        if tool != self.tool {
            let (other, own) = (tool.name(), self.tool.name());
            let reason = format!("a table of {other}, where one of {own} is expected");
            return Err(MediaError::text(path, reason));
        }
        let missing = header.lacks(&self.columns);
        if self.columns.is_empty() || !missing.is_empty() {
            return Err(MediaError::text(
                path,
                format!(
                    "lacks {} of the {} columns that are taken: {}",
                    missing.len(),
                    self.columns.len(),
                    few(&missing, 3)
                ),
            ));
        }
        let columns = self.columns.iter();
        Ok(columns.filter_map(|name| header.place(name)).collect())
    }
}

/// The columns of a table, and where its rows begin.
struct Header {
    columns: Vec<String>,
    /// Where the columns are, of several of a name the first.
    places: HashMap<String, usize>,
    /// Of an ARFF file: whether a column is of numbers.
    numeric: Option<Vec<bool>>,
    separator: u8,
    /// Bytes before the first row, and their lines.
    length: u64,
    lines: usize,
}

impl Header {
    fn read(file: MediaFile<'_>) -> Result<Self> {
        let path = file.name();
        let io = |error| MediaError::io(path, error);
        let mut reader = BufReader::new(file.open()?);
        let mut header = Self {
            columns: Vec::new(),
            places: HashMap::new(),
            numeric: None,
            separator: b',',
            length: 0,
            lines: 0,
        };
        let mut attributes: Vec<(String, bool)> = Vec::new();
        loop {
            let mut line = Vec::new();
            let left = (MOST_HEADER + 1).saturating_sub(header.length);
            let read = reader.by_ref().take(left).read_until(b'\n', &mut line);
            let read = read.map_err(io)?;
            header.length += read as u64;
            header.lines += 1;
            if header.length > MOST_HEADER || read == 0 {
                let reason = match header.length {
                    0 => "the file is empty",
                    1..=MOST_HEADER => "no header of a table",
                    _ => "no header of a table within its first MiB",
                };
                return Err(MediaError::text(path, reason));
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_start_matches('\u{feff}').trim();
            let lower = line.to_ascii_lowercase();
            if line.is_empty() || (line.starts_with('%') && header.columns.is_empty()) {
                continue;
            }
            if lower.starts_with("@relation") {
                continue;
            }
            if lower.starts_with("@attribute") {
                attributes.extend(attribute(line));
                continue;
            }
            if lower.starts_with("@data") {
                let (columns, numeric) = attributes.into_iter().unzip();
                header.numeric = Some(numeric);
                return Ok(header.with(columns));
            }
            let separators = [b',', b';', b'\t'];
            let often = |separator: &u8| line.bytes().filter(|byte| byte == separator).count();
            let separator = separators.into_iter().max_by_key(often);
            header.separator = separator.unwrap_or(b',');
            let cells = line.split(char::from(header.separator));
            let columns = cells.map(|cell| cell.trim().trim_matches('"').to_owned());
            return Ok(header.with(columns.collect()));
        }
    }

    fn with(mut self, columns: Vec<String>) -> Self {
        for (place, name) in columns.iter().enumerate() {
            self.places.entry(name.clone()).or_insert(place);
        }
        self.columns = columns;
        self
    }

    /// Columns up to the last that has a name: some programs end a header with a separator.
    fn named(&self) -> usize {
        let last = self.columns.iter().rposition(|name| !name.is_empty());
        last.map_or(0, |last| last + 1)
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    fn lacks(&self, names: &[String]) -> Vec<String> {
        names
            .iter()
            .filter(|name| !self.has(name))
            .cloned()
            .collect()
    }

    /// The program that writes such a table.
    fn tool(&self, path: &Path) -> Result<Tool> {
        if self.has("confidence") && self.has("timestamp") {
            return Ok(Tool::OpenFace);
        }
        if self.has("FaceScore") {
            return Ok(Tool::PyFeat);
        }
        if self.numeric.is_some() || self.has("frameTime") || (self.has("start") && self.has("end"))
        {
            return Ok(Tool::OpenSmile);
        }
        let reason = if self.has("confidence") {
            "a table of OpenFace without timestamp, as it is written for single images: run FeatureExtraction on the video"
                .to_owned()
        } else {
            format!(
                "no table of OpenFace, openSMILE or py-feat: its columns are {}",
                few(
                    &self
                        .columns
                        .iter()
                        .map(|name| quoted(name))
                        .collect::<Vec<_>>(),
                    5
                )
            )
        };
        Err(MediaError::text(path, reason))
    }

    /// The columns that are features.
    fn features(&self, tool: Tool) -> Vec<String> {
        let is_feature = |(place, name): &(usize, &String)| {
            let numeric = self.numeric.as_ref().is_none_or(|numeric| numeric[*place]);
            let about = match tool {
                Tool::PyFeat => {
                    name.starts_with("FaceRect")
                        || name.starts_with("Identity")
                        || ABOUT_FACE.contains(&name.as_str())
                }
                _ => ABOUT_SOUND.contains(&name.as_str()),
            };
            numeric && !about
        };
        let columns = self.columns.iter().enumerate().filter(is_feature);
        columns.map(|(_, name)| name.clone()).collect()
    }
}

/// Columns of py-feat that are no features.
const ABOUT_FACE: [&str; 9] = [
    "",
    "Unnamed: 0",
    "FaceScore",
    "frame",
    "Frame",
    "approx_time",
    "input",
    "FrameHeight",
    "FrameWidth",
];

/// Columns of openSMILE that are no features.
const ABOUT_SOUND: [&str; 9] = [
    "",
    "Unnamed: 0",
    "name",
    "file",
    "start",
    "end",
    "frameTime",
    "frameIndex",
    "class",
];

/// Name of an ARFF attribute, and whether it is a number.
fn attribute(line: &str) -> Option<(String, bool)> {
    let rest = line.get("@attribute".len()..)?.trim();
    let (name, kind) = match rest.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'')?,
        None => rest.split_once([' ', '\t'])?,
    };
    let kind = kind.trim().to_ascii_lowercase();
    let numeric = ["numeric", "real", "integer"].contains(&kind.as_str());
    Some((name.to_owned(), numeric))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use mmrest_data::csd::{Entry, Features};

    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn rows(
        text: &str,
        spans: &[[f64; 2]],
        rate: Option<f64>,
    ) -> Result<(Vec<Entry>, Vec<String>)> {
        let (_folder, path) = written(text);
        let set = TableSet::of(&path, None)?;
        let mut reader = TableReader::open(MediaFile::Disk(&path), &set, rate)?;
        let mut entries = Vec::new();
        for (i, &span) in spans.iter().enumerate() {
            let keep = spans.get(i + 1).map_or(f64::INFINITY, |span| span[0]);
            entries.push(reader.rows(span, keep)?);
        }
        Ok((entries, reader.notes()))
    }

    fn values(entry: &Entry) -> Vec<f32> {
        match &entry.features {
            Features::Numeric { values, .. } => values.clone(),
            Features::Text(_) => panic!("numbers"),
        }
    }

    fn openface(columns: &[String], rows: &[(f64, f32, u8)]) -> String {
        let mut text = format!(
            "frame, face_id, timestamp, confidence, success, {}\n",
            columns.join(", ")
        );
        for (i, (time, confidence, success)) in rows.iter().enumerate() {
            let values = vec![(i + 1).to_string(); columns.len()].join(", ");
            text += &format!(
                "{}, 0, {time:.3}, {confidence}, {success}, {values}\n",
                i + 1
            );
        }
        text
    }

    #[test]
    fn the_published_column_sets_have_their_sizes() {
        let all = OpenFaceColumns::All709.names();
        let some = OpenFaceColumns::Some177.names();
        assert_eq!((all.len(), some.len()), (709, 177));
        let known: std::collections::HashSet<&String> = all.iter().collect();
        assert_eq!(known.len(), 709);
        assert!(some.iter().all(|name| known.contains(name)));
        assert_eq!(
            (&*all[0], &*all[288], &*all[708]),
            ("gaze_0_x", "pose_Tx", "AU45_c")
        );
        assert!("179".parse::<OpenFaceColumns>().is_err());
    }

    #[test]
    fn frames_of_openface_are_cut_by_time_and_unsure_ones_left_out() {
        let columns = OpenFaceColumns::Some177.names();
        let frames = [
            (0.0, 0.9, 1),
            (0.1, 0.3, 1),
            (0.2, 0.9, 0),
            (0.3, 0.9, 1),
            (0.4, 0.9, 1),
        ];
        let text = openface(&columns, &frames);
        let spans = [[0.0, 0.35], [0.3, 0.45]];
        let (entries, notes) = rows(&text, &spans, None).unwrap();
        let firsts =
            |entry: &Entry| -> Vec<f32> { values(entry).chunks(177).map(|row| row[0]).collect() };
        assert_eq!(firsts(&entries[0]), [1.0, 4.0]);
        assert_eq!(entries[0].intervals, [[0.0, 0.1], [0.3, 0.35]]);
        assert_eq!(
            firsts(&entries[1]),
            [4.0, 5.0],
            "the second span begins within the first"
        );
        assert!(
            notes[0].contains("2 of 5 frames without a face"),
            "{notes:?}"
        );
    }

    #[test]
    fn the_larger_set_of_columns_is_taken_unless_one_is_asked_for() {
        let (_folder, path) = written(&openface(
            &OpenFaceColumns::All709.names(),
            &[(0.0, 1.0, 1)],
        ));
        assert_eq!(TableSet::of(&path, None).unwrap().columns.len(), 709);
        let asked = TableSet::of(&path, Some(OpenFaceColumns::Some177)).unwrap();
        assert_eq!(asked.columns, OpenFaceColumns::Some177.names());
        let (_folder, path) = written(&openface(
            &OpenFaceColumns::Some177.names()[1..],
            &[(0.0, 1.0, 1)],
        ));
        let error = TableSet::of(&path, None).unwrap_err().to_string();
        assert!(
            error.contains("lacks 1 of the 177 columns that are taken: pose_Tx"),
            "{error}"
        );
    }

    #[test]
    fn opensmiles_tables_are_read_in_all_their_forms() {
        let spans = [[0.0, 0.015], [0.015, 0.03]];
        let extract = "name;frameTime;Loudness_sma3;mfcc1_sma3\n'a';0.00;1;-1\n'a';0.01;2;-2\n'a';0.02;3;-3\n";
        let python = "file,start,end,Loudness_sma3,mfcc1_sma3\n\
            a.wav,0 days 00:00:00,0 days 00:00:00.010000,1,-1\n\
            a.wav,0 days 00:00:00.010000,0 days 00:00:00.020000,2,-2\n\
            a.wav,0 days 00:00:00.020000,0 days 00:00:00.030000,3,-3\n";
        let arff = "@relation x\n\n@attribute name string\n@attribute frameTime numeric\n\
            @attribute Loudness_sma3 numeric\n@attribute mfcc1_sma3 numeric\n@attribute class numeric\n\n@data\n\n\
            'a, b',0.00,1,-1,?\n'a, b',0.01,2,-2,?\n'a, b',0.02,3,-3,?\n";
        for text in [extract, python, arff] {
            let (entries, notes) = rows(text, &spans, None).unwrap();
            assert_eq!(values(&entries[0]), [1.0, -1.0, 2.0, -2.0], "{text}");
            assert_eq!(values(&entries[1]), [2.0, -2.0, 3.0, -3.0], "{text}");
            assert_eq!(entries[1].intervals, [[0.015, 0.02], [0.02, 0.03]]);
            assert!(notes.is_empty());
        }
        // Functionals of the whole recording are those of each of its segments.
        let functionals = "name;frameTime;F0_amean;\n'unknown';0.000000;27.5\n";
        let (entries, _) = rows(functionals, &spans, None).unwrap();
        assert!(entries.iter().all(|entry| values(entry) == [27.5]));
        assert_eq!(entries[1].intervals, [[0.015, 0.03]]);
    }

    #[test]
    fn frames_of_py_feat_are_counted_and_the_surest_face_is_taken() {
        let text = ",FaceRectX,FaceScore,x_0,AU01,happiness,input,frame\n\
            0,1.5,0.9,10,0.1,0.5,v.mp4,0\n1,1.5,0.99,11,0.2,0.6,v.mp4,0\n2,1.5,,,,,v.mp4,1\n3,1.5,0.8,12,0.3,0.7,v.mp4,2\n";
        let (entries, notes) = rows(text, &[[0.0, 1.0]], Some(10.0)).unwrap();
        assert_eq!(values(&entries[0]), [11.0, 0.2, 0.6, 12.0, 0.3, 0.7]);
        assert_eq!(entries[0].intervals[1], [0.2, 0.2 + 0.1]);
        let notes = notes.join("\n");
        assert!(notes.contains("1 of 3 frames without a face"), "{notes}");
        assert!(notes.contains("1 frame of several faces"), "{notes}");
        let error = rows(text, &[[0.0, 1.0]], None).unwrap_err().to_string();
        assert!(error.contains("counts frames"), "{error}");
    }

    #[test]
    fn what_is_no_such_table_is_refused_in_a_sentence() {
        let loud = "name;frameTime;Loudness_sma3\n";
        for (text, said) in [
            ("", "the file is empty"),
            (
                "a,b,c\n1,2,3\n",
                "no table of OpenFace, openSMILE or py-feat: its columns are \"a\", \"b\", \"c\"",
            ),
            (
                "face, confidence, AU01_r\n0, 1, 2\n",
                "as it is written for single images",
            ),
            (loud, "no row below its header"),
            (&format!("{loud}a;0.0;x\n"), "line 2: \"x\" is no number"),
            (
                &format!("{loud}a;0.0;1\na;0.1\n"),
                "line 3: 2 cells, but the header names 3 columns",
            ),
            (
                &"@attribute a numeric\n".repeat(60_000),
                "no header of a table within its first MiB",
            ),
            (&format!("{loud}a;soon;1\n"), "line 2: \"soon\" is no time"),
            (
                &format!("{loud}a;0.0;1\na;0.2;1\na;0.1;1\n"),
                "line 4: its time, 0.1 s, is before that of the row above",
            ),
        ] {
            let error = rows(text, &[[0.0, 9.0]], None).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
            assert!(error.contains("table.csv"), "{error}");
        }
    }
}
