use super::*;

fn read(text: &str) -> Transcript {
    Transcript::parse(text).unwrap()
}

fn words(transcript: &Transcript) -> Vec<(&str, f64, f64)> {
    transcript
        .words()
        .map(|word| {
            let round = |time: f64| (time * 1000.0).round() / 1000.0;
            (word.text.as_str(), round(word.start), round(word.end))
        })
        .collect()
}

const HELLO: [(&str, f64, f64); 2] = [("Hello", 0.5, 0.9), ("there.", 1.0, 1.5)];

#[test]
fn whispers_json_is_read_in_all_its_dialects() {
    let openai = r#"{"text": " Hello there.", "language": "en", "segments": [{"id": 0, "seek": 0, "start": 0.5,
        "end": 1.5, "text": " Hello there.", "words": [
        {"word": " Hello", "start": 0.5, "end": 0.9, "probability": 0.9},
        {"word": " there.", "start": 1.0, "end": 1.5, "probability": 0.8}]}]}"#;
    let api = r#"{"task": "transcribe", "duration": 1.5, "segments": [{"start": 0.5, "end": 1.5, "text": "Hello there."}],
        "words": [{"word": "Hello", "start": 0.5, "end": 0.9}, {"word": "there.", "start": 1.0, "end": 1.5}]}"#;
    let api_words = r#"{"text": "Hello there.", "words": [{"word": "Hello", "start": 0.5, "end": 0.9},
        {"word": "there.", "start": 1.0, "end": 1.5}]}"#;
    let cpp = r#"{"systeminfo": "", "result": {"language": "en"}, "transcription": [{"timestamps": {"from": "00:00:00,500",
        "to": "00:00:01,500"}, "offsets": {"from": 500, "to": 1500}, "text": " Hello there.", "tokens": [
        {"text": "[_BEG_]", "offsets": {"from": 500, "to": 500}},
        {"text": " Hel", "offsets": {"from": 500, "to": 700}}, {"text": "lo", "offsets": {"from": 700, "to": 900}},
        {"text": " there", "offsets": {"from": 1000, "to": 1400}}, {"text": ".", "offsets": {"from": 1400, "to": 1500}}]}]}"#;
    let whisperx = r#"{"segments": [{"start": 0.5, "end": 1.5, "text": "Hello there.", "speaker": "SPEAKER_00", "words": [
        {"word": "Hello", "start": 0.5, "end": 0.9, "score": 0.9, "speaker": "SPEAKER_00"},
        {"word": "there.", "start": 1.0, "end": 1.5, "score": 0.7}]}], "word_segments": []}"#;
    let chunks = r#"{"text": " Hello there.", "chunks": [{"text": " Hello", "timestamp": [0.5, 0.9]},
        {"text": " there.", "timestamp": [1.0, 1.5]}]}"#;
    let list = r#"[{"start": 0.5, "end": 1.5, "text": "Hello there.", "words": [
        {"word": "Hello", "start": 0.5, "end": 0.9}, {"word": "there.", "start": 1.0, "end": 1.5}]}]"#;
    for text in [openai, api, api_words, cpp, whisperx, chunks, list] {
        let transcript = read(text);
        assert_eq!(words(&transcript), HELLO, "{text}");
        assert_eq!(transcript.cues[0].text, "Hello there.");
        assert!(
            transcript.cues[0].timed && transcript.notes.is_empty(),
            "{:?}",
            transcript.notes
        );
    }
}

#[test]
fn chunks_of_sentences_are_cues() {
    let text = r#"{"chunks": [{"text": " One two.", "timestamp": [0.0, 1.0]}, {"text": " Three.", "timestamp": [1.0, null]},
        {"text": " Four five six.", "timestamp": [2.0, 4.0]}]}"#;
    let transcript = read(text);
    let starts: Vec<f64> = transcript.cues.iter().map(|cue| cue.start).collect();
    assert_eq!(starts, [0.0, 2.0]);
    assert_eq!(transcript.notes[0], "1 cue without times left out");
}

#[test]
fn words_without_times_lie_between_their_neighbours() {
    let text = r#"{"segments": [{"start": 0.0, "end": 4.0, "text": "in 1999 it was", "words": [
        {"word": "in", "start": 0.0, "end": 1.0}, {"word": "1999"}, {"word": "it", "start": 2.0, "end": 3.0},
        {"word": "was"}]}]}"#;
    let transcript = read(text);
    assert_eq!(
        words(&transcript),
        [
            ("in", 0.0, 1.0),
            ("1999", 1.0, 2.0),
            ("it", 2.0, 3.0),
            ("was", 3.0, 4.0)
        ]
    );
    assert_eq!(
        transcript.notes,
        ["2 words without times placed between their neighbours"]
    );
}

