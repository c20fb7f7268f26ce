/** Search and replace in all lines of the document. */

import { find } from "./dom.js";

export class Search {
  /**
   * @param {() => import("./document.js").PageDocument} page
   * @param {(index: number, start: number, end: number) => void} show show a match
   * @param {(index: number, start?: number, end?: number) => void} mark mark it while the cursor stays in the search; -1: none
   * @param {() => void} leave
   */
  constructor(page, show, mark, leave) {
    this.page = page;
    this.show = show;
    this.mark = mark;
    this.at = -1;
    this.bar = find("#tr-search");
    this.query = find("#tr-query");
    find("#tr-find").addEventListener("click", () => this.open());
    find("#tr-search-close").addEventListener("click", () => this.#close(leave));
    this.query.addEventListener("input", () => this.count());
    find("#tr-case").addEventListener("change", () => this.count());
    find("#tr-next-match").addEventListener("click", () => this.#go(1));
    find("#tr-replace").addEventListener("click", () => this.#replaceOne());
    find("#tr-replace-all").addEventListener("click", () => this.#replaceAll());
    this.bar.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") this.#close(leave);
      else if (event.key === "Enter" && event.target === this.query) this.#go(event.shiftKey ? -1 : 1, true);
      else if (event.key === "Enter" && event.target === find("#tr-replacement")) this.#replaceOne(true);
      else return;
      event.preventDefault();
    });
  }

  open() {
    this.bar.hidden = false;
    this.query.select();
    this.query.focus();
    this.count();
  }

  /** @param {() => void} leave */
  #close(leave) {
    this.bar.hidden = true;
    this.mark(-1);
    leave();
  }

  get #pattern() {
    const literal = this.query.value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return literal ? new RegExp(literal, find("#tr-case").checked ? "gu" : "giu") : null;
  }

  #matches() {
    const pattern = this.#pattern;
    if (!pattern) return [];
    return this.page().texts.flatMap((text, index) => [...text.matchAll(pattern)].map((match) => ({ index, start: match.index, end: match.index + match[0].length })));
  }

  /** Count the matches again, after a change of page or search text. */
  count() {
    this.at = -1;
    this.mark(-1);
    this.#tell(this.#matches().length);
  }

  /** @param {number} count */
  #tell(count) {
    find("#tr-matches").textContent = !this.query.value ? "" : !count ? "Not found" : this.at < 0 ? `${count} found` : `${this.at + 1} of ${count}`;
  }

  /** Select the next match, or the previous one if `step` is -1; `stay`: leave the cursor in the search. @param {number} step */
  #go(step, stay = false) {
    const matches = this.#matches();
    if (matches.length) {
      this.at = (this.at < 0 && step < 0 ? matches.length - 1 : this.at + step + matches.length) % matches.length;
      this.#select(matches[this.at], stay);
    }
    this.#tell(matches.length);
  }

  /** @param {{index: number, start: number, end: number}} match @param {boolean} stay */
  #select({ index, start, end }, stay) {
    const field = document.activeElement;
    this.show(index, start, end);
    this.mark(-1);
    if (!stay) return;
    this.mark(index, start, end);
    /** @type {HTMLElement} */ (field).focus();
  }

  /** Replace the selected match, and select the next one. */
  #replaceOne(stay = false) {
    const matches = this.#matches();
    const match = matches[this.at];
    if (!match) return this.#go(1, stay);
    const { index, start, end } = match;
    const put = find("#tr-replacement").value;
    this.page().replace((text, line) => (line === index ? text.slice(0, start) + put + text.slice(end) : text));
    const left = this.#matches();
    const next = left.findIndex((one) => one.index > index || (one.index === index && one.start >= start + put.length));
    this.at = left.length ? Math.max(0, next) : -1;
    if (left.length) this.#select(left[this.at], stay);
    else this.mark(-1);
    this.#tell(left.length);
  }

  #replaceAll() {
    const pattern = this.#pattern;
    if (!pattern) return;
    const count = this.#matches().length;
    this.page().replace((text) => text.replace(pattern, () => find("#tr-replacement").value));
    this.at = -1;
    this.mark(-1);
    find("#tr-matches").textContent = count ? `${count} replaced` : "Not found";
  }
}
