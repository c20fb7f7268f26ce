/** The page's messages: one alert, which disappears when its cause is gone, and a status line. */

import { find } from "./dom.js";

let spoken = ""; // the code of the alert that is shown

/**
 * @param {string} words "": hide the alert
 * @param {{code?: string, retry?: (() => void) | null, label?: string, mild?: boolean}} [about] `code`: its cause, for `over`;
 *   `retry`, `label`: the action and the label of its button; `mild`: it is not an error
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

/** Hide the alert if its cause is one of `codes`. @param {string[]} codes */
export function over(...codes) {
  if (codes.includes(spoken)) tell("");
}

/** Whether an alert with the cause `code` is shown. @param {string} code */
export function speaksOf(code) {
  return spoken === code;
}

/** @param {string} words @param {number} [done] @param {number} [all] lines, while a page is being read */
export function status(words, done = 0, all = 0) {
  find("#tr-status").textContent = words;
  const bar = find("#tr-progress");
  if (all) [bar.max, bar.value] = [all, done];
  else bar.removeAttribute("value");
}
