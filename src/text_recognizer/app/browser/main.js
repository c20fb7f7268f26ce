// The page: from pictures to their texts and the corrections of them. All of it stays in this browser.

import { connectCamera } from "./camera.js";
import { PageDocument } from "./document.js";
import { find } from "./dom.js";
import { Feedback } from "./feedback.js";
import { Lines, doubts, stateOf } from "./lines.js";
import { Picture, percent } from "./picture.js";
import { Search } from "./search.js";
import { address, asForm, asJson, ask, reading } from "./service.js";
import * as storage from "./storage.js";

const root = await mounted();
const options = JSON.parse(document.querySelector("#tr-options").textContent);
const EXAMPLES = { "letter-1905.jpg": "A letter of 1905", "page.jpg": "A page of notes" };
const FORMATS = {
  text: "Text", json: "JSON", alto: "ALTO XML", page: "PAGE XML", hocr: "hOCR", pdf: "PDF to search", csv: "Table (CSV)",
  tsv: "Table (TSV)", tables: "Tables of the page (CSV)", docx: "Word (DOCX)", md: "Markdown",
};
const ATTEMPTS = 4; // where the service is busy
const KEPT_HERE = storage.lasting ? " Pages stay in this browser until you forget them." : " This browser stores no pages: they are lost when the tab closes.";

/**
 * A picture and what was made of it.
 * @typedef {object} Entry
 * @property {string} id
 * @property {string} name
 * @property {File} file as it was given
 * @property {PageDocument} document
 * @property {string} mode in which it is to be read
 * @property {string} readMode in which it was read
 * @property {"waiting" | "reading" | "read" | "stopped" | "failed"} status
 * @property {string} words about its status
 * @property {{width: number, height: number, polygons: number[][][], lines: import("./document.js").Line[]} | null} partial while it is read
 * @property {string} thumb
 * @property {number} time when it was given, in milliseconds
 * @property {any} feedback what a person wrote of it, as `Feedback.state`
 * @property {string} error
 */

const picture = new Picture({
  chosen: choose, pointed: (index) => lines.point(index), entered: (index) => lines.enter(index),
  drawn: (index, polygon) => current?.document.draw(index, polygon),
});
const lines = new Lines({ chosen: choose, pointed: (index) => picture.point(index), typed: (id, text) => current.document.setText(id, text), key: lineKey });
const feedback = new Feedback(() => {
  const page = current.document;
  const byLine = page.byLine;
  return {
    request: page.reading?.request_id, answer: page.reading, picture: current.file, mode: current.readMode,
    lines: byLine, whole: byLine ? null : page.text, edited: page.edited,
  };
}, () => save(current));
const search = new Search(() => current.document, (index, start, end) => enter(index, start, end), () => enter(Math.max(0, at)));

/** @type {Entry[]} */
const entries = [];
/** @type {Entry | null} */
let current = null;
let at = -1; // the line that is looked at
let shownAs = ""; // the address of the current picture in this tab
/** @type {{entry: Entry, controller: AbortController} | null} */
let running = null; // the reading that runs
let known = null; // what /v1/models says
let quiet = false; // another tab made the change: it is stored already

// The tab's own name, so that a queue goes on after a reload, and in no other tab.
const tabName = sessionStorage.getItem("tr-tab") || number();
sessionStorage.setItem("tr-tab", tabName);

