//! `POST /v1/recording`: an uploaded recording and its transcript, scored segment by segment.
//!
//! The upload is received and parsed as a whole, within the budget of bodies; decoding, which may take long and meets
//! files of strangers, runs on threads of its own, a few at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use http_body_util::{BodyDataStream, Full};
use mmrest_data::Segment;
use mmrest_media::{AudioLimits, MediaError, MediaFile, Recording, RecordingInputs, Transcript};
use multer::Multipart;
use tokio::time::timeout_at;

use super::body::{Received, receive};
use super::error::HttpError;
use super::predict::{Accepted, accept, internal, names_of, scored, text, with_scores};
use super::request::sized;
use super::response;
use super::{Live, Server};
use crate::lines::Spoken;

/// How many uploads are decoded at a time.
pub(super) const DECODERS: usize = 2;

/// The longest recording, and the most speech in it, in seconds.
pub(super) const MAX_SECONDS: f64 = 3600.0;

/// The largest transcript, in bytes.
const MAX_TRANSCRIPT: usize = 4 << 20;

// The parts of an upload.
const RECORDING: &str = "recording";
const TRANSCRIPT: &str = "transcript";
/// A table that OpenFace or py-feat wrote of the recording.
const VISION: &str = "vision";
/// A table that openSMILE wrote of it.
const AUDIO_TABLE: &str = "audio_table";
/// Frames of its video in a second, which tables of py-feat count.
const FRAME_RATE: &str = "frame_rate";

/// Every part, and the most bytes of it; of recording and tables as many as a body may have.
const PARTS: [(&str, usize); 5] = [
    (RECORDING, usize::MAX),
    (TRANSCRIPT, MAX_TRANSCRIPT),
    (VISION, usize::MAX),
    (AUDIO_TABLE, usize::MAX),
    (FRAME_RATE, 64),
];

/// What may be done for a recording of somebody else.
pub(crate) const LIMITS: AudioLimits = AudioLimits {
    seconds: MAX_SECONDS,
    ffmpeg: false,
};

/// Scores the segments of a recording.
pub(super) async fn recording(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Response, HttpError> {
    let Accepted {
        asked: boundary,
        connection,
        body,
        deadline,
    } = accept(&server, request, boundary)?;
    let received = receive(&server, &connection, body, deadline).await?;
    connection.received();
    let busy = || HttpError::busy("too many recordings are being decoded: try again in a second");
    let permit = timeout_at(deadline, Arc::clone(&server.decoders).acquire_owned()).await;
    let permit = permit.map_err(|_| busy())?.map_err(|_| busy())?;
    // Decoded and scored by the same model, whichever is in use by then.
    let live = server.live();
    let own = Arc::clone(&live);
    let most = server.limits.queue;
    let runtime = tokio::runtime::Handle::current();
    let decoding = tokio::task::spawn_blocking(move || {
        // Held until the work is done, whether or not anybody still waits for it.
        let _permit = permit;
        let (upload, held) = runtime.block_on(Upload::parse(received, &boundary))?;
        let decoded = decode(&own, &upload, most)?;
        Ok::<_, HttpError>((decoded, held))
    });
    let late = || {
        HttpError::busy(format!(
            "not decoded within {} s: send a shorter recording, or again later",
            server.limits.timeout.as_secs_f64()
        ))
    };
    let decoded = timeout_at(deadline, decoding).await.map_err(|_| late())?;
    let (decoded, _held) = decoded.unwrap_or_else(|failed| {
        if failed.is_panic() {
            server.metrics.panicked();
        }
        Err(HttpError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the recording cannot be decoded: convert it to wav and send it again",
        ))
    })?;
    let names = names_of(&live, &decoded.segments);
    let placements = scored(&server, &live, decoded.segments, deadline).await?;
    let segments = names.iter().zip(&placements).zip(&decoded.spoken);
    let body = response::write_recording(segments, &decoded.notes, &live.model)
        .map_err(|error| internal(&format!("the answer cannot be written: {error}")))?;
    Ok(with_scores("application/json", body, names.len()))
}

/// The boundary between the parts of an upload, from the head of its request.
fn boundary(head: &Parts) -> Result<String, HttpError> {
    own_page(&head.headers)?;
    if let Some(query) = head.uri.query() {
        let query: String = query.chars().take(100).collect();
        return Err(HttpError::bad(format!(
            "?{query} is not known: ask for nothing"
        )));
    }
    let named = text(&head.headers, header::CONTENT_TYPE).unwrap_or_default();
    multer::parse_boundary(&named).map_err(|_| {
        let named: String = named.chars().take(100).collect();
        HttpError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "the content type is '{named}': send multipart/form-data with the parts \"{RECORDING}\" and \"{TRANSCRIPT}\""
            ),
        )
    })
}

