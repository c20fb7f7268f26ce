/**
 * The document: the lines of a page as a person corrects them. Every view edits it, and every file is written from it.
 *
 * A line is frozen and a change replaces the list of lines, so undo is a list of lists.
 *
 * @typedef {[number, number]} Point pixels of the upright image, y down
 * @typedef {{text: string, confidence: number, polygon: Point[]}} Word
 * @typedef {{text: string, confidence: number, polygon: Point[], baseline: Point[], alternatives: string[], words: Word[]}} ReadLine
 * @typedef {{width: number, height: number, lines: ReadLine[], request_id: string, timings?: {total: number}}} Reading
 * @typedef {object} Line
 * @property {number} id
 * @property {string} text as it is now
 * @property {ReadLine} read what the service read at this place; its text is empty where a person added the line
 * @property {number | null} origin its number in the reading; null: added, split or joined by a person
 * @typedef {{reading: Reading, lines: Line[]}} State
 */

const MOST_STEPS = 500;
const TYPING = 1500; // milliseconds: changes of one text within them are one step of undo

export class PageDocument {
  /** @type {State | null} */
  #state = null;
  /** @type {State[]} */
  #past = [];
  /** @type {State[]} */
  #future = [];
  #last = { key: "", time: 0 };
  #next = 1;

  /** @param {() => void} changed is called after each change */
  constructor(changed) {
    this.changed = changed;
  }

  get reading() {
    return this.#state?.reading ?? null;
  }

  /** @returns {Line[]} */
  get lines() {
    return this.#state?.lines ?? [];
  }

  get texts() {
    return this.lines.map((line) => line.text);
  }

  /** The plain text. An emptied line goes; an empty line that a person added stays. */
  get text() {
    return this.lines.filter((line) => line.text || !line.read.text).map((line) => line.text).join("\n");
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  get edited() {
    const { reading, lines } = this;
    return reading !== null && (lines.length !== reading.lines.length || lines.some((line, index) => line.origin !== index || line.text !== line.read.text));
  }

  /** The page for `POST /page/written/FORMAT`: its lines in their order now, and the text of each. */
  get written() {
    return { page: { ...this.reading, lines: this.lines.map((line) => line.read) }, texts: this.texts };
  }

  /** The texts of the lines that were read, empty where one was deleted; null where lines were added, split, joined or moved. */
  get byLine() {
    let before = -1;
    const texts = (this.reading?.lines ?? []).map(() => "");
    for (const { origin, text } of this.lines) {
      if (origin === null || origin <= before) return null;
      texts[origin] = text;
      before = origin;
    }
    return texts;
  }

  /** A new reading of the page; undo leads back to the one before. @param {Reading} reading */
  load(reading) {
    const lines = reading.lines.map((read, origin) => this.#line(read.text, read, origin));
    this.#put({ reading, lines });
  }

  /** What `restore` takes, to be stored. */
  get saved() {
    return this.#state;
  }

  /** @param {State} state */
  restore(state) {
    this.#next = Math.max(this.#next, ...state.lines.map((line) => line.id + 1));
    this.#put(state);
  }

  /** @param {number} id @param {string} text */
  setText(id, text) {
    if (this.lines.some((line) => line.id === id && line.text !== text)) this.#lines(this.lines.map((line) => (line.id === id ? { ...line, text } : line)), `text ${id}`);
  }

  /** Add a line before `index`; its place is between its neighbours until it is drawn. @returns {number} its id */
  insert(index, text = "") {
    const line = this.#added(text, this.lines[index - 1], this.lines[index]);
    this.#lines(this.lines.toSpliced(index, 0, line));
    return line.id;
  }

  /** @param {number} index */
  remove(index) {
    this.#lines(this.lines.toSpliced(index, 1));
  }

  /** Two lines of the line at `index`, the second from character `at` on. */
  split(index, at) {
    const { text } = this.lines[index];
    const parts = [text.slice(0, at).trimEnd(), text.slice(at).trimStart()];
    this.#lines(this.lines.toSpliced(index, 1, ...this.#parts(this.lines[index], parts)));
  }

  /** Join the lines at `index` and `index + 1`. */
  join(index) {
    const [first, second] = this.lines.slice(index, index + 2);
    if (second) this.#lines(this.lines.toSpliced(index, 2, this.#joined(first, second, [first.text, second.text].filter(Boolean).join(" "))));
  }

  /** Move the line at `index` to the place `to`. */
  move(index, to) {
    if (to >= 0 && to < this.lines.length) this.#lines(this.lines.toSpliced(index, 1).toSpliced(to, 0, this.lines[index]));
  }

  /** Where the line at `index` stands on the picture. @param {number} index @param {Point[]} polygon */
  draw(index, polygon) {
    const line = this.lines[index];
    const { bottom, left, right, top } = span(polygon);
    const y = bottom - 0.2 * (bottom - top);
    /** @type {ReadLine} */
    const read = { ...line.read, polygon, baseline: [[left, y], [right, y]], words: [] };
    this.#lines(this.lines.with(index, { ...line, read }));
  }

  /** The lines of a whole text: each keeps its place where its text stayed, changed, was split or was joined. @param {string[]} texts */
  setTexts(texts) {
    const old = this.lines;
    const most = Math.min(old.length, texts.length);
    let first = 0;
    let last = 0;
    while (first < most && old[first].text === texts[first]) first++;
    while (last < most - first && old[old.length - 1 - last].text === texts[texts.length - 1 - last]) last++;
    const gone = old.slice(first, old.length - last);
    const come = texts.slice(first, texts.length - last);
    if (!gone.length && !come.length) return;
    const middle = this.#fitted(gone, come, old[first - 1], old[old.length - last]);
    this.#lines([...old.slice(0, first), ...middle, ...old.slice(old.length - last)], "whole text");
  }

  /** Replace every match; one step of undo. @param {(text: string) => string} replace @returns {number} of changed lines */
  replace(replace) {
    let count = 0;
    const lines = this.lines.map((line) => {
      const text = replace(line.text);
      if (text === line.text) return line;
      count++;
      return { ...line, text };
    });
    if (count) this.#lines(lines);
    return count;
  }

  undo() {
    this.#step(this.#past, this.#future);
  }

  redo() {
    this.#step(this.#future, this.#past);
  }

  #step(from, to) {
    const state = from.pop();
    if (!state) return;
    to.push(this.#state);
    this.#state = state;
    this.#last.key = "";
    this.changed();
  }

  /** @param {Line[]} lines @param {string} [key] */
  #lines(lines, key = "") {
    this.#put({ reading: this.reading, lines }, key);
  }

  /** @param {State} state */
  #put(state, key = "") {
    const time = Date.now();
    if (this.#state && !(key && key === this.#last.key && time - this.#last.time < TYPING)) {
      this.#past.push(this.#state);
      if (this.#past.length > MOST_STEPS) this.#past.shift();
    }
    this.#last = { key, time };
    this.#future = [];
    this.#state = state;
    this.changed();
  }

  /** @returns {Line} */
  #line(text, read, origin = null) {
    return Object.freeze({ id: this.#next++, text, read, origin });
  }

  #added(text, before, after) {
    return this.#line(text, { text: "", confidence: 1, ...between(before?.read, after?.read, this.reading), alternatives: [], words: [] });
  }

  /** @param {Line} line @param {string[]} texts two */
  #parts(line, texts) {
    return cut(line, texts).map((read, part) => this.#line(texts[part], read));
  }

  #joined(first, second, text) {
    return this.#line(text, together(first.read, second.read));
  }

