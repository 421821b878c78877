//! Event files that TensorBoard reads: one scalar per tag and epoch, for `train --log tensorboard`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use mmrest_learner::train::{EpochRow, Observer};
use prost::Message;

/// What the first event of a file says.
const VERSION: &str = "brain.Event:2";
/// `SessionLog::START`: what earlier files say of this step and later ones no longer holds.
const START: i32 = 1;

/// An event, with the fields that are used; numbers and names are those of TensorFlow's `event.proto`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

/// The numbers of a step.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

/// A number by its tag.
#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// Where a session stands.
#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Watches a run for another observer, and writes its epochs to an event file.
pub(crate) struct EventLog {
    watched: Arc<dyn Observer>,
    folder: PathBuf,
    /// The file, from the first epoch on; none after it could not be written.
    file: Mutex<State>,
}

enum State {
    Absent,
    Open(File),
    Failed,
}

impl EventLog {
    /// Writes into a folder, which is made with the first epoch.
    pub(crate) fn new(watched: Arc<dyn Observer>, folder: PathBuf) -> Self {
        Self {
            watched,
            folder,
            file: Mutex::new(State::Absent),
        }
    }

    fn write(&self, row: &EpochRow) -> io::Result<()> {
        let mut state = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let step = row.epoch as i64;
        if let State::Absent = *state {
            let opened = open(&self.folder, step);
            *state = match opened {
                Ok(file) => State::Open(file),
                Err(error) => {
                    *state = State::Failed;
                    return Err(error);
                }
            };
        }
        let State::Open(file) = &mut *state else {
            return Ok(());
        };
        let summary = Summary {
            value: scalars(row),
        };
        let event = Event {
            step,
            summary: Some(summary),
            ..now()
        };
        let written = append(file, &event);
        if written.is_err() {
            *state = State::Failed;
        }
        written
    }
}

impl Observer for EventLog {
    fn stage(&self, name: &str) {
        self.watched.stage(name);
    }

    fn batch(&self, epoch: usize, epochs: usize, done: usize, total: usize, loss: f64) {
        self.watched.batch(epoch, epochs, done, total, loss);
    }

    fn epoch(&self, row: &EpochRow, epochs: usize) {
        self.watched.epoch(row, epochs);
        if let Err(error) = self.write(row) {
            self.watched.warning(&format!(
                "{}: TensorBoard's events cannot be written ({error}): the run goes on without them",
                self.folder.display()
            ));
        }
    }

    fn note(&self, message: &str) {
        self.watched.note(message);
    }

    fn warning(&self, message: &str) {
        self.watched.warning(message);
    }
}

/// Opens a new file in the folder, whose numbers begin at `step`.
fn open(folder: &Path, step: i64) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let event = now();
    // In the order of their names, files are read as one; a resumed run has one for each start.
    let name = format!(
        "events.out.tfevents.{:.6}.mmrest.{}",
        event.wall_time,
        std::process::id()
    );
    let path = folder.join(name);
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let version = Event {
        file_version: Some(VERSION.to_owned()),
        ..event.clone()
    };
    append(&mut file, &version)?;
    let start = Event {
        step,
        session_log: Some(SessionLog { status: START }),
        ..event
    };
    append(&mut file, &start)?;
    Ok(file)
}

fn now() -> Event {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Event {
        wall_time: since.map_or(0.0, |since| since.as_secs_f64()),
        ..Event::default()
    }
}

/// Writes a record: length, its checksum, the bytes, their checksum.
fn append(file: &mut impl Write, event: &Event) -> io::Result<()> {
    let bytes = event.encode_to_vec();
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked(&length).to_le_bytes());
    record.extend(&bytes);
    record.extend(masked(&bytes).to_le_bytes());
    file.write_all(&record)
}

/// The checksum of a record: CRC-32C, rotated and shifted so that checksums of checksums are no problem.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// An epoch's numbers. What is before the slash is a group of charts.
fn scalars(row: &EpochRow) -> Vec<Scalar> {
    let mut scalars = Vec::new();
    let mut add = |group: &str, name: &str, value: f64| {
        scalars.push(Scalar {
            tag: format!("{group}/{name}"),
            #[allow(clippy::cast_possible_truncation)]
            simple_value: Some(value as f32),
        });
    };
    add("loss", "total", row.loss);
    row.losses
        .iter()
        .for_each(|(name, value)| add("loss", name, *value));
    row.active
        .iter()
        .for_each(|(name, value)| add("active", name, *value));
    row.valid
        .named()
        .for_each(|(name, value)| add("valid", name, value));
    let test = row.test.iter().flat_map(|test| test.named());
    test.for_each(|(name, value)| add("test", name, value));
    for (group, columns) in [
        ("learning_rate", &row.learning_rates),
        ("gradient_norm", &row.gradient_norms),
    ] {
        for (name, value) in columns {
            let name = if name.is_empty() { "rest" } else { name };
            add(group, name, *value);
        }
    }
    row.model
        .iter()
        .for_each(|(name, value)| add("model", name, *value));
    add("epoch", "train_seconds", row.train_seconds);
    add("epoch", "skipped_steps", row.skipped_steps as f64);
    add("epoch", "selected", f64::from(u8::from(row.selected)));
    scalars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_framed_as_tensorflow_frames_it() {
        let mut file = Vec::new();
        let event = Event {
            wall_time: 0.0,
            file_version: Some(VERSION.to_owned()),
            ..Event::default()
        };
        append(&mut file, &event).unwrap();
        assert_eq!(file[..8], 15u64.to_le_bytes());
        assert_eq!(file[12..14], [0x1a, 13], "field 3, a string of 13");
        assert_eq!(&file[14..27], VERSION.as_bytes());
        assert_eq!(file.len(), 8 + 4 + 15 + 4);
        // The checksum of TFRecord's documentation: crc32c("123456789") is e3069283.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(b""), 0xa282_ead8);
    }
}
