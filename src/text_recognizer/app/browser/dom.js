/** The elements of the page. */

/**
 * The element of the page that matches `selector`.
 * @param {string} selector
 * @returns {any}
 */
export function find(selector) {
  return document.querySelector(`#reader ${selector}`);
}

/** The whole page. @returns {HTMLElement} */
export function reader() {
  return /** @type {HTMLElement} */ (document.querySelector("#reader"));
}

/** What draws on a canvas. @param {HTMLCanvasElement} canvas @returns {CanvasRenderingContext2D} */
export function brush(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/** How to scroll: without motion where the visitor asks for less of it. */
export function gently() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

/** Whether the visitor points by a finger: then there is no keyboard to speak of. */
export function byTouch() {
  return matchMedia("(pointer: coarse)").matches;
}
