// Draws docs/images/application.svg from application.dot; with --check only says whether they differ.
import { readFileSync, writeFileSync } from "node:fs";
import { instance } from "@viz-js/viz";

const folder = new URL("../docs/images/", import.meta.url);
const viz = await instance();
const svg = viz.renderString(readFileSync(new URL("application.dot", folder), "utf8"), { format: "svg" });
const file = new URL("application.svg", folder);
if (!process.argv.includes("--check")) {
  writeFileSync(file, svg);
} else if (readFileSync(file, "utf8") !== svg) {
  console.error("docs/images/application.svg is not what application.dot draws: run npm run diagram");
  process.exit(1);
}
