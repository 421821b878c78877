// A recording's sentiment over time: player, curve and transcript. The page of the server and that of predict share it.

import { element, picture, signed, tone } from "./draw.js";

const HEIGHT = 240;
const MARGIN = { left: 40, right: 14, top: 14, bottom: 30 };
// Between two times on the axis, in seconds; the first that leaves room for its text is taken.
const STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];
const ROOM = 64;

// Seconds as minutes or hours.
export function clock(seconds, digits = 0) {
  const tenths = Math.round(seconds * 10 ** digits);
  const whole = Math.floor(tenths / 10 ** digits);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = digits > 0 ? `.${tenths % 10 ** digits}` : "";
  return `${hours > 0 ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}${rest}`;
}

function make(name, attributes = {}, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...[].concat(children));
  return made;
}

// What a score means: its label, its interval, and a warning where features are unlike those of training.
export function meaning({ label, interval, beyond_training: beyond = [] }, confidence) {
  const sure = interval === null ? "" :
    `, ${Math.round(100 * confidence)} % interval ${signed(interval[0], 2)} to ${signed(interval[1], 2)}`;
  const guess = beyond.length === 0 ? "" : `; a guess, for ${beyond.join(" and ")} ${beyond.length > 1 ? "are" : "is"} unlike anything in training`;
  return `${label}${sure}${guess}`;
}

// What a segment's score says, in words.
function told(segment, confidence) {
  return `${signed(segment.prediction, 2)}, ${meaning(segment, confidence)}`;
}