/// Refuses what the page of another site sends: unlike JSON, browsers let any page send forms.
fn own_page(headers: &HeaderMap) -> Result<(), HttpError> {
    let value = |name: &str| headers.get(name).map(|value| value.as_bytes());
    let own = match (value("sec-fetch-site"), value("origin")) {
        (Some(site), _) => matches!(site, b"same-origin" | b"none"),
        (None, None) => true,
        // Only of pages that came without encryption from another machine, and of old browsers.
        (None, Some(origin)) => value("host").is_some_and(|host| {
            let origin = origin
                .strip_prefix(b"http://")
                .or(origin.strip_prefix(b"https://"));
            origin == Some(host)
        }),
    };
    if own {
        return Ok(());
    }
    Err(HttpError::new(
        StatusCode::FORBIDDEN,
        "the page of another site cannot send recordings: use the server's own page, or a program",
    ))
}

/// The parts of an upload by their names: what errors call each, and its content.
#[derive(Default)]
struct Upload(BTreeMap<&'static str, (PathBuf, Arc<[u8]>)>);

impl Upload {
    /// Takes the parts of a body; its permit is held on.
    async fn parse(mut received: Received, boundary: &str) -> Result<(Self, Received), HttpError> {
        let body = Bytes::from(std::mem::take(&mut received.bytes));
        let mut parts = Multipart::new(BodyDataStream::new(Full::new(body)), boundary);
        let mut upload = Self::default();
        while let Some(part) = parts.next_field().await.map_err(malformed)? {
            let name = part.name().unwrap_or_default().to_owned();
            let Some((name, most)) = PARTS.into_iter().find(|(known, _)| *known == name) else {
                let name: String = name.chars().take(100).collect();
                let known = PARTS.map(|(known, _)| format!("\"{known}\"")).join(", ");
                return Err(HttpError::bad(format!(
                    "the part \"{name}\" is not known: send {known}"
                )));
            };
            let file = part.file_name().unwrap_or_default();
            // The ending of a recording's name hints at its format.
            let called = match name {
                RECORDING => Path::new(name).with_extension(ending(file)),
                _ => PathBuf::from(name),
            };
            let none_chosen = file.is_empty();
            let bytes = part.bytes().await.map_err(malformed)?;
            if bytes.len() > most {
                return Err(HttpError::large(format!(
                    "the part \"{name}\" has {} bytes: at most {most} are taken",
                    bytes.len()
                )));
            }
            // That is what a form sends where no file was chosen.
            if bytes.is_empty() && none_chosen {
                continue;
            }
            if upload
                .0
                .insert(name, (called, Arc::from(&bytes[..])))
                .is_some()
            {
                return Err(HttpError::bad(format!(
                    "there are two parts \"{name}\": send one recording with its transcript"
                )));
            }
        }
        Ok((upload, received))
    }

    fn get(&self, part: &str) -> Option<MediaFile<'_>> {
        let (name, content) = self.0.get(part)?;
        Some(MediaFile::Memory { name, content })
    }

    /// Frames of the video in a second.
    fn frame_rate(&self) -> Result<Option<f64>, HttpError> {
        let Some((_, content)) = self.0.get(FRAME_RATE) else {
            return Ok(None);
        };
        let rate = std::str::from_utf8(content).ok();
        let rate = rate.and_then(|rate| rate.trim().parse().ok());
        let rate = rate.filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
        rate.map(Some).ok_or_else(|| {
            HttpError::bad(format!(
                "the part \"{FRAME_RATE}\" is no number above 0: send the video's frames in a second, such as 25"
            ))
        })
    }
}

/// The ending of a file's name, of letters and digits.
fn ending(name: &str) -> String {
    let ending = Path::new(name)
        .extension()
        .and_then(|ending| ending.to_str());
    let ending = ending
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_alphanumeric);
    ending.take(8).collect()
}

fn malformed(error: multer::Error) -> HttpError {
    HttpError::bad(format!(
        "the body is not multipart/form-data as its content type says: {error}"
    ))
}

/// The segments of a recording, ready to be scored.
struct Decoded {
    segments: Vec<Segment>,
    /// Where each of them lies.
    spoken: Vec<Spoken>,
    notes: Vec<String>,
}

