//! What the header of an mp4 file says: how many samples its audio encoder put before the sound, and the video's frame rate.

use std::io::{Read, Seek, SeekFrom};

use crate::file::MediaFile;

/// The largest header (`moov`) that is read, in bytes.
const MOST_HEADER: u64 = 64 << 20;

/// Samples before the sound begins, by the edit list of the first audio track; none where there is no such list.
pub(crate) fn priming(file: MediaFile<'_>, sample_rate: u32) -> Option<u64> {
    let header = header(file)?;
    for track in boxes(&header, b"trak") {
        let media = boxes(track, b"mdia").next()?;
        let handler = boxes(media, b"hdlr").next()?;
        if handler.get(8..12) != Some(b"soun") {
            continue;
        }
        let scale = timescale(boxes(media, b"mdhd").next()?)?;
        let edits = boxes(track, b"edts").next()?;
        let start = first_edit(boxes(edits, b"elst").next()?)?;
        return Some(start.saturating_mul(u64::from(sample_rate)) / u64::from(scale));
    }
    None
}

/// Frames in a second of the first video track, on average.
pub(crate) fn frame_rate(file: MediaFile<'_>) -> Option<f64> {
    let header = header(file)?;
    for track in boxes(&header, b"trak") {
        let media = boxes(track, b"mdia").next()?;
        let handler = boxes(media, b"hdlr").next()?;
        if handler.get(8..12) != Some(b"vide") {
            continue;
        }
        let times = boxes(media, b"mdhd").next()?;
        let scale = timescale(times)?;
        let duration = if *times.first()? == 1 {
            u64::from_be_bytes(times.get(24..32)?.try_into().ok()?)
        } else {
            u64::from(word(times, 16)?)
        };
        let information = boxes(media, b"minf").next()?;
        let samples = boxes(information, b"stbl").next()?;
        let frames = word(boxes(samples, b"stsz").next()?, 8)?;
        let rate = f64::from(frames) * f64::from(scale) / duration as f64;
        return (rate.is_finite() && rate > 0.0).then_some(rate);
    }
    None
}

/// The body of the file's `moov` box.
fn header(file: MediaFile<'_>) -> Option<Vec<u8>> {
    let mut file = file.open().ok()?;
    let mut first = true;
    loop {
        let mut head = [0; 16];
        file.read_exact(&mut head[..8]).ok()?;
        let name: [u8; 4] = head[4..8].try_into().ok()?;
        if first && name != *b"ftyp" {
            return None;
        }
        first = false;
        let (mut size, mut read) = (u64::from(word(&head, 0)?), 8);
        if size == 1 {
            file.read_exact(&mut head[8..]).ok()?;
            size = u64::from_be_bytes(head[8..].try_into().ok()?);
            read = 16;
        }
        let body = size.checked_sub(read)?;
        if name == *b"moov" {
            let mut bytes = Vec::new();
            file.take(body.min(MOST_HEADER))
                .read_to_end(&mut bytes)
                .ok()?;
            return Some(bytes);
        }
        file.seek(SeekFrom::Current(i64::try_from(body).ok()?))
            .ok()?;
    }
}

/// Bodies of the boxes of a name, directly within `bytes`.
fn boxes<'a>(mut bytes: &'a [u8], name: &'a [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    std::iter::from_fn(move || {
        loop {
            let size = usize::try_from(word(bytes, 0)?).ok()?;
            let found = bytes.get(4..8)? == name;
            let body = bytes.get(8..size)?;
            bytes = &bytes[size..];
            if found {
                return Some(body);
            }
        }
    })
}

fn timescale(header: &[u8]) -> Option<u32> {
    let place = if *header.first()? == 1 { 20 } else { 12 };
    word(header, place).filter(|&scale| scale > 0)
}

/// The media time at which the first edit that is not empty begins.
fn first_edit(list: &[u8]) -> Option<u64> {
    let long = *list.first()? == 1;
    let entries = list.get(8..)?.chunks_exact(if long { 20 } else { 12 });
    let mut starts = entries.filter_map(|entry| {
        if long {
            Some(i64::from_be_bytes(entry.get(8..16)?.try_into().ok()?))
        } else {
            Some(i64::from(i32::from_be_bytes(
                entry.get(4..8)?.try_into().ok()?,
            )))
        }
    });
    starts.find_map(|start| u64::try_from(start).ok())
}

fn word(bytes: &[u8], place: usize) -> Option<u32> {
    let word = bytes.get(place..place + 4)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}