function number() {
  return [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// ------------------------------------------------------------------------------------------------------- the service

async function meet() {
  try {
    known = await (await ask("v1/models")).json();
  } catch (error) {
    if (error.code === "unauthorized") find("#tr-key-box").hidden = false;
    if (error.code !== "unauthorized" || find("#tr-key").value) tell(error.message, meet);
    return;
  }
  find("#tr-format").replaceChildren(...(known.formats || ["text", "json"]).map((name) => new Option(FORMATS[name] || name, name)));
  find("#tr-say").hidden = known.feedback !== true;
  root.querySelectorAll("[data-kept]").forEach((place) => (place.textContent = whatIsKept(known) + KEPT_HERE));
}

function whatIsKept({ feedback: sendable, kept }) {
  const readings = kept?.share || 0;
  const share = readings >= 1 ? "every reading" : `a sample of the readings (${percent(readings)})`;
  const what = { numbers: "figures, without text or picture", pages: "the text, without the picture", images: "the picture and its text" }[kept?.what];
  const days = kept?.days ? ` for ${kept.days} days` : "";
  const always = readings > 0 ? `The service keeps ${share}${days}: ${what}.` : "";
  if (!sendable) return always || (kept ? "Pictures and texts are not stored: they are read and forgotten." : "");
  const sent = "When you send feedback, the picture, its text and what you say are stored, until you have them forgotten.";
  return always ? `${always} ${sent}` : `Nothing is stored unless you send feedback. ${sent}`;
}

find("#tr-key").value = sessionStorage.getItem("tr-key") || "";
if (find("#tr-key").value) find("#tr-key-box").hidden = false;
find("#tr-key").addEventListener("change", (event) => {
  sessionStorage.setItem("tr-key", event.target.value.trim());
  tell("");
  meet();
});
find("#tr-key-box").addEventListener("submit", (event) => event.preventDefault());

// ------------------------------------------------------------------------------------------------------- messages

function tell(words, retry = null) {
  const alert = find("#tr-alert");
  alert.hidden = !words;
  alert.querySelector("p").textContent = words;
  const button = find("#tr-again");
  button.hidden = !retry;
  button.onclick = () => {
    tell("");
    retry();
  };
}

find("#tr-dismiss").addEventListener("click", () => tell(""));

function status(words, done = null, all = null) {
  find("#tr-status").textContent = words;
  const bar = find("#tr-progress");
  bar.hidden = current?.status !== "reading";
  if (all) [bar.max, bar.value] = [all, done];
  else bar.removeAttribute("value");
}

// ------------------------------------------------------------------------------------------------------- pictures

/** Take pictures: each becomes a page, the first one is shown, all are read one after the other. @param {Iterable<Blob>} given */
function take(given, name = "") {
  /** @type {Entry[]} */
  const added = [];
  let problem = "";
  for (const blob of given) {
    const called = name || (blob instanceof File ? blob.name : "") || "picture";
    if (!blob.size) problem = `${called} is empty. Choose a picture of a page.`;
    else if (blob.type && !blob.type.startsWith("image/") && blob.type !== "application/octet-stream") {
      problem = `${called} is not a picture. Choose a photograph or scan of a page${blob.type === "application/pdf" ? "; pages of a PDF can be exported as pictures" : ""}.`;
    } else {
      const file = blob instanceof File && !name ? blob : new File([blob], called, { type: blob.type });
      added.push(entryOf({ id: number(), name: called, file, mode: mode(), time: Date.now() }));
    }
  }
  tell(problem);
  if (!added.length) return;
  entries.push(...added);
  added.forEach((entry) => save(entry, true));
  added.forEach((entry) => thumbnail(entry));
  open(added[0]);
  work();
}

/** @returns {Entry} */
function entryOf(made) {
  const entry = { readMode: made.mode, status: "waiting", words: "", partial: null, thumb: "", feedback: null, error: "", document: null, ...made };
  entry.document = new PageDocument(() => {
    if (!quiet) save(entry);
    if (entry === current) render();
  });
  return entry;
}

/** Show a page; null: the start. @param {Entry | null} entry */
async function open(entry) {
  if (current) current.feedback = feedback.state;
  current = entry;
  at = -1;
  URL.revokeObjectURL(shownAs);
  shownAs = "";
  find("#tr-image").removeAttribute("src");
  find("#tr-work").hidden = !entry;
  find("#tr-start").hidden = Boolean(entry);
  root.classList.toggle("working", Boolean(entry));
  const hash = entry ? `#page-${entry.id}` : "";
  if (location.hash !== hash) history.pushState(null, "", hash || location.pathname);
  picture.clear();
  list();
  if (!entry) {
    find("#tr-choose").focus();
    return;
  }
  find("#tr-name").textContent = entry.name;
  find(`input[name="tr-mode"][value="${entry.mode}"]`).checked = true;
  feedback.state = entry.feedback;
  tell(entry.error, entry.error && entry.status === "failed" ? again : null);
  render();
  status(entry.words);
  if (!entry.file) {
    const stored = await storage.picture(entry.id);
    if (!stored) return tell("The picture of this page is no longer in this browser. Its text is still here.");
    entry.file = new File([stored], entry.name, { type: stored.type });
  }
  if (entry === current) show(entry);
}

/** @param {Entry} entry */
function show(entry) {
  shownAs = URL.createObjectURL(entry.file);
  const image = find("#tr-image");
  image.onerror = async () => {
    // A TIFF, say: the browser cannot show it, so it is made into a JPEG.
    image.onerror = null;
    try {
      const shown = await (await ask("page/picture", { method: "POST", body: entry.file })).blob();
      if (!entry.thumb) thumbnail(entry, shown);
      if (entry !== current) return;
      URL.revokeObjectURL(shownAs);
      image.src = shownAs = URL.createObjectURL(shown);
    } catch {
      if (entry === current) image.removeAttribute("src"); // reading says what is wrong with it
    }
  };
  image.src = shownAs;
  picture.turn(0);
  picture.zoom(1);
}

async function thumbnail(entry, source = entry.file) {
  try {
    const bitmap = await createImageBitmap(source, { resizeWidth: 96, resizeQuality: "medium" });
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, Math.min(bitmap.height, 136)];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    entry.thumb = canvas.toDataURL("image/jpeg", 0.7);
    save(entry);
    list();
  } catch {
    // the browser cannot show it; the name stands there
  }
}

find("#tr-new").addEventListener("click", () => {
  tell("");
  open(null);
});
find("#tr-choose").addEventListener("click", () => find("#tr-file").click());
for (const id of ["#tr-file", "#tr-capture"]) {
  find(id).addEventListener("change", ({ target }) => {
    if (target.files.length) take([...target.files]);
    target.value = "";
  });
}

document.addEventListener("paste", (event) => {
  const given = [...(event.clipboardData?.files || [])];
  if (!given.length) return;
  event.preventDefault();
  take(given);
});
let dragged = 0;
document.addEventListener("dragenter", () => root.classList.toggle("dropping", ++dragged > 0));
document.addEventListener("dragleave", () => root.classList.toggle("dropping", --dragged > 0));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  dragged = 0;
  root.classList.remove("dropping");
  const given = [...event.dataTransfer.files];
  if (given.length) take(given);
  else tell("Only files can be dropped here. Save the picture first and drop the file, or copy the picture and paste it.");
});

