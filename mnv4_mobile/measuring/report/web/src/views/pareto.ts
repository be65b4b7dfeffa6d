import type { Ink, View } from "../chart";
import { accuracy, artifactOf, chosenRow, count, data, deviceOf, label, list, network, number, publishedOn, reasons, rowLabel, sourcesOf, top1, unsound } from "../data";
import type { Choice, Published, Row } from "../data";
import { grid, kinds, legend, legendHeight, msAxis, percentAxis, tooltip, valueAxis } from "../style";

type Judged = Row & { ms: number };
type Placed = Published & { top1: number };

const [LEFT, RIGHT, BOTTOM, STRIP] = [62, 16, 50, 34];

/** Returns the rows that no other beats in both latency and accuracy, the fastest first. */
function front(rows: Judged[], choice: Choice): Judged[] {
  let best = -Infinity;
  const sorted = [...rows].sort((a, b) => a.ms - b.ms || top1(b, choice)! - top1(a, choice)!);
  return sorted.filter((row) => {
    const better = top1(row, choice)! > best;
    if (better) best = top1(row, choice)!;
    return better;
  });
}

export function pareto(choice: Choice): [View | null, string] {
  const rows = data.rows.filter((row): row is Judged => chosenRow(row, choice) && row.ms !== null);
  if (!rows.length) return [null, "Nothing was timed here."];
  const [judged, unknown] = [rows.filter((row) => top1(row, choice) !== null), rows.filter((row) => top1(row, choice) === null)];
  const best = front(judged, choice);
  const models = new Set(rows.map((row) => artifactOf(row).model));
  const others = data.devices[choice.device]!.published.filter((figure): figure is Placed => figure.top1 !== null && models.has(figure.model));
  const dataset = data.datasets[choice.dataset];
  const summary = [
    best.length > 0 && `On the line: ${list(best.map((row) => rowLabel(row, choice)))}.`,
    dataset && `Top-1 on ${dataset.name}, ${count(dataset.n, "image")}; vertical bars are 95 % intervals.`,
    unknown.length > 0 && `Not evaluated${dataset ? ` on ${dataset.name}` : ""}, on the strip below: ${list(unknown.map(label))}; mnv4 evaluate BUNDLE DATASET finds it.`,
    others.length > 0 && `Grey diamonds were published, not measured here, with top-1 on ImageNet: ${sourcesOf(others)}.`,
  ]
    .filter(Boolean)
    .join(" ");
  const view: View = {
    summary,
    columns: [["Artifact"], ["Threads", true], ["Latency, ms", true], ["Top-1, %", true], ["95 % interval"], ["On the line"]],
    rows: [
      ...rows.map((row) => [rowLabel(row, choice), row.threads, row.ms, top1(row, choice), between(row, choice), best.includes(row) ? "yes" : "no"]),
      ...others.map((figure) => [publishedLabel(figure), null, figure.ms, figure.top1, null, "published"]),
    ],
    draw: (width, ink) => draw({ judged, unknown, best, others }, choice, width, ink),
  };
  return [view, summary];
}

interface Points {
  judged: Judged[];
  unknown: Judged[];
  best: Judged[];
  others: Placed[];
}

function draw({ judged, unknown, best, others }: Points, choice: Choice, width: number, ink: Ink): ReturnType<View["draw"]> {
  const rows = [...judged, ...unknown];
  const groups = kinds(rows, ink);
  const names = [...groups.map((group) => group.name), ...(others.length ? ["published"] : [])];
  const top = legendHeight(names, width) + 12;
  const known = [...judged.flatMap((row) => [accuracy(row, choice)!.low, accuracy(row, choice)!.high]), ...others.map((figure) => figure.top1)];
  const times = [...rows.map((row) => row.ms), ...others.map((figure) => figure.ms)].sort((a, b) => a - b);
  const strip = unknown.length ? STRIP : 0;
  const wide = width > 560;
  const named = new Set<string>();
  // A network's name stands once, at its fastest point on the line.
  const namer = new Set(best.filter((row) => !named.has(network(artifactOf(row))) && named.add(network(artifactOf(row)))));
  // Names stand left of their points; at the edge of the chart a name goes above its point.
  const labelLayout = ({ labelRect: { x } }: { labelRect: { x: number } }) => {
    const dx = Math.max(0, LEFT + 4 - x);
    return { hideOverlap: true, dx, dy: dx ? -14 : 0 };
  };
  const halo = { textBorderColor: ink.ground, textBorderWidth: 3 };
  const scatter = (rest: object) => ({ type: "scatter", symbolSize: wide ? 12 : 10, z: 3, ...rest });
  return {
    height: top + (!known.length ? 60 : wide ? 360 : 300) + strip + BOTTOM,
    option: {
      legend: legend(ink, names),
      tooltip: tooltip(ink, ({ data: point }) =>
        point.row ? tip(point.row, choice) : point.figure ? [publishedLabel(point.figure), `${number(point.figure.ms)} ms, top-1 ${point.figure.top1} % of ${count(point.figure.images!, "image")}`, "published, not measured here"] : [],
      ),
      ...axes(times, known, top, strip, ink),
      series: [
        { type: "line", step: "end", data: best.map((row) => [row.ms, top1(row, choice)]), symbol: "none", silent: true, lineStyle: { color: ink.muted, width: 1.5, type: "dotted" }, z: 1 },
        ...groups.map(({ name, color, symbol, rows: some }) =>
          scatter({
            name,
            symbol,
            color,
            data: some.filter((row) => top1(row, choice) !== null).map((row) => ({
              ...point(row, top1(row, choice)!, color, ink),
              label: { show: namer.has(row), formatter: () => network(artifactOf(row)), position: "left", color: ink.text, fontSize: 12, ...halo },
            })),
            labelLayout,
          }),
        ),
        ...groups.map(({ name, color, rows: some }) => whiskers(some, name, color, choice)),
        ...groups.map(({ name, color, symbol, rows: some }) =>
          scatter({ name, symbol, color, xAxisIndex: 1, yAxisIndex: 1, data: some.filter((row) => top1(row, choice) === null).map((row) => point(row, 0, color, ink)) }),
        ),
        scatter({
          name: "published",
          symbol: "diamond",
          color: ink.muted,
          data: others.map((figure) => ({ value: [figure.ms, figure.top1], figure })),
          itemStyle: { color: "transparent", borderColor: ink.muted, borderWidth: 2 },
          // On a phone there is no room for two names of each network.
          label: { show: wide, formatter: ({ data: { figure } }: any) => `${figure.model}, ${figure.unit}`, position: "left", color: ink.muted, fontSize: 11, ...halo },
          labelLayout,
          z: 2,
        }),
      ],
    },
  };
}

