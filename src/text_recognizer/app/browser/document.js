/**
 * The document: a page that a person corrects, with its lines and the position of its picture. Every view edits it, and
 * every export is made from it.
 *
 * Lines are frozen and each change replaces the list of lines, so undo is a list of states.
 *
 * @typedef {[number, number]} Point pixels of the upright image, y down
 * @typedef {{text: string, confidence: number, polygon: Point[]}} Word
 * @typedef {{text: string, confidence: number, polygon: Point[], baseline: Point[], alternatives: string[], words: Word[]}} ReadLine
 * @typedef {{width: number, height: number, lines: ReadLine[], blocks?: import("./blocks.js").Block[], request_id: string, language?: string, timings?: {total: number}}} Reading
 * @typedef {object} Line
 * @property {number} id
 * @property {string} text the current text
 * @property {ReadLine} read what the service read at this place; its text is empty if a person added the line
 * @property {import("./blocks.js").Place[]} block the blocks around it, the outermost first
 * @property {number | null} origin its number in the reading; null: added, split or joined by a person
 * @typedef {object} State
 * @property {Reading | null} reading the service's answer
 * @property {import("./sheet.js").Sheet} asRead the sheet at the time of reading
 * @property {import("./sheet.js").Sheet} sheet the current sheet
 * @property {number} width of the picture on the sheet, in pixels
 * @property {number} height
 * @property {Line[]} lines
 * @typedef {{state: State, past: State[], future: State[]}} Saved
 */

import * as blocks from "./blocks.js";
import { behind, between, cut, drawn, mapped, span, together } from "./geometry.js";
import { merged, pairs } from "./merging.js";
import { WHOLE, cropped, quarter } from "./sheet.js";

const MOST_STEPS = 300;
const TYPING = 1500; // milliseconds: changes to one text within this time are one undo step

export class PageDocument {
  /** @type {State} */
  #state = { reading: null, asRead: WHOLE, sheet: WHOLE, width: 0, height: 0, lines: [] };
  /** @type {State[]} */
  #past = [];
  /** @type {State[]} */
  #future = [];
  #last = { key: "", time: 0 };

  /** @param {() => void} changed called after each change */
  constructor(changed) {
    this.changed = changed;
  }

  get reading() {
    return this.#state.reading;
  }

  /** How the picture is turned and cropped. */
  get sheet() {
    return this.#state.sheet;
  }

  /** How it was turned and cropped when it was read. */
  get asRead() {
    return this.#state.asRead;
  }

  get width() {
    return this.#state.width;
  }

  get height() {
    return this.#state.height;
  }

  /** @returns {Line[]} */
  get lines() {
    return this.#state.lines;
  }

  get texts() {
    return this.lines.map((line) => line.text);
  }

