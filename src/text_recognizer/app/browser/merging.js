/**
 * Merges versions of a document: the whole text with the lines, and the changes of two tabs.
 *
 * @typedef {import("./document.js").Line} Line
 * @typedef {import("./document.js").State} State
 */

/** For each new text, the index of the old text that it replaces, or null. The pairs are in order and as similar as possible. @param {string[]} old @param {string[]} texts @returns {(number | null)[]} */
export function pairs(old, texts) {
  if (old.length === texts.length) return texts.map((_, index) => index);
  const best = Array.from({ length: old.length + 1 }, () => new Float64Array(texts.length + 1));
  /** @param {number} i @param {number} j */
  const alike = (i, j) => {
    const share = likeness(old[i], texts[j]);
    return share < 0.4 ? 0 : share; // less similar texts are different lines
  };
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = texts.length - 1; j >= 0; j--) best[i][j] = Math.max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + alike(i, j));
  }
  /** @type {(number | null)[]} */
  const found = texts.map(() => null);
  for (let i = 0, j = 0; i < old.length && j < texts.length; ) {
    if (best[i][j] === best[i + 1][j]) i++;
    else if (best[i][j] === best[i][j + 1]) j++;
    else found[j++] = i++;
  }
  return found;
}

/** Dice's coefficient of the character bigrams, 0…1. @param {string} one @param {string} other */
function likeness(one, other) {
  /** @param {string} text */
  const grams = (text) => Array.from({ length: Math.max(0, text.length - 1) }, (_, i) => text.slice(i, i + 2));
  const left = grams(one);
  const all = left.length + Math.max(0, other.length - 1);
  if (!all) return 0;
  let common = 0;
  for (const gram of grams(other)) {
    const at = left.indexOf(gram);
    if (at >= 0) {
      left.splice(at, 1);
      common++;
    }
  }
  return (2 * common) / all;
}

/** @param {any} one @param {any} other */
const same = (one, other) => one === other || JSON.stringify(one) === JSON.stringify(other);

/**
 * Merge two versions of `base`; null if that is impossible because either has a new reading, or another position of the
 * picture. If both changed the text of a line, mine stays and theirs becomes an alternative.
 * @param {State | null} base @param {State} mine @param {State} theirs @returns {State | null}
 */
export function merged(base, mine, theirs) {
  if (same(mine, theirs) || same(base, mine)) return theirs;
  if (same(base, theirs)) return mine;
  /** @param {State} state */
  const frame = ({ reading, sheet }) => JSON.stringify([reading?.request_id, sheet]);
  if (!base || frame(mine) !== frame(base) || frame(theirs) !== frame(base)) return null;
  const [was, here, there] = [base, mine, theirs].map(({ lines }) => new Map(lines.map((line) => [line.id, line])));
  /** @param {Line[]} lines @param {Map<number, Line>} other */
  const order = (lines, other) => lines.filter(({ id }) => was.has(id) && other.has(id)).map(({ id }) => id);
  // The version that moved lines sets the order. Lines that the other one added stay behind the line that they followed.
  const theyMoved = !same(order(base.lines, there), order(theirs.lines, there));
  const [first, second] = theyMoved ? [theirs, mine] : [mine, theirs];
  /** @param {Line | undefined} line */
  const edited = (line) => line && line.text !== was.get(line.id)?.text;
  /** @type {Line[]} */
  const lines = [];
  for (const { id } of first.lines) {
    const [one, other] = [here.get(id), there.get(id)];
    // Deleted in one tab and unchanged in the other.
    if (was.has(id) && !(one && other) && !edited(one ?? other)) continue;
    const line = one && other ? both(was.get(id), one, other) : one ?? other;
    if (line) lines.push(line);
  }
  const placed = new Set(lines.map(({ id }) => id));
  second.lines.forEach((one, index) => {
    if (placed.has(one.id) || (was.has(one.id) && !edited(one))) return;
    const before = second.lines.slice(0, index).findLast(({ id }) => placed.has(id));
    const at = before ? lines.findIndex(({ id }) => id === before.id) + 1 : 0;
    lines.splice(at, 0, one);
    placed.add(one.id);
  });
  return { ...mine, lines };
}

/** @param {Line | undefined} was @param {Line} mine @param {Line} theirs @returns {Line} */
function both(was, mine, theirs) {
  const read = was && same(was.read, mine.read) ? theirs.read : mine.read;
  const block = was && same(was.block, mine.block) ? theirs.block : mine.block;
  if (!was || mine.text === theirs.text || theirs.text === was.text) return { ...mine, read, block };
  if (mine.text === was.text) return { ...theirs, read, block };
  return { ...mine, block, read: { ...read, alternatives: [theirs.text, ...read.alternatives.filter((text) => text !== theirs.text)] } };
}
