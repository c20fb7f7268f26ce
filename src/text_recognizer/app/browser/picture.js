// The picture with the outlines of its lines. The texts of lines enter the DOM as text, never as markup.

import { beginning, span } from "./geometry.js";
import { status } from "./alerts.js";
import { byTouch, find, gently } from "./dom.js";

/**
 * @typedef {import("./document.js").Point} Point
 * @typedef {import("./document.js").ReadLine & {edited?: boolean}} Shown a line with its current text
 * @typedef {{group: SVGGElement, words: SVGGElement, tag: HTMLElement, polygon: Point[], line?: Shown}} Outline
 */

const SVG = "http://www.w3.org/2000/svg";
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
/** @type {Record<string, string>} */
const SIGNS = { doubt: " ?", weak: " ??", edited: " ✓" };
const SURE = 0.9;
const WEAK = 0.75;
const LEAST_HEIGHT = 90; // pixels, at least, of a picture when it opens
export const DOUBTED_WORD = 0.7; // words with less confidence are marked

/** The level of confidence. @param {number} confidence 0…1 */
export function level(confidence) {
  return confidence >= SURE ? "sure" : confidence >= WEAK ? "doubt" : "weak";
}

/** @type {Record<string, string>} */
export const LEVEL_WORDS = { sure: "sure", doubt: "some doubt", weak: "much doubt", edited: "corrected", waiting: "not read yet" };

/** @param {number} confidence 0…1 */
export function percent(confidence) {
  return `${Math.round(100 * confidence)} %`;
}

/** @param {Point[]} polygon */
function points(polygon) {
  return polygon.map(([x, y]) => `${x},${y}`).join(" ");
}

