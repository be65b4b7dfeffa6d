// Asks the server what to do, does it, and shows it on the page.

import { about, battery } from "./about.js";
import * as api from "./api.js";
import * as classify from "./classify.js";
import { parseJob } from "./job.js";
import { classOutput, parseManifest } from "./manifest.js";
import { Hidden, Session } from "./session.js";
import { percentile } from "./statistics.js";
import * as view from "./view.js";
import { awake, keepAwake, letSleep } from "./wake.js";

const HEARTBEAT_MS = 2000;
let session = null;
let last = null; // { sha256, bytes } of the newest artifact, which the next session often measures too

const utf8 = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

/** Fetches a file and checks its hash. */
async function whole({ path, sha256 }, fetchFile) {
  const bytes = await fetchFile(path);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) throw new Error(`${path} arrived damaged: sha256 ${found.slice(0, 12)}...`);
  return bytes;
}

/** Fetches an artifact, unless it is the one that was fetched last. */
async function artifact({ path, sha256 }, fetchFile) {
  if (last?.sha256 === sha256) return last.bytes;
  const bytes = await whole({ path, sha256 }, fetchFile);
  last = { sha256, bytes };
  return bytes;
}

/** Fetches a job's plan with its bundle, or with an artifact that has none. */
async function fetched({ job: id, files: names }) {
  const job = parseJob(utf8(await api.file(id, "job.json")));
  const own = names.filter((name) => name.startsWith(`${job.bundle}/`)).map((name) => name.slice(job.bundle.length + 1));
  const fetchFile = (name) => api.file(id, `${job.bundle}/${name}`);
  const { plan } = job;
  if (!own.includes("manifest.json")) {
    const [name] = own;
    return { plan, name, manifest: null, artifact: await fetchFile(name), files: {} };
  }
  const manifest = parseManifest(utf8(await fetchFile("manifest.json")));
  const files = {};
  for (const entry of manifest.golden) {
    if (entry.source !== "artifact") files[entry.path] = await whole(entry, fetchFile);
  }
  return { plan, name: manifest.id, manifest, artifact: await artifact(manifest.artifact, fetchFile), files };
}

/** Measures one session and returns a result's `status`, `error` and `samples`. */
async function measure(order) {
  classify.pause();
  session?.end();
  let now = "Fetching the model";
  view.status("busy", now);
  view.place(order);
  view.progress(order);
  view.begin(order.name);
  // The server treats a silent phone as gone, and may have given up on this one.
  let given = null;
  const heart = setInterval(() => {
    api.progress(order.job, now).catch((error) => {
      given = error;
      session?.end(error);
    });
  }, HEARTBEAT_MS);
  let work = null;
  try {
    work = await fetched(order);
    view.fetched(work);
    if (given) throw given;
    session = new Session();
    const found = await session.measure(work, ({ text, done, latencies }) => {
      now = done === undefined ? text : `${text}, ${Math.floor(100 * done)} %`;
      view.status("busy", text);
      view.progress(order, done);
      if (latencies) view.latencies(latencies);
    });
    if (found.wrong) return { work, status: "wrong", error: found.wrong, samples: null };
    Object.assign(found.samples.conditions, { screen: awake() ? "kept on" : "on" }, await battery());
    return { work, status: "ok", error: null, samples: found.samples };
  } catch (error) {
    if (error instanceof Hidden || error instanceof api.Refused) throw error;
    return { work, status: "failed", error: error.message, samples: null };
  } finally {
    clearInterval(heart);
  }
}

const shown = () =>
  new Promise((resolve) => {
    const check = () => document.hidden || resolve(document.removeEventListener("visibilitychange", check));
    document.addEventListener("visibilitychange", check);
    check();
  });

const waiting = () => view.status("waiting", "Connected", "Waiting for the computer. Keep this page in front.");
let lost = false;
const trouble = () => {
  lost = true;
  view.status("paused", "Connection lost", "Trying again. The computer waits a while.");
};

/** Measures, sends the result and shows how it ended. */
async function sessionOf(order) {
  let result;
  try {
    result = await measure(order);
  } catch (error) {
    if (error instanceof api.Refused) return view.status("failed", "Not measured", error.message);
    if (!(error instanceof Hidden)) throw error;
    view.status("paused", "Paused", "Browsers slow down what is in the background: this measurement starts over when the page is in front again.");
    return shown();
  }
  const { work, status, error, samples } = result;
  view.place({ ...order, seconds_left: null });
  try {
    await api.result({ schema: 1, job: order.job, status, error, samples }, trouble);
  } catch (refused) {
    if (!(refused instanceof api.Refused)) throw refused;
    view.sent(order.name, work, null, "refused");
    return view.status("failed", "The computer refused the result", refused.message);
  }
  if (status !== "ok") {
    view.sent(order.name, work, null, status);
    const title = status === "wrong" ? "Wrong results on this device" : "Not measured";
    return view.status("failed", title, `${error}${status === "wrong" ? "; nothing was timed" : ""}`);
  }
  view.latencies(samples.latencies_ms);
  view.figures(samples);
  view.sent(order.name, work, percentile(samples.latencies_ms, 50));
  view.status("done", "Measured", "The computer has the result.");
  if (work.manifest && classOutput(work.manifest)) classify.keep(work);
  return undefined;
}

async function main() {
  const { device } = await api.join(await about());
  view.device(device);
  await keepAwake();
  waiting();
  for (;;) {
    const order = await api.next(trouble);
    if (lost) waiting();
    lost = false;
    if (order.state === "measure") await sessionOf(order);
    if (order.state === "end" || (order.state === "measure" && order.session === order.sessions)) classify.offer(session);
    if (order.state === "end") return view.status("done", "Finished", order.text);
  }
}

addEventListener("pagehide", api.bye);
main()
  .catch((error) => view.status("failed", "Stopped", error.message))
  .finally(letSleep);
