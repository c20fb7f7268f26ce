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

/** The drawing context of a canvas. @param {HTMLCanvasElement} canvas @returns {CanvasRenderingContext2D} */
export function brush(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/** How to scroll: without animation if the visitor prefers reduced motion. */
export function gently() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
}

/** Whether the visitor uses a touch screen, where there is usually no keyboard. */
export function byTouch() {
  return matchMedia("(pointer: coarse)").matches;
}
