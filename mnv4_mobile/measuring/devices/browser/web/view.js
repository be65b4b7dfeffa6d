// Shows state and results on the page.

import { histogram, percentile } from "./statistics.js";

const BINS = 30;
const groups = new Map(); // of sessions, by model and unit: { name, unit, medians, failed }
export const $ = (id) => document.getElementById(id);

/** Formats a latency with three digits; more would be noise. */
const digits = (ms) => (ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2));

const node = (name, text) => Object.assign(document.createElement(name), { textContent: text });

/** Shows what is going on: waiting, busy, paused, done or failed. */
export function status(state, title, text = "") {
  $("status").dataset.state = state;
  if ($("state").textContent !== title) $("state").textContent = title; // read aloud once
  $("text").textContent = text;
  $("progress").hidden = state !== "busy";
  if (state !== "busy") $("progress").removeAttribute("value");
}

const duration = (seconds) => {
  if (seconds <= 59) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};

/** Shows which session of the run begins, and how long the rest of the run will take. */
export function place({ session, sessions, seconds_left: left }) {
  $("place").hidden = sessions === 1;
  const time = left === null ? "" : `, about ${duration(left)} left`;
  $("place").textContent = `Session ${session} of ${sessions}${time}`;
}

/** Shows how much of the run is done; `done` is the finished share of the session, 0 to 1. */
export function progress({ session, sessions }, done) {
  if (done === undefined && sessions === 1) $("progress").removeAttribute("value");
  else $("progress").value = (session - 1 + (done ?? 0)) / sessions;
}

export function device({ model, os_build: os, id }) {
  $("device").textContent = [model, os].filter(Boolean).join(" · ");
  $("engine").textContent = `LiteRT.js ${LITERT_VERSION} · ${id}`;
}

/** Shows the model of a session that begins, and hides the results of the one before. */
export function begin(name) {
  $("subject").textContent = name;
  $("subject").hidden = false;
  $("plan").hidden = $("result").hidden = true;
  $("figures").replaceChildren();
}

/** Shows the size of the model, and what it runs on. */
export function fetched(work) {
  $("plan").textContent = `${(work.artifact.byteLength / 1e6).toFixed(1)} MB · ${unit(work)}`;
  $("plan").hidden = false;
}

function unit({ plan: { unit: name, threads } }) {
  if (name === "gpu") return "WebGPU";
  return `${threads} ${threads === 1 ? "thread" : "threads"}`;
}

/** Shows the median and the distribution of what was measured so far. */
export function latencies(values) {
  $("result").hidden = false;
  $("p50").textContent = digits(percentile(values, 50));
  const { low, high, counts } = histogram(values, BINS);
  const most = Math.max(...counts);
  const bars = $("bars");
  while (bars.children.length < BINS) bars.append(node("i", ""));
  counts.forEach((count, i) => (bars.children[i].style.height = `${(100 * count) / most}%`));
  const range = `${digits(low)} to ${digits(high)} ms`;
  bars.setAttribute("aria-label", `Distribution of ${values.length} runs, most of them from ${range}`);
  $("low").textContent = `${digits(low)} ms`;
  $("high").textContent = `${digits(high)} ms and more`;
  $("count").textContent = `${values.length} runs`;
}

/** Shows the other figures of a session. */
export function figures(samples) {
  const all = samples.latencies_ms;
  const ms = (value) => `${digits(value)} ms`;
  const rows = {
    "90th percentile": ms(percentile(all, 90)),
    Fastest: ms(percentile(all, 0)),
    "First inference": ms(samples.first_ms),
    Loading: ms(samples.load_cold_ms),
    ...(samples.preprocess_ms.length ? { Preprocessing: ms(percentile(samples.preprocess_ms, 50)) } : {}),
    "Golden check": samples.golden_sqnr_db === null ? "no golden pair" : `passed, ${samples.golden_sqnr_db.toFixed(0)} dB`,
  };
  const pairs = Object.entries(rows).map(([name, value]) => {
    const pair = document.createElement("div");
    pair.append(node("dt", name), node("dd", value));
    return pair;
  });
  $("figures").replaceChildren(...pairs);
}

/**
 * Adds a session to its group, the sessions of one model on one unit. `ms` is its median, or null
 * together with a word for what went wrong.
 */
export function sent(name, work, ms, wrong = "") {
  const on = work ? unit(work) : "";
  const key = JSON.stringify([name, on]);
  if (!groups.has(key)) groups.set(key, { name, on, medians: [], wrong: "" });
  const group = groups.get(key);
  if (ms !== null) group.medians.push(ms);
  group.wrong = wrong;
  $("groups").replaceChildren(...Array.from(groups.values(), row));
  $("history").hidden = false;
}

/** Returns a group's row: the median of its sessions' medians, and their range. */
function row({ name, on, medians, wrong }) {
  const [model, count, latency] = [node("td", name), node("td", medians.length), node("td", "")];
  if (on) model.append(node("small", on));
  if (medians.length) latency.append(`${digits(percentile(medians, 50))} ms`);
  if (medians.length > 1) {
    const [low, high] = [0, 100].map((q) => digits(percentile(medians, q)));
    latency.append(node("small", `${low} to ${high}`));
  }
  if (wrong) latency.append(node("small", wrong));
  const found = document.createElement("tr");
  found.append(model, count, latency);
  return found;
}

/** Names the model that classifies, or lets the user choose from several. */
export function models(names, chosen) {
  $("which").textContent = names.length > 1 ? "Classified by" : `Classified by ${chosen}`;
  $("model").hidden = names.length === 1;
  $("model").replaceChildren(...names.map((name) => Object.assign(node("option", name), { value: name })));
  $("model").value = chosen;
}

/** Lists the classes of an image. */
export function classes(found) {
  const items = found.map(({ label, probability }) => {
    const item = document.createElement("li");
    const bar = node("i", ""); // the figure beside it says the same to screen readers
    bar.style.width = `${100 * probability}%`;
    item.append(node("span", label), node("span", `${(100 * probability).toFixed(1)} %`), bar);
    return item;
  });
  $("classes").replaceChildren(...items);
}