export class Picture {
  /**
   * @param {object} on callbacks
   * @param {(index: number) => void} on.chosen a line was chosen
   * @param {(index: number) => void} on.pointed the pointer is over this line; -1: over none
   * @param {(index: number, at?: Point) => void} on.entered go to the text of this line, at this point of the picture
   */
  constructor({ chosen, pointed, entered }) {
    this.chosen = chosen;
    this.pointed = pointed;
    this.entered = entered;
    this.image = find("#tr-image");
    this.svg = find("#tr-outlines");
    this.tags = find("#tr-tags");
    this.bubble = find("#tr-bubble");
    this.view = find("#tr-view");
    this.paper = find("#tr-paper");
    this.word = document.createElementNS(SVG, "polygon"); // the word at the cursor
    this.word.setAttribute("class", "word");
    /** @type {Outline[]} */
    this.outlines = [];
    this.active = -1;
    this.width = this.height = 0; // of the picture that the outlines refer to
    this.scale = 1;
    this.opened = false; // whether a new picture has yet to be fitted
    /** @type {((done: boolean) => void) | null} ends the drawing of a box */
    this.box = null;
    this.svg.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    find("#tr-smaller").addEventListener("click", () => this.zoom(this.scale / 1.3));
    find("#tr-larger").addEventListener("click", () => this.zoom(this.scale * 1.3));
    find("#tr-fit").addEventListener("click", () => this.fit());
    find("#tr-fit-page").addEventListener("click", () => this.fit(true));
    this.image.addEventListener("load", () => {
      this.#size();
      // A strip with a single line would be too small to read at full width.
      if (this.opened) this.zoom(Math.max(1, LEAST_HEIGHT / Math.max(1, this.paper.clientHeight)));
      this.opened = false;
    });
    new ResizeObserver(() => this.#size()).observe(this.view);
    this.#drag();
    this.view.addEventListener("wheel", (/** @type {WheelEvent} */ event) => {
      if (event.shiftKey) return;
      event.preventDefault();
      this.zoom(this.scale * Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX, event.clientY);
    }, { passive: false });
  }

  /** Show the picture `scale` times as wide as its frame; the point (x, y) of the window stays in place. @param {number} scale */
  zoom(scale, x = NaN, y = NaN) {
    const before = this.paper.getBoundingClientRect();
    const old = this.scale;
    this.scale = Math.min(8, Math.max(Math.min(1, this.#wholePage()), scale));
    this.#size();
    if (!Number.isNaN(x)) {
      const grown = this.scale / old - 1;
      this.view.scrollBy({ left: (x - before.left) * grown, top: (y - before.top) * grown, behavior: "instant" });
    } else if (this.active >= 0) this.#scrollTo(this.word.getAttribute("points") ? this.word : this.outlines[this.active].group);
  }

  /** Prepare for another picture. */
  open() {
    this.opened = true;
    this.zoom(1);
  }

  /** Fit the picture to the width of its frame, or fit all of it into the frame if `whole`. */
  fit(whole = false) {
    this.zoom(whole ? this.#wholePage() : 1);
  }

  #ratio() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    return width ? height / width : this.width ? this.height / this.width : 1;
  }

  /** The scale at which the whole page is visible. */
  #wholePage() {
    const room = this.#room();
    return room > 0 ? Math.min(1, this.view.clientHeight / (room * this.#ratio())) : 1;
  }

  #room() {
    const { paddingLeft, paddingRight } = getComputedStyle(this.view);
    return this.view.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  }

  #size() {
    const across = this.#room() * this.scale;
    Object.assign(this.paper.style, { width: `${across}px`, height: `${across * this.#ratio()}px` });
  }

  /** The mouse drags the paper and two fingers zoom it; the browser itself handles scrolling with one finger. */
  #drag() {
    const { view } = this;
    /** @type {Map<number, PointerEvent>} */
    const down = new Map();
    let moved = false;
    const distance = () => {
      const [one, other] = [...down.values()];
      return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    };
    view.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      if (event.button > 1 || this.box) return;
      down.set(event.pointerId, event);
      moved = false;
    });
    addEventListener("pointermove", (event) => {
      const last = down.get(event.pointerId);
      if (!last) return;
      if (down.size === 2) {
        const before = distance();
        down.set(event.pointerId, event);
        const [one, other] = [...down.values()];
        this.zoom((this.scale * distance()) / Math.max(1, before), (one.clientX + other.clientX) / 2, (one.clientY + other.clientY) / 2);
        moved = true;
        return;
      }
      if (event.pointerType === "touch") return;
      if (!moved && Math.hypot(event.clientX - last.clientX, event.clientY - last.clientY) < 4) return;
      moved = true;
      view.classList.add("dragging");
      view.scrollBy({ left: last.clientX - event.clientX, top: last.clientY - event.clientY, behavior: "instant" });
      down.set(event.pointerId, event);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      addEventListener(name, (event) => {
        down.delete(/** @type {PointerEvent} */ (event).pointerId);
        view.classList.remove("dragging");
      });
    }
    // The end of a drag is not a click on a line.
    view.addEventListener("click", (/** @type {MouseEvent} */ event) => moved && event.stopPropagation(), { capture: true });
  }

  /** The point of the picture under a pointer event. @param {MouseEvent} event @returns {Point} */
  #point({ clientX, clientY }) {
    const at = new DOMPoint(clientX, clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    return [Math.min(this.width, Math.max(0, at.x)), Math.min(this.height, Math.max(0, at.y))];
  }

  /** The bounding box of line `index`. @param {number} index @returns {import("./geometry.js").Box} */
  boxOf(index) {
    const { left, top, right, bottom } = span(this.outlines[index].polygon);
    return [left, top, right, bottom];
  }

  /**
   * Let the visitor draw a box with the pointer, or with arrow keys, Enter and Escape. It starts as `box`, in picture pixels.
   * @param {import("./geometry.js").Box} box @param {string} words the instruction to show @returns {Promise<import("./geometry.js").Box | null>} null: cancelled
   */
  draw(box, words) {
    const rect = document.createElementNS(SVG, "rect");
    let [x, y, width, height] = [box[0], box[1], box[2] - box[0], box[3] - box[1]];
    /** @type {number[] | null} */
    let from = null;
    this.box?.(false);
    if (!this.svg.hasAttribute("viewBox")) this.layOut(this.image.naturalWidth, this.image.naturalHeight, []);
    rect.setAttribute("class", "box");
    this.svg.append(rect);
    this.view.classList.add("drawing");
    status(words + (byTouch() ? "; touch the button again to give up." : ", or move it with the arrow keys (Shift changes its size); Enter to finish, Escape to give up."));
    const show = () => Object.entries({ x, y, width, height }).forEach(([name, value]) => rect.setAttribute(name, String(value)));
    show();
    this.view.focus();
    return new Promise((resolve) => {
      /** @type {Record<string, (event: any) => void>} */
      const listeners = {
        pointerdown: (event) => {
          event.preventDefault();
          this.view.setPointerCapture(event.pointerId);
          from = this.#point(event);
        },
        pointermove: (event) => {
          if (!from) return;
          const to = this.#point(event);
          [x, y, width, height] = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
          show();
        },
        pointerup: (event) => {
          const [start, end] = [from, this.#point(event)];
          from = null;
          if (start && Math.max(Math.abs(end[0] - start[0]), Math.abs(end[1] - start[1])) > this.width / 200) this.box?.(true); // else nothing was drawn
        },
        keydown: (event) => {
          const step = Math.max(1, this.width / 200);
          const [across, down] = ARROWS[event.key] ?? [0, 0];
          if (event.key === "Tab") return;
          event.preventDefault();
          event.stopPropagation();
          if (event.key === "Enter" || event.key === "Escape") return this.box?.(event.key === "Enter");
          if (event.shiftKey) [width, height] = [Math.max(3, Math.min(this.width - x, width + across * step)), Math.max(3, Math.min(this.height - y, height + down * step))];
          else [x, y] = [Math.min(this.width - width, Math.max(0, x + across * step)), Math.min(this.height - height, Math.max(0, y + down * step))];
          show();
        },
      };
      this.box = (done) => {
        this.box = null;
        rect.remove();
        this.view.classList.remove("drawing");
        status("");
        for (const [name, listener] of Object.entries(listeners)) this.view.removeEventListener(name, listener);
        resolve(done && width > 2 && height > 2 ? [x, y, x + width, y + height] : null);
      };
      for (const [name, listener] of Object.entries(listeners)) this.view.addEventListener(name, listener);
    });
  }

  clear() {
    this.svg.replaceChildren();
    this.tags.replaceChildren();
    this.bubble.hidden = true;
    this.outlines = [];
    this.active = -1;
    this.width = this.height = 0;
    this.svg.removeAttribute("viewBox");
  }

  /** Show the lines of the document. @param {import("./document.js").Line[]} lines @param {number} width @param {number} height @param {string[]} kinds */
  render(lines, width, height, kinds) {
    const same = width === this.width && height === this.height && lines.length === this.outlines.length && lines.every(({ read }, index) => read.polygon === this.outlines[index].polygon);
    if (!same) {
      const { active } = this;
      this.layOut(width, height, lines.map(({ read }) => read.polygon));
      this.active = active;
    }
    lines.forEach(({ text, read }, index) => this.tell(index, { ...read, text, edited: kinds[index] === "edited" }));
    if (!same) this.show(this.active);
  }

  /** Show the outlines of blocks of several lines. @param {import("./document.js").Point[][]} shapes the points of each block's lines */
  showBlocks(shapes) {
    this.svg.querySelectorAll(".block").forEach((/** @type {Element} */ old) => old.remove());
    const room = this.width / 200;
    for (const shape of shapes) {
      const { left, right, top, bottom } = span(shape);
      const rect = document.createElementNS(SVG, "rect");
      rect.setAttribute("class", "block");
      for (const [name, value] of Object.entries({ x: left - room, y: top - room, width: right - left + 2 * room, height: bottom - top + 2 * room })) rect.setAttribute(name, String(value));
      this.svg.prepend(rect);
    }
  }

  /** Show where lines were found on an image of this size. @param {number} width @param {number} height @param {Point[][]} polygons */
  layOut(width, height, polygons) {
    this.clear();
    this.width = width;
    this.height = height;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    polygons.forEach((polygon) => this.#add(polygon));
  }

  /** Show the text of line `index`. @param {number} index @param {Shown} line */
  tell(index, line) {
    const outline = this.outlines[index];
    outline.line = line;
    const kind = line.edited ? "edited" : level(line.confidence);
    outline.group.setAttribute("class", `outline ${kind}${index === this.active ? " active" : ""}`);
    const confidence = line.edited ? "corrected" : `${LEVEL_WORDS[kind]}, ${percent(line.confidence)}`;
    outline.group.setAttribute("aria-label", `Line ${index + 1}, ${confidence}: ${line.text || "empty"}`);
    if (line.polygon.length) this.#tag(outline.tag, beginning(line));
    if (index === this.active) this.#doubted(outline);
    const sign = document.createElement("i");
    sign.textContent = SIGNS[kind] || "";
    outline.tag.replaceChildren(String(index + 1), sign);
    outline.tag.className = `tag ${kind}`;
  }

  /** Highlight the current line; -1: none. @param {number} index */
  show(index) {
    const before = this.outlines[this.active];
    if (before) {
      before.group.classList.remove("active");
      before.words.replaceChildren();
    }
    this.look([]);
    this.active = index;
    const outline = this.outlines[index];
    if (!outline) return;
    outline.group.classList.add("active");
    this.outlines.forEach((other, i) => other.group.setAttribute("tabindex", i === index ? "0" : "-1"));
    this.#doubted(outline);
    this.#scrollTo(outline.group);
  }

  /** Mark the doubtful words of the current line. @param {Outline} outline */
  #doubted({ line, words }) {
    words.replaceChildren();
    if (!line || line.edited) return;
    for (const word of line.words) {
      if (word.confidence >= DOUBTED_WORD) continue;
      const mark = document.createElementNS(SVG, "polygon");
      mark.setAttribute("points", points(word.polygon));
      words.append(mark);
    }
  }

  /** Highlight the word at the cursor; empty: none. @param {Point[]} polygon */
  look(polygon) {
    this.word.setAttribute("points", points(polygon));
    if (!polygon.length) return;
    this.svg.append(this.word); // above the outlines
    this.#scrollTo(this.word);
  }

  /** @param {number} index */
  point(index) {
    this.outlines.forEach(({ group }, i) => group.classList.toggle("pointed", i === index));
  }

  /** @param {Point[]} polygon */
  #add(polygon) {
    const index = this.outlines.length;
    const group = document.createElementNS(SVG, "g");
    const shape = document.createElementNS(SVG, "polygon");
    const words = document.createElementNS(SVG, "g");
    const tag = document.createElement("span");
    shape.setAttribute("points", points(polygon));
    words.setAttribute("class", "doubted");
    group.setAttribute("class", "outline waiting");
    group.setAttribute("role", "button");
    group.setAttribute("aria-label", `Line ${index + 1}, not read yet`);
    group.setAttribute("tabindex", index ? "-1" : "0");
    group.append(shape, words);
    this.svg.append(group);
    const place = polygon.length ? span(polygon) : { left: 0, right: 0, top: 0, bottom: 0 };
    this.#tag(tag, { at: [place.left, (place.top + place.bottom) / 2], way: 0 });
    tag.className = "tag waiting";
    this.tags.append(tag);
    this.outlines.push({ group, words, tag, polygon });
    group.addEventListener("pointerenter", () => {
      this.#tip(index);
      this.pointed(index);
    });
    group.addEventListener("pointerleave", () => {
      this.bubble.hidden = true;
      this.pointed(-1);
    });
    group.addEventListener("focus", () => {
      this.#tip(index);
      this.chosen(index);
    });
    group.addEventListener("blur", () => (this.bubble.hidden = true));
    group.addEventListener("click", (event) => this.entered(index, this.#point(event)));
  }

  /** Place the number of a line before its beginning. @param {HTMLElement} tag @param {{at: Point, way: number}} beginning */
  #tag(tag, { at: [x, y], way }) {
    tag.dataset.way = String(way);
    tag.style.setProperty("--x", `${(100 * x) / this.width}%`);
    tag.style.setProperty("--y", `${(100 * y) / this.height}%`);
  }

  /** @param {number} index */
  #tip(index) {
    const { line, polygon } = this.outlines[index];
    if (!line) return;
    const place = span(polygon);
    this.bubble.textContent = line.text || "(nothing)";
    this.bubble.style.left = `${Math.min(60, (100 * place.left) / this.width)}%`;
    this.bubble.style.top = `${(100 * place.bottom) / this.height}%`;
    this.bubble.hidden = false;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const [across, down] = ARROWS[event.key] ?? [0, 0];
    const step = across + down;
    const current = this.outlines.findIndex(({ group }) => group === document.activeElement);
    if (current < 0) return;
    const to = event.key === "Home" ? 0 : event.key === "End" ? this.outlines.length - 1 : step ? current + step : undefined;
    if (to !== undefined) {
      event.preventDefault();
      this.outlines[to]?.group.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.entered(current);
    }
  }

  /** Scroll `shape` into view inside its frame; the page itself does not scroll. @param {SVGElement} shape */
  #scrollTo(shape) {
    const place = shape.getBoundingClientRect();
    const view = this.view.getBoundingClientRect();
    if (!place.width || !view.height) return;
    if (place.top < view.top + 20 || place.bottom > view.bottom - 20) {
      this.view.scrollBy({ top: (place.top + place.bottom - view.top - view.bottom) / 2, behavior: gently() });
    }
    // A line wider than its frame never fits, so leave it as it is while enough of it is visible.
    const wide = place.width > view.width && place.right > view.left + 50 && place.left < view.right - 50;
    if (!wide && (place.left < view.left || place.right > view.right)) {
      this.view.scrollBy({ left: place.left - view.left - 50, behavior: gently() });
    }
  }
}
