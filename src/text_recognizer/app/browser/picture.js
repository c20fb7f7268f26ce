// The picture with the outlines of its lines. Texts of lines reach the document as text, never as markup.

import { find, gently } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const SURE = 0.9;
const WEAK = 0.75;
export const DOUBTED_WORD = 0.7; // below it a word is marked

export function level(confidence) {
  return confidence >= SURE ? "sure" : confidence >= WEAK ? "doubt" : "weak";
}

export const LEVEL_WORDS = { sure: "sure", doubt: "some doubt", weak: "much doubt", edited: "corrected", waiting: "not read yet" };

export function percent(confidence) {
  return `${Math.round(100 * confidence)} %`;
}

export function span(polygon) {
  const xs = polygon.map(([x]) => x);
  const ys = polygon.map(([, y]) => y);
  return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

function points(polygon) {
  return polygon.map(([x, y]) => `${x},${y}`).join(" ");
}

export class Picture {
  // chosen(index): a line is looked at; pointed(index): the pointer is over it, -1: over none; entered(index): its text
  // is wanted.
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
    this.outlines = [];
    this.active = -1;
    this.scale = 1;
    this.svg.addEventListener("keydown", (event) => this.#key(event));
    find("#tr-smaller").addEventListener("click", () => this.zoom(this.scale / 1.3));
    find("#tr-larger").addEventListener("click", () => this.zoom(this.scale * 1.3));
    find("#tr-fit").addEventListener("click", () => this.zoom(1));
  }

  zoom(scale) {
    this.scale = Math.min(6, Math.max(1, scale));
    this.paper.style.width = `${100 * this.scale}%`;
    if (this.active >= 0) this.show(this.active);
  }

  clear() {
    this.svg.replaceChildren();
    this.tags.replaceChildren();
    this.bubble.hidden = true;
    this.outlines = [];
    this.active = -1;
  }

  // Where lines were found on an image of this size.
  layOut(width, height, polygons) {
    this.clear();
    this.width = width;
    this.height = height;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    polygons.forEach((polygon) => this.#add(polygon));
  }

  // What stands in line `index`: { text, confidence, polygon, words, edited, place }.
  tell(index, line) {
    const outline = this.outlines[index];
    outline.line = line;
    const kind = line.edited ? "edited" : level(line.confidence);
    outline.group.setAttribute("class", `outline ${kind}${index === this.active ? " active" : ""}`);
    const sureness = line.edited ? "corrected" : `${LEVEL_WORDS[kind]}, ${percent(line.confidence)}`;
    outline.group.setAttribute("aria-label", `Line ${index + 1}, ${sureness}: ${line.text || "empty"}`);
    const sign = document.createElement("i");
    sign.textContent = { doubt: " ?", weak: " ??", edited: " ✓" }[kind] || "";
    outline.tag.replaceChildren(String(index + 1), sign);
    outline.tag.className = `tag ${kind}`;
  }

  // `index` is the line that is being looked at, -1: none.
  show(index) {
    const before = this.outlines[this.active];
    if (before) {
      before.group.classList.remove("active");
      before.words.replaceChildren();
    }
    this.active = index;
    const outline = this.outlines[index];
    if (!outline) return;
    outline.group.classList.add("active");
    this.outlines.forEach((other, i) => other.group.setAttribute("tabindex", i === index ? "0" : "-1"));
    for (const word of outline.line?.words || []) {
      if (word.confidence >= DOUBTED_WORD || outline.line.edited) continue;
      const mark = document.createElementNS(SVG, "polygon");
      mark.setAttribute("points", points(word.polygon));
      outline.words.append(mark);
    }
    this.#scrollTo(outline.polygon);
  }

  point(index) {
    this.outlines.forEach(({ group }, i) => group.classList.toggle("pointed", i === index));
  }

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
    const place = span(polygon);
    tag.style.left = `${(100 * place.left) / this.width}%`;
    tag.style.top = `${(50 * (place.top + place.bottom)) / this.height}%`;
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
    group.addEventListener("click", () => this.entered(index));
  }

  #tip(index) {
    const { line, polygon } = this.outlines[index];
    if (!line) return;
    const place = span(polygon);
    this.bubble.textContent = line.text || "(nothing)";
    this.bubble.style.left = `${Math.min(60, (100 * place.left) / this.width)}%`;
    this.bubble.style.top = `${(100 * place.bottom) / this.height}%`;
    this.bubble.hidden = false;
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const current = this.outlines.findIndex(({ group }) => group === document.activeElement);
    if (current < 0) return;
    const to = { Home: 0, End: this.outlines.length - 1 }[event.key] ?? (step ? current + step : undefined);
    if (to !== undefined) {
      event.preventDefault();
      this.outlines[to]?.group.focus();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.entered(current);
    }
  }

  // Into view inside its own frame; the page itself stays where it is.
  #scrollTo(polygon) {
    const place = span(polygon);
    const scale = this.paper.clientHeight / this.height;
    const [top, bottom] = [place.top * scale, place.bottom * scale];
    const view = this.view;
    if (top < view.scrollTop + 20 || bottom > view.scrollTop + view.clientHeight - 20) {
      view.scrollTo({ top: (top + bottom - view.clientHeight) / 2, behavior: gently() });
    }
    const across = this.paper.clientWidth / this.width;
    if (place.left * across < view.scrollLeft || place.right * across > view.scrollLeft + view.clientWidth) {
      view.scrollTo({ left: Math.max(0, place.left * across - 20), behavior: gently() });
    }
  }
}
