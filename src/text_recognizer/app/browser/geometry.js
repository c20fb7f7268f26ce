/**
 * Shapes on the picture: pixels of the upright image, y down.
 *
 * @typedef {import("./document.js").Point} Point
 * @typedef {import("./document.js").ReadLine} ReadLine
 * @typedef {[number, number, number, number]} Box left, top, right, bottom
 */

/** @param {Point[]} polygon */
export function span(polygon) {
  const xs = polygon.map(([x]) => x);
  const ys = polygon.map(([, y]) => y);
  return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

/** Map the points of a line. @param {ReadLine} read @param {(point: Point) => Point} to @returns {ReadLine} */
export function mapped(read, to) {
  const words = read.words.map((word) => ({ ...word, polygon: word.polygon.map(to) }));
  return { ...read, polygon: read.polygon.map(to), baseline: read.baseline.map(to), words };
}

/** A place for a new line between two others. @param {ReadLine | undefined} before @param {ReadLine | undefined} after @param {number} width @param {number} height @returns {{polygon: Point[], baseline: Point[]}} */
export function between(before, after, width, height) {
  /** @param {ReadLine | undefined} line */
  const place = (line) => (line?.polygon.length ? span(line.polygon) : null);
  const [above, below] = [place(before), place(after)];
  const model = above ?? below ?? { left: width * 0.1, right: width * 0.9, top: 0, bottom: height / 20 };
  const tall = Math.min(model.bottom - model.top, height);
  let top = above ? above.bottom : Math.max(0, model.top - tall);
  if (above && below && below.top > above.top) top = (above.top + above.bottom + below.top + below.bottom) / 4 - tall / 2;
  top = Math.max(0, Math.min(top, height - tall));
  return drawn([model.left, top, model.right, top + tall]);
}

/** A place for a new cell between a cell and the next one in its row. @param {ReadLine} before @param {ReadLine | null} after @param {number} width @returns {{polygon: Point[], baseline: Point[]}} */
export function behind(before, after, width) {
  if (!before.polygon.length) return { polygon: [], baseline: [] };
  const { left, right, top, bottom } = span(before.polygon);
  const gap = (bottom - top) / 4;
  const end = after?.polygon.length ? span(after.polygon).left : width;
  const from = Math.min(right + gap, Math.max(left, end - 2 * gap));
  return drawn([from, top, Math.max(from + gap, Math.min(from + right - left, end - gap)), bottom]);
}

/** The outline and baseline of a line that fills a box. @param {Box} box @returns {{polygon: Point[], baseline: Point[]}} */
export function drawn([left, top, right, bottom]) {
  const foot = bottom - 0.2 * (bottom - top);
  return { polygon: [[left, top], [right, top], [right, bottom], [left, bottom]], baseline: [[left, foot], [right, foot]] };
}

/** Split what was read in a line into two parts. @param {import("./document.js").Line} line @param {string[]} texts @returns {ReadLine[]} */
export function cut({ read, text }, texts) {
  const along = direction(read);
  /** @param {Point} point */
  const place = ([x, y]) => x * along[0] + y * along[1];
  /** @param {Point[]} points */
  const reach = (points) => [Math.min(...points.map(place)), Math.max(...points.map(place))];
  if (!read.polygon.length) return [read, { ...read, text: "", words: [], alternatives: [] }];
  const [left, right] = reach(read.polygon);
  const count = texts[0].split(/\s+/).filter(Boolean).length;
  let at = left + ((right - left) * texts[0].length) / Math.max(1, text.length);
  const [first, second] = [read.words.slice(0, count), read.words.slice(count)];
  const [before, after] = [first.at(-1)?.polygon ?? [], second[0]?.polygon ?? []];
  if (before.length && after.length) at = (reach(before)[1] + reach(after)[0]) / 2;
  return [first, second].map((words, part) => {
    /** @param {Point} point */
    const inside = (point) => (part ? place(point) - at : at - place(point));
    return {
      text: words.map((word) => word.text).join(" "), confidence: read.confidence, words, alternatives: [],
      polygon: clip(read.polygon, inside, true), baseline: clip(read.baseline, inside, false),
    };
  });
}

/** The part of a shape where `inside` is positive. @param {Point[]} points @param {(point: Point) => number} inside @param {boolean} closed @returns {Point[]} */
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

/** Join what was read in two lines. @param {ReadLine} first @param {ReadLine} second @returns {ReadLine} */
export function together(first, second) {
  const along = direction(first);
  /** @param {Point} point */
  const place = ([x, y]) => x * along[0] + y * along[1];
  const [end, start] = [first.baseline.at(-1), second.baseline[0]];
  const beside = end && start && place(end) <= place(start);
  return {
    text: [first.text, second.text].filter(Boolean).join(" "),
    confidence: Math.min(first.confidence, second.confidence),
    polygon: hull([...first.polygon, ...second.polygon]),
    baseline: beside ? [...first.baseline, ...second.baseline] : first.baseline,
    alternatives: [],
    words: [...first.words, ...second.words],
  };
}

/**
 * The frame of a line: the box around its outline, aligned with its baseline.
 * @param {ReadLine} read
 * @returns {{along: Point, left: number, right: number, top: number, bottom: number}} the direction of the line; its ends along
 *   that direction, and its edges across it, from top to bottom
 */
export function frame(read) {
  const [x, y] = direction(read);
  return { along: [x, y], ...span(read.polygon.map(([px, py]) => [px * x + py * y, py * x - px * y])) };
}

/**
 * Where a line begins: the middle of that end of its outline.
 * @param {ReadLine} read
 * @returns {{at: Point, way: number}} `way`: its direction: 0 right, 1 down, 2 left, 3 up
 */
export function beginning(read) {
  const { along: [x, y], left, right } = frame(read);
  const near = read.polygon.filter(([px, py]) => px * x + py * y <= left + (right - left) / 12);
  const { top, bottom } = frame({ ...read, polygon: near });
  const middle = (top + bottom) / 2;
  return { at: [left * x - middle * y, left * y + middle * x], way: (Math.round(Math.atan2(y, x) / (Math.PI / 2)) + 4) % 4 };
}

/**
 * The outline of the word at character `at` of a line; empty if it cannot be matched to a word that was read.
 * @param {import("./document.js").Line} line @param {number} at @returns {Point[]}
 */
export function wordAt({ read, text }, at) {
  const words = [...text.matchAll(/\S+/g)];
  const before = words.findIndex((word) => word.index + word[0].length >= at);
  const number = before < 0 ? words.length - 1 : before;
  /** @param {number} n @param {number} m */
  const same = (n, m) => words[n]?.[0] === read.words[m]?.text;
  const shift = read.words.length - words.length;
  // If all words before it, or all after it, are unchanged, its number identifies it.
  const from = words.slice(0, number).every((_, n) => same(n, n));
  const to = words.slice(number + 1).every((_, n) => same(number + 1 + n, number + 1 + n + shift));
  const found = from && (shift === 0 || same(number, number)) ? number : to && (shift === 0 || same(number, number + shift)) ? number + shift : -1;
  return read.words[found]?.polygon ?? [];
}

/** Whether a point is in a shape. @param {Point[]} polygon @param {Point} point */
export function contains(polygon, [x, y]) {
  return polygon.reduce((odd, [left, top], index) => {
    const [right, bottom] = polygon.at(index - 1) ?? [left, top];
    return top > y !== bottom > y && x < left + ((right - left) * (y - top)) / (bottom - top) ? !odd : odd;
  }, false);
}

/** @param {ReadLine} line */
function direction({ baseline }) {
  const [from, to] = [baseline[0], baseline.at(-1)];
  if (!from || !to) return [1, 0];
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  return length ? [(to[0] - from[0]) / length, (to[1] - from[1]) / length] : [1, 0];
}

/** The convex hull, clockwise as seen on the page (Andrew's monotone chain). @param {Point[]} points @returns {Point[]} */
function hull(points) {
  const sorted = points.toSorted((one, other) => one[0] - other[0] || one[1] - other[1]);
  /** @param {Point[]} row */
  const half = (row) => {
    /** @type {Point[]} */
    const chain = [];
    for (const point of row) {
      while (chain.length > 1 && turn(chain[chain.length - 2], chain[chain.length - 1], point) <= 0) chain.pop();
      chain.push(point);
    }
    return chain.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

/** @param {Point} a @param {Point} b @param {Point} c */
function turn(a, b, c) {
  return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}
