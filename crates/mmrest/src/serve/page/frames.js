// A file of features to frames: CSV (a frame a line, with or without names above) or JSON.

// The frames of one modality; an Error says what is wrong with the file.
export function parseFrames(text, modality, width) {
  const trimmed = text.trim();
  if (trimmed === "") throw new Error("it is empty");
  const frames = /^[[{]/.test(trimmed) ? fromJson(trimmed, modality) : fromCsv(trimmed);
  frames.forEach((frame, at) => {
    if (!Array.isArray(frame) || !frame.every(Number.isFinite)) {
      throw new Error(`frame ${at + 1} is not a list of numbers`);
    }
    if (frame.length !== width) {
      throw new Error(`frame ${at + 1} has ${frame.length} features, the model takes ${width}`);
    }
  });
  return frames;
}

// A list of frames, or an object that has one under the modality's name, as a line of predict has.
function fromJson(text, modality) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`it is not JSON (${error.message})`);
  }
  const frames = Array.isArray(value) ? value : value[modality];
  if (!Array.isArray(frames)) throw new Error(`it has no list "${modality}"`);
  return frames;
}

function fromCsv(text) {
  const lines = text.split(/\r\n|\r|\n/).filter((line) => line.trim() !== "");
  const split = (line) => line.split(/[,;\t]/).map((cell) => cell.trim());
  const number = (cell) => (cell === "" ? NaN : Number(cell));
  const rows = lines.map((line) => split(line).map(number));
  const names = rows.length > 0 && rows[0].every(Number.isNaN);
  return names ? rows.slice(1) : rows;
}
