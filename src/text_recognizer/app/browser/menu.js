/** A button that opens further controls below it. They close on Escape, or when anything else is used. */

export class Menu {
  #before = /** @type {HTMLElement | null} */ (null); // had the focus before it was opened

  /** @param {HTMLElement} button @param {HTMLElement} sheet its controls */
  constructor(button, sheet) {
    this.button = button;
    this.sheet = sheet;
    button.addEventListener("click", () => (sheet.hidden ? this.open() : this.close()));
    sheet.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.close();
    });
    for (const kind of ["pointerdown", "focusin"]) {
      document.addEventListener(kind, ({ target }) => {
        if (!sheet.hidden && target instanceof Node && !sheet.contains(target) && !button.contains(target)) this.close(false);
      });
    }
  }

  /** @param {HTMLElement | null} first gets the focus; default: the first control */
  open(first = this.sheet.querySelector("select, button")) {
    this.#before = /** @type {HTMLElement | null} */ (document.activeElement);
    this.#show(true);
    first?.focus();
  }

  /** @param {boolean} back whether the focus returns to where it was */
  close(back = true) {
    this.#show(false);
    if (back) (this.#before ?? this.button).focus();
  }

  /** @param {boolean} open */
  #show(open) {
    this.sheet.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
  }
}
