/** The thumbnails of this browser's pages, and the buttons to move between them. */

import { find } from "./dom.js";

/** @param {import("./pages.js").Pages} pages */
export function connectList(pages) {
  const show = () => {
    for (const place of document.querySelectorAll("#reader [data-pages]")) {
      /** @type {HTMLElement} */ (place).hidden = !pages.entries.length || (place.closest("#tr-work") !== null && pages.entries.length < 2);
      place.querySelector("ol")?.replaceChildren(...pages.entries.map((entry) => item(pages, entry)));
    }
    const index = pages.entries.findIndex((entry) => entry === pages.current);
    const leaf = pages.current?.leaf;
    find("#tr-leaves").hidden = pages.entries.length < 2;
    find("#tr-leaf").textContent = leaf ? `Page ${leaf.number} of ${leaf.count}` : `${index + 1} of ${pages.entries.length}`;
    find("#tr-before").disabled = index <= 0;
    find("#tr-after").disabled = index < 0 || index + 1 >= pages.entries.length;
  };
  pages.addEventListener("list", show);
  pages.addEventListener("opened", () => {
    show();
    document.querySelector("#tr-work [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  find("#tr-before").addEventListener("click", () => pages.leaf(-1));
  find("#tr-after").addEventListener("click", () => pages.leaf(1));
  for (const button of document.querySelectorAll("#reader [data-forget-all]")) button.addEventListener("click", () => pages.forget([...pages.entries]));
}

/** @param {import("./pages.js").Pages} pages @param {import("./pages.js").Entry} entry */
function item(pages, entry) {
  const row = document.createElement("li");
  const button = document.createElement("button");
  const words = document.createElement("span");
  button.type = "button";
  button.dataset.status = entry.status;
  if (entry === pages.current) button.setAttribute("aria-current", "page");
  const name = entry.leaf ? `${entry.name}, page ${entry.leaf.number}` : entry.name;
  words.textContent = entry.leaf ? `${entry.leaf.number} · ${entry.name}` : entry.name;
  button.title = `${name}, ${entry.words || entry.status}`;
  button.setAttribute("aria-label", button.title);
  if (entry.thumb) {
    const image = document.createElement("img");
    image.src = entry.thumb;
    image.alt = "";
    button.append(image);
  }
  button.append(words);
  button.addEventListener("click", () => pages.open(entry));
  const away = document.createElement("button");
  away.type = "button";
  away.className = "icon away";
  away.textContent = "×";
  away.title = "Forget this page";
  away.setAttribute("aria-label", `Forget ${name} in this browser`);
  away.addEventListener("click", () => pages.forget([entry]));
  row.append(button, away);
  return row;
}