for (const name of options.examples) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  const image = document.createElement("img");
  const words = document.createElement("span");
  button.type = "button";
  image.src = address(`page/examples/${name}`);
  image.alt = "";
  words.textContent = EXAMPLES[name] || name;
  button.append(image, words);
  item.append(button);
  find("#tr-examples ul").append(item);
  button.addEventListener("click", async () => {
    try {
      take([await (await ask(`page/examples/${name}`)).blob()], name);
    } catch (error) {
      tell(error.message);
    }
  });
}

connectCamera((photo, name) => take([photo], name), tell);

// ------------------------------------------------------------------------------------------------------- the pages of this browser

/** Show the thumbnails of all pages. */
function list() {
  for (const place of root.querySelectorAll("[data-pages]")) {
    place.hidden = !entries.length || (place.closest("#tr-work") !== null && entries.length < 2);
    place.querySelector("ol").replaceChildren(
      ...entries.map((entry) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        const words = document.createElement("span");
        button.type = "button";
        button.dataset.status = entry.status;
        if (entry === current) button.setAttribute("aria-current", "page");
        words.textContent = entry.name;
        button.title = `${entry.name}, ${entry.words || entry.status}`;
        button.setAttribute("aria-label", button.title);
        if (entry.thumb) {
          const image = document.createElement("img");
          image.src = entry.thumb;
          image.alt = "";
          button.append(image);
        }
        button.append(words);
        button.addEventListener("click", () => open(entry));
        const away = document.createElement("button");
        away.type = "button";
        away.className = "icon away";
        away.textContent = "×";
        away.title = "Forget this page";
        away.setAttribute("aria-label", `Forget ${entry.name} in this browser`);
        away.addEventListener("click", () => forget([entry]));
        item.append(button, away);
        return item;
      }),
    );
  }
}

/** @param {Entry[]} gone */
async function forget(gone) {
  for (const entry of gone) drop(entry);
  await storage.forget(gone.map((entry) => entry.id));
}

/** @param {Entry} entry */
function drop(entry) {
  if (running?.entry === entry) running.controller.abort();
  const index = entries.indexOf(entry);
  if (index >= 0) entries.splice(index, 1);
  if (entry === current) {
    current = null;
    open(entries[Math.min(index, entries.length - 1)] ?? null);
  } else list();
}

for (const button of root.querySelectorAll("[data-forget-all]")) button.addEventListener("click", () => forget([...entries]));