  /** @param {Line[]} gone @param {string[]} come @returns {Line[]} */
  #fitted(gone, come, before, after) {
    const same = (one, other) => one.replace(/\s/g, "") === other.replace(/\s/g, "");
    if (gone.length === 1 && come.length === 2 && come.every(Boolean) && same(gone[0].text, come.join(""))) return this.#parts(gone[0], come);
    if (gone.length === 2 && come.length === 1 && same(gone[0].text + gone[1].text, come[0])) return [this.#joined(gone[0], gone[1], come[0])];
    let previous = before;
    return pairs(gone.map((line) => line.text), come).map((at, index) => {
      const line = at === null ? this.#added(come[index], previous, after) : { ...gone[at], text: come[index] };
      previous = line;
      return line;
    });
  }
}

/** For each new text the number of the old one that it replaces, or null; as alike as possible, in order. */
function pairs(old, texts) {
  if (old.length === texts.length) return texts.map((_, index) => index);
  const best = Array.from({ length: old.length + 1 }, () => new Float64Array(texts.length + 1));
  const alike = (i, j) => {
    const share = likeness(old[i], texts[j]);
    return share < 0.4 ? 0 : share; // less alike is another line
  };
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = texts.length - 1; j >= 0; j--) best[i][j] = Math.max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + alike(i, j));
  }
  /** @type {(number | null)[]} */
  const found = texts.map(() => null);
  for (let i = 0, j = 0; i < old.length && j < texts.length; ) {
    if (best[i][j] === best[i + 1][j]) i++;
    else if (best[i][j] === best[i][j + 1]) j++;
    else found[j++] = i++;
  }
  return found;
}

