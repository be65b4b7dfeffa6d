import { Chart, drawFirst, isDark, redraw } from "./chart";
import { accuracy, artifactOf, chosenRow, count, data, deviceOf, label, number, ownDoubts, percent, publishedOn, reasons, unsound } from "./data";
import type { Choice, Profile, Row, Verdict } from "./data";
import { h, newId, select } from "./dom";
import { PAGE, Table } from "./table";
import type { Column } from "./table";
import { blocksView, profiles } from "./views/blocks";
import { distribution } from "./views/distribution";
import { drifting, driftView } from "./views/drift";
import { memory } from "./views/memory";
import { pareto } from "./views/pareto";
import { threads } from "./views/threads";

const day = (text: string): string =>
  new Date(text).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });

function header(): HTMLElement {
  const span = day(data.from) === day(data.to) ? day(data.from) : `${day(data.from)} to ${day(data.to)}`;
  const theme = h("button", { type: "button", "aria-pressed": String(isDark()) }, "Dark");
  theme.addEventListener("click", () => {
    document.documentElement.dataset["theme"] = isDark() ? "light" : "dark";
    theme.setAttribute("aria-pressed", String(isDark()));
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    theme.setAttribute("aria-pressed", String(isDark()));
    redraw();
  });
  const print = h("button", { type: "button", click: () => window.print() }, "Print");
  return h(
    "header",
    {},
    h("div", { class: "buttons" }, theme, print),
    h("h1", {}, "MobileNetV4 on devices"),
    h("p", { class: "lead" }, `${count(data.sessions, "session")} of ${count(data.artifacts.length, "artifact")} on ${count(data.devices.length, "device")}, ${span}.`),
    h("p", {}, `${data.runs.length === 1 ? "Run" : "Runs"}: ${data.runs.join(", ")}`),
    h("nav", { "aria-label": "Sections" }, h("a", { href: "#device" }, "Device by device"), h("a", { href: "#all" }, "All figures"), h("a", { href: "#how" }, "How it was measured")),
  );
}

/** Number of verdicts that are shown at once; the others are folded away. */
const VERDICTS = 6;

function verdicts(): HTMLElement {
  const several = data.datasets.length > 1;
  const shown = data.verdicts.map((verdict) => verdictOf(verdict, several));
  const more = shown.slice(VERDICTS);
  return h(
    "section",
    { class: "verdicts", "aria-label": "Verdict" },
    ...shown.slice(0, VERDICTS),
    more.length > 0 && h("details", {}, h("summary", {}, `${count(more.length, "more verdict")}`), ...more),
  );
}

function verdictOf(verdict: Verdict, several: boolean): HTMLElement {
  const place = `${deviceOf(verdict).model}${several && verdict.dataset ? `, ${verdict.dataset}` : ""}: `;
  const next = verdict.next.slice(0, 3);
  return h(
    "div",
    { class: verdict.ship ? "verdict" : "verdict open" },
    h("p", {}, place, h("strong", {}, verdict.headline), `: ${[verdict.facts, verdict.why].filter(Boolean).join("; ")}.`),
    verdict.doubts.length > 0 && h("p", {}, `⚠ Doubts: ${verdict.doubts.join("; ")}.`),
    next.length > 0 && h("p", {}, "Next: ", ...next.flatMap((command, i) => [i ? ", " : "", h("code", {}, command)])),
  );
}

/** Returns what a reader should know before looking at any figure. */
function notes(): HTMLElement {
  const doubtful = data.rows.filter(unsound);
  const failed = data.rows.flatMap((row) => row.sessions.filter((s) => s.status !== "ok"));
  const judged = new Set(data.rows.filter((row) => row.accuracy.some((found) => found !== null)).map((row) => row.artifact));
  const unknown = data.artifacts.filter((_, i) => !judged.has(i));
  const items = [
    ...data.common.map((code) => h("li", {}, `⚠ All ${data.rows.length} lines: ${data.doubts[code]}.`)),
    failed.length > 0 && h("li", {}, `⚠ ${count(failed.length, "session")} of ${data.sessions} gave no latency, because the device failed or its output was not the model's.`),
    doubtful.length > 0 &&
      h("li", {}, `⚠ ${doubtful.length} of ${count(data.rows.length, "line")} look unsound${data.common.length ? " for further reasons" : ""}. They are hollow in the chart of accuracy and marked ⚠ elsewhere; the table says why.`),
    unknown.length > 0 &&
      h(
        "li",
        {},
        `⚠ The accuracy of ${count(unknown.length, "artifact")} is unknown; mnv4 evaluate BUNDLE DATASET finds it.`,
        h("details", {}, h("summary", {}, "Which"), h("p", {}, unknown.map((artifact) => artifact.name).join(", "))),
      ),
  ].filter((item) => item !== false);
  return items.length ? h("section", { class: "notes", "aria-label": "What to know first" }, h("ul", {}, ...items)) : h("div");
}

