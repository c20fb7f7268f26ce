/** The pages of this browser: their list, the current page, and their storage. */

import { over, tell } from "./alerts.js";
import { brush } from "./dom.js";
import { PageDocument } from "./document.js";
import { rendered } from "./sheet.js";
import * as storage from "./storage.js";

/**
 * A picture with its document.
 * @typedef {object} Entry
 * @property {string} id
 * @property {string} name
 * @property {File | null} file the original; null: not loaded, or no longer in this browser
 * @property {PageDocument} document
 * @property {string} mode for the next reading
 * @property {string} readMode of the latest reading
 * @property {string} language for the next reading, as BCP 47; "": the service chooses it
 * @property {"waiting" | "reading" | "read" | "stopped" | "failed"} status
 * @property {string} words the status message
 * @property {string} error
 * @property {string} code of the error
 * @property {{width: number, height: number, polygons: import("./document.js").Point[][], lines: import("./document.js").Line[]} | null} partial while it is being read
 * @property {string} thumb
 * @property {number} time when it was added, in milliseconds
 * @property {{of: string, number: number, count: number} | null} leaf if it is a page of a document
 * @property {any} feedback what a person wrote about it, as `Feedback.state`
 * @property {Promise<void> | null} ready resolves when its file and document are loaded
 * @property {boolean} loaded
 * @property {boolean} unstored whether there was no room to store it
 * @property {string} revision of its stored document
 * @property {import("./document.js").State | null} base the state that tabs share
 */

