/** The queue: reads the waiting pages one by one, the current page first. */

import { over, status, tell } from "./alerts.js";
import { find } from "./dom.js";
import { reading } from "./service.js";

/** @typedef {import("./pages.js").Entry} Entry */

const ATTEMPTS = 4; // if the service is busy
const BUSY = ["overloaded", "rate-limited", "not-ready"];
const HOPELESS = ["image-rejected", "too-large", "unsupported-media-type"]; // trying the same picture again cannot help

export class Queue {
  /** @type {{entry: Entry, controller: AbortController} | null} */
  #running = null;
  #complaint = ""; // the code of the latest error message

  /** @param {import("./pages.js").Pages} pages @param {(entry: Entry) => void} partly called for each line of the current page */
  constructor(pages, partly) {
    this.pages = pages;
    this.partly = partly;
    pages.addEventListener("list", () => {
      if (this.#running && !pages.entries.includes(this.#running.entry)) this.#running.controller.abort();
    });
    find("#tr-read").addEventListener("click", () => this.again(pages.shown));
    find("#tr-stop").addEventListener("click", () => this.#stop());
  }

  /** The mode and language for new pages. */
  get wanted() {
    return { mode: find('input[name="tr-mode"]:checked').value, language: find("#tr-language").value };
  }

  /** Read the waiting pages. */
  async work() {
    if (this.#running) return;
    const { current, entries } = this.pages;
    const entry = current?.status === "waiting" ? current : entries.find((one) => one.status === "waiting");
    if (!entry) return;
    await this.#read(entry);
    this.work();
  }

  /** Read a page again, as it is turned and cropped now. @param {Entry} entry */
  again(entry) {
    tell("");
    this.pages.update(entry, { ...this.wanted, status: "waiting", partial: null });
    this.work();
  }

  /** The pages that failed because the service was away. */
  get missed() {
    return this.pages.entries.filter(({ status: state, code }) => state === "failed" && code === "service-away");
  }

  /** Call it when the service answers: read the pages that failed while it was away or for lack of a key. */
  resume() {
    const refused = this.pages.entries.filter(({ status: state, code }) => state === "failed" && code === "unauthorized");
    for (const entry of [...this.missed, ...refused]) this.pages.update(entry, { status: "waiting", error: "", code: "" });
    this.work();
  }

  #stop() {
    const { shown } = this.pages;
    if (this.#running?.entry === shown) this.#running.controller.abort();
    else this.#progress(shown, "stopped", "Stopped");
    find("#tr-read").focus();
  }

  /** @param {Entry} entry */
  async #read(entry) {
    const controller = new AbortController();
    this.#running = { entry, controller };
    Object.assign(entry, { readMode: entry.mode, error: "", code: "" });
    this.#progress(entry, "reading", "Finding the lines…");
    try {
      const picture = await this.pages.picture(entry);
      if (!picture) throw new Error("The picture of this page is no longer in this browser. Its text is still here.");
      for (let attempt = 1; ; attempt++) {
        const key = find("#tr-key").value;
        try {
          await this.#once(entry, picture, controller.signal);
          break;
        } catch (error) {
          if (error.code === "unauthorized" && key !== find("#tr-key").value) continue; // the key was corrected meanwhile
          if (!BUSY.includes(error.code) || attempt === ATTEMPTS) throw error;
          const seconds = Math.min(20, error.again || 2);
          this.#progress(entry, "reading", `The service is busy; trying again in ${seconds} s…`);
          await pause(seconds, controller.signal);
        }
      }
    } catch (error) {
      const stopped = error.name === "AbortError";
      if (error.code === "unauthorized") {
        find("#tr-key-box").hidden = false;
        find("#tr-key").focus();
      }
      if (!stopped) Object.assign(entry, { error: error.message || "That did not work. Try again in a moment.", code: error.code ?? "" });
      this.#running = null;
      this.#progress(entry, stopped ? "stopped" : "failed", stopped ? "Stopped" : entry.document.reading ? "Not read again" : "Not read");
      if (!stopped && entry === this.pages.current) this.complain(entry);
    } finally {
      this.#running = null;
    }
  }

  /** Show why a page could not be read, in place of such a message about another page. @param {Entry} entry */
  complain(entry) {
    over(this.#complaint);
    if (entry.status !== "failed" || !entry.error) return;
    this.#complaint = entry.code || "reading";
    tell(entry.error, { code: this.#complaint, retry: HOPELESS.includes(entry.code) ? null : () => this.again(entry) });
  }

  /** @param {Entry} entry @param {Entry["status"]} state @param {string} words */
  #progress(entry, state, words, done = 0, all = 0) {
    const changed = entry.status !== state;
    entry.words = words;
    if (changed) this.pages.update(entry, { status: state });
    if (entry === this.pages.current) status(words, done, all);
  }

  /** @param {Entry} entry @param {File} picture @param {AbortSignal} signal */
  async #once(entry, picture, signal) {
    let places = [];
    /** @type {import("./document.js").Line[]} */
    let lines = [];
    entry.partial = null;
    for await (const [name, content] of reading(picture, entry.readMode, entry.language, signal)) {
      if (signal.aborted) return;
      if (name === "layout") {
        places = content.polygons.map(String);
        lines = [];
        entry.partial = { ...content, lines };
        this.#progress(entry, "reading", places.length ? `Line 0 of ${places.length}` : "", 0, places.length);
        if (entry === this.pages.current) this.partly(entry);
      } else if (name === "line") {
        lines.push({ id: -1 - lines.length, text: content.text, read: content, block: [], origin: places.indexOf(String(content.polygon)) });
        this.#progress(entry, "reading", `Line ${lines.length} of ${places.length}`, lines.length, places.length);
        if (entry === this.pages.current) this.partly(entry);
      } else if (name === "page") {
        entry.partial = null;
        const count = content.lines.length;
        const seconds = content.timings ? ` in ${content.timings.total.toFixed(1)} s` : "";
        this.#running = null;
        entry.document.load(content);
        this.#progress(entry, "read", count ? `${count} ${count === 1 ? "line" : "lines"} read${seconds}` : "No writing found");
      }
    }
  }
}

/** @param {number} seconds @param {AbortSignal} signal @returns {Promise<void>} */
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}