const most = <T>(values: T[]): T | undefined => {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
};

function oneDevice(): HTMLElement {
  const choice: Choice = { device: 0, threads: null, model: null, run: null, dataset: 0 };
  const title = h("h2", { id: "device-title" });
  const facts = h("p", { class: "facts" });
  const controls = h("div", { class: "choices controls" });
  const beside = h("div");
  const charts = {
    pareto: new Chart("Accuracy against latency", "Up and to the left is better. The dotted line joins what nothing else beats in both. Hollow points look unsound."),
    distribution: new Chart("Latencies", "Every dot is one inference; each line is an artifact, the fastest at the top."),
    threads: new Chart("Threads", "How much more threads help, for each network."),
    drift: new Chart("Drift", "Latency over a session, with how warm the device was before and after: what slows down while it runs is throttled."),
    blocks: new Chart("Time by block", "Where a run of the network spends its time, by the operators' own times."),
    memory: new Chart("Size and memory", "What an app grows by, and what its process takes at its peak."),
  };

  function drift(row?: Row): void {
    const rows = drifting(choice);
    const shown = row ?? rows[0];
    const options = rows.map((r): [string, Row | undefined] => [`${label(r)}, ${count(r.threads, "thread")}`, r]);
    charts.drift.show(...driftView(shown, choice), select("Artifact", options, shown, drift));
  }

  function blocks(profile?: Profile): void {
    const found = profiles(choice);
    const shown = profile ?? found[0];
    const options = found.map((p): [string, Profile | undefined] => [label(p), p]);
    charts.blocks.show(...blocksView(shown), select("Artifact", options, shown, blocks));
  }

  function update(): void {
    const device = data.devices[choice.device]!;
    const builds = [...new Set(data.rows.filter((row) => row.device === choice.device).map((row) => row.os))];
    title.textContent = device.model;
    const all = [device.model, device.soc, device.cores && count(device.cores, "core"), ...builds, device.id];
    facts.textContent = [...new Set(all.filter(Boolean))].join(" · ");
    charts.pareto.show(...pareto(choice));
    charts.distribution.show(...distribution(choice));
    charts.threads.show(...threads(choice));
    drift();
    blocks();
    charts.memory.show(...memory(choice));
    beside.replaceChildren(...besidePublished(choice));
  }

  function onDevice(device: number): void {
    choice.device = device;
    const rows = data.rows.filter((row) => row.device === device);
    const numbers = [...new Set(rows.map((row) => row.threads))].sort((a, b) => a - b);
    const models = [...new Set(rows.map((row) => artifactOf(row).model))].filter((model) => model !== null).sort();
    const runs = [...new Set(rows.map((row) => row.run))];
    choice.threads = most(rows.map((row) => row.threads)) ?? null;
    choice.model = choice.run = null;
    const set = <K extends keyof Choice>(key: K) => (value: Choice[K]) => {
      choice[key] = value;
      update();
    };
    controls.replaceChildren(
      ...[
        select("Device", data.devices.map((d, i): [string, number] => [`${d.model} (${d.id})`, i]), device, onDevice),
        select("Threads", [...numbers.map((n): [string, number | null] => [String(n), n]), ...(numbers.length > 1 ? [["all", null] as [string, null]] : [])], choice.threads, set("threads")),
        select("Network", [["all", null], ...models.map((m): [string, string | null] => [m, m])], choice.model, set("model")),
        runs.length > 1 ? select("Run", [["the latest of each", null], ...runs.map((run): [string, string | null] => [run, run])], choice.run, set("run")) : null,
        select("Accuracy on", data.datasets.map((d, i): [string, number] => [`${d.name} (${d.n})`, i]), choice.dataset, set("dataset")),
      ].filter((control) => control !== null),
    );
    // The control that was just used keeps the focus.
    if (document.activeElement === document.body) controls.querySelector("select")?.focus({ preventScroll: true });
    update();
  }

  const focus = document.activeElement;
  onDevice(0);
  (focus as HTMLElement | null)?.blur();
  return h(
    "section",
    { id: "device", "aria-labelledby": "device-title" },
    title,
    controls,
    facts,
    charts.pareto.element,
    beside,
    ...[charts.distribution, charts.threads, charts.drift, charts.blocks, charts.memory].map((chart) => chart.element),
  );
}

