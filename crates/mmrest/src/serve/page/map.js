// Clusters and the segment's rows in the plane of the centres.

import { element, label, picture, tone } from "./draw.js";

const HEIGHTS = [220, 460];
const MARGIN = 64;
const LETTER = 7.6;

// The picture of a model's clusters and of one answer's rows, as wide as there is room.
export function map(model, answer, width) {
  const rows = answer.geometry;
  const [place, height] = fitted([...model.clusters, ...rows], width);
  const near = answer.clusters.map((c) => c.cluster);
  const links = rows.flatMap((row) => [
    link(place(row), place(model.clusters[row.second]), "link second"),
    link(place(row), place(model.clusters[row.nearest]), "link"),
  ]);
  const centers = model.clusters.flatMap((cluster) => center(cluster, place(cluster), near, model.labels));
  const shapes = rows.map((row) => shape(row.modality, ...place(row)));
  const named = [
    ...rows.map((row) => ({ at: place(row), name: row.modality, kind: "row-name" })),
    ...model.clusters.map((c) => ({ at: place(c), name: `${c.cluster} (${label(c.sentiment)})`, kind: "center-name" })),
  ];
  const told = rows
    .map((row) => `${row.modality} is nearest to cluster ${row.nearest}, then to cluster ${row.second}`)
    .join("; ");
  const frame = element("rect", { class: "frame", x: 1, y: 1, width: width - 2, height: height - 2, rx: 6 });
  const parts = [frame, ...links, ...names(named, [width, height]), ...centers, ...shapes];
  return picture(width, height, "Clusters and the segment among them", told, parts);
}

// From the plane to the picture, one unit for both axes, everything inside; and the picture's height.
function fitted(points, width) {
  const span = (key) => {
    const values = points.map((point) => point[key]);
    return [Math.min(...values), Math.max(...values)];
  };
  const [[left, right], [low, high]] = [span("x"), span("y")];
  const room = [[right - left, width], [high - low, HEIGHTS[1]]].filter(([length]) => length > 0);
  const units = room.map(([length, size]) => (size - 2 * MARGIN) / length);
  const unit = units.length > 0 ? Math.min(...units) : 1;
  const height = Math.max(HEIGHTS[0], (high - low) * unit + 2 * MARGIN);
  const place = (point) => [
    width / 2 + (point.x - (left + right) / 2) * unit,
    height / 2 - (point.y - (low + high) / 2) * unit,
  ];
  return [place, height];
}

function link([x1, y1], [x2, y2], kind) {
  return element("line", { class: kind, x1, y1, x2, y2 });
}

function center(cluster, [cx, cy], near, labels) {
  const told = `cluster ${cluster.cluster}, sentiment ${label(cluster.sentiment)}`;
  const kind = `center tone-${tone(cluster.sentiment, labels)}`;
  const dot = element("circle", { class: kind, cx, cy, r: 8 }, element("title", {}, told));
  const rank = near.indexOf(cluster.cluster);
  if (rank < 0) return [dot];
  return [dot, element("circle", { class: rank === 0 ? "ring" : "ring second", cx, cy, r: 12.5 })];
}

function shape(modality, x, y) {
  const r = 6;
  const outlines = {
    text: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    vision: `M${x} ${y - r - 2}l${r + 2} ${2 * r + 1}h${-2 * (r + 2)}z`,
    audio: `M${x} ${y - r - 2}l${r + 2} ${r + 2}l${-r - 2} ${r + 2}l${-r - 2} ${-r - 2}z`,
  };
  return element("path", { class: "row", d: outlines[modality] ?? outlines.text });
}

// Names where they cover neither a point nor each other, each with a line to its own point.
function names(named, [width, height]) {
  const taken = named.map(({ at: [x, y] }) => ({ left: x - 12, right: x + 12, top: y - 12, bottom: y + 12 }));
  const parts = [];
  for (const { at: [x, y], name, kind } of named) {
    const [w, h] = [name.length * LETTER + 4, 16];
    const box = ([cx, cy]) => ({ left: cx - w / 2, right: cx + w / 2, top: cy - h / 2, bottom: cy + h / 2 });
    const free = (b) => b.left > 3 && b.right < width - 3 && b.top > 3 && b.bottom < height - 3 &&
      taken.every((t) => b.right < t.left || b.left > t.right || b.bottom < t.top || b.top > t.bottom);
    const spots = around(x, y, w);
    const spot = spots.find((s) => free(box(s))) ?? spots[0];
    taken.push(box(spot));
    parts.push(element("line", { class: "leader", x1: x, y1: y, x2: spot[0], y2: spot[1] }));
    parts.push(element("text", { class: kind, x: spot[0], y: spot[1] }, name));
  }
  return parts;
}

// Spots for a name of width `w` about a point, the nearest first.
function around(x, y, w) {
  const spots = [];
  for (let radius = 22; radius < 240; radius += 12) {
    for (let turn = 0; turn < 16; turn += 1) {
      const angle = (turn * Math.PI) / 8;
      spots.push([x + Math.cos(angle) * (radius + w / 3), y + Math.sin(angle) * radius]);
    }
  }
  return spots;
}
