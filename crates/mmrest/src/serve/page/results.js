// An answer on the page: numbers, tables, pictures.

import { scale, signed } from "./draw.js";
import { map } from "./map.js";
import { meaning } from "./timeline.js";

const byId = (id) => document.getElementById(id);
const number = (value, digits = 3) => (value === null ? "–" : (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits));

// Where biases lead that are no sum over modalities, by their kind.
const TOWARDS = {
  expectation: "the sentiment expected of the clusters around",
  kernel: "the mean sentiment of the training segments, of which the nearest under the learned metrics weigh most",
};

// What is shown, and the width of its pictures.
let [shown, width] = [null, 0];

// Draws the pictures as wide as there is room, so that their letters stay readable.
function draw() {
  const [model, answer] = shown;
  width = byId("scale").clientWidth;
  const room = Math.min(720, Math.max(280, width));
  byId("scale").replaceChildren(scale(answer, model.label_range, room));
  if (answer.geometry.length > 0) byId("map").replaceChildren(map(model, answer, room));
}

new ResizeObserver(() => { if (shown && byId("scale").clientWidth !== width) draw(); }).observe(byId("scale"));

// Shows what the server said of a segment.
export function show(model, answer) {
  byId("prediction").textContent = number(answer.prediction);
  byId("meaning").textContent = meaning(answer, model.confidence);
  byId("sum").textContent = `y = y′ + bias = ${number(answer.score)} ${answer.bias < 0 ? "−" : "+"} ${number(Math.abs(answer.bias))}`;
  showRows(model, answer);
  showClusters(model, answer);
  byId("result").hidden = false;
  shown = [model, answer];
  draw();
}

function showRows(model, answer) {
  const rows = answer.geometry;
  byId("rows").hidden = rows.length === 0;
  byId("rows-note").textContent = note(model, rows) + noteOnMissing(model, answer);
  const cluster = (row, index) => `${index} (${named(model, index)}), ${number(row.distances[index], 1)}`;
  const cells = (row) => [
    row.modality + (answer.missing.includes(row.modality) ? " (not given)" : ""),
    row.bias === null ? "–" : signed(row.bias, 4),
    cluster(row, row.nearest),
    cluster(row, row.second),
  ];
  const heads = ["modality", "share of the bias", "nearest cluster, distance", "second"];
  fill(byId("rows"), "Each modality among the clusters", heads, [1], rows.map((row) => ({ cells: cells(row) })));
}

function note(model, rows) {
  if (rows.length === 0) return "This model has no clusters: the score stands alone.";
  if (!model.bias.on) return "This model adds no bias when it predicts; the clusters are only shown.";
  const towards = TOWARDS[model.bias.kind];
  if (towards) {
    return `The bias takes the score γ = ${model.bias.gamma} of the way to ${towards}; it has no shares by modality.`;
  }
  return `A share is γ = ${model.bias.gamma} times how far the modality lies from its nearest cluster towards the second, ` +
    `divided by the number of modalities, ${rows.length}.`;
}

function noteOnMissing(model, answer) {
  if (answer.missing.length === 0 || model.knows_missing) return "";
  return ` Training has not shown this model segments without ${answer.missing.join(" or ")}: the score is less sure.`;
}

function named(model, index) {
  const sentiment = model.clusters[index].sentiment;
  return sentiment === 0 ? "0" : signed(sentiment, 0);
}

function showClusters(model, answer) {
  const [rows, some] = [answer.geometry, answer.geometry.length > 0];
  for (const id of ["clusters", "map", "map-note", "clusters-title"]) byId(id).hidden = !some;
  if (!some) return;
  byId("map-note").textContent = mapNote(model);
  const mean = (cluster) => rows.reduce((sum, row) => sum + row.distances[cluster], 0) / rows.length;
  const near = answer.clusters.map((c) => c.cluster);
  const marks = ["nearest", "second nearest"];
  const lines = model.clusters.map(({ cluster }) => ({
    mean: mean(cluster),
    near: near.includes(cluster),
    cells: [
      String(cluster),
      named(model, cluster),
      ...rows.map((row) => number(row.distances[cluster], 1)),
      number(mean(cluster), 1),
      marks[near.indexOf(cluster)] ?? "",
    ],
  }));
  lines.sort((a, b) => a.mean - b.mean);
  const heads = ["cluster", "sentiment", ...rows.map((row) => row.modality), "mean", ""];
  const numbers = heads.map((_, at) => at).slice(1, -1);
  fill(byId("clusters"), "Squared distance of the segment to each cluster, under the cluster's own metric", heads, numbers, lines);
}

function mapNote(model) {
  const [first, second] = model.explained.map((share) => `${Math.round(100 * share)} %`);
  return "Circles are the clusters' centres, each with its number and sentiment; square, triangle and diamond are the segment's " +
    "text, vision and audio. Lines lead to each row's nearest (solid) and second-nearest (dashed) cluster, rings mark those of the segment. " +
    `The plane shows the centres' first two principal components under the global metric (${first} and ${second} of their ` +
    "variance): what counts are the distances in the table, under each cluster's own metric and in all dimensions.";
}

// Fills a table anew; `numbers` are the columns set as numbers.
function fill(table, title, heads, numbers, lines) {
  const make = (name, text, column) => {
    const cell = document.createElement(name);
    cell.textContent = text;
    if (numbers.includes(column)) cell.className = "number";
    return cell;
  };
  const caption = make("caption", title);
  const head = document.createElement("thead");
  head.insertRow().append(...heads.map((text, column) => {
    const cell = make("th", text, column);
    cell.scope = "col";
    return cell;
  }));
  const body = document.createElement("tbody");
  for (const line of lines) {
    const row = body.insertRow();
    if (line.near) row.className = "near";
    row.append(...line.cells.map((text, column) => make("td", text, column)));
  }
  table.replaceChildren(caption, head, body);
}
