/**
 * The blocks of a page: lines that belong together. Each line stores the path of its blocks, the outermost first, so that
 * blocks follow every change of the lines.
 *
 * @typedef {{id: number, kind: string}} Place a block in such a path
 * @typedef {{kind: string, start: number, stop: number, blocks?: Block[]}} Block `lines[start:stop]`, as in the service's answer
 * @typedef {import("./document.js").Line} Line
 */

import { span } from "./geometry.js";

/** The kinds that a person can give to the block of a line. @type {Record<string, string>} */
export const KINDS = { paragraph: "Paragraph", heading: "Heading", margin: "Note beside", row: "Row of cells", table: "Table" };

let last = Math.floor(Math.random() * 2 ** 40); // random, so that two tabs use different numbers

/** @param {string} kind @returns {Place} */
const made = (kind) => ({ id: ++last, kind });

/** The path of each line. @param {Block[]} blocks @param {number} count of lines @returns {Place[][]} */
export function paths(blocks, count) {
  /** @type {Place[][]} */
  const found = Array.from({ length: count }, () => []);
  /** @param {Block[]} some @param {Place[]} outer */
  const walk = (some, outer) => {
    for (const { kind, start, stop, blocks: inner } of some) {
      const path = [...outer, made(kind)];
      for (let n = start; n < Math.min(stop, count); n++) found[n] = path;
      if (inner) walk(inner, path);
    }
  };
  walk(blocks, []);
  return found;
}

/** The blocks of these lines. @param {Line[]} lines @returns {Block[]} */
export function blocksOf(lines) {
  /** @param {number} from @param {number} to @param {number} depth */
  const walk = (from, to, depth) => {
    /** @type {Block[]} */
    const found = [];
    for (let start = from, stop; start < to; start = stop) {
      const place = lines[start].block[depth];
      for (stop = start + 1; stop < to && lines[stop].block[depth]?.id === place?.id; ) stop++;
      const deeper = lines.slice(start, stop).every(({ block }) => block.length > depth + 1);
      found.push({ kind: place?.kind ?? "paragraph", start, stop, ...(deeper && { blocks: walk(start, stop, depth + 1) }) });
    }
    return found;
  };
  return lines.some(({ block }) => block.length) ? walk(0, lines.length, 0) : [];
}

/** The innermost block around the line at `index`: the index of its first line, and one past its last. @param {Line[]} lines @param {number} index */
export function around(lines, index) {
  const id = lines[index]?.block.at(-1)?.id;
  let [start, stop] = [index, index + 1];
  while (start > 0 && lines[start - 1].block.at(-1)?.id === id) start--;
  while (stop < lines.length && lines[stop].block.at(-1)?.id === id) stop++;
  return { start, stop };
}

/** The points of the lines of each innermost block, if there are several blocks. @param {Line[]} lines */
export function shapes(lines) {
  const found = [];
  for (let at = 0; at < lines.length; ) {
    const { start, stop } = around(lines, at);
    found.push(lines.slice(start, stop).flatMap(({ read }) => read.polygon));
    at = stop;
  }
  return found.length > 1 ? found.filter((points) => points.length) : [];
}

/** @param {Line[]} lines @param {number} start @param {number} stop @param {Place[]} block @returns {Line[]} */
const put = (lines, start, stop, block) => lines.map((line, n) => (n >= start && n < stop ? { ...line, block } : line));

/** The table in a path. @param {Place[]} block */
const tableOf = (block) => block.find(({ kind }) => kind === "table");

/** The kind of a line's block; for a row of a table, the kind is `table`. @param {Line | undefined} line */
export function kindOf(line) {
  const kind = line && tableOf(line.block) ? "table" : line?.block.at(-1)?.kind ?? "paragraph";
  return kind in KINDS ? kind : "paragraph";
}

/** The cells in the same row as the line at `index`, including itself: the index of the first, and their number. @param {Line[]} lines @param {number} index */
export function cellsOf(lines, index) {
  if (lines[index]?.block.at(-1)?.kind !== "row") return { start: index, count: 1 };
  const { start, stop } = around(lines, index);
  return { start, count: stop - start };
}

/** The line below the one at `index`, or above it if `step` is -1; for a cell, the cell in the next row. @param {Line[]} lines @param {number} index @param {number} step */
export function beneath(lines, index, step) {
  const { start, count } = cellsOf(lines, index);
  const next = step > 0 ? start + count : start - 1;
  const other = cellsOf(lines, next);
  return other.count > 1 && count > 1 ? other.start + Math.min(index - start, other.count - 1) : next;
}