  /** The plain text. An emptied line is left out; an empty line that a person added stays. The cells of a row are one line. */
  get text() {
    const shown = this.lines.filter((line) => line.text || !line.read.text);
    return shown.reduce((text, line, index) => {
      const [before, place] = [shown[index - 1]?.block.at(-1), line.block.at(-1)];
      const beside = place?.kind === "row" && before?.id === place.id;
      return text + (!index ? "" : !beside ? "\n" : line.block.some(({ kind }) => kind === "table") ? "\t" : " ") + line.text;
    }, "");
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

  /** Whether the picture was cropped after it was read. If so, the lines of the reading no longer match the picture. */
  get croppedSince() {
    /** @param {import("./sheet.js").Sheet} sheet */
    const size = ({ box: [left, top, right, bottom] }) => (right - left) * (bottom - top);
    return Math.abs(size(this.sheet) - size(this.asRead)) > 1e-9;
  }

  /** The page for `POST /page/written/FORMAT`: its lines in their current order, and the text of each. */
  get written() {
    const { width, height } = this;
    const page = { ...this.reading, width, height, lines: this.lines.map((line) => line.read), blocks: blocks.blocksOf(this.lines) };
    return { page, texts: this.texts };
  }

  /** The current texts of the lines that were read, "" for a deleted line; null if lines were added, split, joined or moved. */
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

  /** Load a new reading of the page; undo returns to the one before. @param {Reading} reading */
  load(reading) {
    const { sheet } = this;
    const paths = blocks.paths(reading.blocks ?? [], reading.lines.length);
    const lines = reading.lines.map((read, origin) => made(read.text, read, paths[origin], origin));
    this.#put({ reading, asRead: sheet, sheet, width: reading.width, height: reading.height, lines });
  }

  /** The state to store, for `restore`: the page with all undo steps. @returns {Saved} */
  get saved() {
    return { state: this.#state, past: this.#past, future: this.#future };
  }

  /** @param {Saved} saved */
  restore({ state, past, future }) {
    [this.#state, this.#past, this.#future] = [state, past, future];
    this.#last.key = "";
    this.changed();
  }

  /**
   * Merge what another tab made of `base`; undo only reverts the changes of this tab.
   * @param {State | null} base @param {State} theirs @returns {boolean} whether this document now contains more than theirs
   */
  adopt(base, theirs) {
    const mine = this.#state;
    const both = merged(base, mine, theirs);
    if (both === mine) return true;
    /** @param {State[]} states */
    const rebased = (states) => states.map((state) => merged(base, state, theirs) ?? state);
    if (both) [this.#past, this.#future] = [rebased(this.#past), rebased(this.#future)];
    else this.#past.push(mine);
    this.#state = both ?? theirs;
    this.#last.key = "";
    this.changed();
    return both !== null && both !== theirs;
  }

  /** @param {number} id @param {string} text */
  setText(id, text) {
    if (this.lines.some((line) => line.id === id && line.text !== text)) this.#lines(this.lines.map((line) => (line.id === id ? { ...line, text } : line)), `text ${id}`);
  }

  /** Add a line before `index`, placed between its neighbours until somebody draws its box. @param {number} index @returns {number} its id */
  insert(index, text = "") {
    const line = this.#added(text, this.lines[index - 1], this.lines[index]);
    this.#lines(this.lines.toSpliced(index, 0, line));
    return line.id;
  }

  /** Add a block of one line behind the block around `index`, of the same kind; for a table, a row. @param {number} index @returns {number} the line's index */
  insertBlock(index) {
    const { start, stop } = blocks.around(this.lines, index);
    const above = this.lines[start];
    const place = between(above.read, this.lines[stop]?.read, this.width, this.height);
    const line = made("", { text: "", confidence: 1, ...place, alternatives: [], words: [] }, blocks.another(above.block));
    this.#lines(this.lines.toSpliced(stop, 0, line));
    return stop;
  }

  /** @param {number} index */
  remove(index) {
    this.#lines(this.lines.toSpliced(index, 1));
  }

  /** Split the line at `index` in two; the second begins at character `at`. @param {number} index @param {number} at */
  split(index, at) {
    const { text } = this.lines[index];
    const parts = [text.slice(0, at).trimEnd(), text.slice(at).trimStart()];
    this.#lines(this.lines.toSpliced(index, 1, ...split(this.lines[index], parts)));
  }

  /** Join the lines at `index` and `index + 1`. @param {number} index */
  join(index) {
    const [first, second] = this.lines.slice(index, index + 2);
    if (second) this.#lines(this.lines.toSpliced(index, 2, joined(first, second, [first.text, second.text].filter(Boolean).join(" "))));
  }

  /** Move the line at `index` to the index `to`. @param {number} index @param {number} to */
  move(index, to) {
    if (to < 0 || to >= this.lines.length) return;
    const others = this.lines.toSpliced(index, 1);
    const [before, after] = [others[to - 1]?.block, others[to]?.block];
    // Between two lines of the same block, it joins that block.
    const block = before && before.at(-1)?.id === after?.at(-1)?.id ? before : this.lines[index].block;
    this.#lines(others.toSpliced(to, 0, { ...this.lines[index], block }));
  }

  /** Change the blocks around the line at `index`. @param {number} index @param {"named" | "begun" | "joined" | "moved"} how @param {any} [what] */
  block(index, how, what) {
    /** @type {(lines: Line[], index: number, what: any) => Line[]} */
    const change = blocks[how];
    const lines = change(this.lines, index, what);
    if (lines !== this.lines) this.#lines(lines);
  }

  /** Delete the block around the line at `index`. @param {number} index @returns {number} the index where it began */
  removeBlock(index) {
    const { start, stop } = blocks.around(this.lines, index);
    this.#lines(this.lines.toSpliced(start, stop - start));
    return start;
  }

  /** Place the line at `index` on the picture. @param {number} index @param {import("./geometry.js").Box} box in pixels */
  draw(index, box) {
    const line = this.lines[index];
    this.#lines(this.lines.with(index, { ...line, read: { ...line.read, ...drawn(box), words: [] } }));
  }

  /** Turn the picture and its lines clockwise by 90 degrees. @param {number} width of the picture before @param {number} height */
  turn(width, height) {
    const across = this.width || width;
    const tall = this.height || height;
    const lines = this.lines.map((line) => ({ ...line, read: mapped(line.read, ([x, y]) => [tall - y, x]) }));
    this.#put({ ...this.#state, sheet: quarter(this.sheet), width: tall, height: across, lines });
  }

  /** Crop the picture; lines outside are deleted. @param {import("./geometry.js").Box} part as shares of the visible picture @param {number} width @param {number} height */
  crop(part, width, height) {
    const [across, tall] = [this.width || width, this.height || height];
    const [left, top, right, bottom] = [part[0] * across, part[1] * tall, part[2] * across, part[3] * tall];
    /** @param {Point} point @returns {Point} */
    const to = ([x, y]) => [Math.min(right, Math.max(left, x)) - left, Math.min(bottom, Math.max(top, y)) - top];
    /** @param {Line} line */
    const inside = ({ read: { polygon } }) => {
      if (!polygon.length) return true;
      const place = span(polygon);
      const [x, y] = [(place.left + place.right) / 2, (place.top + place.bottom) / 2];
      return x > left && x < right && y > top && y < bottom;
    };
    const lines = this.lines.filter(inside).map((line) => ({ ...line, read: mapped(line.read, to) }));
    this.#put({ ...this.#state, sheet: cropped(this.sheet, part), width: right - left, height: bottom - top, lines });
  }

  /** Replace all texts. A line keeps its place if its text is unchanged, changed, split or joined. @param {string[]} texts */
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

  /** Change texts in one undo step. @param {(text: string, index: number) => string} replace @returns {number} how many lines changed */
  replace(replace) {
    let count = 0;
    const lines = this.lines.map((line, index) => {
      const text = replace(line.text, index);
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

  /** @param {State[]} from @param {State[]} to */
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
    this.#put({ ...this.#state, lines }, key);
  }

  /** @param {State} state */
  #put(state, key = "") {
    const time = Date.now();
    const begun = this.#state.reading !== null || this.#state.sheet !== WHOLE || state.reading === null;
    if (begun && !(key && key === this.#last.key && time - this.#last.time < TYPING)) {
      this.#past.push(this.#state);
      if (this.#past.length > MOST_STEPS) this.#past.shift();
    }
    this.#last = { key, time };
    this.#future = [];
    this.#state = state;
    this.changed();
  }

  /** @param {string} text @param {Line | undefined} before @param {Line | undefined} after */
  #added(text, before, after) {
    const row = before?.block.at(-1);
    const place = before && row?.kind === "row" ? behind(before.read, after?.block.at(-1)?.id === row.id ? after.read : null, this.width) : between(before?.read, after?.read, this.width, this.height);
    return made(text, { text: "", confidence: 1, ...place, alternatives: [], words: [] }, (before ?? after)?.block ?? []);
  }

  /** @param {Line[]} gone @param {string[]} come @param {Line | undefined} before @param {Line | undefined} after @returns {Line[]} */
  #fitted(gone, come, before, after) {
    /** @param {string} one @param {string} other */
    const same = (one, other) => one.replace(/\s/g, "") === other.replace(/\s/g, "");
    if (gone.length === 1 && come.length === 2 && come.every(Boolean) && same(gone[0].text, come.join(""))) return split(gone[0], come);
    if (gone.length === 2 && come.length === 1 && same(gone[0].text + gone[1].text, come[0])) return [joined(gone[0], gone[1], come[0])];
    let previous = before;
    return pairs(gone.map((line) => line.text), come).map((at, index) => {
      const line = at === null ? this.#added(come[index], previous, after) : { ...gone[at], text: come[index] };
      previous = line;
      return line;
    });
  }
}

/** @param {string} text @param {ReadLine} read @param {import("./blocks.js").Place[]} block @param {number | null} [origin] @returns {Line} */
function made(text, read, block, origin = null) {
  // Random, so that two tabs use different ids.
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return Object.freeze({ id: (high % 2 ** 20) * 2 ** 32 + low + 1, text, read, block, origin });
}

/** @param {Line} line @param {string[]} texts two @returns {Line[]} */
function split(line, texts) {
  return cut(line, texts).map((read, part) => made(texts[part], read, line.block));
}

/** @param {Line} first @param {Line} second @param {string} text @returns {Line} */
function joined(first, second, text) {
  return made(text, together(first.read, second.read), first.block);
}
