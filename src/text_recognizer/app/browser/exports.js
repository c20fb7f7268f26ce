/** Exports: the text on the clipboard, and files. */

import { over, status, tell } from "./alerts.js";
import { find } from "./dom.js";
import { asForm, asJson, ask } from "./service.js";

/** @type {Record<string, string>} */
const NAMES = {
  text: "Text", json: "JSON", alto: "ALTO XML", page: "PAGE XML", hocr: "hOCR", pdf: "PDF to search", csv: "Table (CSV)",
  tsv: "Table (TSV)", tables: "Tables of the page (CSV)", docx: "Word (DOCX)", md: "Markdown",
};

/** @typedef {{suffixes: Record<string, string>, illustrated: string[]}} Options about the formats that the corrected page can be exported to */

/** @param {import("./pages.js").Pages} pages @param {Options} options */
export function connectExports(pages, options) {
  offerFormats(["text"]); // plain text needs no service
  find("#tr-copy").addEventListener("click", () => copy(pages.shown.document.text));
  find("#tr-download").addEventListener("click", async () => {
    const format = find("#tr-format").value;
    const { name, leaf } = pages.shown;
    over("export");
    try {
      const [content, words] = await written(pages, options, format);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(content);
      link.download = name.replace(/\.[^.]*$/, "") + (leaf ? `-${leaf.number}` : "") + (options.suffixes[format] || `.${format}`);
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      status(words);
    } catch (error) {
      tell(error.message, { code: error.code === "service-away" ? error.code : "export" });
    }
  });
}

/** @param {string[]} names of the formats that the service writes */
export function offerFormats(names) {
  const select = find("#tr-format");
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => new Option(NAMES[name] || name, name)));
  if (names.includes(chosen)) select.value = chosen;
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Over plain HTTP there is no clipboard API, but the old way works.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    find("#tr-copy").focus();
  }
  status("Text copied");
}

/**
 * @param {import("./pages.js").Pages} pages @param {Options} options @param {string} format
 * @returns {Promise<[Blob, string]>} the file, and a message about it
 */
async function written(pages, options, format) {
  const { document: page, name, readMode } = pages.shown;
  if (format === "text") return [new Blob([`${page.text}\n`], { type: "text/plain" }), "Text saved"];
  const picture = await pages.picture(pages.shown);
  if (options.suffixes[format]) {
    const content = { ...page.written, source: name };
    const request = options.illustrated.includes(format) ? asForm({ page: JSON.stringify(content), image: picture }) : asJson(content);
    return [await (await ask(`page/written/${format}`, request)).blob(), "File saved"];
  }
  // Only the service can write this format, and only by reading the picture again.
  status("The service writes the file…");
  const blob = await (await ask(`v1/read?mode=${readMode}&format=${format}`, asForm({ image: picture }))).blob();
  return [blob, page.edited ? "File saved, as the page was read: this format takes no corrections here" : "File saved"];
}