// Shows a recording in an element, in place of what was there.
//
// `segments`: each with start, end (seconds), text, prediction, label, interval (or null), in order; `range`: the scale of
// sentiment; `confidence`: of the intervals; `media`: `{ src, video }`, or null where there is nothing to play.
export function showRecording(place, { segments, range, confidence, media }) {
  const end = Math.max(...segments.map((segment) => segment.end), 0.1);
  const toneOf = (segment) => `tone-${tone(segment.prediction, range)}`;
  const player = media && make(media.video ? "video" : "audio", { controls: "", preload: "metadata", src: media.src });
  const lost = make("p", { class: "soft", hidden: "" }, "The recording cannot be played here; its scores are below.");
  const moment = make("p", { class: "moment" });
  const chart = make("div", {
    class: "chart", tabindex: "0", role: "slider", "aria-label": "Sentiment over time: arrow keys go from segment to segment, space plays",
    "aria-valuemin": "0", "aria-valuemax": end.toFixed(1),
  });
  const list = make("ol", { class: "transcript", "aria-label": "Transcript" });
  const rows = segments.map((segment) => {
    const score = make("span", { class: "value" }, signed(segment.prediction, 1));
    const said = make("span", { class: "said" }, segment.text);
    const row = make("button", { type: "button", class: toneOf(segment), title: told(segment, confidence) }, [
      make("span", { class: "time" }, clock(segment.start)), " ", said, " ", score,
    ]);
    row.addEventListener("click", () => seek(segment.start));
    list.append(make("li", {}, row));
    return row;
  });
  const legend = make("p", { class: "soft" },
    `Bars are the segments' sentiment on the scale from ${signed(range[0], 0)} to ${signed(range[1], 0)}, joined by a line.` +
    (segments.some((segment) => segment.interval) ?
      ` Behind each is where its true sentiment lies with ${Math.round(100 * confidence)} % confidence.` : ""));
  place.replaceChildren(...[player, player && lost, moment, chart, legend, list].filter(Boolean));

  // The time that is shown: under the pointer, else where the recording is.
  let [at, over, cursor, width] = [0, null, null, 0];
  const x = (seconds) => MARGIN.left + (seconds / end) * (width - MARGIN.left - MARGIN.right);
  const y = (value) => {
    const share = (value - range[0]) / (range[1] - range[0]);
    return HEIGHT - MARGIN.bottom - Math.min(1, Math.max(0, share)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  };
  const indexAt = (seconds) => segments.findLastIndex((segment) => segment.start <= seconds && seconds < segment.end);

  function seek(seconds) {
    at = Math.min(end, Math.max(0, seconds));
    if (player) player.currentTime = at;
    update();
  }

  // Draws the curve anew, as wide as there is room.
  function draw() {
    width = Math.max(280, chart.clientWidth);
    const parts = [...axes(), ...segments.flatMap(bar)];
    const middle = (segment) => `${x((segment.start + segment.end) / 2)},${y(segment.prediction)}`;
    parts.push(element("polyline", { class: "curve", points: segments.map(middle).join(" ") }));
    cursor = element("g", { class: "cursor" });
    parts.push(cursor);
    const description = `${segments.length} segments over ${clock(end)}`;
    const drawn = picture(width, HEIGHT, "Sentiment over time", description, parts);
    drawn.setAttribute("height", HEIGHT);
    chart.replaceChildren(drawn);
    update();
  }

  function axes() {
    const parts = [];
    const [left, right, bottom] = [MARGIN.left, width - MARGIN.right, HEIGHT - MARGIN.bottom];
    const ticks = range[1] - range[0] >= 2 && range.every(Number.isInteger) ? range[1] - range[0] : 4;
    for (let tick = 0; tick <= ticks; tick += 1) {
      const value = range[0] + ((range[1] - range[0]) * tick) / ticks;
      const name = value === 0 ? "0" : signed(value, Number.isInteger(value) ? 0 : 1);
      parts.push(element("line", { class: value === 0 ? "axis" : "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
      parts.push(element("text", { class: "small", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, name));
    }
    const step = STEPS.find((seconds) => x(seconds) - x(0) >= ROOM) ?? STEPS.at(-1);
    for (let seconds = 0; seconds <= end; seconds += step) {
      parts.push(element("line", { class: "axis", x1: x(seconds), x2: x(seconds), y1: bottom, y2: bottom + 5 }));
      parts.push(element("text", { class: "small", x: x(seconds), y: bottom + 20, "text-anchor": "middle" }, clock(seconds)));
    }
    return parts;
  }

  function bar(segment) {
    const [left, wide] = [x(segment.start), Math.max(2, x(segment.end) - x(segment.start))];
    const parts = [];
    if (segment.interval) {
      const [low, high] = segment.interval.map(y);
      parts.push(element("rect", { class: `interval ${toneOf(segment)}`, x: left, y: high, width: wide, height: Math.max(1, low - high) }));
    }
    parts.push(element("rect", { class: `level ${toneOf(segment)}`, x: left, y: y(segment.prediction) - 3, width: wide, height: 6 }));
    return parts;
  }

  // Shows the moment under the pointer, or that at which the recording is.
  function update() {
    const seconds = over ?? at;
    const index = indexAt(seconds);
    const segment = segments[index];
    const words = segment ? `${told(segment, confidence)}: “${segment.text}”` : "nothing is said";
    moment.replaceChildren(make("strong", {}, clock(seconds, 1)), ` ${words}`);
    chart.setAttribute("aria-valuenow", at.toFixed(1));
    const here = segments[indexAt(at)];
    chart.setAttribute("aria-valuetext", `${clock(at)}, ${here ? `${told(here, confidence)}: ${here.text}` : "nothing is said"}`);
    if (cursor) {
      const line = element("line", { x1: x(seconds), x2: x(seconds), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom });
      const dot = segment && element("circle", { cx: x(seconds), cy: y(segment.prediction), r: 6, class: toneOf(segment) });
      cursor.replaceChildren(...[line, dot].filter(Boolean));
    }
    rows.forEach((row, place) => {
      if (place === index) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    });
    if (segment && over === null) reveal(rows[index]);
  }

  // Scrolls the transcript, and not the page, to a row.
  function reveal(row) {
    const [top, bottom] = [row.offsetTop - list.offsetTop, row.offsetTop - list.offsetTop + row.offsetHeight];
    if (top < list.scrollTop) list.scrollTop = top;
    else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
  }

  const under = (event) => {
    const left = event.clientX - chart.getBoundingClientRect().left;
    const share = (left - MARGIN.left) / (width - MARGIN.left - MARGIN.right);
    return Math.min(end, Math.max(0, share * end));
  };
  chart.addEventListener("pointermove", (event) => { over = under(event); update(); });
  chart.addEventListener("pointerleave", () => { over = null; update(); });
  chart.addEventListener("click", (event) => seek(under(event)));
  chart.addEventListener("keydown", (event) => {
    const before = segments.findLast((segment) => segment.start < at - 0.01);
    const after = segments.find((segment) => segment.start > at + 0.01);
    const jumps = {
      ArrowLeft: before?.start ?? 0, ArrowDown: before?.start ?? 0, ArrowRight: after?.start ?? at, ArrowUp: after?.start ?? at,
      Home: 0, End: segments.at(-1)?.start ?? 0,
    };
    if (event.key in jumps) seek(jumps[event.key]);
    else if (event.key === " " && player) player.paused ? player.play() : player.pause();
    else return;
    over = null;
    update();
    event.preventDefault();
  });
  if (player) {
    player.addEventListener("timeupdate", () => { at = player.currentTime; update(); });
    player.addEventListener("error", () => { player.hidden = true; lost.hidden = false; });
  }
  new ResizeObserver(() => { if (chart.clientWidth !== width) draw(); }).observe(chart);
  draw();
}
