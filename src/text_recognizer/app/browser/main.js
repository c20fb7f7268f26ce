// The page: from a picture to its text and the corrections of it. All of it stays in this tab.

import { find } from "./dom.js";
import { Feedback } from "./feedback.js";
import { Lines } from "./lines.js";
import { Picture, percent } from "./picture.js";
import { address, asForm, asJson, ask, reading } from "./service.js";

const root = await mounted();
const options = JSON.parse(document.querySelector("#tr-options").textContent);
const EXAMPLES = { "letter-1905.jpg": "A letter of 1905", "page.jpg": "A page of notes" };
const FORMATS = {
  text: "Text", json: "JSON", alto: "ALTO XML", page: "PAGE XML", hocr: "hOCR", pdf: "PDF to search", csv: "Table (CSV)",
  tsv: "Table (TSV)",
};
const ATTEMPTS = 4; // where the service is busy

const picture = new Picture({ chosen: choose, pointed: (index) => lines.point(index), entered: (index) => lines.enter(index) });
const lines = new Lines({ chosen: choose, pointed: (index) => picture.point(index), changed });
const feedback = new Feedback(() => ({
  request: answer?.request_id, answer, picture: file, mode: readMode, lines: lines.texts, whole: free, edited: lines.edited,
}));

/** @type {File | null} */
let file = null; // the picture, as it was given
let shownAs = ""; // its address in this tab
let answer = null; // the page as the service read it
let readMode = "accurate";
let free = null; // the whole text, where it does not go by the lines of the picture
let stopping = null; // AbortController of the reading that runs
let known = null; // what /v1/models says

// ------------------------------------------------------------------------------------------------------- the service

async function meet() {
  try {
    known = await (await ask("v1/models")).json();
  } catch (error) {
    if (error.code === "unauthorized") find("#tr-key-box").hidden = false;
    else tell(error.message, meet);
    return;
  }
  const formats = known.formats || ["text", "json"];
  find("#tr-format").replaceChildren(...formats.map((name) => new Option(FORMATS[name] || name, name)));
  find("#tr-say").hidden = known.feedback !== true;
  root.querySelectorAll("[data-kept]").forEach((place) => (place.textContent = whatIsKept(known)));
}

function whatIsKept({ feedback: sendable, kept }) {
  const readings = kept?.share || 0;
  const share = readings >= 1 ? "every reading" : `a sample of the readings (${percent(readings)})`;
  const what = { numbers: "figures, without text or picture", pages: "the text, without the picture", images: "the picture and its text" }[kept?.what];
  const days = kept?.days ? ` for ${kept.days} days` : "";
  const always = readings > 0 ? `The service keeps ${share}${days}: ${what}.` : "";
  if (!sendable) return always || (kept ? "Pictures and texts are not stored: they are read and forgotten." : "");
  const sent = "When you send feedback, the picture, its text and what you say are stored, until you have them forgotten.";
  return always ? `${always} ${sent}` : `Nothing is stored unless you send feedback. ${sent}`;
}

find("#tr-key").value = sessionStorage.getItem("tr-key") || "";
if (find("#tr-key").value) find("#tr-key-box").hidden = false;
find("#tr-key").addEventListener("change", (event) => {
  sessionStorage.setItem("tr-key", event.target.value.trim());
  tell("");
  meet();
});
find("#tr-key-box").addEventListener("submit", (event) => event.preventDefault());

// ------------------------------------------------------------------------------------------------------- messages

function tell(words, again = null) {
  const alert = find("#tr-alert");
  alert.hidden = !words;
  alert.querySelector("p").textContent = words;
  const button = find("#tr-again");
  button.hidden = !again;
  button.onclick = () => {
    tell("");
    again();
  };
}

find("#tr-dismiss").addEventListener("click", () => tell(""));

function status(words, done = null, all = null) {
  find("#tr-status").textContent = words;
  const bar = find("#tr-progress");
  bar.hidden = !stopping;
  if (all) [bar.max, bar.value] = [all, done];
  else bar.removeAttribute("value");
}