/** Returns the nearest published figures beside ours of the same network, input size and precision. */
function besidePublished(choice: Choice): HTMLElement[] {
  const rows = data.rows.filter((row) => chosenRow(row, choice) && row.published && row.ms !== null);
  if (!rows.length) return [];
  const table = new Table<Row>("Published figures beside ours", [
    { name: "Artifact", value: label },
    { name: "Threads", value: (row) => row.threads, numeric: true },
    { name: "Unit", value: (row) => row.unit },
    { name: "Ours, ms", value: (row) => row.ms, show: (row) => number(row.ms), numeric: true },
    { name: "Published, ms", value: (row) => row.published!.ms, numeric: true },
    { name: "Published on", value: (row) => publishedOn(row.published!) },
    { name: "Source", value: (row) => row.published!.source },
    { name: "Ours / published", value: (row) => row.ms! / row.published!.ms, show: (row) => number(row.ms! / row.published!.ms), numeric: true },
    { name: "Measured alike", title: "With the plan of the source", value: (row) => (row.alike ? "yes" : "no") },
  ]);
  table.show([...rows].sort((a, b) => a.published!.ms - b.published!.ms));
  const sources = [...new Set(rows.map((row) => row.published!.source))].map((name) => data.sources[name]!);
  return [
    h(
      "section",
      { class: "figure" },
      h("h3", {}, "Beside published figures"),
      h("p", { class: "explanation" }, "Published, not measured here. The network, the input size and the precision are the same."),
      ...sources.map(({ title, url, date, latency }) => h("p", { class: "explanation" }, `${title}, ${date} (${url}). ${latency}`)),
      table.element,
    ),
  ];
}

function allFigures(): HTMLElement {
  const first: Choice = { device: 0, threads: null, model: null, run: null, dataset: 0 };
  const has = (value: (row: Row) => unknown): boolean => data.rows.some((row) => (value(row) ?? null) !== null);
  const columns: (Column<Row> | false)[] = [
    { name: "Artifact", value: label },
    { name: "Latency, ms", title: "The plan's statistic, median of the sessions; below it the lowest and the highest", value: (row) => row.ms, show: latency, numeric: true },
    data.datasets.length > 0 && { name: "Top-1, %", title: `On ${data.datasets[0]!.name}; below it the 95 % interval`, value: (row) => accuracy(row, first)?.top1, show: (row) => topOne(row, first), numeric: true },
    { name: "File, MB", value: (row) => artifactOf(row).mb, show: (row) => number(artifactOf(row).mb), numeric: true },
    { name: "Threads", value: (row) => row.threads, numeric: true },
    data.devices.length > 1 && { name: "Device", value: (row) => deviceOf(row).model },
    data.rows.some(unsound) && { name: "Doubts", title: "The list below the table explains the codes", value: (row) => ownDoubts(row).length + row.errors.length, show: doubts },
    { name: "p90, ms", title: "Below it the 95th percentile", value: (row) => row.p90, show: (row) => (row.p90 === null ? "–" : below(number(row.p90), number(row.p95))), numeric: true },
    { name: "CV", title: "Standard deviation over mean", value: (row) => row.cv, show: (row) => percent(row.cv), numeric: true },
    has((row) => row.rss) && { name: "Memory, MiB", title: "Peak of the process", value: (row) => row.rss, show: (row) => number(row.rss), numeric: true },
    { name: "Load, ms", title: "In a fresh process", value: (row) => row.cold, show: (row) => number(row.cold), numeric: true },
    { name: "First, ms", title: "The first inference", value: (row) => row.first, show: (row) => number(row.first), numeric: true },
    has((row) => row.preprocess) && { name: "Preprocess, ms", title: "From a decoded image to the input, not part of the latency", value: (row) => row.preprocess, show: (row) => number(row.preprocess), numeric: true },
    has((row) => row.published) && { name: "Published, ms", title: "The nearest published figure, not measured here", value: (row) => row.published?.ms, numeric: true },
    data.runs.length > 1 && { name: "Run", value: (row) => row.run },
    { name: "Runtime", value: (row) => row.runtime },
  ];
  const shown = columns.filter((column) => column !== false);
  const table = new Table<Row>("A line for each artifact, device and plan", shown);
  const text = (row: Row): string => {
    const { model, id, soc } = deviceOf(row);
    return [label(row), artifactOf(row).name, model, id, soc, row.run, row.runtime, row.os, count(row.threads, "thread"), ...row.doubts.flat(), ...reasons(row)].join(" ").toLowerCase();
  };
  let texts: string[] | null = null; // made when they are first asked for
  const [filterId, doubtId] = [newId(), newId()];
  const filter = h("input", { id: filterId, type: "search", autocomplete: "off", placeholder: "pixel int8 4 threads" }) as HTMLInputElement;
  const only = h("input", { id: doubtId, type: "checkbox" }) as HTMLInputElement;
  const found = h("p", { role: "status", class: "found" });
  const update = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (wanted.length) texts ??= data.rows.map(text);
    const rows = data.rows.filter((row, i) => wanted.every((word) => texts![i]!.includes(word)) && (!only.checked || unsound(row)));
    found.textContent = `${rows.length} of ${count(data.rows.length, "line")}`;
    table.show(rows);
  };
  filter.addEventListener("input", update);
  only.addEventListener("change", update);
  update();
  const section = h(
    "section",
    { id: "all", "aria-labelledby": "all-title" },
    h("h2", { id: "all-title" }, "All figures"),
    h(
      "div",
      { class: "choices" },
      h("div", { class: "choice wide" }, h("label", { for: filterId }, "Filter, all words must occur"), filter),
      h("div", { class: "choice check" }, only, h("label", { for: doubtId }, "Only what looks unsound")),
    ),
    found,
    table.element,
    legend(),
  );
  // An estimate until the section is laid out, which happens when it comes near the view.
  section.style.containIntrinsicHeight = `auto ${200 + 45 * Math.min(data.rows.length, PAGE)}px`;
  return section;
}