#[test]
fn subtitles_spread_a_cues_time_over_its_letters() {
    let srt = "1\r\n00:00:01,000 --> 00:00:03,000\r\n<i>ab cd</i>\r\nefgh\r\n\r\n2\n00:01:00,500 --> 00:01:01,000\nno &amp; yes\n";
    let transcript = read(srt);
    assert_eq!(transcript.format, "SubRip");
    assert_eq!(transcript.cues[0].text, "ab cd efgh");
    assert_eq!(
        words(&transcript)[..3],
        [("ab", 1.0, 1.5), ("cd", 1.5, 2.0), ("efgh", 2.0, 3.0)]
    );
    assert_eq!(transcript.cues[1].text, "no & yes");
    assert_eq!(transcript.cues[1].start, 60.5);
    assert!(!transcript.cues[0].timed);
    assert_eq!(
        transcript.notes,
        ["2 cues without times of words: their time is spread over the letters"]
    );
}

#[test]
fn signs_of_tags_that_are_none_are_text() {
    for (written, said) in [
        ("I <3 you and this film", "I <3 you and this film"),
        ("a<b, and {so on}", "a<b, and {so on}"),
        ("{\\an8}<i>up</i> <3 <c.loud>x</c> {", "up <3 x {"),
        ("<font color=\"#fff\">1 < 2</font> > 0 <", "1 < 2 > 0 <"),
        ("2 <b and <b>bold</b> {\\i1", "2 <b and bold {\\i1"),
        ("&lt;b&gt; <>", "<b> <>"),
    ] {
        let transcript = read(&format!("00:01.000 --> 00:03.000\n{written}\n"));
        assert_eq!(transcript.cues[0].text, said, "{written}");
    }
    let timed = read("WEBVTT\n\n00:01.000 --> 00:03.000\n<3 <00:02.000>you\n");
    assert_eq!(words(&timed), [("<3", 1.0, 2.0), ("you", 2.0, 3.0)]);
}

#[test]
fn webvtt_may_name_the_times_of_words() {
    let vtt = "WEBVTT - title\n\nNOTE a comment\n\nid\n00:01.000 --> 00:03.000 align:start\n<v Ann>one <00:02.000>two\n";
    let transcript = read(vtt);
    assert_eq!(words(&transcript), [("one", 1.0, 2.0), ("two", 2.0, 3.0)]);
    assert!(transcript.cues[0].timed);
    assert_eq!(transcript.cues[0].text, "one two");
}

#[test]
fn textgrids_of_both_forms_are_read() {
    let long = r#"File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 2
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2
            text = "AH"
    item [2]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 2
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 0.9
            text = "say ""a"""
        intervals [3]:
            xmin = 0.9
            xmax = 2
            text = "sp"
"#;
    let short = "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\n0\n2\n<exists>\n1\n\"IntervalTier\"\n\"ann - words\"\n0\n2\n2\n0.5\n0.9\n\"say \"\"a\"\"\"\n0.9\n2\n\"sil\"\n";
    for text in [long, short] {
        assert_eq!(words(&read(text)), [("say \"a\"", 0.5, 0.9)]);
    }
}

#[test]
fn ctm_is_cut_at_pauses() {
    let ctm =
        ";; comment\nrec A 0.50 0.40 hello 0.99\nrec A 1.00 0.50 there\nrec A 3.00 0.25 again\n";
    let transcript = read(ctm);
    assert_eq!(transcript.format, "CTM");
    let texts: Vec<&str> = transcript
        .cues
        .iter()
        .map(|cue| cue.text.as_str())
        .collect();
    assert_eq!(texts, ["hello there", "again"]);
    assert_eq!(transcript.cues[1].end, 3.25);
}

#[test]
fn lines_with_times_are_read() {
    let transcript = read("0.0\t1.5\tgood movie\n00:00:02,000 0:03 and a bad one\n");
    let cues: Vec<(f64, f64, &str)> = transcript
        .cues
        .iter()
        .map(|cue| (cue.start, cue.end, cue.text.as_str()))
        .collect();
    assert_eq!(
        cues,
        [(0.0, 1.5, "good movie"), (2.0, 3.0, "and a bad one")]
    );
}

#[test]
fn what_cannot_be_used_is_left_out_and_said() {
    let srt = "00:00:05,000 --> 00:00:04,000\nback\n\n00:00:03,000 --> 00:00:04,000\nlate\n\n00:00:01,000 --> 00:00:03,500\nearly\n";
    let transcript = read(srt);
    let texts: Vec<&str> = transcript
        .cues
        .iter()
        .map(|cue| cue.text.as_str())
        .collect();
    assert_eq!(texts, ["early", "late"]);
    let notes = transcript.notes.join("\n");
    assert!(
        notes.contains("1 cue left out whose end is not after its start"),
        "{notes}"
    );
    assert!(notes.contains("out of order"), "{notes}");
    assert!(notes.contains("1 cue with a start before"), "{notes}");
}

#[test]
fn what_is_no_transcript_is_refused_in_a_sentence() {
    for (text, expected) in [
        ("", "the file is empty"),
        ("{\"a\": 1}", "its keys are \"a\""),
        ("{", "not a JSON document"),
        ("hello world", "line 1: no known kind of transcript"),
        ("[1, 2]", "entry 0 of its list is no segment"),
        ("{\"segments\": []}", "no cue in it"),
        ("1\n00:00:aa --> 00:00:02\nx\n", "line 2: no times"),
    ] {
        let error = Transcript::parse(text).unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}