// ------------------------------------------------------------------------------------------------------- pictures

function take(given, name) {
  if (!given || !mayLeave()) return;
  if (!given.size) return tell("This file is empty. Choose a picture of a page.");
  if (given.type && !given.type.startsWith("image/") && given.type !== "application/octet-stream") {
    return tell(`${given.name || "This file"} is not a picture. Choose a photograph or scan of a page${given.type === "application/pdf" ? "; pages of a PDF can be exported as pictures" : ""}.`);
  }
  tell("");
  file = given instanceof File && !name ? given : new File([given], name || "picture", { type: given.type });
  show(file);
  find("#tr-name").textContent = file.name;
  find("#tr-start").hidden = true;
  find("#tr-work").hidden = false;
  root.classList.add("working");
  forget();
  read();
}

function show(source) {
  URL.revokeObjectURL(shownAs);
  shownAs = URL.createObjectURL(source);
  const image = find("#tr-image");
  image.onerror = async () => {
    // A TIFF, say: the browser cannot show it, so it is made into a JPEG.
    image.onerror = null;
    try {
      const shown = await (await ask("page/picture", { method: "POST", body: file })).blob();
      if (source === file) {
        URL.revokeObjectURL(shownAs);
        image.src = shownAs = URL.createObjectURL(shown);
      }
    } catch {
      if (source === file) image.removeAttribute("src"); // reading says what is wrong with it
    }
  };
  image.src = shownAs;
  picture.zoom(1);
}

// Nothing of a page before stays.
function forget() {
  answer = free = null;
  picture.clear();
  lines.clear();
  feedback.begin();
  wholeText();
  ready();
}

function mayLeave() {
  return !feedback.unsent || confirm("Your corrections of this page will be lost. Go on?");
}

function start() {
  if (!mayLeave()) return;
  stop();
  forget();
  URL.revokeObjectURL(shownAs);
  file = null;
  shownAs = "";
  find("#tr-image").removeAttribute("src");
  find("#tr-work").hidden = true;
  find("#tr-start").hidden = false;
  root.classList.remove("working");
  tell("");
  find("#tr-choose").focus();
}

find("#tr-new").addEventListener("click", start);
find("#tr-choose").addEventListener("click", () => find("#tr-file").click());
for (const id of ["#tr-file", "#tr-capture"]) {
  find(id).addEventListener("change", ({ target }) => {
    take(target.files[0]);
    target.value = "";
  });
}

document.addEventListener("paste", (event) => {
  const given = [...(event.clipboardData?.files || [])][0];
  if (!given) return;
  event.preventDefault();
  take(given);
});
let dragged = 0;
document.addEventListener("dragenter", () => root.classList.toggle("dropping", ++dragged > 0));
document.addEventListener("dragleave", () => root.classList.toggle("dropping", --dragged > 0));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  dragged = 0;
  root.classList.remove("dropping");
  const given = event.dataTransfer.files[0];
  if (given) take(given);
  else tell("That was no file. Save the picture first, or copy and paste it.");
});

for (const name of options.examples) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  const image = document.createElement("img");
  const words = document.createElement("span");
  button.type = "button";
  image.src = address(`page/examples/${name}`);
  image.alt = "";
  words.textContent = EXAMPLES[name] || name;
  button.append(image, words);
  item.append(button);
  find("#tr-examples ul").append(item);
  button.addEventListener("click", async () => {
    try {
      take(await (await ask(`page/examples/${name}`)).blob(), name);
    } catch (error) {
      tell(error.message);
    }
  });
}

// ------------------------------------------------------------------------------------------------------- the camera

