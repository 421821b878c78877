//! Small recordings, transcripts in every format, and tables that other programs write.

use std::path::Path;

use mmrest_media::OpenFaceColumns;

/// A quarter of a second of a tone in every format that is decoded here, encoded by ffmpeg
/// (`-f lavfi -i sine=440:r=8000:d=0.25`), and its first samples as floating-point numbers.
///
/// # Panics
///
/// Where they cannot be read.
#[must_use]
pub fn recordings() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
    ["wav", "flac", "mp3", "ogg", "m4a", "aiff", "float.wav"]
        .map(|ending| std::fs::read(folder.join(format!("tone.{ending}"))).expect("a recording"))
        .into()
}

/// The same words in every format.
#[must_use]
pub fn transcripts() -> Vec<Vec<u8>> {
    let whisper = r#"{"text": " So good.", "language": "en", "segments": [{"id": 0, "start": 0.5, "end": 1.5, "text": " So good.",
        "words": [{"word": " So", "start": 0.5, "end": 0.9, "probability": 0.9}, {"word": " good."}]}]}"#;
    let api = r#"{"duration": 1.5, "segments": [{"start": 0.5, "end": 1.5, "text": "So good."}],
        "words": [{"word": "So", "start": 0.5, "end": 0.9}, {"word": "good.", "start": 1.0, "end": 1.5}]}"#;
    let words = r#"{"word_segments": [{"word": "So", "start": 0.5, "end": 0.9}, {"word": "good.", "start": 1.0, "end": 1.5}]}"#;
    let cpp = r#"{"transcription": [{"offsets": {"from": 500, "to": 1500}, "text": " So good.", "tokens": [
        {"text": "[_BEG_]", "offsets": {"from": 500, "to": 500}}, {"text": " So", "offsets": {"from": 500, "to": 900}},
        {"text": " go", "offsets": {"from": 1000, "to": 1400}}, {"text": "od.", "offsets": {"from": 1400, "to": 1500}}]}]}"#;
    let chunks = r#"{"chunks": [{"text": " So", "timestamp": [0.5, 0.9]}, {"text": " good.", "timestamp": [1.0, 1.5]}]}"#;
    let srt = "1\n00:00:00,500 --> 00:00:01,500\n<i>So</i> good &amp; well.\n\n2\n00:00:02,000 --> 00:00:03,000\nNo.\n";
    let vtt = "WEBVTT\n\nNOTE a comment\n\n00:00.500 --> 00:01.500 align:start\n<v Ann>So <00:00:01.000>good.\n";
    let grid = "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\n0\n2\n<exists>\n1\n\"IntervalTier\"\n\"words\"\n0\n2\n2\n\
                0.5\n0.9\n\"So\"\n1.0\n1.5\n\"good\"\n";
    let ctm = ";; a comment\nrec A 0.50 0.40 So 0.99\nrec A 1.00 0.50 good\n";
    let lines = "# a comment\n0.5\t1.5\tSo good.\n00:00:02,000 0:03 No.\n";
    [whisper, api, words, cpp, chunks, srt, vtt, grid, ctm, lines]
        .map(|text| text.as_bytes().to_vec())
        .into()
}

/// Tables of OpenFace, openSMILE and py-feat, a dozen frames each.
#[must_use]
pub fn features() -> Vec<Vec<u8>> {
    let rows = |head: String, row: &dyn Fn(usize) -> String| {
        let rows: Vec<String> = (0..12).map(row).collect();
        format!("{head}\n{}\n", rows.join("\n")).into_bytes()
    };
    let names = OpenFaceColumns::Some177.names();
    let head = format!(
        "frame, face_id, timestamp, confidence, success, {}",
        names.join(", ")
    );
    let values = vec!["0.5"; names.len()].join(", ");
    let face = |i: usize| format!("{}, 0, {:.3}, 0.9{i}, 1, {values}", i + 1, i as f64 / 25.0);
    let smile = |i: usize| format!("'a';{:.2};{i}.5;-0.25", i as f64 / 25.0);
    let python = |i: usize| {
        let (from, to) = (i as f64 / 25.0, (i + 1) as f64 / 25.0);
        format!("a.wav,0 days 00:00:{from:09.6},0 days 00:00:{to:09.6},{i},0.5")
    };
    let arff = "@relation a\n\n@attribute name string\n@attribute frameTime numeric\n@attribute 'loud ness' real\n\
                @attribute class numeric\n\n@data\n";
    let arff: String = (0..12)
        .map(|i| format!("'a',{:.2},{i}.5,?\n", i as f64 / 25.0))
        .fold(arff.to_owned(), |text, row| text + &row);
    let feat = |i: usize| format!("{i},0.98,{i},0.5,0.25,{}", i / 2);
    vec![
        rows(head, &face),
        rows("name;frameTime;loudness;pitch".to_owned(), &smile),
        rows("file,start,end,loudness,pitch".to_owned(), &python),
        arff.into_bytes(),
        rows(
            ",FaceScore,FaceRectX,AU01,happiness,frame".to_owned(),
            &feat,
        ),
    ]
}

/// Tables of segments, with labels and without.
#[must_use]
pub fn segments() -> Vec<Vec<u8>> {
    [
        "video_id,clip_id,start,end,label,mode\na,1,0.0,0.1,-1.5,train\na,2,0.1,0.4,2,test\nb,1,0,1,0,valid\n",
        "start;end;id\n0,0;0,1;first\n0,1;0,4;\"the second\"\n",
        "id\tlabel\tstart\tend\n1\t0.5\t0\t0.1\n2\t\t0.1\t0.4\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
