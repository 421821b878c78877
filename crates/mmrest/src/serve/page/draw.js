// Pictures as SVG elements. Nothing here is ever parsed from text: elements are made, text is set as text.

const SVG = "http://www.w3.org/2000/svg";

// An SVG element with attributes and children; a string is a text.
export function element(name, attributes = {}, children = []) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  for (const child of [].concat(children)) {
    made.append(typeof child === "string" ? document.createTextNode(child) : child);
  }
  return made;
}

// A picture that a screen reader tells by its title and description.
function picture(width, height, title, description, children) {
  const attributes = { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}. ${description}` };
  return element("svg", attributes, [element("title", {}, title), ...children]);
}

export const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
const plain = (value, digits = 2) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
const label = (sentiment) => (sentiment === 0 ? "0" : signed(sentiment, 0));

// The tone, 0 to 6, of a sentiment on the scale of all.
export function tone(sentiment, labels) {
  const [least, greatest] = [Math.min(...labels), Math.max(...labels)];
  const share = greatest > least ? (sentiment - least) / (greatest - least) : 0.5;
  return Math.round(6 * Math.min(1, Math.max(0, share)));
}

// Score, bias and their sum on the scale of the labels.
export function scale(answer, range) {
  const [width, height, margin] = [720, 84, 30];
  const low = Math.min(range[0], answer.score, answer.prediction);
  const high = Math.max(range[1], answer.score, answer.prediction);
  const x = (value) => margin + ((value - low) / (high - low)) * (width - 2 * margin);
  const [y, parts] = [44, []];
  parts.push(element("line", { class: "axis", x1: x(low), x2: x(high), y1: y, y2: y }));
  const ticks = 6;
  for (let tick = 0; tick <= ticks; tick += 1) {
    const value = range[0] + ((range[1] - range[0]) * tick) / ticks;
    const name = Number.isInteger(value) ? label(value) : plain(value, 1);
    parts.push(element("line", { class: "axis", x1: x(value), x2: x(value), y1: y - 5, y2: y + 5 }));
    parts.push(element("text", { class: "small", x: x(value), y: y + 24, "text-anchor": "middle" }, name));
  }
  const [from, to] = [x(answer.score), x(answer.prediction)];
  parts.push(element("line", { class: "bias-bar", x1: from, x2: to, y1: y, y2: y }));
  parts.push(element("circle", { class: "score-dot", cx: from, cy: y, r: 6 }));
  parts.push(element("circle", { class: "prediction-dot", cx: to, cy: y, r: 6 }));
  const left = answer.bias < 0;
  const anchor = (x, end) => ({ x: x + (end ? -9 : 9), y: y - 16, "text-anchor": end ? "end" : "start" });
  if (answer.bias === 0) {
    parts.push(element("text", { ...anchor(to, to > width / 2) }, "y"));
  } else {
    parts.push(element("text", anchor(to, left), "y"));
    parts.push(element("text", anchor(from, !left), "y′"));
  }
  const told = `y is ${plain(answer.prediction, 3)} on a scale from ${plain(range[0], 1)} to ${plain(range[1], 1)}; ` +
    `y′ ${plain(answer.score, 3)}, bias ${signed(answer.bias, 3)}`;
  return picture(width, height, "The score on the scale of the labels", told, parts);
}

// Clusters and the segment's rows in the plane of the centres.
export function map(model, answer) {
  const [width, height, margin] = [720, 460, 46];
  const rows = answer.geometry;
  const place = fitted([...model.clusters, ...rows], width, height, margin);
  const center = (cluster) => place(model.clusters[cluster]);
  const parts = [element("rect", { class: "frame", x: 1, y: 1, width: width - 2, height: height - 2, rx: 6 })];
  for (const row of rows) {
    const [x, y] = place(row);
    for (const [cluster, kind] of [[row.second, "link second"], [row.nearest, "link"]]) {
      const [cx, cy] = center(cluster);
      parts.push(element("line", { class: kind, x1: x, y1: y, x2: cx, y2: cy }));
    }
  }
  const near = answer.clusters.map((c) => c.cluster);
  for (const cluster of model.clusters) {
    const [x, y] = place(cluster);
    const t = tone(cluster.sentiment, model.labels);
    const rank = near.indexOf(cluster.cluster);
    if (rank >= 0) {
      parts.push(element("circle", { class: rank === 0 ? "ring" : "ring second", cx: x, cy: y, r: 20 }));
    }
    parts.push(element("circle", { class: `center tone-${t}`, cx: x, cy: y, r: 15 }, [
      element("title", {}, `cluster ${cluster.cluster}, sentiment ${label(cluster.sentiment)}`),
    ]));
    parts.push(element("text", { class: `center-name on-tone-${t}`, x, y }, label(cluster.sentiment)));
    parts.push(element("text", { class: "number-name", x, y: y + 34 }, `cluster ${cluster.cluster}`));
  }
  for (const row of rows) {
    const [x, y] = place(row);
    parts.push(shape(row.modality, x, y));
    parts.push(element("text", { class: "row-name", x: x + 11, y: y - 9 }, row.modality));
  }
  const told = rows
    .map((row) => `${row.modality} is nearest to cluster ${row.nearest}, then to cluster ${row.second}`)
    .join("; ");
  return picture(width, height, "Clusters and the segment among them", told, parts);
}

// From the plane to the picture, one scale for both axes, everything inside.
function fitted(points, width, height, margin) {
  const span = (key) => {
    const values = points.map((point) => point[key]);
    return [Math.min(...values), Math.max(...values)];
  };
  const [[left, right], [low, high]] = [span("x"), span("y")];
  const ratios = [[right - left, width], [high - low, height]].filter(([length]) => length > 0);
  const unit = Math.min(...ratios.map(([length, room]) => (room - 2 * margin) / length), Number.MAX_VALUE);
  const scale = ratios.length > 0 ? unit : 1;
  return (point) => [
    width / 2 + (point.x - (left + right) / 2) * scale,
    height / 2 - (point.y - (low + high) / 2) * scale,
  ];
}

function shape(modality, x, y) {
  const r = 7;
  const outlines = {
    text: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    vision: `M${x} ${y - r - 2}l${r + 2} ${2 * r + 1}h${-2 * (r + 2)}z`,
    audio: `M${x} ${y - r - 2}l${r + 2} ${r + 2}l${-r - 2} ${r + 2}l${-r - 2} ${-r - 2}z`,
  };
  return element("path", { class: "row", d: outlines[modality] ?? outlines.text });
}