export function number() {
  return [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Events: "list": a page was added, was removed or changed its status; "opened": another page is shown; "changed": the current page changed. */
export class Pages extends EventTarget {
  /** @type {Entry[]} */
  entries = [];
  /** @type {Entry | null} */
  current = null;
  /** @type {Map<string, {again: boolean, file: boolean}>} */
  #saving = new Map();
  #quiet = false; // the change is already stored

  constructor() {
    super();
    // The name of this tab, so that a queue continues here after a reload and not in another tab.
    this.tab = storage.remembered("tr-tab") || number();
    storage.remember("tr-tab", this.tab);
    addEventListener("popstate", () => this.#openNamed());
    storage.listen((id) => this.#storedElsewhere(id));
  }

  /** The current page, for code that runs only while there is one. @returns {Entry} */
  get shown() {
    return /** @type {Entry} */ (this.current);
  }

  /** @param {string} name */
  #tell(name) {
    this.dispatchEvent(new Event(name));
  }

  /** Add new pages, which are not read yet. @param {{name: string, file: File, mode: string, language: string, leaf?: Entry["leaf"]}[]} given @returns {Entry[]} */
  add(given) {
    const made = given.map((one) => this.#entry({ ...one, id: number(), time: Date.now(), ready: Promise.resolve(), loaded: true }));
    this.entries.push(...made);
    for (const entry of made) {
      this.save(entry, true);
      this.thumbnail(entry);
    }
    this.#tell("list");
    return made;
  }

  /** @param {any} values fields of an entry or of its summary @returns {Entry} */
  #entry(values) {
    /** @type {Entry} */
    const entry = {
      readMode: values.mode, language: "", status: "waiting", words: "", error: "", code: "", partial: null, thumb: "", leaf: null, feedback: null,
      ready: null, loaded: false, unstored: false, revision: "", base: null, file: null, document: null, ...values,
    };
    entry.document = new PageDocument(() => {
      if (!this.#quiet) this.save(entry);
      if (entry === this.current) this.#tell("changed");
    });
    return entry;
  }

  /** Load the picture and the document of a page. @param {Entry} entry @returns {Promise<void>} */
  ready(entry) {
    entry.ready ??= (async () => {
      const [picture, stored] = await Promise.all([storage.picture(entry.id), storage.document(entry.id)]);
      if (picture) entry.file = new File([picture], entry.name, { type: picture.type });
      if (stored) this.#quietly(() => entry.document.restore(stored));
      [entry.revision, entry.base] = [stored?.revision ?? "", stored?.state ?? null];
      entry.loaded = true;
    })();
    return entry.ready;
  }

  /** The picture of a page, turned and cropped as in `sheet`. @param {Entry} entry */
  async picture(entry, sheet = entry.document.sheet) {
    await this.ready(entry);
    return entry.file && rendered(entry.file, sheet);
  }

  /** Show a page; null: none. @param {Entry | null} entry */
  async open(entry) {
    this.current = entry;
    const hash = entry ? `#page-${entry.id}` : "";
    if (location.hash !== hash) history.pushState(null, "", hash || location.pathname);
    if (entry && !entry.loaded) await this.ready(entry);
    if (entry === this.current) this.#tell("opened");
  }

  /** Show the page `step` positions further in the list. @param {number} step */
  leaf(step) {
    const next = this.current && this.entries[this.entries.indexOf(this.current) + step];
    if (next) this.open(next);
  }

  /** Show the page named in the address. */
  async #openNamed() {
    const entry = this.entries.find(({ id }) => location.hash === `#page-${id}`) ?? null;
    if (entry !== this.current) await this.open(entry);
  }

  /** Delete pages from this browser; this can be undone while the message is shown. @param {Entry[]} gone */
  async forget(gone) {
    await Promise.all(gone.map((entry) => this.ready(entry)));
    for (const entry of gone) this.#drop(entry);
    await storage.forget(gone.map((entry) => entry.id));
    await Promise.all(this.entries.filter(({ unstored }) => unstored).map((entry) => this.save(entry))); // there may be room now
    const what = gone.length === 1 ? gone[0].name : `${gone.length} pages`;
    tell(`This browser has forgotten ${what}.`, { code: "forgotten", retry: () => this.#recall(gone), label: "Undo", mild: true });
  }

  /** @param {Entry[]} gone */
  #recall(gone) {
    this.entries = [...this.entries, ...gone].toSorted((one, other) => one.time - other.time);
    for (const entry of gone) this.save(entry, true);
    this.#tell("list");
    if (!this.current || gone.length === 1) this.open(gone[0]);
  }

  /** @param {Entry} entry */
  #drop(entry) {
    const index = this.entries.indexOf(entry);
    if (index >= 0) this.entries.splice(index, 1);
    if (entry === this.current) this.open(this.entries[Math.min(index, this.entries.length - 1)] ?? null);
    this.#tell("list");
  }

  /** @param {Entry} entry */
  async thumbnail(entry) {
    try {
      const picture = await this.picture(entry);
      if (!picture) return;
      const bitmap = await createImageBitmap(picture, { resizeWidth: 96, resizeQuality: "medium" });
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [bitmap.width, Math.min(bitmap.height, 136)];
      brush(canvas).drawImage(bitmap, 0, 0);
      entry.thumb = canvas.toDataURL("image/jpeg", 0.7);
      this.save(entry);
      this.#tell("list");
    } catch {
      // the browser cannot show it, so the list shows its name
    }
  }

  /** Change fields of a page that the list shows. @param {Entry} entry @param {Partial<Entry>} values */
  update(entry, values) {
    Object.assign(entry, values);
    this.save(entry);
    this.#tell("list");
    if (entry === this.current) this.#tell("changed");
  }

  /** Store a page; if it is being stored already, only its newest state is stored next. @param {Entry} entry */
  async save(entry, withFile = false) {
    const busy = this.#saving.get(entry.id);
    if (busy) {
      busy.again = true;
      busy.file ||= withFile;
      return;
    }
    const job = { again: true, file: withFile || entry.unstored };
    this.#saving.set(entry.id, job);
    try {
      while (job.again && this.entries.includes(entry)) {
        job.again = false;
        const file = (job.file && entry.file) || undefined;
        job.file = false;
        await this.#store(entry, job, file);
        entry.unstored = false;
      }
      if (!this.entries.some(({ unstored }) => unstored)) over("no-room");
    } catch {
      entry.unstored = true;
      tell("This browser has no room to store this page: it is lost when the tab closes. Download its text, or forget other pages.", { code: "no-room" });
    } finally {
      this.#saving.delete(entry.id);
    }
  }

  /** @param {Entry} entry @param {{again: boolean}} job @param {File} [file] */
  async #store(entry, job, file) {
    const { id, name, time, mode, readMode, language, status, words, error, code, thumb, leaf, feedback } = entry;
    const { saved } = entry.document;
    const next = number();
    const doc = entry.loaded ? { saved, revision: entry.revision, next } : null;
    const summary = { id, name, time, mode, readMode, language, status, words, error, code, thumb, leaf, feedback, tab: this.tab };
    const newer = await storage.store(summary, doc, file);
    if (newer) job.again = this.#adopt(entry, newer) || job.again;
    else if (doc) [entry.revision, entry.base] = [next, saved.state];
  }

  /** Merge what another tab stored. @param {Entry} entry @param {storage.Stored} stored @returns {boolean} whether the result has more to store */
  #adopt(entry, stored) {
    const { base } = entry;
    [entry.revision, entry.base] = [stored.revision, stored.state];
    return this.#quietly(() => entry.document.adopt(base, stored.state));
  }

  /** @template T @param {() => T} work @returns {T} */
  #quietly(work) {
    const before = this.#quiet;
    this.#quiet = true;
    try {
      return work();
    } finally {
      this.#quiet = before;
    }
  }

  /** @param {string} id */
  async #storedElsewhere(id) {
    const [summary, stored] = await Promise.all([storage.page(id), storage.document(id)]);
    const entry = this.entries.find((one) => one.id === id);
    if (!summary) {
      if (entry && !this.#saving.has(id)) this.#drop(entry);
    } else if (!entry) this.#revive(summary);
    else if (entry.status !== "reading") {
      Object.assign(entry, { status: summary.status === "waiting" || summary.status === "reading" ? entry.status : summary.status, words: summary.words, thumb: summary.thumb });
      if (entry.loaded && stored && stored.revision !== entry.revision && this.#adopt(entry, stored)) this.save(entry);
    }
    this.#tell("list");
  }

  /** @param {storage.Summary} summary */
  #revive(summary) {
    const status = summary.status === "reading" || summary.status === "waiting" ? (summary.tab === this.tab ? "waiting" : "stopped") : summary.status;
    this.entries.push(this.#entry({ ...summary, status }));
  }

  /** Show the pages of earlier visits. @param {storage.Summary[]} summaries */
  restore(summaries) {
    for (const summary of summaries.toSorted((one, other) => one.time - other.time)) this.#revive(summary);
    this.#tell("list");
    this.#openNamed();
  }
}