/// Cuts a recording into at most `most` segments as the model takes them.
fn decode(live: &Live, upload: &Upload, most: usize) -> Result<Decoded, HttpError> {
    let unprocessable = |message: String| HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, message);
    let inputs = live.model.recordings.as_ref();
    let inputs = inputs.map_err(|reason| unprocessable(reason.clone()))?;
    let Some((name, transcript)) = upload.0.get(TRANSCRIPT) else {
        return Err(HttpError::bad(format!(
            "there is no part \"{TRANSCRIPT}\": send the words with their times, such as Whisper's JSON or an srt file"
        )));
    };
    let config = inputs.config();
    for (part, taken) in [(VISION, &config.vision), (AUDIO_TABLE, &config.audio_table)] {
        if upload.0.contains_key(part) && taken.is_none() {
            return Err(HttpError::bad(format!(
                "the part \"{part}\": the model was trained without features of such tables; leave it out"
            )));
        }
    }
    let transcript = Transcript::from_bytes(name, transcript).map_err(refused)?;
    check(&transcript, most)?;
    let recording = Recording {
        media: upload.get(RECORDING),
        vision: upload.get(VISION),
        audio_table: upload.get(AUDIO_TABLE),
        frame_rate: upload.frame_rate()?,
        ..Recording::new(None, &transcript)
    };
    collect(live, inputs, &recording)
}

/// Refuses a transcript that would take too long, before anything is decoded.
fn check(transcript: &Transcript, most: usize) -> Result<(), HttpError> {
    let segments = transcript.cues.len();
    if segments > most {
        return Err(HttpError::large(format!(
            "the transcript has {segments} segments: at most {most} are taken, so send it in parts"
        )));
    }
    let end = transcript
        .cues
        .iter()
        .map(|cue| cue.end)
        .fold(0.0, f64::max);
    let spoken: f64 = transcript.cues.iter().map(|cue| cue.end - cue.start).sum();
    if end > MAX_SECONDS || spoken > MAX_SECONDS {
        return Err(HttpError::large(format!(
            "the transcript ends at {end:.0} s and has {spoken:.0} s of speech: at most {MAX_SECONDS} s are taken, so send \
             the recording in parts"
        )));
    }
    Ok(())
}

fn collect(
    live: &Live,
    inputs: &RecordingInputs,
    recording: &Recording<'_>,
) -> Result<Decoded, HttpError> {
    let mut parts = inputs.segments(RECORDING, recording).map_err(refused)?;
    let mut decoded = Decoded {
        segments: Vec::with_capacity(parts.len()),
        spoken: Vec::with_capacity(parts.len()),
        notes: Vec::new(),
    };
    for recorded in parts.by_ref() {
        let recorded = recorded.map_err(refused)?;
        let place = format!("the segment at {:.1} s: ", recorded.start);
        let segment = sized(recorded.segment, &place)?;
        let fits = live.model.scorer.check(&segment);
        fits.map_err(|message| HttpError::bad(format!("{place}{message}")))?;
        decoded.segments.push(segment);
        decoded.spoken.push(Spoken {
            start: recorded.start,
            end: recorded.end,
            text: recorded.text,
        });
    }
    decoded.notes = parts.finish().map_err(refused)?;
    Ok(decoded)
}

