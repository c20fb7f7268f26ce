// Feedback on a reading: send corrections, a flag or a comment, and delete them.

import { find } from "./dom.js";
import { asForm, asJson, ask } from "./service.js";

export class Feedback {
  /**
   * @param {() => import("./pages.js").Entry} page the current page
   * @param {(sheet: import("./sheet.js").Sheet) => Promise<File | null>} picture of the page, turned and cropped as in `sheet`
   * @param {() => void} changed called after a change that should be stored
   */
  constructor(page, picture, changed) {
    this.page = page;
    this.picture = picture;
    this.changed = changed;
    this.said = find("#tr-said");
    this.form = find("#tr-form");
    this.form.addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this.#send();
    });
    this.form.addEventListener("input", () => this.changed());
    find("#tr-forget").addEventListener("click", () => this.#forget());
    this.stored = this.tried = this.number = "";
  }

  /** What a person wrote about the current page, and how much of it is stored; null: nothing yet. */
  get state() {
    const { stored, tried, number: sent } = this;
    return {
      stored, tried, number: sent, checked: find("#tr-checked").checked, comment: find("#tr-comment").value,
      flag: this.form.elements["tr-flag"].value,
    };
  }

  set state(state) {
    this.form.reset();
    this.#tell("");
    this.stored = state?.stored ?? "";
    this.tried = state?.tried ?? "";
    this.number = state?.number ?? "";
    if (!state) return;
    find("#tr-checked").checked = state.checked;
    find("#tr-comment").value = state.comment;
    this.form.elements["tr-flag"].value = state.flag;
  }

  // The feedback to send, or null.
  #content() {
    const { edited, text, byLine } = this.page().document;
    const [lines, whole] = byLine ? [byLine, null] : [null, text];
    const checked = find("#tr-checked").checked;
    const content = {
      flag: this.form.elements["tr-flag"].value || null,
      comment: find("#tr-comment").value.trim(),
      lines: whole === null && (edited || checked) ? lines : null,
      text: whole !== null && (edited || checked) ? whole : null,
      checked,
    };
    return content.flag || content.comment || content.lines || content.text !== null || checked ? content : null;
  }

  async #send() {
    if (this.page().document.croppedSince) {
      this.#tell("You cropped the picture after it was read. Read it again, then send.");
      return;
    }
    const content = this.#content();
    const { document: page, readMode: mode } = this.page();
    const { reading, asRead } = page;
    if (!content || !reading) {
      this.#tell("There is nothing to send yet: correct a line, tick the box, choose a flag or write a comment.");
      return;
    }
    // The same content gets the same id, so feedback sent twice is stored once.
    const words = JSON.stringify(content);
    if (words !== this.tried) this.number = number();
    this.tried = words;
    const feedback = { request_id: reading.request_id, id: this.number, mode, ...content };
    this.#busy(true);
    try {
      let stored;
      try {
        stored = await (await ask("v1/feedback", asJson({ ...feedback, page: null }))).json();
      } catch (error) {
        // If the service has forgotten the reading, send the page and the picture again.
        if (error.code !== "unknown-request") throw error;
        const whole = JSON.stringify({ ...feedback, page: reading });
        stored = await (await ask("v1/feedback", asForm({ feedback: whole, image: await this.picture(asRead) }))).json();
      }
      this.stored = words;
      this.changed();
      this.#tell(thanks(content, stored), "done");
    } catch (error) {
      this.#tell(error.message, "failed");
    } finally {
      this.#busy(false);
    }
  }

  async #forget() {
    const { reading } = this.page().document;
    if (!reading) return;
    this.#busy(true);
    try {
      await ask(`v1/feedback/${encodeURIComponent(reading.request_id)}`, { method: "DELETE" });
      this.stored = this.tried = "";
      this.#tell("The service has forgotten this page: its picture, its text and what you said of it are deleted.", "done");
    } catch (error) {
      if (error.code === "unknown-request") this.#tell("The service keeps nothing of this page.", "done");
      else this.#tell(error.message, "failed");
    } finally {
      this.#busy(false);
    }
  }

  /** @param {boolean} busy */
  #busy(busy) {
    find("#tr-send").disabled = find("#tr-forget").disabled = busy;
    if (busy) this.#tell("One moment…");
  }

  /** @param {string} words */
  #tell(words, kind = "") {
    this.said.className = kind;
    this.said.setAttribute("role", kind === "failed" ? "alert" : "status");
    this.said.textContent = words;
  }
}

// `crypto.randomUUID` only exists over HTTPS.
function number() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {any} content of the feedback @param {any} stored the service's answer */
function thanks(content, stored) {
  const parts = [];
  if (content.text !== null) parts.push("the whole text");
  else if (content.lines) parts.push(content.checked ? "the text of all lines as checked" : "your corrections");
  if (content.flag) parts.push(`the flag “${content.flag}”`);
  if (content.comment) parts.push("your comment");
  if (!parts.length) parts.push("that you checked the page");
  const beside = [stored.page_stored && "the page as it was read", stored.image_stored && "the picture"].filter(Boolean);
  const outside = stored.outside_alphabet || [];
  return (
    `Thank you. Stored: ${list([...parts, ...beside])}.` +
    (stored.image_stored ? "" : " The picture was not stored.") +
    (outside.length ? ` The model does not know ${list(outside)} yet; that is stored all the same.` : "")
  );
}

/** @param {string[]} parts */
function list(parts) {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
