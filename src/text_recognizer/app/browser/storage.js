/**
 * Stores the pages in the browser's own database (IndexedDB), where they survive a reload and a crash of the service.
 * Nothing here is sent anywhere. Without the database (private windows of some browsers) pages exist only in the tab.
 *
 * @typedef {object} Summary a page as the list shows it
 * @property {string} id
 * @property {string} name
 * @property {number} time when it was added, in milliseconds
 * @property {string} mode for the next reading
 * @property {string} readMode of the latest reading
 * @property {string} language for the next reading; "": the service chooses it
 * @property {string} status
 * @property {string} words the status message
 * @property {string} error
 * @property {string} code of the error
 * @property {string} thumb
 * @property {string} tab the tab that reads it
 * @property {{of: string, number: number, count: number} | null} leaf if it is a page of a document
 * @property {object | null} feedback
 *
 * @typedef {import("./document.js").Saved & {revision: string}} Stored
 */

const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("text-recognizer") : null;
const STORES = ["pages", "documents", "pictures"];

/** @returns {Promise<IDBDatabase | null>} */
function opened() {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open("text-recognizer", 2);
      request.onupgradeneeded = () => {
        for (const name of [...request.result.objectStoreNames]) request.result.deleteObjectStore(name);
        request.result.createObjectStore("pages", { keyPath: "id" });
        for (const name of ["documents", "pictures"]) request.result.createObjectStore(name);
      };
      request.onsuccess = () => {
        // A newer version of this page in another tab wants to upgrade the database.
        request.result.onversionchange = () => request.result.close();
        resolve(request.result);
      };
      request.onerror = request.onblocked = () => resolve(null); // blocked by an older version in another tab
    } catch {
      resolve(null);
    }
  });
}

const database = await opened();

/** Whether pages survive a reload. */
export const lasting = database !== null;

/**
 * Run one transaction; `work` makes its requests and returns the one whose result `transact` returns.
 * @param {string[]} stores @param {IDBTransactionMode} mode @param {(transaction: IDBTransaction) => IDBRequest | void} work
 * @returns {Promise<any>}
 */
function transact(stores, mode, work) {
  if (!database) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(stores, mode);
    const request = work(transaction);
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** @param {string} name @param {string} id */
const stored = (name, id) => transact([name], "readonly", (transaction) => transaction.objectStore(name).get(id));

/** @returns {Promise<Summary[]>} */
export async function all() {
  return (await transact(["pages"], "readonly", (transaction) => transaction.objectStore("pages").getAll())) ?? [];
}

/** @param {string} id @returns {Promise<Summary | undefined>} */
export function page(id) {
  return stored("pages", id);
}

/** @param {string} id @returns {Promise<Blob | undefined>} */
export function picture(id) {
  return stored("pictures", id);
}

/** @param {string} id @returns {Promise<Stored | undefined>} */
export function document(id) {
  return stored("documents", id);
}

/**
 * Store a page. If another tab has stored a newer document than `revision`, return that document instead of storing
 * this one.
 * @param {Summary} summary @param {{saved: import("./document.js").Saved, revision: string, next: string} | null} doc
 * @param {Blob} [file] @returns {Promise<Stored | null>}
 */
export async function store(summary, doc, file) {
  /** @type {Stored | null} */
  let newer = null;
  await transact(STORES, "readwrite", (transaction) => {
    const [pages, documents] = [transaction.objectStore("pages"), transaction.objectStore("documents")];
    const there = pages.getKey(summary.id);
    there.onsuccess = () => {
      if (!there.result && !file) return; // another tab deleted it
      if (file) transaction.objectStore("pictures").put(file, summary.id);
      pages.put(summary);
      if (!doc) return;
      const request = documents.get(summary.id);
      request.onsuccess = () => {
        if (request.result && request.result.revision !== doc.revision) newer = request.result;
        else documents.put({ ...doc.saved, revision: doc.next }, summary.id);
      };
    };
  });
  if (!newer) channel?.postMessage(summary.id);
  return newer;
}

/** @param {string[]} ids */
export async function forget(ids) {
  await transact(STORES, "readwrite", (transaction) => {
    for (const id of ids) for (const name of STORES) transaction.objectStore(name).delete(id);
  });
  for (const id of ids) channel?.postMessage(id);
}

/** @param {(id: string) => void} changed called when another tab stored or deleted a page */
export function listen(changed) {
  if (channel) channel.onmessage = ({ data }) => changed(data);
}

/** A value that this tab remembers until it is closed; "": none, or the browser forbids it. @param {string} name */
export function remembered(name) {
  try {
    return sessionStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}

/** @param {string} name @param {string} value */
export function remember(name, value) {
  try {
    sessionStorage.setItem(name, value);
  } catch {
    // the browser forbids it, so the value is lost on reload
  }
}
