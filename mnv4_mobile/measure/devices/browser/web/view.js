// What the page shows.

import { histogram, percentile } from "./statistics.js";

const BINS = 30;
export const $ = (id) => document.getElementById(id);

/** Three digits, as that is what a latency is good for. */
export const digits = (ms) => (ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2));

const node = (name, text) => Object.assign(document.createElement(name), { textContent: text });

/** What is going on: waiting, busy, paused, done or failed. */
export function status(state, title, text = "") {
  $("status").dataset.state = state;
  if ($("state").textContent !== title) $("state").textContent = title; // read aloud once
  $("text").textContent = text;
  $("progress").hidden = state !== "busy";
  if (state !== "busy") $("progress").removeAttribute("value");
}

/** How far it is, 0 to 1; unknown without a number. */
export function progress(done) {
  if (done === undefined) $("progress").removeAttribute("value");
  else $("progress").value = done;
}

export function device({ model, os_build: os, id }) {
  $("device").textContent = [model, os].filter(Boolean).join(" · ");
  $("engine").textContent = `LiteRT.js ${LITERT_VERSION} · ${id}`;
}

/** A session begins: what it is about, with nothing of the one before. */
export function begin(work) {
  $("subject").textContent = work.name;
  $("plan").textContent = `${(work.artifact.byteLength / 1e6).toFixed(1)} MB · ${unit(work)}`;
  $("subject").hidden = $("plan").hidden = false;
  $("result").hidden = true;
  $("figures").replaceChildren();
}

function unit({ plan: { unit: name, threads } }) {
  if (name === "gpu") return "WebGPU";
  return `${threads} ${threads === 1 ? "thread" : "threads"}`;
}

/** Median and distribution of what was measured so far. */
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

/** The other figures of a session. */
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

/** One more line of what the computer has; without `work` where there was nothing to begin with. */
export function sent(work, outcome) {
  const row = document.createElement("tr");
  row.append(node("td", work?.name ?? ""), node("td", work ? unit(work) : ""), node("td", outcome));
  $("sessions").append(row);
  $("history").hidden = false;
}

/** The classes of a picture. */
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
