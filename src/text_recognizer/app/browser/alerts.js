/** What the page says: one alert, which goes when what it speaks of is over, and a line of status. */

import { find } from "./dom.js";

let spoken = ""; // the code of the alert that is shown

/**
 * @param {string} words "": nothing
 * @param {{code?: string, retry?: (() => void) | null, label?: string, mild?: boolean}} [about] what it speaks of, for `over`;
 *   what its button does, and what stands on it; `mild`: it is no error
 */
export function tell(words, { code = "", retry = null, label = "Try again", mild = false } = {}) {
  const alert = find("#tr-alert");
  spoken = words && code;
  alert.hidden = !words;
  alert.classList.toggle("mild", mild);
  find("#tr-alert p").textContent = words;
  const button = find("#tr-again");
  button.hidden = !retry;
  button.textContent = label;
  button.onclick = () => {
    tell("");
    retry?.();
  };
}

/** What was spoken of is over. @param {string[]} codes */
export function over(...codes) {
  if (codes.includes(spoken)) tell("");
}

/** Whether an alert speaks of `code` now. @param {string} code */
export function speaksOf(code) {
  return spoken === code;
}

/** @param {string} words @param {number} [done] @param {number} [all] of them, while a page is read */
export function status(words, done = 0, all = 0) {
  find("#tr-status").textContent = words;
  const bar = find("#tr-progress");
  if (all) [bar.max, bar.value] = [all, done];
  else bar.removeAttribute("value");
}
