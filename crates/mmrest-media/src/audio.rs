//! Recordings: decoded, mixed to one channel, cut into clips, resampled.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as DecoderError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};

use crate::error::{MediaError, Result};
use crate::file::{MediaFile, OpenFile};
use crate::mp4;

/// The sample rate that an installed `ffmpeg` is asked for.
const FFMPEG_RATE: u32 = 48_000;

/// The highest sample rate that is read: a clip is held at the rate of its recording.
const HIGHEST_RATE: u32 = 192_000;

/// The greatest sample of a recording of floating-point numbers, in the scale of any whole numbers.
const GREATEST: f32 = 2_147_483_648.0;

/// What may be done for a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AudioLimits {
    /// The longest recording, in seconds; a longer one is an error once so much has been decoded.
    pub seconds: f64,
    /// Whether what is not decoded here may be given to an installed `ffmpeg`, which also follows what a recording refers
    /// to: not for files of strangers.
    pub ffmpeg: bool,
}

impl Default for AudioLimits {
    /// Any length, `ffmpeg` where it is installed.
    fn default() -> Self {
        Self {
            seconds: f64::INFINITY,
            ffmpeg: true,
        }
    }
}

/// Reads the audio of a recording as one channel, block by block.
///
/// Wav, flac, mp3, ogg (Vorbis), aiff and m4a/mp4 (AAC-LC) are decoded here; anything else by `ffmpeg`, where it is
/// installed. Channels are averaged. The encoder's priming samples of an mp4 file, which its edit list names, are left out.
pub struct AudioReader {
    path: PathBuf,
    sample_rate: u32,
    source: Source,
    /// Samples still to leave out at the beginning.
    priming: u64,
    /// Samples that may still be decoded.
    left: u64,
    limits: AudioLimits,
    damage: Damage,
}

enum Source {
    Decoder {
        format: Box<dyn FormatReader>,
        decoder: Box<dyn AudioDecoder>,
        track: u32,
    },
    Ffmpeg {
        child: Child,
        output: ChildStdout,
        /// Why it is not decoded here.
        reason: String,
    },
}

/// What of a recording could not be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Packets that were left out.
    pub packets: usize,
    /// Samples that are no finite numbers, or beyond any scale, and are taken as silence.
    pub samples: usize,
    /// The file ends within its audio.
    pub truncated: bool,
    /// All was decoded, but is not what was encoded: flac files have a checksum of their sound.
    pub altered: bool,
}

