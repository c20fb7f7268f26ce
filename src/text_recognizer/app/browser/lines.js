// The lines of the page as fields to correct, one beneath the other.

import { find, gently } from "./dom.js";
import { DOUBTED_WORD, LEVEL_WORDS, level, percent, span } from "./picture.js";

export class Lines {
  // chosen(index): the cursor is in a line; pointed(index): the pointer is over it, -1: over none; changed(index): its
  // text is another one now.
  constructor({ chosen, pointed, changed }) {
    this.chosen = chosen;
    this.pointed = pointed;
    this.changed = changed;
    this.list = find("#tr-lines");
    this.width = 0; // pixels of the image that the polygons belong to
    this.items = [];
    this.image = find("#tr-image");
    // The list is narrower or wider: texts wrap otherwise.
    new ResizeObserver(() => this.items.forEach((item) => this.#fit(item))).observe(this.list);
    this.image.addEventListener("load", () => this.items.forEach((item) => this.#draw(item)));
  }

  clear() {
    this.list.replaceChildren();
    this.items = [];
  }

  get texts() {
    return this.items.map(({ field }) => field.value);
  }

  get edited() {
    return this.items.some((item) => item.field.value !== item.line.text);
  }

  set texts(texts) {
    texts.forEach((text, index) => this.#put(this.items[index], text));
  }

  lock(locked) {
    this.items.forEach(({ field }) => (field.readOnly = locked));
  }

  // A line as it was read.
  add(line, locked) {
    const index = this.items.length;
    const number = index + 1;
    const row = document.createElement("li");
    row.innerHTML =
      '<span class="number" aria-hidden="true"></span><canvas class="strip" aria-hidden="true"></canvas>' +
      '<div class="text"><div class="mirror" aria-hidden="true"></div><textarea rows="1" spellcheck="false"></textarea></div>' +
      '<span class="sureness"></span><button type="button" class="icon other" aria-expanded="false"></button>' +
      '<div class="others" role="group" hidden></div><span class="sr doubts"></span>';
    const part = (name) => row.querySelector(name);
    const item = {
      line, row, field: part("textarea"), mirror: part(".mirror"), sureness: part(".sureness"),
      other: part(".other"), others: part(".others"), strip: part(".strip"),
    };
    part(".number").textContent = number;
    item.field.value = line.text;
    item.field.readOnly = locked;
    item.field.setAttribute("aria-label", `Line ${number}`);
    item.sureness.id = `tr-sureness-${index}`;
    const doubted = line.words.filter((word) => word.confidence < DOUBTED_WORD).map((word) => word.text);
    const doubts = part(".doubts");
    doubts.id = `tr-doubts-${index}`;
    if (doubted.length) doubts.textContent = `In doubt: ${doubted.join(", ")}`;
    item.field.setAttribute("aria-describedby", `${item.sureness.id} ${doubts.id}`);
    item.others.id = `tr-others-${index}`;
    item.others.setAttribute("aria-label", `Other readings of line ${number}`);
    item.other.setAttribute("aria-controls", item.others.id);
    item.other.setAttribute("aria-label", `Other readings of line ${number}`);
    item.other.textContent = "▾";
    this.items.push(item);
    this.list.append(row);
    item.field.addEventListener("focus", () => this.chosen(index));
    item.field.addEventListener("input", () => this.#typed(index));
    item.field.addEventListener("keydown", (event) => this.#key(event, index));
    item.other.addEventListener("click", () => this.#open(item, item.others.hidden));
    item.others.addEventListener("keydown", (event) => this.#choose(event, item));
    row.addEventListener("pointerenter", () => this.pointed(index));
    row.addEventListener("pointerleave", () => this.pointed(-1));
    this.#refresh(item);
  }

  show(index) {
    this.items.forEach(({ row }, i) => row.classList.toggle("active", i === index));
  }

  point(index) {
    this.items.forEach(({ row }, i) => row.classList.toggle("pointed", i === index));
  }

  enter(index) {
    const item = this.items[index];
    if (!item) return;
    item.field.focus();
    item.field.setSelectionRange(item.field.value.length, item.field.value.length);
    item.row.scrollIntoView({ block: "nearest", behavior: gently() });
  }

  #put(item, text) {
    if (item.field.value === text) return;
    item.field.value = text;
    this.#refresh(item);
    this.changed(this.items.indexOf(item));
  }

  #typed(index) {
    const item = this.items[index];
    const broken = /[\r\n]+/g;
    if (broken.test(item.field.value)) {
      const at = item.field.selectionStart;
      item.field.value = item.field.value.replace(broken, " ");
      item.field.setSelectionRange(at, at);
    }
    this.#refresh(item);
    this.changed(index);
  }

  #refresh(item) {
    const { line, field } = item;
    const edited = field.value !== line.text;
    const kind = edited ? "edited" : level(line.confidence);
    item.row.dataset.kind = kind;
    item.sureness.textContent = edited ? "corrected" : percent(line.confidence);
    item.sureness.title = LEVEL_WORDS[kind];
    this.#mark(item);
    this.#offer(item);
    this.#fit(item);
  }

  // Behind the field stands the same text, with a wavy line beneath words in doubt.
  #mark(item) {
    const left = item.line.words.filter((word) => word.confidence < DOUBTED_WORD).map((word) => word.text);
    const parts = item.field.value.split(/(\s+)/).map((part) => {
      const at = left.indexOf(part);
      if (at < 0) return document.createTextNode(part);
      left.splice(at, 1);
      const mark = document.createElement("mark");
      mark.textContent = part;
      return mark;
    });
    item.mirror.replaceChildren(...parts);
  }

  #offer(item) {
    const { line, field, others } = item;
    const texts = [line.text, ...line.alternatives].filter((text) => text !== field.value);
    others.replaceChildren(
      ...texts.map((text) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = text;
        if (text === line.text) button.dataset.read = "as it was read";
        button.addEventListener("click", () => {
          this.#put(item, text);
          this.#open(item, false);
          field.focus();
        });
        return button;
      }),
    );
    item.other.hidden = !texts.length;
    if (!texts.length) this.#open(item, false);
  }

  #open(item, open) {
    item.others.hidden = !open;
    item.other.setAttribute("aria-expanded", String(open));
    if (open) item.others.querySelector("button")?.focus();
  }

  #choose(event, item) {
    const buttons = [...item.others.children];
    const at = buttons.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      buttons[(at + step + buttons.length) % buttons.length].focus();
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.#open(item, false);
      item.other.focus();
    }
  }

