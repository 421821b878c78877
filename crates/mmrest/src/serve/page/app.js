// The page: asks for the model, takes text and files, asks for a score, shows it.
//
// An address such as /#text=a+wonderful+film fills the text in and asks at once.

import { ask } from "./ask.js";
import { parseFrames } from "./frames.js";
import { offerRecordings } from "./recording.js";
import { show } from "./results.js";

const byId = (id) => document.getElementById(id);
const FRAMES = ["vision", "audio"];
let model = null;

function say(message, wrong = false) {
  const status = byId("status");
  status.textContent = message;
  status.className = wrong ? "status wrong" : "status";
}

async function start() {
  try {
    model = await ask("/v1/model");
  } catch (error) {
    byId("model").textContent = `The model cannot be asked for: ${error.message}`;
    return;
  }
  const [least, greatest] = model.label_range;
  const clusters = model.clusters.length > 0 ? `, by ${model.clusters.length} clusters` : "";
  byId("model").textContent = `Run “${model.run}”: sentiment from ${model.modalities.join(", ")}, from ${least} to ${greatest}` +
    `${clusters} (mmrest ${model.version}, preset ${model.preset}).`;
  byId("text-field").hidden = !model.modalities.includes("text");
  for (const modality of FRAMES) {
    byId(`${modality}-field`).hidden = !model.modalities.includes(modality);
    byId(`${modality}-hint`).textContent = `CSV or JSON, ${model.features[modality]} features a frame`;
  }
  offerRecordings(model);
  const text = new URLSearchParams(location.hash.slice(1)).get("text");
  if (text !== null) {
    byId("text").value = text;
    await score();
  }
}

// The segment that the form holds, as a line of predict.
async function segment() {
  const line = {};
  if (model.modalities.includes("text")) line.text = byId("text").value;
  for (const modality of FRAMES.filter((m) => model.modalities.includes(m))) {
    const file = byId(modality).files[0];
    if (!file) continue;
    try {
      line[modality] = parseFrames(await file.text(), modality, model.features[modality]);
    } catch (error) {
      throw new Error(`${file.name}: ${error.message}`);
    }
  }
  return line;
}

async function score() {
  const button = byId("go");
  button.disabled = true;
  say("Scoring…");
  try {
    const line = await segment();
    const headers = { "content-type": "application/json" };
    const answer = await ask("/v1/predict?geometry=1", { method: "POST", headers, body: JSON.stringify(line) });
    show(model, answer);
    say("");
  } catch (error) {
    byId("result").hidden = true;
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (model) score();
});
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
});
start();
