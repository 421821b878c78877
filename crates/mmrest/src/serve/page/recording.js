// The part of the page that scores a recording with its transcript.

import { ask } from "./ask.js";
import { clock, showRecording } from "./timeline.js";

const byId = (id) => document.getElementById(id);
let address = null;

function say(message, wrong = false) {
  const status = byId("recording-status");
  status.textContent = message;
  status.className = wrong ? "status wrong" : "status";
}

// What is played: the chosen file itself, which stays in the browser.
function played(file) {
  if (address) URL.revokeObjectURL(address);
  address = file ? URL.createObjectURL(file) : null;
  return file ? { src: address, video: file.type.startsWith("video/") } : null;
}

// Other programs' tables: the part of the upload, the field, what it is offered by.
const TABLES = [["vision", "vision-table", "the CSV that"], ["audio_table", "audio-table", "the CSV or ARFF that"]];

async function score(model) {
  const [recording, transcript] = ["recording", "transcript"].map((id) => byId(id).files[0]);
  if (!transcript) {
    say("Choose a transcript with times: Whisper's JSON, srt, vtt, TextGrid or CTM.", true);
    return;
  }
  const form = new FormData();
  // A model that takes no sound needs no upload of it; but the frame rate of a video may be in it.
  const rate = byId("frame-rate").value.trim();
  if (recording && (model.recordings.sound || (countsFrames(model) && rate === ""))) form.append("recording", recording);
  form.append("transcript", transcript);
  if (countsFrames(model) && rate !== "") form.append("frame_rate", rate);
  for (const [part, id] of TABLES) {
    const table = model.recordings[part] && byId(id).files[0];
    if (table) form.append(part, table);
  }
  const most = model.limits.body_bytes;
  const size = [...form.values()].reduce((sum, value) => sum + (value.size ?? 0), 0);
  if (size > most) {
    say(`The files have ${Math.ceil(size / 2 ** 20)} MiB; this server takes ${Math.floor(most / 2 ** 20)}.`, true);
    return;
  }
  const button = byId("recording-go");
  button.disabled = true;
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  say("Scoring…");
  // Beside the status: a screen reader would read a status anew each second.
  const tell = (text) => { byId("recording-clock").textContent = text; };
  const ticking = setInterval(() => tell(clock(seconds())), 1000);
  try {
    const answer = await ask("/v1/recording", { method: "POST", body: form });
    const shown = { segments: answer.segments, range: model.label_range, confidence: model.confidence, media: played(recording) };
    byId("recording-result").hidden = false;
    showRecording(byId("timeline"), shown);
    const count = answer.segments.length;
    const took = `${count} ${count === 1 ? "segment" : "segments"} in ${seconds().toFixed(1)} s`;
    say([took, ...answer.notes].join("; "));
  } catch (error) {
    byId("recording-result").hidden = true;
    say(error.message, true);
  } finally {
    clearInterval(ticking);
    tell("");
    button.disabled = false;
  }
}

// Whether the model takes a table that counts frames instead of seconds.
function countsFrames(model) {
  return model.recordings.vision?.tool === "py-feat";
}

// Offers the form, where the model can score recordings.
export function offerRecordings(model) {
  if (!model.recordings) return;
  byId("recording-hint").textContent = model.recordings.sound ?
    "wav, flac, mp3, ogg (Vorbis), m4a or mp4 (AAC-LC)" : "to play along; the model takes none of its sound";
  for (const [part, id, form] of TABLES) {
    const taken = model.recordings[part];
    byId(`${id}-field`).hidden = !taken;
    if (taken) byId(`${id}-hint`).textContent = `${form} ${taken.tool} wrote of it (${taken.columns} columns)`;
  }
  byId("frame-rate-field").hidden = !countsFrames(model);
  byId("recording-form").hidden = false;
  byId("recording-form").addEventListener("submit", (event) => {
    event.preventDefault();
    score(model);
  });
}
