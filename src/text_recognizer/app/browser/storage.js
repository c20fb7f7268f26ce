/**
 * The pages of this browser, in its own database (IndexedDB): they survive a reload, and a service that dies.
 * Nothing of it is sent anywhere. Without the database (private windows of some browsers) pages live in the tab alone.
 */

/** @typedef {{id: string, name: string, time: number, mode: string, status: string, tab: string, thumb: string, state: import("./document.js").State | null, feedback: object | null, readMode: string}} Stored */

const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("text-recognizer") : null;

/** @returns {Promise<IDBDatabase | null>} */
function opened() {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open("text-recognizer", 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("pages", { keyPath: "id" });
        request.result.createObjectStore("pictures");
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null);
    } catch {
      resolve(null);
    }
  });
}

const database = await opened();

/** Whether pages survive a reload. */
export const lasting = database !== null;

/** One transaction; `work` makes its requests and returns the one whose result is wanted. */
function transact(stores, mode, work) {
  if (!database) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(stores, mode);
    const request = work(transaction);
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** @returns {Promise<Stored[]>} */
export async function all() {
  return (await transact(["pages"], "readonly", (transaction) => transaction.objectStore("pages").getAll())) ?? [];
}

/** @returns {Promise<Stored | undefined>} */
export function page(id) {
  return transact(["pages"], "readonly", (transaction) => transaction.objectStore("pages").get(id));
}

/** @returns {Promise<Blob | undefined>} */
export function picture(id) {
  return transact(["pictures"], "readonly", (transaction) => transaction.objectStore("pictures").get(id));
}

/** @param {Stored} record @param {Blob} [file] */
export async function store(record, file) {
  await transact(["pages", "pictures"], "readwrite", (transaction) => {
    if (file) transaction.objectStore("pictures").put(file, record.id);
    transaction.objectStore("pages").put(record);
  });
  channel?.postMessage(record.id);
}

/** @param {string[]} ids */
export async function forget(ids) {
  await transact(["pages", "pictures"], "readwrite", (transaction) => {
    for (const id of ids) for (const name of ["pages", "pictures"]) transaction.objectStore(name).delete(id);
  });
  for (const id of ids) channel?.postMessage(id);
}

/** @param {(id: string) => void} changed is called when another tab stored or forgot a page */
export function listen(changed) {
  if (channel) channel.onmessage = ({ data }) => changed(data);
}