/** Dice's coefficient of the pairs of characters, 0…1. */
function likeness(one, other) {
  const grams = (text) => Array.from({ length: Math.max(0, text.length - 1) }, (_, i) => text.slice(i, i + 2));
  const left = grams(one);
  const all = left.length + Math.max(0, other.length - 1);
  if (!all) return 0;
  let common = 0;
  for (const gram of grams(other)) {
    const at = left.indexOf(gram);
    if (at >= 0) {
      left.splice(at, 1);
      common++;
    }
  }
  return (2 * common) / all;
}

/** @param {Point[]} polygon */
export function span(polygon) {
  const xs = polygon.map(([x]) => x);
  const ys = polygon.map(([, y]) => y);
  return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

/** A place for a line between two others. @returns {{polygon: Point[], baseline: Point[]}} */
function between(before, after, reading) {
  const place = (line) => (line?.polygon.length ? span(line.polygon) : null);
  const [above, below] = [place(before), place(after)];
  const model = above ?? below ?? { left: reading.width * 0.1, right: reading.width * 0.9, top: 0, bottom: reading.height / 20 };
  const height = Math.min(model.bottom - model.top, reading.height);
  let top = above ? above.bottom : Math.max(0, model.top - height);
  if (above && below && below.top > above.top) top = (above.top + above.bottom + below.top + below.bottom) / 4 - height / 2;
  top = Math.max(0, Math.min(top, reading.height - height));
  const { left, right } = model;
  const foot = top + 0.8 * height;
  return {
    polygon: [[left, top], [right, top], [right, top + height], [left, top + height]],
    baseline: [[left, foot], [right, foot]],
  };
}

/** What was read in the two parts of a line. @param {Line} line @param {string[]} texts @returns {ReadLine[]} */
function cut({ read, text }, texts) {
  const along = direction(read);
  const place = ([x, y]) => x * along[0] + y * along[1];
  const reach = (points) => [Math.min(...points.map(place)), Math.max(...points.map(place))];
  if (!read.polygon.length) return [read, { ...read, text: "", words: [], alternatives: [] }];
  const [left, right] = reach(read.polygon);
  const count = texts[0].split(/\s+/).filter(Boolean).length;
  let at = left + ((right - left) * texts[0].length) / Math.max(1, text.length);
  const [first, second] = [read.words.slice(0, count), read.words.slice(count)];
  if (first.length && second.length && first.at(-1).polygon.length && second[0].polygon.length) {
    at = (reach(first.at(-1).polygon)[1] + reach(second[0].polygon)[0]) / 2;
  }
  return [first, second].map((words, part) => {
    const inside = (point) => (part ? place(point) - at : at - place(point));
    return {
      text: words.map((word) => word.text).join(" "), confidence: read.confidence, words, alternatives: [],
      polygon: clip(read.polygon, inside, true), baseline: clip(read.baseline, inside, false),
    };
  });
}

/** The part of a shape where `inside` is positive. @param {Point[]} points @returns {Point[]} */
function clip(points, inside, closed) {
  /** @type {Point[]} */
  const kept = [];
  points.forEach((point, index) => {
    if (inside(point) >= 0) kept.push(point);
    const next = points[index + 1] ?? (closed ? points[0] : null);
    if (!next || inside(point) >= 0 === inside(next) >= 0) return;
    const share = inside(point) / (inside(point) - inside(next));
    kept.push([point[0] + share * (next[0] - point[0]), point[1] + share * (next[1] - point[1])]);
  });
  return kept;
}

/** What was read in two lines that are one. @param {ReadLine} first @param {ReadLine} second @returns {ReadLine} */
function together(first, second) {
  const along = direction(first);
  const place = ([x, y]) => x * along[0] + y * along[1];
  const beside = first.baseline.length && second.baseline.length && place(first.baseline.at(-1)) <= place(second.baseline[0]);
  return {
    text: [first.text, second.text].filter(Boolean).join(" "),
    confidence: Math.min(first.confidence, second.confidence),
    polygon: hull([...first.polygon, ...second.polygon]),
    baseline: beside ? [...first.baseline, ...second.baseline] : first.baseline,
    alternatives: [],
    words: [...first.words, ...second.words],
  };
}

/** @param {ReadLine} line */
function direction({ baseline }) {
  if (baseline.length < 2) return [1, 0];
  const [from, to] = [baseline[0], baseline.at(-1)];
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  return length ? [(to[0] - from[0]) / length, (to[1] - from[1]) / length] : [1, 0];
}

/** The convex hull, clockwise as seen on the page (Andrew's monotone chain). @param {Point[]} points @returns {Point[]} */
function hull(points) {
  const sorted = points.toSorted((one, other) => one[0] - other[0] || one[1] - other[1]);
  const half = (row) => {
    /** @type {Point[]} */
    const chain = [];
    for (const point of row) {
      while (chain.length > 1 && turn(chain.at(-2), chain.at(-1), point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

function turn(a, b, c) {
  return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}