/** Returns a figure with a smaller one below it. */
const below = (large: string, small: string): HTMLElement => h("span", {}, large, h("small", {}, small));

function latency(row: Row): Node | string {
  if (row.ms === null) return "–";
  if (!row.range || row.sessions.length < 2) return number(row.ms);
  return below(number(row.ms), `${number(row.range[0])}–${number(row.range[1])}`);
}

function topOne(row: Row, choice: Choice): Node | string {
  const found = accuracy(row, choice);
  return found ? below(found.top1.toFixed(1), `${found.low.toFixed(1)}–${found.high.toFixed(1)}`) : "–";
}

function doubts(row: Row): Node | string {
  const own = ownDoubts(row);
  if (!unsound(row)) return "";
  return h("span", { class: "doubts" }, own.map((doubt) => doubt.join(" ").trim()).join(", "), ...row.errors.map((error) => h("small", {}, error)));
}

/** Returns the meaning of every code in the table. */
function legend(): HTMLElement | false {
  const codes = Object.entries(data.doubts).filter(([code]) => !data.common.includes(code));
  return codes.length > 0 && h("dl", { class: "legend", "aria-label": "Doubts" }, ...codes.map(([code, meaning]) => h("div", {}, h("dt", {}, code), h("dd", {}, meaning))));
}

function how(): HTMLElement {
  const statistics = [...new Set(data.rows.map((row) => row.statistic))].join(", ");
  return h(
    "section",
    { id: "how", "aria-labelledby": "how-title" },
    h("h2", { id: "how-title" }, "How it was measured"),
    h(
      "ul",
      {},
      h("li", {}, "A session is a fresh process on the device: load, check against the golden pair, first inference, warm-up, timed runs. A session whose output missed the check was not timed."),
      h("li", {}, `A latency is the median over the sessions of the plan's statistic (${statistics}) of each one's samples; preparing the image is not part of it. Two sessions differ by more than the samples of one, so their range is shown.`),
      h("li", {}, "Of bundles whose latency and accuracy are known, the verdict ships the fastest whose top-1 lies in the 95 % interval of the most accurate one. Intervals of accuracy are Wilson's, from the number of images."),
      h("li", {}, `All statistics are of all samples. This page has ${data.limit} samples a session at most, drawn at random with a fixed seed; mnv4 report --format parquet has all of them.`),
      h("li", {}, "CV is the coefficient of variation; MB are 10^6 bytes, MiB 2^20."),
    ),
  );
}

const main = h("main", {}, header(), verdicts(), notes(), oneDevice());
document.body.append(main);
drawFirst();
main.append(allFigures(), how());