/** @type {Map<string, {again: boolean, file: boolean}>} */
const saving = new Map();

/** Store a page; while it is being stored, the newest state waits. @param {Entry} entry */
async function save(entry, withFile = false) {
  const busy = saving.get(entry.id);
  if (busy) {
    busy.again = true;
    busy.file ||= withFile;
    return;
  }
  const job = { again: true, file: withFile };
  saving.set(entry.id, job);
  try {
    while (job.again && entries.includes(entry)) {
      job.again = false;
      if (entry === current) entry.feedback = feedback.state;
      const { id, name, time, mode: wanted, readMode, status: state, thumb } = entry;
      const record = { id, name, time, mode: wanted, readMode, status: state, thumb, words: entry.words, error: entry.error, tab: tabName, state: entry.document.saved, feedback: entry.feedback };
      const file = job.file ? entry.file : undefined;
      job.file = false;
      await storage.store(record, file);
    }
  } catch {
    tell("This browser has no room to store this page: it is lost when the tab closes. Download its text, or forget other pages.");
  } finally {
    saving.delete(entry.id);
  }
}

async function restore() {
  for (const record of (await storage.all()).toSorted((one, other) => one.time - other.time)) revive(record);
  list();
  await opened();
  work();
}

function revive({ state, ...record }) {
  const mine = record.tab === tabName;
  if (record.status === "reading" || record.status === "waiting") record.status = mine ? "waiting" : "stopped";
  const entry = entryOf({ ...record, file: null });
  quiet = true;
  if (state) entry.document.restore(state);
  quiet = false;
  entries.push(entry);
  return entry;
}

/** Show the page that the address names. */
async function opened() {
  const entry = entries.find(({ id }) => location.hash === `#page-${id}`) ?? null;
  if (entry !== current) await open(entry);
}
addEventListener("popstate", opened);

storage.listen(async (id) => {
  const record = await storage.page(id);
  const entry = entries.find((one) => one.id === id);
  if (!record) {
    if (entry) drop(entry);
  } else if (!entry) {
    revive(record);
    list();
  } else if (record.state && running?.entry !== entry && JSON.stringify(record.state) !== JSON.stringify(entry.document.saved)) {
    quiet = true;
    Object.assign(entry, { status: record.status, words: /** @type {any} */ (record).words });
    entry.document.restore(record.state);
    quiet = false;
    list();
  }
});

// ------------------------------------------------------------------------------------------------------- reading

function mode() {
  return find('input[name="tr-mode"]:checked').value;
}

/** Read the pages that wait, the one that is shown first. */
async function work() {
  if (running) return;
  const entry = current?.status === "waiting" ? current : entries.find((one) => one.status === "waiting");
  if (!entry) return;
  await read(entry);
  work();
}

/** @param {Entry} entry */
async function read(entry) {
  const controller = new AbortController();
  running = { entry, controller };
  entry.readMode = entry.mode;
  entry.error = "";
  progress(entry, "reading", "Finding the lines…");
  try {
    entry.file ??= new File([await storage.picture(entry.id)], entry.name);
    for (let attempt = 1; ; attempt++) {
      try {
        await readOnce(entry, controller.signal);
        break;
      } catch (error) {
        if (!["overloaded", "rate-limited", "not-ready"].includes(error.code) || attempt === ATTEMPTS) throw error;
        const seconds = Math.min(20, error.again || 2);
        progress(entry, "reading", `The service is busy; trying again in ${seconds} s…`);
        await pause(seconds, controller.signal);
      }
    }
  } catch (error) {
    const stopped = error.name === "AbortError";
    if (!stopped) entry.error = error.message || "That did not work. Try again in a moment.";
    if (error.code === "unauthorized") {
      find("#tr-key-box").hidden = false;
      find("#tr-key").focus();
    }
    // The same picture will not be another one the next time.
    const hopeless = ["image-rejected", "too-large", "unsupported-media-type"].includes(error.code);
    if (!stopped && entry === current) tell(entry.error, hopeless ? null : again);
    running = null;
    progress(entry, stopped ? "stopped" : "failed", stopped ? "Stopped" : "Not read");
  } finally {
    running = null;
    if (entry === current) render();
  }
}

/** @param {Entry} entry */
function progress(entry, state, words, done = null, all = null) {
  const changed = entry.status !== state;
  entry.status = state;
  entry.words = words;
  if (changed) {
    save(entry);
    list();
    if (entry === current) render();
  }
  if (entry === current) status(words, done, all);
}

