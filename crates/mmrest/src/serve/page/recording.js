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

async function score(model) {
  const [recording, transcript] = ["recording", "transcript"].map((id) => byId(id).files[0]);
  if (!transcript) {
    say("Choose a transcript with times: Whisper's JSON, srt, vtt, TextGrid or CTM.", true);
    return;
  }
  const most = model.limits.body_bytes;
  const size = transcript.size + (model.recordings.sound && recording ? recording.size : 0);
  if (size > most) {
    say(`The files have ${Math.ceil(size / 2 ** 20)} MiB; this server takes ${Math.floor(most / 2 ** 20)}.`, true);
    return;
  }
  const form = new FormData();
  // A model that takes no sound needs no upload of it.
  if (recording && model.recordings.sound) form.append("recording", recording);
  form.append("transcript", transcript);
  const button = byId("recording-go");
  button.disabled = true;
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  say("Scoring…");
  const ticking = setInterval(() => say(`Scoring… ${clock(seconds())}`), 1000);
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
    button.disabled = false;
  }
}

// Offers the form, where the model can score recordings.
export function offerRecordings(model) {
  if (!model.recordings) return;
  byId("recording-hint").textContent = model.recordings.sound ?
    "wav, flac, mp3, ogg (Vorbis), m4a or mp4 (AAC-LC)" : "to play along; the model takes the transcript alone";
  byId("recording-form").hidden = false;
  byId("recording-form").addEventListener("submit", (event) => {
    event.preventDefault();
    score(model);
  });
}