/** The name of what begins at the line at `index`; "" for nothing, or for a plain paragraph. @param {Line[]} lines @param {number} index */
export function begins(lines, index) {
  const [before, { block }] = [lines[index - 1]?.block ?? [], lines[index]];
  const place = block.at(-1);
  if (!place || before.at(-1)?.id === place.id) return "";
  const table = tableOf(block);
  if (!table) return place.kind === "paragraph" ? "" : KINDS[place.kind] ?? "";
  return tableOf(before)?.id === table.id ? "Row" : "Table";
}

/** Give the block of the line at `index` another kind; a row that gets one leaves its table. @param {Line[]} lines @param {number} index @param {string} kind */
export function named(lines, index, kind) {
  const { block } = lines[index];
  if (kind === "table") return tableOf(block) ? lines : tabled(lines, index);
  const { start, stop } = around(lines, index);
  return put(lines, start, stop, [...block.slice(0, -1).filter((place) => place.kind !== "table"), made(kind)]);
}

/**
 * Make the block of the line at `index` a table: lines side by side become its rows. Rows of cells before and after it join
 * it, and a table right before it continues. @param {Line[]} lines @param {number} index
 */
function tabled(lines, index) {
  let { start, stop } = around(lines, index);
  const outer = lines[index].block.slice(0, -1);
  /** @param {Line | undefined} line */
  const isRow = (line) => line?.block.at(-1)?.kind === "row" && line.block.length === outer.length + 1 && line.block.at(-2)?.id === outer.at(-1)?.id;
  if (isRow(lines[index])) {
    while (isRow(lines[start - 1])) start--;
    while (isRow(lines[stop])) stop++;
  }
  const before = lines[start - 1]?.block[outer.length];
  const table = before?.kind === "table" ? before : made("table");
  const inside = lines.slice(start, stop);
  const rows = isRow(inside[0])
    ? inside.map((line) => ({ ...line, block: [...outer, table, ...line.block.slice(-1)] }))
    : rowsOf(inside).flatMap((cells) => {
        const row = made("row");
        return cells.map((line) => ({ ...line, block: [...outer, table, row] }));
      });
  return [...lines.slice(0, start), ...rows, ...lines.slice(stop)];
}

/** Group lines that stand side by side into rows, from top to bottom; each row runs from left to right. @param {Line[]} lines @returns {Line[][]} */
function rowsOf(lines) {
  if (lines.some(({ read }) => !read.polygon.length)) return lines.map((line) => [line]);
  const places = lines.map((line) => ({ line, ...span(line.read.polygon) }));
  /** @param {{top: number, bottom: number}} place */
  const middle = ({ top, bottom }) => (top + bottom) / 2;
  /** @type {typeof places[]} */
  const rows = [];
  for (const place of places.toSorted((one, other) => middle(one) - middle(other))) {
    const row = rows.at(-1);
    if (row && middle(place) < row[0].bottom) row.push(place);
    else rows.push([place]);
  }
  return rows.map((row) => row.toSorted((one, other) => one.left - other.left).map(({ line }) => line));
}

/** The path of a new sibling of `block`, of the same kind. @param {Place[]} block @returns {Place[]} */
export const another = (block) => [...block.slice(0, -1), made(block.at(-1)?.kind ?? "paragraph")];

/** Begin a new block at `index`. @param {Line[]} lines @param {number} index */
export function begun(lines, index) {
  const { stop } = around(lines, index);
  return put(lines, index, stop, another(lines[index].block));
}

/** Join the block of the line at `index` with the next one. @param {Line[]} lines @param {number} index */
export function joined(lines, index) {
  const { stop } = around(lines, index);
  if (stop === lines.length) return lines;
  const block = lines[index].block.length ? lines[index].block : [made("paragraph")];
  const { start } = around(lines, index);
  return put(lines, start, around(lines, stop).stop, block);
}

/** Move the block of the line at `index` before the previous block, or behind the next one. @param {Line[]} lines @param {number} index @param {number} step 1 or -1 */
export function moved(lines, index, step) {
  const here = around(lines, index);
  const other = step < 0 ? around(lines, here.start - 1) : around(lines, here.stop);
  if (here.start + step < 0 || (step > 0 && here.stop === lines.length)) return lines;
  const [first, second] = step < 0 ? [other, here] : [here, other];
  return [...lines.slice(0, first.start), ...lines.slice(second.start, second.stop), ...lines.slice(first.start, first.stop), ...lines.slice(second.stop)];
}
