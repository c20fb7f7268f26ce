// Requests to the service: each function returns the answer, or throws a ServiceError with a message for people.

import { over } from "./alerts.js";
import { find } from "./dom.js";

export class ServiceError extends Error {
  /** @param {string} words a message for people */
  constructor(words, code = "error", again = 0) {
    super(words);
    this.code = code;
    this.again = again; // seconds until an automatic retry; 0: none
  }
}

const AWAY = "The service cannot be reached. Nothing you typed is lost; try again in a moment.";
/** @type {Record<string, (detail: string) => string>} */
const WORDS = {
  "image-rejected": (detail) => `This picture cannot be read: ${detail}.`,
  "too-large": () => "This picture is too large for the service. Scale it down and try again.",
  "unsupported-media-type": () => "This is not a picture that can be read.",
  unauthorized: () =>
    find("#tr-key").value.trim()
      ? "This service does not accept the API key above. Correct it, then try again."
      : "This service asks for an API key. Enter yours above, then try again.",
  overloaded: () => "Many pages are being read just now. Try again in a moment.",
  "rate-limited": () => "You have asked more often than the service allows. Wait a little and try again.",
  "not-ready": () => "The service is starting. Try again in some seconds.",
  "deadline-exceeded": () => "The page could not be read in time. Try again, choose Fast, or a smaller picture.",
  "service-away": () => AWAY,
  "feedback-unavailable": () => "What you said could not be stored just now, and nothing was. It is still here: try again in a moment.",
  "feedback-off": () => "This service keeps no feedback.",
  "feedback-rejected": (detail) => `This cannot be stored as it is: ${detail}.`,
};

/** @param {string} path */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

function keyed(headers = {}) {
  const key = find("#tr-key").value.trim();
  return key ? { ...headers, "X-API-Key": key } : headers;
}

/** @param {Response} answer */
async function refusal(answer) {
  /** @type {{code?: string, detail?: string}} */
  let problem = {};
  try {
    problem = await answer.json();
  } catch {
    // the answer came from something between the page and the service
  }
  const code = problem.code || (answer.status === 413 ? "too-large" : answer.status >= 502 ? "service-away" : "error");
  return refused(code, problem.detail, Number(answer.headers.get("Retry-After")) || 0);
}

/** @param {string} code @param {string} [detail] */
function refused(code, detail = "", again = 0) {
  const said = detail.replace(/[.\s]+$/, "");
  const words = WORDS[code] ? WORDS[code](said) : said ? `That did not work: ${said}.` : "That did not work. Try again in a moment.";
  return new ServiceError(words, code, again);
}

/** @param {string} path @param {RequestInit & {headers?: Record<string, string>}} options @returns {Promise<Response>} */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(address(path), { ...options, headers: keyed(options.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(AWAY, "service-away");
  }
  if (!answer.ok) throw await refusal(answer);
  over("service-away", "not-ready", "overloaded", "rate-limited", "unauthorized");
  return answer;
}

/** @param {Response} answer @returns {ReadableStream<Uint8Array<ArrayBuffer>>} */
function bodyOf(answer) {
  return answer.body ?? new Blob([]).stream();
}

/** @param {any} content */
export function asJson(content, method = "POST") {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) };
}

/** @param {Record<string, any>} fields */
export function asForm(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) value instanceof File ? form.append(name, value, value.name) : form.append(name, value);
  return { method: "POST", body: form };
}

/** Let the service fetch the bytes behind a link. @param {string} url */
export async function behindLink(url) {
  return (await ask("v1/image", asJson({ image_url: url }))).blob();
}

/**
 * Stream the pages of a document as pictures. Each is preceded by its length; without a picture, the page is damaged.
 * @param {Blob} file @returns {AsyncGenerator<{picture: Blob | null, count: number}>}
 */
export async function* pagesOf(file) {
  const answer = await ask("page/pages", { method: "POST", body: file });
  const count = Number(answer.headers.get("X-Pages")) || 1;
  const reader = bodyOf(answer).getReader();
  let held = new Uint8Array(0);
  for (;;) {
    let read;
    try {
      read = await reader.read();
    } catch {
      throw new ServiceError(AWAY, "service-away");
    }
    if (read.done) break;
    const joined = new Uint8Array(held.length + read.value.length);
    joined.set(held);
    joined.set(read.value, held.length);
    held = joined;
    for (;;) {
      const length = held.length < 4 ? Infinity : new DataView(held.buffer, held.byteOffset).getUint32(0);
      if (held.length < 4 + length) break;
      yield { picture: length ? new Blob([held.slice(4, 4 + length)], { type: "image/jpeg" }) : null, count };
      held = held.slice(4 + length);
    }
  }
}

/**
 * The server-sent events of one reading, as pairs of name and data. A broken connection throws like a refusal.
 * @param {File} picture @param {string} mode @param {string} language @param {AbortSignal} signal
 * @returns {AsyncGenerator<[string, any]>}
 */
export async function* reading(picture, mode, language, signal) {
  const hint = language ? `&language=${encodeURIComponent(language)}` : "";
  const answer = await ask(`v1/read?stream=true&mode=${mode}${hint}`, { ...asForm({ image: picture }), signal });
  const reader = bodyOf(answer).pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let ended = false;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += value;
      const events = text.split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) {
        const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(event) || [];
        if (!name) continue;
        const content = JSON.parse(data);
        if (name === "problem") throw refused(content.code, content.detail);
        ended = ended || name === "page";
        yield [name, content];
      }
    }
  } catch (error) {
    if (error instanceof ServiceError || error.name === "AbortError") throw error;
    throw new ServiceError(AWAY, "service-away");
  }
  if (!ended) throw new ServiceError("The answer broke off before the page was complete. Try again.", "service-away");
}