impl AudioReader {
    /// Opens a recording.
    ///
    /// # Errors
    ///
    /// The file cannot be read, has no audio, or is of a format that is not read.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_within(path.into(), AudioLimits::default())
    }

    /// As [`open`](Self::open), of a file that may be in memory, within limits.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_within(file: MediaFile<'_>, limits: AudioLimits) -> Result<Self> {
        let name = file.name();
        if matches!(file, MediaFile::Disk(path) if path.is_dir()) {
            return Err(MediaError::recording(name, "a folder, not a recording"));
        }
        let open = file.open()?;
        if open.byte_len() == Some(0) {
            return Err(MediaError::recording(name, "the file is empty"));
        }
        let opened = match (contained(name, || Self::decode(file, open)), file) {
            (Err(MediaError::Unsupported { reason, .. }), MediaFile::Disk(path))
                if limits.ffmpeg =>
            {
                Self::ffmpeg(path, reason)
            }
            (opened, _) => opened,
        };
        opened.map(|mut reader| {
            reader.left = (limits.seconds * f64::from(reader.sample_rate)) as u64;
            reader.limits = limits;
            reader
        })
    }

    fn decode(file: MediaFile<'_>, open: OpenFile) -> Result<Self> {
        let path = file.name();
        let unsupported = |reason: &str| MediaError::Unsupported {
            path: path.to_path_buf(),
            reason: reason.to_owned(),
        };
        let mut hint = Hint::new();
        if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
            hint.with_extension(extension);
        }
        let stream = MediaSourceStream::new(Box::new(open), Default::default());
        let format = symphonia::default::get_probe()
            .probe(&hint, stream, Default::default(), Default::default())
            .map_err(|error| match error {
                DecoderError::DecodeError(reason) => MediaError::recording(path, reason),
                _ => unsupported("no recording in a format that is decoded here"),
            })?;
        let track = format
            .default_track(TrackType::Audio)
            .ok_or_else(|| MediaError::NoAudio {
                path: path.to_path_buf(),
            })?;
        let parameters = track.codec_params.as_ref().and_then(|codec| codec.audio());
        let parameters = parameters.ok_or_else(|| unsupported("an audio codec that is unknown"))?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default().verify(true))
            .map_err(|_| unsupported("an audio codec that is not decoded here"))?;
        let sample_rate = parameters.sample_rate.unwrap_or(0);
        if sample_rate == 0 {
            return Err(MediaError::recording(
                path,
                "its header gives 0 samples a second",
            ));
        }
        if sample_rate > HIGHEST_RATE {
            return Err(MediaError::recording(
                path,
                format!("{sample_rate} samples a second, at most {HIGHEST_RATE} are read"),
            ));
        }
        let (id, delayed) = (track.id, track.delay.is_some());
        let priming = if delayed {
            0 // The decoder leaves it out.
        } else {
            mp4::priming(file, sample_rate).unwrap_or(0)
        };
        Ok(Self {
            path: path.to_path_buf(),
            sample_rate,
            source: Source::Decoder {
                format,
                decoder,
                track: id,
            },
            priming,
            left: u64::MAX,
            limits: AudioLimits::default(),
            damage: Damage::default(),
        })
    }

    fn ffmpeg(path: &Path, reason: String) -> Result<Self> {
        let rate = FFMPEG_RATE.to_string();
        let spawned = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-i"])
            .arg(path)
            .args(["-vn", "-f", "f32le", "-ac", "1", "-ar", &rate, "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let unsupported = |reason| MediaError::Unsupported {
            path: path.to_path_buf(),
            reason,
        };
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(unsupported(reason));
            }
            Err(error) => return Err(MediaError::io(Path::new("ffmpeg"), error)),
        };
        let Some(output) = child.stdout.take() else {
            return Err(unsupported(reason));
        };
        Ok(Self {
            path: path.to_path_buf(),
            sample_rate: FFMPEG_RATE,
            source: Source::Ffmpeg {
                child,
                output,
                reason,
            },
            priming: 0,
            left: u64::MAX,
            limits: AudioLimits::default(),
            damage: Damage::default(),
        })
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// What could not be decoded so far.
    pub fn damage(&self) -> Damage {
        self.damage
    }

    /// The next samples, at most some ten thousand, in [-1, 1] (of a file of floating-point numbers as they are, if they are
    /// finite); none at the end.
    ///
    /// # Errors
    ///
    /// The file cannot be read on, or its sample rate changes.
    pub fn next_block(&mut self) -> Result<Option<Vec<f32>>> {
        let path = self.path.clone();
        loop {
            let Some(mut block) = contained(&path, || self.read_block())? else {
                return Ok(None);
            };
            let Some(left) = self.left.checked_sub(block.len() as u64) else {
                return Err(MediaError::recording(
                    &path,
                    format!(
                        "longer than {} s, the most that is read",
                        self.limits.seconds
                    ),
                ));
            };
            self.left = left;
            let skipped = usize::try_from(self.priming).map_or(block.len(), |n| n.min(block.len()));
            self.priming -= skipped as u64;
            block.drain(..skipped);
            for sample in &mut block {
                // Not so of what is not a number either.
                let usual = sample.abs() <= GREATEST;
                if !usual {
                    *sample = 0.0;
                    self.damage.samples += 1;
                }
            }
            if !block.is_empty() {
                return Ok(Some(block));
            }
        }
    }

    fn read_block(&mut self) -> Result<Option<Vec<f32>>> {
        let path = &self.path;
        let (format, decoder, track) = match &mut self.source {
            Source::Decoder {
                format,
                decoder,
                track,
            } => (format, decoder, *track),
            Source::Ffmpeg {
                child,
                output,
                reason,
            } => {
                let mut bytes = Vec::new();
                let read = output.by_ref().take(4 * 16_384).read_to_end(&mut bytes);
                read.map_err(|error| MediaError::io(path, error))?;
                if bytes.is_empty() {
                    let status = child.wait().map_err(|error| MediaError::io(path, error))?;
                    if !status.success() {
                        let reason = format!("{reason}, and ffmpeg cannot read it either");
                        return Err(MediaError::recording(path, reason));
                    }
                    return Ok(None);
                }
                let samples = bytes.as_chunks::<4>().0.iter();
                return Ok(Some(
                    samples.map(|&word| f32::from_le_bytes(word)).collect(),
                ));
            }
        };
        loop {
            let packet = match format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) | Err(DecoderError::ResetRequired) => {
                    let altered = decoder.finalize().verify_ok == Some(false);
                    self.damage.altered = altered && self.damage.packets == 0;
                    return Ok(None);
                }
                Err(DecoderError::IoError(error))
                    if error.kind() == io::ErrorKind::UnexpectedEof =>
                {
                    self.damage.truncated = true;
                    return Ok(None);
                }
                Err(DecoderError::IoError(error)) => return Err(MediaError::io(path, error)),
                Err(error) => return Err(MediaError::recording(path, error.to_string())),
            };
            if packet.track_id != track {
                continue;
            }
            match decoder.decode(&packet) {
                Ok(decoded) => {
                    if decoded.spec().rate() != self.sample_rate {
                        return Err(MediaError::recording(
                            path,
                            format!(
                                "the sample rate changes from {} to {} Hz within the recording",
                                self.sample_rate,
                                decoded.spec().rate()
                            ),
                        ));
                    }
                    let channels = decoded.num_planes().max(1);
                    let mut samples: Vec<f32> = Vec::new();
                    decoded.copy_to_vec_interleaved(&mut samples);
                    let mix = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
                    return Ok(Some(samples.chunks_exact(channels).map(mix).collect()));
                }
                Err(DecoderError::DecodeError(_) | DecoderError::IoError(_)) => {
                    self.damage.packets += 1;
                }
                Err(error) => return Err(MediaError::recording(path, error.to_string())),
            }
        }
    }
}