/// Why a file of an upload cannot be used.
fn refused(error: MediaError) -> HttpError {
    let status = match &error {
        MediaError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        MediaError::Unsupported { reason, .. } => {
            return HttpError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "{RECORDING}: {reason}: convert it to wav, flac, mp3, ogg (Vorbis) or m4a (AAC-LC)"
                ),
            );
        }
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    HttpError::new(status, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parsed(body: &[u8]) -> Result<Upload, HttpError> {
        let received = Received::of(body.to_vec());
        Ok(Upload::parse(received, "X").await?.0)
    }

    fn parse(body: &[u8]) -> Result<Upload, HttpError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(parsed(body))
    }

    fn part(name: &str, file: &str, content: &str) -> String {
        format!(
            "--X\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\r\n{content}\r\n"
        )
    }

    #[test]
    fn parts_are_told_by_their_names() {
        let body = part(RECORDING, "../../a b.WAV", "sound\r\n--Y")
            + &part(TRANSCRIPT, "t.srt", "words")
            + "--X--\r\n";
        let upload = parse(body.as_bytes()).unwrap();
        let (name, sound) = &upload.0[RECORDING];
        assert_eq!(
            (name.to_str(), &sound[..]),
            (Some("recording.WAV"), &b"sound\r\n--Y"[..])
        );
        assert_eq!(&upload.0[TRANSCRIPT].1[..], b"words");
        let chosen = |file| {
            let body = part(RECORDING, file, "") + "--X--\r\n";
            parse(body.as_bytes()).unwrap().0.len()
        };
        assert_eq!([chosen(""), chosen("empty.wav")], [0, 1]);
    }

    #[test]
    fn a_frame_rate_is_a_number_above_0() {
        let rate = |value: &str| {
            let body = part(FRAME_RATE, "", value) + "--X--\r\n";
            parse(body.as_bytes()).unwrap().frame_rate()
        };
        assert_eq!(rate("").unwrap(), None);
        assert_eq!(rate(" 29.97\n").unwrap(), Some(29.97));
        for wrong in ["0", "-25", "inf", "NaN", "fast", "25,0"] {
            let said = rate(wrong).unwrap_err().message;
            assert!(
                said.contains("\"frame_rate\" is no number above 0"),
                "{said}"
            );
        }
    }

    #[test]
    fn what_is_no_upload_is_refused_in_a_sentence() {
        let whole = part(TRANSCRIPT, "t.srt", "words");
        let large = part(TRANSCRIPT, "t.srt", &"a".repeat(MAX_TRANSCRIPT + 1)) + "--X--\r\n";
        for (body, status, said) in [
            (String::new(), 400, "not multipart/form-data"),
            ("sound".into(), 400, "not multipart/form-data"),
            (whole.clone(), 400, "not multipart/form-data"),
            (
                whole.clone() + &whole + "--X--\r\n",
                400,
                "two parts \"transcript\"",
            ),
            (
                part("other", "", "") + "--X--\r\n",
                400,
                "\"other\" is not known",
            ),
            (
                "--X\r\n\r\nno name\r\n--X--\r\n".into(),
                400,
                "not multipart/form-data",
            ),
            (
                "--X\r\nno header\r\n\r\na\r\n--X--\r\n".into(),
                400,
                "not multipart",
            ),
            (large, 413, "\"transcript\" has 4194305 bytes"),
        ] {
            let Err(refusal) = parse(body.as_bytes()) else {
                panic!("{said}: taken");
            };
            assert_eq!(refusal.status.as_u16(), status, "{}", refusal.message);
            assert!(refusal.message.contains(said), "{}", refusal.message);
        }
    }

    /// Ten thousand damaged uploads: each is read, or refused in a sentence.
    #[test]
    fn damaged_uploads_are_refused_in_a_sentence() {
        let whole =
            part(RECORDING, "a.wav", "sound") + &part(TRANSCRIPT, "t.srt", "words") + "--X--\r\n";
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut draw = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (mut refused, rounds) = (0, 10_000);
        for _ in 0..rounds {
            let mut body = whole.clone().into_bytes();
            for _ in 0..=draw(3) {
                let at = draw(body.len());
                match draw(4) {
                    0 => body[at] ^= 1 << draw(8),
                    1 => body[at] = b"\r\n-X:;=\" "[draw(9)],
                    2 => drop(body.drain(at..(at + 1 + draw(9)).min(body.len()))),
                    _ => body.extend_from_within(at..),
                }
                if body.is_empty() {
                    body.push(b'-');
                }
            }
            if let Err(refusal) = runtime.block_on(parsed(&body)) {
                assert!(refusal.status.is_client_error(), "{refusal:?}");
                assert!(!refusal.message.is_empty() && !refusal.message.contains('\n'));
                refused += 1;
            }
        }
        assert!((rounds / 4..rounds).contains(&refused), "{refused}");
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let allowed = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            map.insert("host", "127.0.0.1:8080".parse().unwrap());
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            own_page(&map).is_ok()
        };
        assert!(allowed(&[]), "a program");
        assert!(allowed(&[("origin", "http://127.0.0.1:8080")]));
        assert!(allowed(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://proxy.example")
        ]));
        for headers in [
            [
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://127.0.0.1:8080"),
            ],
            [
                ("sec-fetch-site", "same-site"),
                ("origin", "http://127.0.0.1:8080"),
            ],
            [("origin", "null"), ("x", "y")],
            [("origin", "http://evil.example"), ("x", "y")],
            [("origin", "http://127.0.0.1:8081"), ("x", "y")],
        ] {
            assert!(!allowed(&headers), "{headers:?}");
        }
    }

    #[test]
    fn a_transcript_that_would_take_too_long_is_refused() {
        let read = |lines: &str| Transcript::from_bytes(Path::new("t"), lines.as_bytes()).unwrap();
        let said = |lines: &str, most| check(&read(lines), most).unwrap_err().message;
        assert!(check(&read("0 1 a\n1 2 b\n"), 2).is_ok());
        assert!(said("0 1 a\n1 2 b\n", 1).contains("has 2 segments: at most 1"));
        assert!(said("3599 3601 a\n", 9).contains("ends at 3601 s"));
        assert!(said("0 3000 a\n0 3000 b\n", 9).contains("6000 s of speech"));
    }
}
