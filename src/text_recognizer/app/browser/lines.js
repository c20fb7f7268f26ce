// The lines of the document as editable fields, one below the other.

import { begins, beneath, cellsOf } from "./blocks.js";
import { frame } from "./geometry.js";
import { brush, find } from "./dom.js";
import { DOUBTED_WORD, LEVEL_WORDS, level, percent } from "./picture.js";

/**
 * @typedef {import("./document.js").Line} Line
 * @typedef {ReturnType<Lines["made"]>} Item a line with its elements
 */

/** The positions of doubtful words in a text, as pairs of start and end. @param {Line} line @returns {[number, number][]} */
export function doubts({ read, text }) {
  const left = read.words.filter((word) => word.confidence < DOUBTED_WORD).map((word) => word.text);
  /** @type {[number, number][]} */
  const found = [];
  for (const match of text.matchAll(/\S+/g)) {
    const at = left.indexOf(match[0]);
    if (at < 0) continue;
    left.splice(at, 1);
    found.push([match.index, match.index + match[0].length]);
  }
  return found;
}

const MOST_CELLS = 4; // side by side; more cells of a row go below
const FAINT = 0.3; // opacity of the neighbours in the strip of a line

export class Lines {
  /**
   * @param {object} on
   * @param {(index: number) => void} on.chosen the cursor entered a line
   * @param {(index: number) => void} on.pointed the pointer is over this line; -1: over none
   * @param {(id: number, text: string) => void} on.typed
   * @param {(index: number, event: KeyboardEvent) => boolean} on.key a key was pressed in a line; returns true if it triggered an action
   */
  constructor(on) {
    this.on = on;
    this.list = find("#tr-lines");
    this.width = 0; // of the image that the polygons refer to, in pixels
    /** @type {Item[]} */
    this.items = [];
    this.image = find("#tr-image");
    this.strip = find("#tr-strip"); // of the current line, in the whole-text view
    // A change of the list's width changes how texts wrap.
    new ResizeObserver(() => this.items.forEach((item) => this.#fit(item))).observe(this.list);
    this.image.addEventListener("load", () => {
      this.items.forEach((item) => {
        item.drawn = false;
        this.#draw(item);
      });
      this.show(this.items.findIndex(({ row }) => row.classList.contains("active")));
    });
  }

  /** Show these lines. Lines that stay keep their elements, so the cursor stays too. @param {Line[]} lines @param {number} width @param {boolean} locked */
  render(lines, width, locked) {
    this.width = width;
    const old = new Map(this.items.map((item) => [item.line.id, item]));
    this.items = lines.map((line) => old.get(line.id) ?? this.made(line));
    const kept = new Set(this.items);
    for (const item of old.values()) if (!kept.has(item)) item.row.remove();
    this.items.forEach((item, index) => {
      // An element loses the cursor when it is moved, so move only those out of place.
      if (this.list.children[index] !== item.row) this.list.insertBefore(item.row, this.list.children[index] ?? null);
      item.field.readOnly = locked;
      const line = lines[index];
      const fresh = item.line !== line || !item.shown;
      if (item.line.read.polygon !== line.read.polygon) item.drawn = false;
      item.line = line;
      const place = line.block.at(-1);
      const first = place && lines[index - 1]?.block.at(-1)?.id !== place.id;
      item.row.classList.toggle("first", Boolean(first) && index > 0);
      const { start, count } = cellsOf(lines, index);
      item.row.classList.toggle("cell", count > 1);
      item.row.style.setProperty("--cells", String(Math.min(count, MOST_CELLS)));
      item.row.style.setProperty("--narrow", count === 3 ? "3" : "2"); // on a phone, four cells go two by two
      item.kind.textContent = begins(lines, index);
      item.row.classList.toggle("named", !["", "Row"].includes(begins(lines, start)));
      if (item.number !== index + 1) this.#number(item, index + 1);
      if (item.field.value !== line.text) put(item.field, line.text);
      if (fresh) this.#refresh(item);
    });
  }

  /** The elements of a line. @param {Line} line */
  made(line) {
    const row = document.createElement("li");
    row.innerHTML =
      '<span class="kind"></span><span class="number" aria-hidden="true"></span><canvas class="strip" aria-hidden="true"></canvas>' +
      '<div class="text"><div class="mirror" aria-hidden="true" dir="auto"></div><textarea rows="1" spellcheck="false" dir="auto"></textarea></div>' +
      '<span class="confidence"></span><button type="button" class="icon other" aria-expanded="false"></button>' +
      '<div class="others" role="group" hidden></div><span class="sr doubts"></span>';
    /** @type {(name: string) => any} */
    const part = (name) => row.querySelector(name);
    const item = {
      line, row, field: part("textarea"), mirror: part(".mirror"), confidence: part(".confidence"), other: part(".other"),
      others: part(".others"), strip: part(".strip"), doubts: part(".doubts"), label: part(".number"), kind: part(".kind"),
      number: 0, drawn: false, shown: false,
    };
    item.confidence.id = `tr-confidence-${line.id}`;
    item.doubts.id = `tr-doubts-${line.id}`;
    item.others.id = `tr-others-${line.id}`;
    item.field.setAttribute("aria-describedby", `${item.confidence.id} ${item.doubts.id}`);
    item.other.setAttribute("aria-controls", item.others.id);
    item.other.textContent = "▾";
    const index = () => this.items.indexOf(item);
    item.field.addEventListener("focus", () => this.on.chosen(index()));
    item.field.addEventListener("input", () => this.#typed(item));
    item.field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event, index()));
    item.other.addEventListener("click", () => this.#open(item, item.others.hidden));
    item.others.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#choose(event, item));
    row.addEventListener("pointerenter", () => this.on.pointed(index()));
    row.addEventListener("pointerleave", () => this.on.pointed(-1));
    return item;
  }

  /** @param {Item} item @param {number} number */
  #number(item, number) {
    item.number = number;
    item.label.textContent = String(number);
    item.field.setAttribute("aria-label", `Line ${number}`);
    for (const each of [item.others, item.other]) each.setAttribute("aria-label", `Other readings of line ${number}`);
  }

  /** @param {number} index */
  show(index) {
    this.items.forEach(({ row }, i) => row.classList.toggle("active", i === index));
    const line = this.items[index]?.line;
    this.strip.hidden = !line;
    if (line) this.#cut(this.strip, line);
  }

  /** @param {number} index */
  point(index) {
    this.items.forEach(({ row }, i) => row.classList.toggle("pointed", i === index));
  }

  /** Put the cursor into a line, selecting from `start` to `end`; default: at the end of its text. @param {number} index */
  enter(index, start = Infinity, end = start) {
    const item = this.items[index];
    if (!item) return;
    item.field.focus({ preventScroll: true });
    item.field.setSelectionRange(Math.min(start, item.field.value.length), Math.min(end, item.field.value.length));
    // At once: Firefox carries a smooth movement on, even where another page is opened meanwhile.
    item.row.scrollIntoView({ block: "nearest", behavior: "instant" });
  }

  /** @param {Item} item */
  #typed(item) {
    const broken = /[\r\n]+/g;
    if (broken.test(item.field.value)) {
      const at = item.field.selectionStart;
      item.field.value = item.field.value.replace(broken, " ");
      item.field.setSelectionRange(at, at);
    }
    this.on.typed(item.line.id, item.field.value);
  }