/// What `work` gives. The decoders are others' code: where one panics, its recording is at fault and not the program.
fn contained<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let reason = "damaged, or of a kind that its decoder does not know";
        Err(MediaError::recording(path, reason))
    })
}

impl Drop for AudioReader {
    fn drop(&mut self) {
        if let Source::Ffmpeg { child, .. } = &mut self.source {
            // A reader that is dropped early leaves ffmpeg writing; one that has ended cannot be killed, which is no fault.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Cuts a recording into clips while it is decoded once: memory holds the longest clip and a block.
pub struct ClipReader {
    reader: AudioReader,
    buffer: Vec<f32>,
    /// Place of the buffer's first sample in the recording.
    first: usize,
    ended: bool,
}

impl ClipReader {
    /// Reads clips from a recording.
    pub fn new(reader: AudioReader) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            first: 0,
            ended: false,
        }
    }

    /// The reader.
    pub fn reader(&self) -> &AudioReader {
        &self.reader
    }

    /// The samples from `start` to `end` seconds, fewer where the recording ends before. What lies before `start` and before
    /// `keep`, the start of the next clip, is forgotten.
    ///
    /// # Errors
    ///
    /// As [`AudioReader::next_block`].
    pub fn clip(&mut self, start: f64, end: f64, keep: f64) -> Result<Vec<f32>> {
        let rate = f64::from(self.reader.sample_rate());
        let place = |seconds: f64| (seconds.max(0.0) * rate).round() as usize;
        let kept = place(start.min(keep)).max(self.first);
        let (start, end) = (place(start).max(self.first), place(end));
        while self.first + self.buffer.len() < end && !self.ended {
            match self.reader.next_block()? {
                Some(block) => {
                    let have = self.first + self.buffer.len();
                    if have + block.len() <= kept {
                        self.buffer.clear();
                        self.first = have + block.len();
                    } else {
                        self.buffer.extend(block);
                    }
                }
                None => self.ended = true,
            }
        }
        let passed = kept.saturating_sub(self.first).min(self.buffer.len());
        self.buffer.drain(..passed);
        self.first += passed;
        let from = start.saturating_sub(self.first).min(self.buffer.len());
        let to = end.saturating_sub(self.first).min(self.buffer.len());
        Ok(self.buffer[from..to.max(from)].to_vec())
    }

    /// Whether the recording's end has been read.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the recording is known to end at this time, in seconds, or before.
    pub(crate) fn ends_before(&self, time: f64) -> bool {
        let samples = (self.first + self.buffer.len()) as f64;
        self.ended && samples <= time * f64::from(self.reader.sample_rate())
    }

    /// Reads to the end and gives the recording's length in seconds.
    ///
    /// # Errors
    ///
    /// As [`AudioReader::next_block`].
    pub fn finish(&mut self) -> Result<f64> {
        while !self.ended {
            self.first += self.buffer.len();
            match self.reader.next_block()? {
                Some(block) => self.buffer = block,
                None => {
                    self.buffer.clear();
                    self.ended = true;
                }
            }
        }
        let samples = self.first + self.buffer.len();
        Ok(samples as f64 / f64::from(self.reader.sample_rate()))
    }
}

/// Resamples a clip: `ceil(samples * to / from)` samples, without delay.
///
/// # Errors
///
/// [`ResampleError`] for a sample rate of 0.
pub fn resample(
    samples: &[f32],
    from: u32,
    to: u32,
) -> std::result::Result<Vec<f32>, ResampleError> {
    if from == to || samples.is_empty() {
        return Ok(samples.to_vec());
    }
    let error = ResampleError { from, to };
    if from == 0 || to == 0 {
        return Err(error);
    }
    let (input, output) = (from as usize, to as usize);
    // Blocks of an even number of smallest blocks: half of one, the resampler's delay, is then a whole number of samples.
    let smallest = input / greatest_common_divisor(input, output);
    let block = smallest * 2 * 2048usize.div_ceil(smallest);
    let window = WindowFunction::BlackmanHarris2;
    let resampler = Fft::<f32>::new_custom(input, output, block, 1, 1, window, FixedSync::Input);
    let mut resampler = resampler.map_err(|_| error)?;
    let adapter = SequentialSlice::new(samples, 1, samples.len()).map_err(|_| error)?;
    let resampled = resampler
        .process_all(&adapter, samples.len(), None)
        .map_err(|_| error)?;
    Ok(resampled.take_data())
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// Sample rates that cannot be converted, such as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot resample from {from} to {to} samples a second")]
pub struct ResampleError {
    /// The rate of the samples.
    pub from: u32,
    /// The rate asked for.
    pub to: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_decoder_is_an_error_of_its_recording() {
        let panics = || -> Result<()> { panic!("a shift beyond the width of a number") };
        let said = contained(Path::new("a.wav"), panics)
            .unwrap_err()
            .to_string();
        assert_eq!(
            said,
            "a.wav: damaged, or of a kind that its decoder does not know"
        );
    }
}