/** @param {Entry} entry */
async function readOnce(entry, signal) {
  let places = [];
  entry.partial = null;
  for await (const [name, content] of reading(entry.file, entry.readMode, signal)) {
    if (signal.aborted) return;
    if (name === "layout") {
      places = content.polygons.map(String);
      entry.partial = { ...content, lines: [] };
      progress(entry, "reading", places.length ? `Line 0 of ${places.length}` : "", 0, places.length);
      if (entry === current) render();
    } else if (name === "line") {
      const line = { id: -1 - entry.partial.lines.length, text: content.text, read: content, origin: places.indexOf(String(content.polygon)) };
      entry.partial.lines.push(line);
      if (entry === current) {
        lines.render(entry.partial.lines, entry.partial.width, true);
        if (line.origin >= 0) picture.tell(line.origin, content);
      }
      progress(entry, "reading", `Line ${entry.partial.lines.length} of ${places.length}`, entry.partial.lines.length, places.length);
    } else if (name === "page") {
      entry.partial = null;
      const count = content.lines.length;
      const seconds = content.timings ? ` in ${content.timings.total.toFixed(1)} s` : "";
      running = null;
      entry.status = "read";
      entry.document.load(content);
      entry.status = "reading";
      progress(entry, "read", count ? `${count} ${count === 1 ? "line" : "lines"} read${seconds}` : "No writing found");
    }
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}

async function again() {
  const entry = current;
  tell("");
  if (picture.turned) {
    // Read it as it is shown: upright.
    entry.file = await turned(find("#tr-image"), picture.turned, entry.name);
    save(entry, true);
    show(entry);
    thumbnail(entry);
  }
  entry.mode = mode();
  entry.status = "waiting";
  entry.partial = null;
  render();
  work();
}

/** @param {HTMLImageElement} image @param {number} quarters clockwise @returns {Promise<File>} */
async function turned(image, quarters, name) {
  const canvas = document.createElement("canvas");
  const { naturalWidth: width, naturalHeight: height } = image;
  [canvas.width, canvas.height] = quarters % 2 ? [height, width] : [width, height];
  const context = canvas.getContext("2d");
  context.translate(canvas.width / 2, canvas.height / 2);
  context.rotate((quarters * Math.PI) / 2);
  context.drawImage(image, -width / 2, -height / 2);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], name, { type: "image/png" });
}

find("#tr-read").addEventListener("click", again);
find("#tr-stop").addEventListener("click", () => {
  if (running?.entry === current) running.controller.abort();
  else progress(current, "stopped", "Stopped");
  find("#tr-read").focus();
});

// ------------------------------------------------------------------------------------------------------- lines and text

/** Show the current page as it is now: every view, and what its buttons can do. */
function render() {
  if (!current) return;
  const { document: page, partial } = current;
  const busy = current.status === "reading" || current.status === "waiting";
  const loaded = page.reading !== null;
  if (partial) {
    lines.render(partial.lines, partial.width, true);
    picture.layOut(partial.width, partial.height, partial.polygons);
    partial.lines.forEach((line) => line.origin >= 0 && picture.tell(line.origin, line.read));
  } else {
    lines.render(page.lines, page.reading?.width ?? 0, busy);
    if (loaded) picture.render(page.lines, page.reading.width, page.reading.height, page.lines.map(stateOf));
    else picture.clear();
  }
  at = Math.min(at, page.lines.length - 1);
  const whole = find("#tr-whole");
  const text = page.texts.join("\n");
  if (whole.value !== text) whole.value = text;
  whole.readOnly = busy || !loaded;
  find("#tr-stop").hidden = !busy;
  find("#tr-read").hidden = busy;
  find("#tr-read").textContent = loaded ? "Read again" : "Read";
  find("#tr-read").classList.toggle("primary", !loaded);
  for (const id of ["#tr-copy", "#tr-download", "#tr-send", "#tr-forget", "#tr-find", "#tr-add"]) find(id).disabled = !loaded;
  find("#tr-undo").disabled = busy || !page.canUndo;
  find("#tr-redo").disabled = busy || !page.canRedo;
  const doubtful = page.lines.reduce((sum, line) => sum + doubts(line).length, 0);
  find("#tr-doubt").disabled = !doubtful;
  find("#tr-doubt").textContent = doubtful ? `Next doubt (${doubtful})` : "No doubts";
  for (const id of ["#tr-split", "#tr-join", "#tr-up", "#tr-down", "#tr-draw", "#tr-delete"]) find(id).disabled = busy || at < 0;
  find("#tr-lines-hint").hidden = !page.lines.length;
  find("#tr-nothing").hidden = !(loaded && !page.lines.length && !busy);
  root.setAttribute("aria-busy", String(current.status === "reading"));
}

