/**
 * The blocks of a page: lines that belong together. Each line carries the path of blocks that it is in, the outermost
 * first, so blocks follow whatever is done with lines.
 *
 * @typedef {{id: number, kind: string}} Place a block in such a path
 * @typedef {{kind: string, start: number, stop: number, blocks?: Block[]}} Block `lines[start:stop]`, as the service answers it
 * @typedef {import("./document.js").Line} Line
 */

/** What a person can call the innermost block of a line. */
export const KINDS = { paragraph: "Paragraph", heading: "Heading", margin: "Note beside", row: "Row of cells" };

let last = Math.floor(Math.random() * 2 ** 40); // two tabs number their blocks apart

/** @returns {Place} */
const made = (kind) => ({ id: ++last, kind });

/** The path of each line. @param {Block[]} blocks @param {number} count of lines @returns {Place[][]} */
export function paths(blocks, count) {
  /** @type {Place[][]} */
  const found = Array.from({ length: count }, () => []);
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

/** The innermost block around the line at `index`, as the numbers of its first line and of the one behind it. @param {Line[]} lines */
export function around(lines, index) {
  const id = lines[index]?.block.at(-1)?.id;
  let [start, stop] = [index, index + 1];
  while (start > 0 && lines[start - 1].block.at(-1)?.id === id) start--;
  while (stop < lines.length && lines[stop].block.at(-1)?.id === id) stop++;
  return { start, stop };
}

/** The points of the lines of each innermost block, where there are several blocks. @param {Line[]} lines */
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

/** The block of the line at `index` is of another kind. @param {Line[]} lines */
export function named(lines, index, kind) {
  const { start, stop } = around(lines, index);
  return put(lines, start, stop, [...lines[index].block.slice(0, -1), made(kind)]);
}

/** A new block begins at `index`. @param {Line[]} lines */
export function begun(lines, index) {
  const { stop } = around(lines, index);
  return put(lines, index, stop, [...lines[index].block.slice(0, -1), made(lines[index].block.at(-1)?.kind ?? "paragraph")]);
}

/** The block of the line at `index` and the next one are one. @param {Line[]} lines */
export function joined(lines, index) {
  const { stop } = around(lines, index);
  if (stop === lines.length) return lines;
  const block = lines[index].block.length ? lines[index].block : [made("paragraph")];
  const { start } = around(lines, index);
  return put(lines, start, around(lines, stop).stop, block);
}

/** The block of the line at `index` stands before the block before it, or behind the next one. @param {Line[]} lines @param {1 | -1} step */
export function moved(lines, index, step) {
  const here = around(lines, index);
  const other = step < 0 ? around(lines, here.start - 1) : around(lines, here.stop);
  if (here.start + step < 0 || (step > 0 && here.stop === lines.length)) return lines;
  const [first, second] = step < 0 ? [other, here] : [here, other];
  return [...lines.slice(0, first.start), ...lines.slice(second.start, second.stop), ...lines.slice(first.start, first.stop), ...lines.slice(second.stop)];
}