const camera = find("#tr-camera");
find("#tr-photo").addEventListener("click", async () => {
  // Telephones and tablets have a better way than we could make.
  if (matchMedia("(pointer: coarse)").matches) return find("#tr-capture").click();
  if (!navigator.mediaDevices?.getUserMedia) {
    return tell("This browser gives no camera to this page. Take the photo with another program and choose the file.");
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment", width: { ideal: 2560 }, height: { ideal: 1920 } },
    });
    find("#tr-video").srcObject = stream;
    camera.showModal();
  } catch {
    tell("There is no camera, or it may not be used by this page. Choose a file instead.");
  }
});
find("#tr-shoot").addEventListener("click", () => {
  const video = find("#tr-video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((photo) => take(photo, "photo.jpg"), "image/jpeg", 0.92);
  camera.close();
});
find("#tr-camera-close").addEventListener("click", () => camera.close());
camera.addEventListener("close", () => {
  find("#tr-video").srcObject?.getTracks().forEach((track) => track.stop());
  find("#tr-video").srcObject = null;
  find("#tr-photo").focus();
});

// ------------------------------------------------------------------------------------------------------- reading

function mode() {
  return find('input[name="tr-mode"]:checked').value;
}

async function read() {
  stop();
  const mine = (stopping = new AbortController());
  readMode = mode();
  forget();
  ready();
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        status("Finding the lines…");
        await readOnce(mine.signal);
        break;
      } catch (error) {
        if (!["overloaded", "rate-limited", "not-ready"].includes(error.code) || attempt === ATTEMPTS) throw error;
        const seconds = Math.min(20, error.again || 2);
        status(`The service is busy; trying again in ${seconds} s…`);
        await pause(seconds, mine.signal);
      }
    }
    finished();
  } catch (error) {
    if (stopping === mine) {
      answer = null;
      const stopped = error.name === "AbortError";
      stopping = null;
      status(stopped ? "Stopped" : "Not read");
      if (error.code === "unauthorized") {
        find("#tr-key-box").hidden = false;
        find("#tr-key").focus();
      }
      // The same picture will not be another one the next time.
      const hopeless = ["image-rejected", "too-large", "unsupported-media-type"].includes(error.code);
      if (!stopped) tell(error.message || "That did not work. Try again in a moment.", hopeless ? null : read);
    }
  } finally {
    if (stopping === mine) stopping = null;
    ready();
  }
}

async function readOnce(signal) {
  let places = [];
  for await (const [name, content] of reading(file, readMode, signal)) {
    if (signal.aborted) return;
    if (name === "layout") {
      places = content.polygons.map(String);
      lines.width = content.width;
      picture.layOut(content.width, content.height, content.polygons);
      status(places.length ? `Line 0 of ${places.length}` : "", 0, places.length);
    } else if (name === "line") {
      lines.add(content, true);
      const place = places.indexOf(String(content.polygon));
      if (place >= 0) picture.tell(place, content);
      status(`Line ${lines.items.length} of ${places.length}`, lines.items.length, places.length);
    } else if (name === "page") {
      answer = content;
    }
  }
}

function finished() {
  stopping = null;
  lines.clear();
  lines.width = answer.width;
  picture.layOut(answer.width, answer.height, answer.lines.map((line) => line.polygon));
  answer.lines.forEach((line, index) => {
    lines.add(line, false);
    picture.tell(index, line);
  });
  wholeText();
  const count = answer.lines.length;
  const seconds = answer.timings ? ` in ${answer.timings.total.toFixed(1)} s` : "";
  status(count ? `${count} ${count === 1 ? "line" : "lines"} read${seconds}` : "No writing found");
  if (!count) tell("No writing was found on this picture. Is the page in focus, upright and well lit?");
}

function stop() {
  stopping?.abort();
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}

// Which buttons can do something now.
function ready() {
  const busy = Boolean(stopping);
  find("#tr-stop").hidden = !busy;
  find("#tr-read").hidden = busy;
  find("#tr-read").textContent = answer ? "Read again" : "Read";
  find("#tr-read").classList.toggle("primary", !answer);
  for (const id of ["#tr-copy", "#tr-download", "#tr-send", "#tr-forget"]) find(id).disabled = !answer;
  find("#tr-whole").readOnly = !answer;
  find("#tr-lines-hint").hidden = !answer?.lines.length;
  root.setAttribute("aria-busy", String(busy));
}