function choose(index) {
  if (at === index) return;
  at = index;
  picture.show(index);
  lines.show(index);
  for (const id of ["#tr-split", "#tr-join", "#tr-up", "#tr-down", "#tr-draw", "#tr-delete"]) find(id).disabled = index < 0 || find("#tr-whole").readOnly;
}

/** Put the cursor into a line, in the view that is shown. */
function enter(index, start = Infinity, end = start) {
  const whole = find("#tr-whole");
  if (find("#tr-panel-whole").hidden) return lines.enter(index, start, end);
  const texts = current.document.texts;
  const before = texts.slice(0, index).reduce((sum, text) => sum + text.length + 1, 0);
  const place = (offset) => before + Math.min(offset, texts[index]?.length ?? 0);
  whole.focus();
  whole.setSelectionRange(place(start), place(end));
  choose(index);
}

/** What can be done with the line at `index`; the cursor is at `place` of its text. */
const ACTIONS = {
  add: (index) => {
    current.document.insert(index + 1);
    enter(index + 1);
  },
  split: (index, place) => {
    current.document.split(index, place);
    enter(index + 1, 0);
  },
  join: (index) => {
    const { length } = current.document.lines[index].text;
    current.document.join(index);
    enter(index, length);
  },
  up: (index) => moveLine(index, index - 1),
  down: (index) => moveLine(index, index + 1),
  delete: (index) => {
    current.document.remove(index);
    at = -1;
    enter(Math.min(index, current.document.lines.length - 1));
  },
  draw: (index) => picture.draw(index),
};

function moveLine(index, to) {
  if (to < 0 || to >= current.document.lines.length) return;
  current.document.move(index, to);
  at = -1;
  enter(to);
}

for (const [name, act] of Object.entries(ACTIONS)) {
  const button = find(`#tr-${name}`);
  button.addEventListener("pointerdown", (event) => event.preventDefault()); // the cursor stays in the line
  button.addEventListener("click", () => act(at < 0 ? current.document.lines.length - 1 : at, lines.items[at]?.field.selectionStart ?? 0));
}

/** Keys of actions in the field of a line. @param {KeyboardEvent} event */
function lineKey(index, event) {
  const field = lines.items[index].field;
  if (field.readOnly || event.isComposing) return false;
  const { selectionStart: start, selectionEnd: end } = field;
  const control = event.ctrlKey || event.metaKey;
  if (event.key === "Enter" && control) ACTIONS.split(index, start);
  else if (event.key === "Enter" && event.altKey) ACTIONS.add(index);
  else if (event.key === "Backspace" && start === 0 && end === 0 && index > 0 && !control) ACTIONS.join(index - 1);
  else if (event.key === "Delete" && event.altKey) ACTIONS.delete(index);
  else if (event.key === "Delete" && start === field.value.length && index + 1 < lines.items.length && !control) ACTIONS.join(index);
  else if (event.key === "ArrowUp" && event.altKey && event.shiftKey) ACTIONS.up(index);
  else if (event.key === "ArrowDown" && event.altKey && event.shiftKey) ACTIONS.down(index);
  else return false;
  return true;
}

/** Put the cursor on the next word in doubt, `step` -1: on the one before. */
function nextDoubt(step = 1) {
  const all = current.document.lines.flatMap((line, index) => doubts(line).map(([start, end]) => ({ index, start, end })));
  if (!all.length) return;
  const field = lines.items[at]?.field;
  const here = [at, field ? (step > 0 ? field.selectionEnd : field.selectionStart) : 0];
  const behind = ({ index, start }) => index > here[0] || (index === here[0] && start >= here[1]);
  const next = step > 0 ? all.find(behind) ?? all[0] : all.findLast((one) => !behind(one)) ?? all.at(-1);
  enter(next.index, next.start, next.end);
}

