/**
 * The sheet: how the picture of a page is turned (by 90 degrees at a time) and cropped. The picture itself never changes.
 *
 * @typedef {import("./geometry.js").Box} Box
 * @typedef {{turned: number, box: Box}} Sheet `turned`: quarter turns clockwise; `box`: shares of the turned picture
 */

import { brush } from "./dom.js";

/** @type {Sheet} */
export const WHOLE = { turned: 0, box: [0, 0, 1, 1] };

/** Turn a sheet clockwise by 90 degrees. @param {Sheet} sheet @returns {Sheet} */
export function quarter({ turned, box: [left, top, right, bottom] }) {
  return { turned: (turned + 1) % 4, box: [1 - bottom, left, 1 - top, right] };
}

/** Crop a sheet to `[left, top, right, bottom]`, as shares of its visible part. @param {Sheet} sheet @param {Box} part @returns {Sheet} */
export function cropped({ turned, box }, part) {
  /** @param {number} share */
  const across = (share) => box[0] + share * (box[2] - box[0]);
  /** @param {number} share */
  const down = (share) => box[1] + share * (box[3] - box[1]);
  return { turned, box: [across(part[0]), down(part[1]), across(part[2]), down(part[3])] };
}

/** The picture, turned and cropped. @param {File} file @param {Sheet} sheet @returns {Promise<File>} */
export async function rendered(file, sheet) {
  if (JSON.stringify(sheet) === JSON.stringify(WHOLE)) return file;
  const bitmap = await createImageBitmap(file);
  const { turned, box } = sheet;
  const [width, height] = turned % 2 ? [bitmap.height, bitmap.width] : [bitmap.width, bitmap.height];
  const [left, top, right, bottom] = [box[0] * width, box[1] * height, box[2] * width, box[3] * height].map(Math.round);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, right - left), Math.max(1, bottom - top)];
  const context = brush(canvas);
  context.translate(width / 2 - left, height / 2 - top);
  context.rotate((turned * Math.PI) / 2);
  context.drawImage(bitmap, -bitmap.width / 2, -bitmap.height / 2);
  bitmap.close();
  const type = file.type === "image/jpeg" ? file.type : "image/png";
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, 0.95));
  return new File([blob], file.name, { type });
}