/** Returns a measured point, hollow if something looks unsound. */
const point = (row: Judged, y: number, color: string, ink: Ink): object => ({
  value: [row.ms, y],
  row,
  itemStyle: unsound(row) ? { color: ink.ground, borderColor: color, borderWidth: 2 } : { color, borderColor: ink.ground, borderWidth: 1 },
});

/** Returns the 95 % intervals of accuracies, as vertical bars. */
const whiskers = (rows: Judged[], name: string, color: string, choice: Choice): object => ({
  type: "custom",
  name,
  color,
  silent: true,
  z: 2,
  data: rows.flatMap((row) => {
    const found = accuracy(row, choice);
    return found ? [[row.ms, found.low, found.high]] : [];
  }),
  renderItem: (_: unknown, api: any) => {
    const [[x, y1], [, y2]] = [api.coord([api.value(0), api.value(1)]), api.coord([api.value(0), api.value(2)])];
    return { type: "line", shape: { x1: x, x2: x, y1, y2 }, style: { stroke: color, lineWidth: 1.5, opacity: 0.5 } };
  },
});

/** Returns the axes of the chart, and of the strip below it for artifacts without accuracy. */
function axes(times: number[], known: number[], top: number, strip: number, ink: Ink): object {
  const shared = msAxis(ink, "", times) as Record<string, unknown>;
  const [low, high] = [times[0]!, times.at(-1)!];
  const margin = Math.max(0.08 * (high - low), 0.05 * high);
  // Both grids need the same range; the ends are not round numbers, so their labels are hidden.
  const range = shared["type"] === "log" ? {} : { min: Math.max(0, low - margin), max: high + margin };
  const labels = { ...(shared["axisLabel"] as object), ...("min" in range ? { showMinLabel: false, showMaxLabel: false } : {}) };
  const blank = { splitLine: { show: false }, axisTick: { show: false }, axisLine: { show: false } };
  return {
    grid: [
      grid({ left: LEFT, right: RIGHT, top, bottom: BOTTOM + strip }),
      grid({ left: LEFT, right: RIGHT, height: strip, bottom: BOTTOM, show: strip > 0, borderColor: ink.line, backgroundColor: ink.line + "55" }),
    ],
    xAxis: [
      { ...shared, ...range, gridIndex: 0, axisLabel: strip ? { show: false } : labels, name: strip ? "" : "latency, ms" },
      { ...shared, ...range, gridIndex: 1, show: strip > 0, axisLabel: labels, name: "latency, ms" },
    ],
    yAxis: [
      percentAxis(ink, "top-1, %", known.length ? known : [0, 100], { nameGap: 34, ...(known.length ? {} : { interval: 100 }) }),
      valueAxis(ink, "", { gridIndex: 1, min: -1, max: 1, show: strip > 0, interval: 1, ...blank, axisLabel: { color: ink.muted, fontSize: 11, formatter: (v: number) => (v === 0 ? "unknown" : "") } }),
    ],
  };
}

const publishedLabel = (figure: Published): string => `${figure.model} ${figure.size} px, ${publishedOn(figure)}: ${figure.source}`;

const between = (row: Row, choice: Choice): string | null => {
  const found = accuracy(row, choice);
  return found && `${found.low.toFixed(1)} to ${found.high.toFixed(1)}`;
};

const interval = (row: Row, choice: Choice): string => {
  const found = accuracy(row, choice);
  return found ? `${found.top1.toFixed(1)} % (${between(row, choice)})` : "unknown";
};

/** Returns a tooltip's lines about a row. */
export const tip = (row: Row, choice: Choice): (string | false | null)[] => [
  rowLabel(row, choice),
  `${number(row.ms)} ms (${row.statistic}), p90 ${number(row.p90)} ms`,
  row.range && row.sessions.length > 1 && `${row.sessions.length} sessions: ${number(row.range[0])} to ${number(row.range[1])} ms`,
  `top-1 ${interval(row, choice)}, ${number(artifactOf(row).mb)} MB`,
  `${count(row.threads, "thread")}, ${row.runtime || "unknown runtime"}, ${deviceOf(row).model}`,
  ...reasons(row).map((reason) => `⚠ ${reason}`),
];