find("#tr-doubt").addEventListener("click", () => nextDoubt());
find("#tr-undo").addEventListener("click", () => current.document.undo());
find("#tr-redo").addEventListener("click", () => current.document.redo());
find("#tr-first").addEventListener("click", () => ACTIONS.add(-1));
find("#tr-keys").addEventListener("click", () => find("#tr-help").showModal());
find("#tr-help-close").addEventListener("click", () => find("#tr-help").close());

document.addEventListener("keydown", (event) => {
  if (!current?.document.reading || root.querySelector("dialog[open]")) return;
  const control = (event.ctrlKey || event.metaKey) && !event.altKey;
  const key = event.key.toLowerCase();
  if (event.key === "F8") nextDoubt(event.shiftKey ? -1 : 1);
  else if (control && key === "f" && !event.shiftKey) search.open();
  else if (control && (key === "z" || key === "y")) {
    // Fields outside of the document have an undo of their own.
    if (/** @type {HTMLElement} */ (event.target).matches("#tr-form *, #tr-search *, #tr-key") || current.status === "reading") return;
    if (key === "y" || event.shiftKey) current.document.redo();
    else current.document.undo();
  } else return;
  event.preventDefault();
});

find("#tr-whole").addEventListener("input", ({ target }) => current.document.setTexts(target.value ? target.value.split("\n") : []));
document.addEventListener("selectionchange", () => {
  const whole = find("#tr-whole");
  if (document.activeElement === whole) choose(Math.min(whole.value.slice(0, whole.selectionStart).split("\n").length, current.document.lines.length) - 1);
});

const tabs = [find("#tr-tab-lines"), find("#tr-tab-whole")];
function tab(chosen) {
  for (const each of tabs) {
    const on = each === chosen;
    each.setAttribute("aria-selected", String(on));
    each.tabIndex = on ? 0 : -1;
    find(`#${each.getAttribute("aria-controls")}`).hidden = !on;
  }
}
tabs.forEach((each, index) => {
  each.addEventListener("click", () => tab(each));
  each.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    tab(tabs[1 - index]);
    tabs[1 - index].focus();
  });
});

// ------------------------------------------------------------------------------------------------------- export

find("#tr-copy").addEventListener("click", async () => {
  const { text } = current.document;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP there is no clipboard to write to; the old way works.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    find("#tr-copy").focus();
  }
  status("Text copied");
});

find("#tr-download").addEventListener("click", async () => {
  const format = find("#tr-format").value;
  const { name } = current;
  tell("");
  try {
    const [content, words] = await written(format);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = name.replace(/\.[^.]*$/, "") + (options.suffixes[format] || `.${format}`);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    status(words);
  } catch (error) {
    tell(error.message);
  }
});

/** @returns {Promise<[Blob, string]>} the file, and words about it */
async function written(format) {
  const { document: page, file, name, readMode } = current;
  if (format === "text") return [new Blob([`${page.text}\n`], { type: "text/plain" }), "Text saved"];
  if (options.suffixes[format]) {
    const content = { ...page.written, source: name };
    const request = options.illustrated.includes(format) ? asForm({ page: JSON.stringify(content), image: file }) : asJson(content);
    return [await (await ask(`page/written/${format}`, request)).blob(), "File saved"];
  }
  // Only the service can write it, and it writes what it reads.
  status("The service writes the file…");
  const blob = await (await ask(`v1/read?mode=${readMode}&format=${format}`, asForm({ image: file }))).blob();
  return [blob, page.edited ? "File saved, as the page was read: this format takes no corrections here" : "File saved"];
}

addEventListener("beforeunload", (event) => {
  if (!storage.lasting && entries.some((entry) => entry.document.edited)) event.preventDefault();
});

document.addEventListener("tr-answered", () => {
  // The service answers again: a message that it is away is over.
  if (find("#tr-alert p").textContent.startsWith("The service cannot be reached")) tell("");
});

meet();
await restore();

/** Put the page into the frame that Gradio draws; resolves when it stands there. */
async function mounted() {
  const html = await fetch(new URL("page.html", import.meta.url));
  const frame = await drawn("#tr-frame");
  frame.innerHTML = await html.text();
  return frame.querySelector("#reader");
}

function drawn(selector) {
  return new Promise((resolve) => {
    const look = () => {
      const element = document.querySelector(selector);
      if (element) {
        observer.disconnect();
        resolve(element);
      }
    };
    const observer = new MutationObserver(look);
    observer.observe(document, { childList: true, subtree: true });
    look();
  });
}
