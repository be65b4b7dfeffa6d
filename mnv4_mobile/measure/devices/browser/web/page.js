// The page: asks the server what to do, does it, and shows it.

import { about, battery } from "./about.js";
import * as api from "./api.js";
import * as classify from "./classify.js";
import { Hidden, Session } from "./session.js";
import { percentile } from "./statistics.js";
import * as view from "./view.js";
import { awake, keepAwake, letSleep } from "./wake.js";

const HEARTBEAT_MS = 2000;
let session = null;
let model = null; // { sha256, bytes }: the next session is often about the same

/** The task's files by name; the model's bytes are checked. */
async function fetched(task) {
  const files = {};
  for (const name of task.files) {
    if (name === "model" && model?.sha256 === task.sha256) files.model = model.bytes;
    else files[name] = await api.file(task.id, name);
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", files.model));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== task.sha256) throw new Error(`the model arrived damaged: sha256 ${found.slice(0, 12)}...`);
  model = { sha256: found, bytes: files.model };
  return files;
}

/** One session by the server's task, as it wants the result. */
async function measure(task) {
  classify.use(null);
  session?.end();
  view.begin(task);
  let now = "Fetching the model";
  view.status("busy", now);
  // The server takes silence for a phone that is gone, and may have given this one up.
  let given = null;
  const heart = setInterval(() => {
    api.progress(task.id, now).catch((error) => {
      given = error;
      session?.end(error);
    });
  }, HEARTBEAT_MS);
  try {
    const files = await fetched(task);
    if (given) throw given;
    session = new Session();
    const found = await session.measure(task, files, ({ text, done, latencies }) => {
      now = done === undefined ? text : `${text}, ${Math.floor(100 * done)} %`;
      view.status("busy", text);
      view.progress(done);
      if (latencies) view.latencies(latencies);
    });
    if (found.wrong) return { status: "wrong", error: found.wrong };
    Object.assign(found.samples.conditions, { screen: awake() ? "kept on" : "on" }, await battery());
    return { status: "ok", samples: found.samples };
  } catch (error) {
    if (error instanceof Hidden || error instanceof api.Refused) throw error;
    return { status: "failed", error: error.message };
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

/** Measures, tells the server and shows how it ended. */
async function sessionOf(task) {
  let result;
  try {
    result = await measure(task);
  } catch (error) {
    if (error instanceof api.Refused) return view.status("failed", "Not measured", error.message);
    if (!(error instanceof Hidden)) throw error;
    view.status("paused", "Paused", "Browsers slow down what is in the background: this measurement starts over when the page is in front again.");
    return shown();
  }
  const { status, error, samples } = result;
  try {
    await api.result({ task: task.id, error: null, samples: null, ...result }, trouble);
  } catch (refused) {
    if (!(refused instanceof api.Refused)) throw refused;
    view.sent(task, "refused");
    return view.status("failed", "The computer refused the result", refused.message);
  }
  if (status !== "ok") {
    view.sent(task, status);
    const title = status === "wrong" ? "Wrong results on this device" : "Not measured";
    return view.status("failed", title, `${error}${status === "wrong" ? "; nothing was timed" : ""}`);
  }
  view.latencies(samples.latencies_ms);
  view.figures(samples);
  view.sent(task, `${view.digits(percentile(samples.latencies_ms, 50))} ms`);
  view.status("done", "Measured", "The computer has the result.");
  if (task.scores) classify.use(session);
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
    if (order.state === "measure") await sessionOf(order.task);
    if (order.state === "end") return view.status("done", "Finished", order.text);
  }
}

addEventListener("pagehide", api.bye);
main()
  .catch((error) => view.status("failed", "Stopped", error.message))
  .finally(letSleep);
