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
export function picture(width, height, title, description, children) {
  const attributes = { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}. ${description}` };
  return element("svg", attributes, [element("title", {}, title), ...children]);
}

export const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
const plain = (value, digits = 2) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
export const label = (sentiment) => (sentiment === 0 ? "0" : signed(sentiment, 0));

// The tone, 0 to 6, of a sentiment on the scale of all.
export function tone(sentiment, labels) {
  const [least, greatest] = [Math.min(...labels), Math.max(...labels)];
  const share = greatest > least ? (sentiment - least) / (greatest - least) : 0.5;
  return Math.round(6 * Math.min(1, Math.max(0, share)));
}

// Score, bias and their sum on the scale of the labels, as wide as there is room.
export function scale(answer, range, width) {
  const [height, margin] = [84, 30];
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
