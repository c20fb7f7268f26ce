/** Correcting: keeps every view in step with the document, and changes the document by buttons and keys. */

import { status } from "./alerts.js";
import { KINDS, kindOf, shapes } from "./blocks.js";
import { find, reader } from "./dom.js";
import { contains, wordAt } from "./geometry.js";
import { Lines, doubts, stateOf } from "./lines.js";
import { Menu } from "./menu.js";
import { Picture } from "./picture.js";
import { Search } from "./search.js";

const HINT = "Correct what is wrong. Enter goes to the next line.";
const OF_A_LINE = ["#tr-split", "#tr-join", "#tr-up", "#tr-down", "#tr-draw", "#tr-delete", "#tr-block", "#tr-kind", "#tr-block-add", "#tr-block-begin", "#tr-block-join", "#tr-block-up", "#tr-block-down", "#tr-block-delete"];

export class Editor {
  /** @param {import("./pages.js").Pages} pages */
  constructor(pages) {
    this.pages = pages;
    this.root = reader();
    this.at = -1; // the current line
    this.sheet = ""; // the sheet that is shown
    /** @type {object | null} */
    this.state = null; // of the document on screen
    this.address = ""; // blob URL of the picture on screen
    this.picture = new Picture({ chosen: (index) => this.choose(index), pointed: (index) => this.lines.point(index), entered: (index, at) => this.#enterAt(index, at) });
    this.lines = new Lines({
      chosen: (index) => this.choose(index), pointed: (index) => this.picture.point(index),
      typed: (id, text) => this.document.setText(id, text), key: (index, event) => this.#lineKey(index, event),
    });
    this.search = new Search(() => this.document, (index, start, end) => this.enter(index, start, end), (index, start, end) => this.lines.match(index, start, end), () => this.enter(Math.max(0, this.at)));
    this.menu = new Menu(find("#tr-block"), find("#tr-block-menu"));
    pages.addEventListener("opened", () => this.#opened());
    pages.addEventListener("changed", () => this.render());
    this.#buttons();
    this.#tabs();
    find("#tr-whole").addEventListener("input", () => this.document.setTexts(find("#tr-whole").value ? find("#tr-whole").value.split("\n") : []));
    // Focus alone does not move a cursor that is in the field already.
    find("#tr-whole").addEventListener("focus", () => this.#chooseInWhole());
    document.addEventListener("selectionchange", () => {
      if (document.activeElement === find("#tr-whole")) this.#chooseInWhole();
      this.#lookAtWord();
    });
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  get document() {
    return this.pages.shown.document;
  }

  get busy() {
    return this.pages.current?.status === "reading" || this.pages.current?.status === "waiting";
  }

  /** Make the line at the cursor in the whole text the current one. */
  #chooseInWhole() {
    const { value, selectionStart } = find("#tr-whole");
    this.choose(Math.min(value.slice(0, selectionStart).split("\n").length, this.document.lines.length) - 1);
  }

  /** Highlight the word at the cursor on the picture, or at the search's selection. */
  #lookAtWord() {
    const field = document.activeElement;
    const inText = field === find("#tr-whole") || field === this.lines.items[this.at]?.field || field?.closest("#tr-search");
    const here = this.at >= 0 && this.pages.current && !this.busy && inText;
    const line = here ? this.document.lines[this.at] : null;
    this.picture.look(line ? wordAt(line, this.#cursor()) : []);
  }

  /** Put the cursor behind the word at this point of the picture, or at the end of the line. @param {number} index @param {import("./geometry.js").Point} [at] */
  #enterAt(index, at) {
    const line = this.document.lines[index];
    if (!line) return;
    const word = at && [...line.text.matchAll(/\S+/g)].find((match) => contains(wordAt(line, match.index + 1), at));
    this.enter(index, word && word.index + word[0].length);
  }

  #opened() {
    const { current } = this.pages;
    this.at = -1;
    this.sheet = "";
    this.picture.box?.(false);
    this.picture.clear();
    find("#tr-work").hidden = !current;
    find("#tr-start").hidden = Boolean(current);
    this.root.classList.toggle("working", Boolean(current));
    if (!current) {
      this.#hidePicture();
      status("");
      find("#tr-choose").focus();
      return;
    }
    find("#tr-name").textContent = current.name;
    find(`input[name="tr-mode"][value="${current.mode}"]`).checked = true;
    find("#tr-language").value = current.language;
    this.render();
    this.search.count();
    status(current.words);
    this.picture.open();
    const reset = () => ["#tr-view", ".side"].forEach((pane) => find(pane).scrollTo({ left: 0, top: 0, behavior: "instant" }));
    reset();
    requestAnimationFrame(reset); // the previous page may still have been scrolling
  }

  #hidePicture() {
    URL.revokeObjectURL(this.address);
    this.address = "";
    find("#tr-image").removeAttribute("src");
  }

  /** Show the picture as it is turned and cropped. */
  async #showPicture() {
    const { shown: current } = this.pages;
    const sheet = JSON.stringify([current.id, this.document.sheet]);
    if (sheet === this.sheet) return;
    this.sheet = sheet;
    const picture = await this.pages.picture(current);
    if (sheet !== this.sheet) return;
    this.#hidePicture();
    if (picture) find("#tr-image").src = this.address = URL.createObjectURL(picture);
  }

  /** Update every view of the current page, and enable the buttons that apply. */
  render() {
    const { current } = this.pages;
    this.lines.match(-1);
    if (!current) return;
    const { document: page, partial } = current;
    const { busy } = this;
    const { state } = page.saved;
    if (state !== this.state && !busy) status(current.words); // the message was about the previous state
    this.state = state;
    const loaded = page.reading !== null;
    this.#showPicture();
    if (partial) {
      this.lines.render(partial.lines, partial.width, true);
      this.picture.layOut(partial.width, partial.height, partial.polygons);
      partial.lines.forEach(({ origin, read }) => origin !== null && origin >= 0 && this.picture.tell(origin, read));
    } else {
      this.lines.render(page.lines, page.width, busy);
      if (loaded) {
        this.picture.render(page.lines, page.width, page.height, page.lines.map(stateOf));
        this.picture.showBlocks(shapes(page.lines));
      } else this.picture.clear();
    }
    if (this.at >= page.lines.length) this.choose(page.lines.length - 1);
    const whole = find("#tr-whole");
    const text = page.texts.join("\n");
    if (whole.value !== text) whole.value = text;
    whole.readOnly = busy || !loaded;
    this.#offer(page, busy, loaded);
  }

  /** Enable the actions that are possible now. @param {import("./document.js").PageDocument} page @param {boolean} busy @param {boolean} loaded */
  #offer(page, busy, loaded) {
    find("#tr-stop").hidden = !busy;
    find("#tr-progress").hidden = this.pages.shown.status !== "reading";
    find("#tr-read").hidden = busy;
    find("#tr-read").textContent = loaded ? "Read again" : "Read";
    find("#tr-read").classList.toggle("primary", !loaded);
    for (const id of ["#tr-copy", "#tr-download", "#tr-send", "#tr-forget", "#tr-find"]) find(id).disabled = !loaded;
    find("#tr-add").disabled = busy || !loaded;
    find("#tr-rotate").disabled = find("#tr-crop").disabled = busy;
    find("#tr-undo").disabled = busy || !page.canUndo;
    find("#tr-redo").disabled = busy || !page.canRedo;
    const doubtful = page.lines.reduce((sum, line) => sum + doubts(line).length, 0);
    find("#tr-doubt").disabled = !doubtful;
    find("#tr-doubt").textContent = doubtful ? `Next doubt (${doubtful})` : "No doubts";
    this.#offerOfALine();
    find("#tr-lines-hint").hidden = !page.lines.length && !busy;
    find("#tr-lines-hint").textContent = page.lines.length || this.pages.shown.partial?.lines.length ? HINT : "The lines appear here as they are read.";
    find("#tr-nothing").hidden = !(loaded && !page.lines.length && !busy);
    for (const id of ["#tr-lines", "#tr-whole"]) find(id).lang = page.reading?.language || "und";
    this.root.setAttribute("aria-busy", String(this.pages.shown.status === "reading"));
  }

