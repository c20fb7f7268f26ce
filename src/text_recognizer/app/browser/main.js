// The entry point of the page: reads pictures and lets people correct the text. All data stays in this browser.

import { over, speaksOf, tell } from "./alerts.js";
import { find, reader } from "./dom.js";
import { Editor } from "./editor.js";
import { connectExports, offerFormats } from "./exports.js";
import { Feedback } from "./feedback.js";
import { Intake } from "./intake.js";
import { connectList } from "./list.js";
import { Pages } from "./pages.js";
import { percent } from "./picture.js";
import { Queue } from "./queue.js";
import { ask } from "./service.js";
import * as storage from "./storage.js";

const STORED_HERE = storage.lasting ? " Pages stay in this browser until you forget them." : " This browser stores no pages: they are lost when the tab closes.";
const AGAIN = 4000; // milliseconds between two attempts to reach a service that is away

const earlier = await storage.all(); // before the page is drawn, because it accepts pictures at once
const root = await mounted();
const options = JSON.parse(document.querySelector("#tr-options")?.textContent ?? "");
const pages = new Pages();
const editor = new Editor(pages);
const queue = new Queue(pages, (entry) => editor.partly(entry));
const feedback = new Feedback(() => pages.shown, (sheet) => pages.picture(pages.shown, sheet), () => {
  pages.shown.feedback = feedback.state;
  pages.save(pages.shown);
});
connectList(pages);
connectExports(pages, options);
pages.addEventListener("opened", () => {
  const { current } = pages;
  if (!current) return tell("");
  feedback.state = current.feedback;
  queue.complain(current);
});
find("#tr-new").addEventListener("click", () => pages.open(null));
find("#tr-dismiss").addEventListener("click", () => tell(""));
addEventListener("beforeunload", (event) => {
  if (pages.entries.some((entry) => entry.document.edited && (!storage.lasting || entry.unstored))) event.preventDefault();
});

find("#tr-key").value = storage.remembered("tr-key");
if (find("#tr-key").value) find("#tr-key-box").hidden = false;
find("#tr-key").addEventListener("change", () => {
  storage.remember("tr-key", find("#tr-key").value.trim());
  over("unauthorized");
  meet();
});
find("#tr-key-box").addEventListener("submit", (/** @type {SubmitEvent} */ event) => event.preventDefault());

/** Ask the service what it offers; `quietly`: without a message if it is away. */
async function meet(quietly = false) {
  let known;
  try {
    known = await (await ask("v1/models")).json();
  } catch (error) {
    if (error.code === "unauthorized") find("#tr-key-box").hidden = false;
    if (!quietly && (error.code !== "unauthorized" || find("#tr-key").value)) tell(error.message, { code: error.code, retry: meet });
    return;
  }
  offerLanguages(known.models?.[0]?.languages ?? []);
  offerFormats(known.formats || ["text", "json"]);
  find("#tr-say").hidden = known.feedback !== true;
  root.querySelectorAll("[data-stored]").forEach((place) => (place.textContent = whatIsStored(known) + STORED_HERE));
  queue.resume();
}

/** @param {string[]} tags of the service's languages */
function offerLanguages(tags) {
  const select = find("#tr-language");
  const names = new Intl.DisplayNames("en", { type: "language" });
  const chosen = pages.current?.language ?? select.value;
  select.replaceChildren(new Option("Any language", ""), ...tags.map((tag) => new Option(names.of(tag), tag)));
  select.value = tags.includes(chosen) ? chosen : "";
  find("#tr-language-box").hidden = tags.length < 2;
}

/** @param {any} known the answer of `GET /v1/models` */
function whatIsStored({ feedback: sendable, stored }) {
  const readings = stored?.share || 0;
  const share = readings >= 1 ? "every reading" : `a sample of the readings (${percent(readings)})`;
  /** @type {Record<string, string>} */
  const contents = { numbers: "figures, without text or picture", pages: "the text, without the picture", images: "the picture and its text" };
  const days = stored?.days ? ` for ${stored.days} days` : "";
  const always = readings > 0 ? `The service keeps ${share}${days}: ${contents[stored.what]}.` : "";
  if (!sendable) return always || (stored ? "Pictures and texts are not stored: they are read and forgotten." : "");
  const sent = "When you send feedback, the picture, its text and what you say are stored, until you have them forgotten.";
  return always ? `${always} ${sent}` : `Nothing is stored unless you send feedback. ${sent}`;
}

// When the service is back, hide the message that it is away, and read the pages that could not be read.
setInterval(() => {
  if (speaksOf("service-away") || queue.missed.length) meet(true);
}, AGAIN);

pages.restore(earlier);
new Intake(pages, queue, options.examples);
meet();

/** Put the page into the frame that Gradio draws; resolves when it is there. */
async function mounted() {
  const html = await fetch(new URL("page.html", import.meta.url));
  const frame = await drawn("#tr-frame");
  frame.innerHTML = await html.text();
  return reader();
}

/** @param {string} selector @returns {Promise<Element>} */
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