  #key(event, index) {
    const field = this.items[index].field;
    const { selectionStart: at, selectionEnd: end } = field;
    let to;
    if (event.key === "Enter" && !event.isComposing) to = index + (event.shiftKey ? -1 : 1);
    // Within a text of several rows the arrows move as they always do.
    else if (event.key === "ArrowDown" && !event.altKey && at === end && (this.#isOneRow(field) || at === field.value.length)) to = index + 1;
    else if (event.key === "ArrowUp" && !event.altKey && at === end && (this.#isOneRow(field) || at === 0)) to = index - 1;
    else if (event.key === "ArrowDown" && event.altKey && !this.items[index].other.hidden) {
      event.preventDefault();
      this.#open(this.items[index], true);
      return;
    } else return;
    event.preventDefault();
    this.enter(to);
  }

  #isOneRow(field) {
    return field.clientHeight < 2 * parseFloat(getComputedStyle(field).lineHeight);
  }

  #fit(item) {
    item.field.style.height = `${item.mirror.offsetHeight}px`;
    this.#draw(item);
  }

  // The line cut out of the picture, for narrow windows where the picture is far from the text.
  #draw(item) {
    const { line, strip } = item;
    const { left, right, top, bottom } = span(line.polygon);
    const image = this.image;
    if (item.drawn || !strip.checkVisibility() || !image.naturalWidth || !(right > left) || !(bottom > top)) return;
    item.drawn = true;
    const scale = image.naturalWidth / this.width;
    strip.width = Math.min(900, Math.round((right - left) * scale));
    strip.height = Math.max(1, Math.round((strip.width * (bottom - top)) / (right - left)));
    strip.getContext("2d").drawImage(
      image, left * scale, top * scale, (right - left) * scale, (bottom - top) * scale, 0, 0, strip.width, strip.height,
    );
  }
}
