/** The elements of the page. */

/**
 * The element of the page that matches `selector`.
 * @param {string} selector
 * @returns {any}
 */
export function find(selector) {
  return document.querySelector(`#reader ${selector}`);
}

/** How to scroll: without motion where the visitor asks for less of it. */
export function gently() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}