  /** Show the lines of a page while it is being read. @param {import("./pages.js").Entry} entry */
  partly({ partial }) {
    if (!partial) return;
    const line = partial.lines.at(-1);
    if (!line || this.picture.outlines.length !== partial.polygons.length) return this.render();
    this.lines.render(partial.lines, partial.width, true);
    if (line.origin !== null && line.origin >= 0) this.picture.tell(line.origin, line.read);
  }

  /** Make a line the current one. @param {number} index */
  choose(index) {
    if (this.at === index) return;
    this.at = index;
    this.picture.show(index);
    this.lines.show(index);
    this.#offerOfALine();
  }

  #offerOfALine() {
    for (const id of OF_A_LINE) find(id).disabled = this.at < 0 || this.busy;
    find("#tr-kind").value = kindOf(this.document.lines[this.at]);
  }

  /** Put the cursor into a line, in the current view. @param {number} index */
  enter(index, start = Infinity, end = start) {
    const whole = find("#tr-whole");
    if (find("#tr-panel-whole").hidden) {
      this.lines.enter(index, start, end);
      if (this.lines.items[index]) this.choose(index); // a field that already has the cursor gets no focus event
      return;
    }
    const { texts } = this.document;
    const before = texts.slice(0, index).reduce((sum, text) => sum + text.length + 1, 0);
    /** @param {number} offset */
    const place = (offset) => before + Math.min(offset, texts[index]?.length ?? 0);
    whole.focus();
    whole.setSelectionRange(place(start), place(end));
    this.choose(index);
  }

  /**
   * The actions on the line at `index`; the cursor is at `place` in its text.
   * @type {Record<"add" | "split" | "join" | "up" | "down" | "delete" | "draw", (index: number, place?: number) => void>}
   */
  #actions = {
    add: (index) => {
      this.document.insert(index + 1);
      this.enter(index + 1);
    },
    split: (index, place = 0) => {
      this.document.split(index, place);
      this.enter(index + 1, 0);
    },
    join: (index) => {
      const { length } = this.document.lines[index].text;
      this.document.join(index);
      this.enter(index, length);
    },
    up: (index) => this.#move(index, index - 1),
    down: (index) => this.#move(index, index + 1),
    delete: (index) => {
      this.document.remove(index);
      this.at = -1;
      this.enter(Math.min(index, this.document.lines.length - 1));
    },
    draw: async (index) => {
      if (this.picture.box) return this.picture.box(false);
      const { id } = this.document.lines[index];
      const box = await this.picture.draw(this.picture.boxOf(index), "Draw a box around the line");
      const now = this.document.lines.findIndex((line) => line.id === id);
      if (now < 0) return;
      if (box) this.document.draw(now, box);
      this.enter(now);
      if (box) status("Place drawn");
    },
  };

  /**
   * The actions on the block around the line at `index`.
   * @type {Record<"add" | "begin" | "join" | "up" | "down" | "delete", (index: number) => void>}
   */
  #blockActions = {
    add: (index) => this.enter(this.document.insertBlock(index)),
    begin: (index) => this.#block(index, "begun"),
    join: (index) => this.#block(index, "joined"),
    up: (index) => this.#block(index, "moved", -1),
    down: (index) => this.#block(index, "moved", 1),
    delete: (index) => {
      const start = this.document.removeBlock(index);
      this.at = -1;
      this.enter(Math.min(start, this.document.lines.length - 1));
    },
  };

  /** @param {number} index @param {"begun" | "joined" | "moved"} how @param {number} [what] */
  #block(index, how, what) {
    const { id } = this.document.lines[index];
    this.document.block(index, how, what);
    this.at = -1;
    this.enter(this.document.lines.findIndex((line) => line.id === id));
  }

  /** @param {number} index @param {number} to */
  #move(index, to) {
    if (to < 0 || to >= this.document.lines.length) return;
    this.document.move(index, to);
    this.at = -1;
    this.enter(to);
  }

  #rotate() {
    const { naturalWidth, naturalHeight } = find("#tr-image");
    if (this.busy || !naturalWidth) return;
    this.document.turn(naturalWidth, naturalHeight);
    this.pages.thumbnail(this.pages.shown);
    status(this.document.reading ? "Rotated; Read again reads it as shown" : "Rotated");
  }

  async #crop() {
    const image = find("#tr-image");
    if (this.busy || !image.naturalWidth) return;
    if (this.picture.box) return this.picture.box(false);
    const { document: page } = this;
    const [width, height] = [page.width || image.naturalWidth, page.height || image.naturalHeight];
    const { scale } = this.picture;
    this.picture.fit(true); // the box may be anywhere on the page
    const box = await this.picture.draw([0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height], "Draw a box around what stays");
    this.picture.zoom(box ? 1 : scale);
    find("#tr-crop").focus();
    if (!box || page !== this.pages.current?.document) return;
    page.crop([box[0] / width, box[1] / height, box[2] / width, box[3] / height], width, height);
    this.pages.thumbnail(this.pages.shown);
    status(page.reading ? "Cropped; Read again reads what is left" : "Cropped");
  }

  #undo(redo = false) {
    const { sheet } = this.document;
    if (redo) this.document.redo();
    else this.document.undo();
    if (this.document.sheet !== sheet) this.pages.thumbnail(this.pages.shown);
  }

  #buttons() {
    for (const [name, act] of Object.entries(this.#actions)) {
      const button = find(`#tr-${name}`);
      button.addEventListener("pointerdown", (/** @type {Event} */ event) => event.preventDefault()); // keep the cursor in the line
      button.addEventListener("click", () => act(this.at < 0 ? this.document.lines.length - 1 : this.at, this.#cursor()));
    }
    for (const [name, act] of Object.entries(this.#blockActions)) {
      find(`#tr-block-${name}`).addEventListener("click", () => {
        this.menu.close(false);
        act(this.at);
      });
    }
    find("#tr-kind").replaceChildren(...Object.entries(KINDS).map(([kind, name]) => new Option(name, kind)));
    find("#tr-kind").addEventListener("change", () => {
      const { id } = this.document.lines[this.at];
      const kind = find("#tr-kind").value;
      this.document.block(this.at, "named", kind);
      this.choose(this.document.lines.findIndex((line) => line.id === id)); // by id, because the cells of a table were reordered
      status(`The block is: ${KINDS[kind]}`);
    });
    find("#tr-doubt").addEventListener("click", () => this.#nextDoubt());
    find("#tr-undo").addEventListener("click", () => this.#undo());
    find("#tr-redo").addEventListener("click", () => this.#undo(true));
    find("#tr-first").addEventListener("click", () => this.#actions.add(-1));
    find("#tr-rotate").addEventListener("click", () => this.#rotate());
    find("#tr-crop").addEventListener("click", () => this.#crop());
    find("#tr-keys").addEventListener("click", () => find("#tr-help").showModal());
    find("#tr-help-close").addEventListener("click", () => find("#tr-help").close());
  }

  /** The position of the cursor in the text of the current line. */
  #cursor() {
    const whole = find("#tr-whole");
    if (find("#tr-panel-whole").hidden) return this.lines.items[this.at]?.field.selectionStart ?? 0;
    return whole.selectionStart - (whole.value.slice(0, whole.selectionStart).lastIndexOf("\n") + 1);
  }

  /** Keys of actions in the field of a line. @param {number} index @param {KeyboardEvent} event */
  #lineKey(index, event) {
    const { field } = this.lines.items[index];
    if (field.readOnly || event.isComposing) return false;
    const { selectionStart: start, selectionEnd: end } = field;
    const control = event.ctrlKey || event.metaKey;
    const actions = this.#actions;
    if (event.key === "Enter" && control) actions.split(index, start);
    else if (event.key === "Backspace" && start === 0 && end === 0 && index > 0 && !control) actions.join(index - 1);
    else if (event.key === "Delete" && !event.altKey && start === field.value.length && index + 1 < this.lines.items.length && !control) actions.join(index);
    else return false;
    return true;
  }

  /** Keys of the page. @param {KeyboardEvent} event */
  #key(event) {
    const { current } = this.pages;
    if (!current || this.root.querySelector("dialog[open]")) return;
    const act = this.#act(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** What a key does; undefined: nothing. @param {KeyboardEvent} event @returns {(() => void) | undefined} */
  #act(event) {
    const { ctrlKey, metaKey, altKey, shiftKey, code } = event;
    const control = (ctrlKey || metaKey) && !altKey;
    const key = event.key.toLowerCase();
    const loaded = this.document.reading !== null;
    const elsewhere = /** @type {HTMLElement} */ (event.target).matches("#tr-form *, #tr-search *, #tr-key");
    if (loaded && key === "f8") return () => this.#nextDoubt(shiftKey ? -1 : 1);
    if (loaded && control && key === "f" && !shiftKey) return () => this.search.open();
    // Fields outside the document have their own undo.
    if (control && (key === "z" || key === "y") && !elsewhere && !this.busy) return () => this.#undo(key === "y" || shiftKey);
    if (!altKey || ctrlKey || metaKey) return undefined;
    const block = this.#blockAct(shiftKey, code);
    if (block) return block;
    const view = {
      Equal: () => this.picture.zoom(this.picture.scale * 1.3), NumpadAdd: () => this.picture.zoom(this.picture.scale * 1.3),
      Minus: () => this.picture.zoom(this.picture.scale / 1.3), NumpadSubtract: () => this.picture.zoom(this.picture.scale / 1.3),
      Digit0: () => this.picture.fit(), Digit9: () => this.picture.fit(true), KeyR: () => this.#rotate(), KeyC: () => this.#crop(),
      PageUp: () => this.pages.leaf(-1), PageDown: () => this.pages.leaf(1),
    }[code];
    if (view || !loaded || this.busy) return view;
    const focused = this.lines.items.findIndex(({ field }) => field === document.activeElement);
    const at = focused < 0 ? this.at : focused; // a window in the background gets no focus event
    const actions = this.#actions;
    if (key === "enter") return () => actions.add(at < 0 ? this.document.lines.length - 1 : at);
    if (at < 0) return undefined;
    if (key === "delete") return () => actions.delete(at);
    if (code === "KeyP") return () => actions.draw(at);
    if (shiftKey && key === "arrowup") return () => actions.up(at);
    if (shiftKey && key === "arrowdown") return () => actions.down(at);
    return undefined;
  }

  /** What a key does with the block of the current line. @param {boolean} shiftKey @param {string} code @returns {(() => void) | undefined} */
  #blockAct(shiftKey, code) {
    const { at } = this;
    if (this.document.reading === null || this.busy || at < 0) return undefined;
    const { add, begin, join, up, down, delete: remove } = this.#blockActions;
    /** @type {Record<string, (index: number) => void>} */
    const keys = shiftKey ? { Enter: add, PageUp: up, PageDown: down, Delete: remove } : { KeyB: begin, KeyJ: join };
    const act = keys[code];
    if (act) return () => act(at);
    return code === "KeyK" ? () => this.menu.open(find("#tr-kind")) : undefined;
  }

  /** Put the cursor on the next doubtful word, or on the previous one if `step` is -1. */
  #nextDoubt(step = 1) {
    const all = this.document.lines.flatMap((line, index) => doubts(line).map(([start, end]) => ({ index, start, end })));
    if (!all.length) return;
    const field = this.lines.items[this.at]?.field;
    const here = [this.at, field ? (step > 0 ? field.selectionEnd : field.selectionStart) : 0];
    /** @param {{index: number, start: number}} place */
    const behind = ({ index, start }) => index > here[0] || (index === here[0] && start >= here[1]);
    const next = step > 0 ? all.find(behind) ?? all[0] : all.findLast((one) => !behind(one)) ?? all.at(-1);
    if (next) this.enter(next.index, next.start, next.end);
  }

  #tabs() {
    const tabs = [find("#tr-tab-lines"), find("#tr-tab-whole")];
    /** @param {HTMLElement} chosen */
    const show = (chosen) => {
      for (const each of tabs) {
        const on = each === chosen;
        each.setAttribute("aria-selected", String(on));
        each.tabIndex = on ? 0 : -1;
        find(`#${each.getAttribute("aria-controls")}`).hidden = !on;
      }
      this.lines.show(this.at);
    };
    tabs.forEach((each, index) => {
      each.addEventListener("click", () => show(each));
      each.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        event.preventDefault();
        show(tabs[1 - index]);
        tabs[1 - index].focus();
      });
    });
  }
}