  /** Highlight a match in a line whose field does not have the cursor, so cannot show a selection; -1: none. @param {number} index */
  match(index, start = 0, end = 0) {
    this.list.querySelector(".match")?.remove();
    const item = this.items[index];
    if (!item) return;
    const shown = /** @type {HTMLElement} */ (item.mirror.cloneNode());
    const { text } = item.line;
    const mark = document.createElement("mark");
    mark.className = "found";
    mark.textContent = text.slice(start, end);
    shown.classList.add("match");
    shown.append(text.slice(0, start), mark, text.slice(end));
    item.mirror.before(shown);
  }

  /** @param {Item} item */
  #refresh(item) {
    const { line } = item;
    item.shown = true;
    const kind = stateOf(line);
    item.row.dataset.kind = kind;
    item.confidence.textContent = kind === "edited" ? (line.read.text ? "corrected" : "added") : percent(line.read.confidence);
    item.confidence.title = LEVEL_WORDS[kind];
    this.#mark(item);
    this.#offer(item);
    this.#fit(item);
  }

  /** Put the same text behind the field, with a wavy underline for doubtful words. @param {Item} item */
  #mark({ line, mirror, doubts: words }) {
    const places = doubts(line);
    const parts = [];
    let at = 0;
    for (const [start, end] of places) {
      const mark = document.createElement("mark");
      mark.textContent = line.text.slice(start, end);
      parts.push(line.text.slice(at, start), mark);
      at = end;
    }
    mirror.replaceChildren(...parts, line.text.slice(at));
    words.textContent = places.length ? `In doubt: ${places.map(([start, end]) => line.text.slice(start, end)).join(", ")}` : "";
  }

  /** @param {Item} item */
  #offer(item) {
    const { line, field, others } = item;
    const texts = [line.read.text, ...line.read.alternatives].filter((text) => text && text !== line.text);
    others.replaceChildren(
      ...texts.map((text) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = text;
        button.dir = "auto";
        if (text === line.read.text) button.dataset.read = "as it was read";
        button.addEventListener("click", () => {
          this.on.typed(line.id, text);
          this.#open(item, false);
          field.focus();
        });
        return button;
      }),
    );
    item.other.hidden = !texts.length;
    if (!texts.length) this.#open(item, false);
  }

  /** @param {Item} item @param {boolean} open */
  #open(item, open) {
    item.others.hidden = !open;
    item.other.setAttribute("aria-expanded", String(open));
    if (!open) return;
    this.on.chosen(this.items.indexOf(item)); // so that people can compare the alternatives with the picture
    item.others.querySelector("button")?.focus();
  }

  /** @param {KeyboardEvent} event @param {Item} item */
  #choose(event, item) {
    const buttons = [...item.others.children];
    const at = buttons.indexOf(document.activeElement);
    const step = Number(event.key === "ArrowDown") - Number(event.key === "ArrowUp");
    if (step) {
      event.preventDefault();
      buttons[(at + step + buttons.length) % buttons.length].focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.#open(item, false);
      item.other.focus();
    }
  }

  /** @param {KeyboardEvent} event @param {number} index */
  #key(event, index) {
    if (this.on.key(index, event)) {
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    const field = this.items[index].field;
    const { selectionStart: at, selectionEnd: end } = field;
    let to;
    if (event.key === "Enter" && !event.isComposing && !event.ctrlKey && !event.altKey) to = index + (event.shiftKey ? -1 : 1);
    // Within a text of several rows, the arrow keys work as usual.
    else if (event.key === "ArrowDown" && !event.altKey && !event.shiftKey && at === end && (this.#isOneRow(field) || at === field.value.length)) to = beneath(this.#lines, index, 1);
    else if (event.key === "ArrowUp" && !event.altKey && !event.shiftKey && at === end && (this.#isOneRow(field) || at === 0)) to = beneath(this.#lines, index, -1);
    else if (event.key === "ArrowDown" && event.altKey && !this.items[index].other.hidden) {
      event.preventDefault();
      this.#open(this.items[index], true);
      return;
    } else return;
    event.preventDefault();
    this.enter(to);
  }

  get #lines() {
    return this.items.map(({ line }) => line);
  }

  /** @param {HTMLTextAreaElement} field */
  #isOneRow(field) {
    return field.clientHeight < 2 * parseFloat(getComputedStyle(field).lineHeight);
  }

  /** @param {Item} item */
  #fit(item) {
    item.field.style.height = `${item.mirror.offsetHeight}px`;
    this.#draw(item);
  }

  /** @param {Item} item */
  #draw(item) {
    item.drawn ||= this.#cut(item.strip, item.line);
  }

  /**
   * Crop a line from the picture and level it, with its neighbours faint, for narrow windows where the picture is far away.
   * @param {HTMLCanvasElement} strip @param {Line} line @returns {boolean} whether there is something to see
   */
  #cut(strip, line) {
    const { polygon } = line.read;
    const { along: [x, y], left, right, top, bottom } = frame(line.read);
    const image = this.image;
    if (!strip.checkVisibility() || !image.naturalWidth || !this.width || !(right > left) || !(bottom > top)) return false;
    strip.width = Math.max(1, Math.min(900, Math.round(((right - left) * image.naturalWidth) / this.width)));
    strip.height = Math.max(1, Math.round((strip.width * (bottom - top)) / (right - left)));
    const scale = strip.width / (right - left);
    const height = (this.width * image.naturalHeight) / image.naturalWidth;
    const context = brush(strip);
    context.setTransform(x * scale, -y * scale, y * scale, x * scale, -left * scale, -top * scale);
    context.globalAlpha = FAINT;
    context.drawImage(image, 0, 0, this.width, height);
    context.globalAlpha = 1;
    context.beginPath();
    for (const point of polygon) context.lineTo(...point);
    context.clip();
    context.drawImage(image, 0, 0, this.width, height);
    return true;
  }
}

/** Put another text into a field; the cursor keeps its position. @param {HTMLTextAreaElement} field @param {string} text */
function put(field, text) {
  const { selectionStart, selectionEnd } = field;
  field.value = text;
  if (field === document.activeElement) field.setSelectionRange(Math.min(selectionStart, text.length), Math.min(selectionEnd, text.length));
}

/** The state of a line: "sure", "doubt", "weak" or "edited". @param {Line} line */
export function stateOf({ text, read }) {
  return text !== read.text || !read.text ? "edited" : level(read.confidence);
}
