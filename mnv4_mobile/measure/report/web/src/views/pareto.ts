import type { View } from "../chart";
import { artifactOf, chosenRow, count, data, deviceOf, fixed, list, number, rowLabel, top1 } from "../data";
import type { Choice, Published, Row } from "../data";
import { kinds, legend, legendHeight, msAxis, grid, percentAxis, tooltip } from "../style";

type Judged = Row & { ms: number };

/** Rows that nothing else beats in both latency and accuracy, the fastest first. */
export function front(rows: Judged[], choice: Choice): Judged[] {
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
  const judged = rows.filter((row) => top1(row, choice) !== null);
  const unknown = rows.filter((row) => top1(row, choice) === null);
  const best = front(judged, choice);
  const models = new Set(rows.map((row) => artifactOf(row).model));
  const paper = data.devices[choice.device]!.published.filter((figure) => models.has(figure.model));
  const dataset = data.datasets[choice.dataset];
  const summary = [
    `${count(rows.length, "point")}.`,
    best.length > 0 && `Nothing here is both faster and more accurate than ${list(best.map((row) => rowLabel(row, choice)))}.`,
    unknown.length > 0 &&
      `Without a known top-1, on the strip below: ${list(unknown.map((row) => artifactOf(row).name))}. mnv4 evaluate BUNDLE finds it.`,
    dataset && `Top-1 on ${dataset.name}, ${count(dataset.n, "picture")}.`,
    paper.length > 0 && `Grey diamonds were published, not measured here: ${data.published.source}; ${data.published.accuracy}.`,
  ]
    .filter(Boolean)
    .join(" ");
  const view: View = {
    summary,
    columns: [["Artifact"], ["Threads", true], ["Latency, ms", true], ["Top-1, %", true], ["On the front"]],
    rows: [
      ...rows.map((row) => [rowLabel(row, choice), row.threads, row.ms, top1(row, choice), best.includes(row) ? "yes" : "no"]),
      ...paper.map((figure) => [paperLabel(figure), null, figure.ms, figure.top1, "published"]),
    ],
    draw: (width, ink) => {
      const groups = kinds(rows, ink);
      const names = [...groups.map((group) => group.name), ...(paper.length ? ["the paper"] : [])];
      const top = legendHeight(names, width) + 12;
      const known = [...judged.map((row) => top1(row, choice)!), ...paper.map((figure) => figure.top1)];
      const strip = unknown.length ? 34 : 0;
      const height = top + (!known.length ? 60 : width > 560 ? 360 : 300) + strip + 50;
      const times = [...rows.map((row) => row.ms), ...paper.map((figure) => figure.ms)];
      const shared = msAxis(ink, "", times) as Record<string, unknown>;
      const [low, high] = [Math.min(...times), Math.max(...times)];
      const margin = Math.max(0.08 * (high - low), 0.05 * high);
      // Both grids need the same range; labels of the ends are not round, and so not shown.
      const range = shared["type"] === "log" ? {} : { min: Math.max(0, low - margin), max: high + margin };
      const labels = { ...(shared["axisLabel"] as object), ...("min" in range ? { showMinLabel: false, showMaxLabel: false } : {}) };
      const ours = (row: Judged, y: number, color: string) => ({
        value: [row.ms, y],
        row,
        // Hollow: something looks unsound.
        itemStyle: row.doubts.length ? { color: ink.ground, borderColor: color, borderWidth: 2 } : { color, borderColor: ink.ground, borderWidth: 1 },
      });
      const named = new Set<string | null>();
      const firstOfModel = new Map(best.map((row) => [row, !named.has(artifactOf(row).model) && !!named.add(artifactOf(row).model)]));
      return {
        height,
        option: {
          legend: { ...legend(ink), data: names },
          tooltip: tooltip(ink, ({ data: point }) =>
            point.row ? tip(point.row, choice) : point.figure ? [paperLabel(point.figure), `${number(point.figure.ms)} ms, top-1 ${point.figure.top1} %`, "published, not measured here"] : [],
          ),
          grid: [
            grid({ left: 62, right: 16, top, bottom: 50 + strip }),
            grid({ left: 62, right: 16, height: strip, bottom: 50, show: strip > 0, borderColor: ink.line, backgroundColor: ink.line + "55" }),
          ],
          xAxis: [
            { ...shared, ...range, gridIndex: 0, axisLabel: strip ? { show: false } : labels, name: strip ? "" : "latency, ms" },
            { ...shared, ...range, gridIndex: 1, show: strip > 0, axisLabel: labels, name: "latency, ms" },
          ],
          yAxis: [
            percentAxis(ink, "top-1, %", known.length ? known : [0, 100], { nameGap: 34, ...(known.length ? {} : { interval: 100 }) }),
            { type: "value", gridIndex: 1, min: -1, max: 1, show: strip > 0, interval: 1, splitLine: { show: false }, axisTick: { show: false }, axisLine: { show: false }, axisLabel: { color: ink.muted, fontSize: 11, formatter: (v: number) => (v === 0 ? "unknown" : "") } },
          ],
          series: [
            { type: "line", name: "front", step: "end", data: best.map((row) => [row.ms, top1(row, choice)]), symbol: "none", silent: true, lineStyle: { color: ink.muted, width: 1.5, type: "dotted" }, z: 1 },
            ...groups.map(({ name, color, symbol, rows: some }) => ({
              type: "scatter",
              name,
              symbol,
              symbolSize: width > 560 ? 11 : 9,
              color,
              data: some
                .filter((row) => top1(row, choice) !== null)
                .map((row) => ({
                  ...ours(row, top1(row, choice)!, color),
                  label: { show: firstOfModel.get(row) ?? false, formatter: () => artifactOf(row).model ?? artifactOf(row).name, position: "bottom", distance: 8, color: ink.text, fontSize: 12 },
                })),
              labelLayout: { hideOverlap: true },
              z: 3,
            })),
            ...groups.map(({ name, color, symbol, rows: some }) => ({
              type: "scatter",
              name,
              symbol,
              symbolSize: width > 560 ? 11 : 9,
              color,
              xAxisIndex: 1,
              yAxisIndex: 1,
              data: some.filter((row) => top1(row, choice) === null).map((row) => ours(row, 0, color)),
            })),
            {
              type: "scatter",
              name: "the paper",
              symbol: "diamond",
              symbolSize: width > 560 ? 13 : 10,
              color: ink.muted,
              data: paper.map((figure) => ({ value: [figure.ms, figure.top1], figure })),
              itemStyle: { color: "transparent", borderColor: ink.muted, borderWidth: 2 },
              label: { show: true, formatter: ({ data: point }: any) => `${point.figure.model}, ${point.figure.unit}`, position: "top", color: ink.muted, fontSize: 11 },
              labelLayout: { hideOverlap: true },
              z: 2,
            },
          ],
        },
      };
    },
  };
  return [view, summary];
}

const paperLabel = (figure: Published): string => `${figure.model}, ${figure.precision}, ${figure.device} ${figure.unit} (the paper)`;

/** What a tooltip tells of a row. */
export const tip = (row: Row, choice: Choice): (string | false | null)[] => [
  rowLabel(row, choice),
  `${number(row.ms)} ms (${row.statistic}), p90 ${number(row.p90)} ms`,
  row.range && row.sessions.length > 1 && `${row.sessions.length} sessions: ${number(row.range[0])} to ${number(row.range[1])} ms`,
  `top-1 ${fixed(top1(row, choice), 1)} %, ${number(artifactOf(row).mb)} MB`,
  `${count(row.threads, "thread")}, ${row.runtime || "unknown runtime"}, ${deviceOf(row).model}`,
  ...row.doubts.map((doubt) => `⚠ ${doubt}`),
];
