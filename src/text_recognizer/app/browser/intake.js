/** Where pictures come from: files, drag and drop, the clipboard, the camera, a link, or the pages of a document. */

import { over, tell } from "./alerts.js";
import { connectCamera } from "./camera.js";
import { find, reader } from "./dom.js";
import { address, ask, behindLink, pagesOf } from "./service.js";

/** @type {Record<string, string>} */
const EXAMPLES = { "letter-1905.jpg": "A letter of 1905", "page.jpg": "A page of notes" };
const MOST_TOLD = 5; // most messages about files added together

export class Intake {
  /** @param {import("./pages.js").Pages} pages @param {import("./queue.js").Queue} queue @param {string[]} examples */
  constructor(pages, queue, examples) {
    this.pages = pages;
    this.queue = queue;
    this.#chosen();
    this.#pasted();
    this.#dropped();
    for (const name of examples) this.#example(name);
    connectCamera((photo, name) => this.take([photo], name), tell);
  }

  /** Add files: each picture and each page of a document becomes a page; the first one is shown. @param {Iterable<Blob>} given */
  async take(given, name = "") {
    over("intake");
    let shown = false;
    /** @type {string[]} all error messages */
    const wrong = [];
    /** @type {File[]} */
    const again = [];
    let about = "intake";
    const report = (/** @type {string} */ words, code = about) => {
      about = code;
      if (!wrong.includes(words)) wrong.push(words);
      const more = wrong.length - MOST_TOLD;
      const told = [...wrong.slice(0, MOST_TOLD), ...(more > 0 ? [`… and ${more} more`] : [])].join("\n");
      tell(told, { code: about, retry: again.length ? () => this.take(again) : null });
    };
    for (const blob of given) {
      const called = name || (blob instanceof File ? blob.name : "") || "picture";
      if (!blob.size) {
        report(`${called} is empty. Choose a picture of a page.`);
        continue;
      }
      const file = blob instanceof File && !name ? blob : new File([blob], called, { type: blob.type });
      try {
        if (await isPicture(file)) shown = this.#add(file, null, called, shown);
        else {
          for await (const { leaf, picture } of this.#leaves(file, called, report)) shown = this.#add(picture, leaf, called, shown);
        }
      } catch (error) {
        const hopeless = ["image-rejected", "too-large", "unsupported-media-type"].includes(error.code);
        if (!hopeless) again.push(file);
        report(hopeless ? `${called}: ${error.message}` : error.message, hopeless ? about : error.code);
        if (error.code === "unauthorized") find("#tr-key-box").hidden = false;
      } finally {
        this.#opening("");
      }
    }
  }

  /** @param {File} file @param {import("./pages.js").Entry["leaf"]} leaf @param {string} name @param {boolean} shown whether one of the new pages is shown already */
  #add(file, leaf, name, shown) {
    const [first] = this.pages.add([{ file, leaf, name, ...this.queue.wanted }]);
    if (!shown) this.pages.open(first);
    this.queue.work();
    return true;
  }

  /**
   * The pages of a file that the browser cannot show by itself, one by one.
   * @param {File} file @param {string} name @param {(words: string) => void} report
   */
  async *#leaves(file, name, report) {
    this.#opening(`Opening ${name}…`);
    let number = 0;
    let missing = 0;
    let all = 0;
    for await (const { picture, count } of pagesOf(file)) {
      number++;
      all = count;
      this.#opening(count > 1 ? `Opening ${name}: page ${number} of ${count}…` : "");
      if (picture) yield { picture: new File([picture], name, { type: "image/jpeg" }), leaf: count > 1 ? { of: name, number, count } : null };
      else missing++;
    }
    missing += all - number; // decoding took too long
    if (missing) report(`${missing} of ${all} pages of ${name} cannot be shown; export them again, in smaller parts.`);
  }

  /** @param {string} words */
  #opening(words) {
    for (const place of document.querySelectorAll("#reader [data-opening]")) place.textContent = words;
  }

  /** @param {string} url */
  async #link(url) {
    over("intake");
    this.#opening("Fetching the picture behind the link…");
    try {
      const blob = await behindLink(url);
      const name = decodeURIComponent(new URL(url).pathname.split("/").at(-1) || "") || new URL(url).hostname;
      await this.take([new File([blob], name)]);
    } catch (error) {
      const hopeless = error.code === "image-rejected";
      tell(error.message, { code: hopeless ? "intake" : error.code, retry: hopeless ? null : () => this.#link(url) });
    } finally {
      this.#opening("");
    }
  }

  #chosen() {
    find("#tr-choose").addEventListener("click", () => find("#tr-file").click());
    for (const id of ["#tr-file", "#tr-capture"]) {
      find(id).addEventListener("change", (/** @type {{target: HTMLInputElement}} */ { target }) => {
        if (target.files?.length) this.take([...target.files]);
        target.value = "";
      });
    }
  }

  #pasted() {
    document.addEventListener("paste", (event) => {
      const given = [...(event.clipboardData?.files || [])];
      const text = event.clipboardData?.getData("text/plain").trim() ?? "";
      if (given.length) this.take(given);
      else if (isLink(text) && !(/** @type {HTMLElement} */ (event.target).closest?.("input, textarea"))) this.#link(text);
      else return;
      event.preventDefault();
    });
  }

  #dropped() {
    const root = reader();
    let dragged = 0;
    document.addEventListener("dragenter", () => root.classList.toggle("dropping", ++dragged > 0));
    document.addEventListener("dragleave", () => root.classList.toggle("dropping", --dragged > 0));
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      dragged = 0;
      root.classList.remove("dropping");
      const given = [...(event.dataTransfer?.files ?? [])];
      // RFC 2483: lines beginning with # are comments.
      const link = (event.dataTransfer?.getData("text/uri-list") ?? "").split(/\r?\n/).find((line) => isLink(line));
      if (given.length) this.take(given);
      else if (link) this.#link(link);
      else tell("Only files and links can be dropped here. Save the picture first and drop the file, or copy the picture and paste it.", { code: "intake" });
    });
  }

  /** @param {string} name */
  #example(name) {
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
        await this.take([await (await ask(`page/examples/${name}`)).blob()], name);
      } catch (error) {
        tell(error.message, { code: error.code });
      }
    });
  }
}

/** @param {string} text */
function isLink(text) {
  return /^https?:\/\/\S+$/i.test(text);
}

/** Whether the browser can show the file by itself, as one picture. @param {File} file */
async function isPicture(file) {
  const head = new TextDecoder("latin1").decode(await file.slice(0, 5).arrayBuffer());
  if (head === "%PDF-" || /^(II\*\0|MM\0\*|II\+\0|MM\0\+)/.test(head)) return false; // some browsers show only the first page of a TIFF
  try {
    (await createImageBitmap(file, { resizeWidth: 8 })).close();
    return true;
  } catch {
    return false;
  }
}