find("#tr-read").addEventListener("click", () => mayLeave() && read());
find("#tr-stop").addEventListener("click", () => {
  stop();
  find("#tr-read").focus();
});

// ------------------------------------------------------------------------------------------------------- lines and text

function choose(index) {
  if (picture.active === index) return;
  picture.show(index);
  lines.show(index);
}

function changed(index) {
  const { line, field } = lines.items[index];
  picture.tell(index, { ...line, text: field.value, edited: field.value !== line.text });
  if (free === null) wholeText();
}

function wholeText() {
  const text = free ?? lines.texts.join("\n");
  if (find("#tr-whole").value !== text) find("#tr-whole").value = text;
  find("#tr-free").hidden = free === null;
}

find("#tr-whole").addEventListener("input", ({ target }) => {
  const texts = target.value.split("\n");
  // As many lines as the picture has: they are those lines.
  if (texts.length === lines.items.length) {
    free = null;
    lines.texts = texts;
  } else free = target.value;
  find("#tr-free").hidden = free === null;
});
find("#tr-by-lines").addEventListener("click", () => {
  free = null;
  wholeText();
  find("#tr-whole").focus();
});

const tabs = [find("#tr-tab-lines"), find("#tr-tab-whole")];
function tab(chosen) {
  for (const each of tabs) {
    const on = each === chosen;
    each.setAttribute("aria-selected", String(on));
    each.tabIndex = on ? 0 : -1;
    find(`#${each.getAttribute("aria-controls")}`).hidden = !on;
  }
}
tabs.forEach((each, index) => {
  each.addEventListener("click", () => tab(each));
  each.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    tab(tabs[1 - index]);
    tabs[1 - index].focus();
  });
});

// ------------------------------------------------------------------------------------------------------- taking it along

function currentText() {
  return free ?? lines.texts.filter(Boolean).join("\n");
}

find("#tr-copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(currentText());
  } catch {
    // Over plain HTTP there is no clipboard to write to; the old way works.
    const field = document.createElement("textarea");
    field.value = currentText();
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    find("#tr-copy").focus();
  }
  status("Text copied");
});

find("#tr-download").addEventListener("click", async () => {
  const format = find("#tr-format").value;
  tell("");
  try {
    const [content, words] = await written(format);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = file.name.replace(/\.[^.]*$/, "") + (options.suffixes[format] || `.${format}`);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    status(words);
  } catch (error) {
    tell(error.message);
  }
});

async function written(format) {
  if (format === "text" && free !== null) return [new Blob([`${free}\n`], { type: "text/plain" }), "Text saved"];
  if (options.suffixes[format]) {
    const content = { page: answer, texts: lines.texts, source: file.name };
    const request = options.illustrated.includes(format) ? asForm({ page: JSON.stringify(content), image: file }) : asJson(content);
    return [await (await ask(`page/written/${format}`, request)).blob(), "File saved"];
  }
  // Only the service can write it, and it writes what it reads.
  status("The service writes the file…");
  const blob = await (await ask(`v1/read?mode=${readMode}&format=${format}`, asForm({ image: file }))).blob();
  return [blob, lines.edited || free !== null ? "File saved, as the page was read: this format takes no corrections here" : "File saved"];
}

addEventListener("beforeunload", (event) => {
  if (feedback.unsent) event.preventDefault();
});

forget();
meet();

/** Put the page into the frame that Gradio draws; resolves when it stands there. */
async function mounted() {
  const html = await fetch(new URL("page.html", import.meta.url));
  const frame = await drawn("#tr-frame");
  frame.innerHTML = await html.text();
  return frame.querySelector("#reader");
}

function drawn(selector) {
  return new Promise((resolve) => {
    const look = () => {
      const element = document.querySelector(selector);
      if (element) {
        observer.disconnect();
        resolve(element);
      }
    };
    const observer = new MutationObserver(look);
    observer.observe(document, { childList: true, subtree: true });
    look();
  });
}
