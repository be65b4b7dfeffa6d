import type { View } from "../chart";
import { chosenRow, count, data, integer, list, number, rowLabel, timed, unsound } from "../data";
import type { Choice, Row } from "../data";
import { grid, jitter, kinds, legend, legendHeight, msAxis, nameAxis, tooltip } from "../style";
import { tip } from "./pareto";

const MOST = 60; // lines; nobody reads more

export function distribution(choice: Choice): [View | null, string] {
  const all = data.rows
    .filter((row): row is Row & { ms: number } => chosenRow(row, choice) && row.ms !== null)
    .sort((a, b) => a.ms - b.ms);
  if (!all.length) return [null, "Nothing was timed here."];
  const rows = all.slice(0, MOST);
  const drawn = rows.reduce((sum, row) => sum + timed(row).reduce((n, s) => n + s.ms.length, 0), 0);
  const samples = rows.reduce((sum, row) => sum + row.n, 0);
  const foreign = rows.filter((row) => !row.box);
  const summary = [
    `From ${number(rows[0]!.ms)} ms (${rowLabel(rows[0]!, choice)}) to ${number(rows.at(-1)!.ms)} ms (${rowLabel(rows.at(-1)!, choice)}).`,
    `Dots: ${drawn === samples ? `all ${count(samples, "sample")}` : `${integer(drawn)} of ${count(samples, "sample")}, drawn at random`}. Boxes: quartiles of all samples; whiskers: 5th and 95th percentile; bars: the sessions.`,
    foreign.length > 0 && `Without samples, as their tool reports only a summary: ${list(foreign.map((row) => rowLabel(row, choice)))}.`,
    all.length > rows.length && `The fastest ${rows.length} of ${all.length}; choose a model or threads for the others.`,
  ]
    .filter(Boolean)
    .join(" ");
  return [
    {
      summary,
      columns: [["Artifact"], ["Sessions", true], ["Samples", true], ["p5", true], ["p25", true], ["p50", true], ["p75", true], ["p95, ms", true]],
      rows: rows.map((row) => [rowLabel(row, choice), timed(row).length, row.n, ...(row.box ?? [null, null, null, null, null])]),
      draw: (width, ink) => {
        const names = rows.map((row) => (unsound(row) ? "⚠ " : "") + rowLabel(row, choice));
        const { axis, left, step } = nameAxis(ink, names, width);
        const groups = kinds(rows, ink);
        const top = legendHeight(groups.map((group) => group.name), width) + 4;
        const place = new Map<Row, number>(rows.map((row, i) => [row, i]));
        const extent = rows.flatMap((row) => [row.ms, ...(row.range ?? []), ...timed(row).flatMap((s) => s.ms.length ? [s.ms.reduce((a, b) => Math.min(a, b)), s.ms.reduce((a, b) => Math.max(a, b))] : [])]);
        return {
          height: top + step * (rows.length + 1) + 46,
          option: {
            legend: legend(ink, groups.map((group) => group.name)),
            tooltip: tooltip(ink, ({ data: point }) => tip(rows[Math.round(point.value ? point.value[1] : point[1])]!, choice)),
            grid: grid({ left, right: 16, top, bottom: 46 }),
            xAxis: msAxis(ink, "latency, ms", extent),
            yAxis: axis,
            series: groups.flatMap(({ name, color, symbol, rows: some }) => [
              {
                type: "scatter",
                name,
                symbol,
                symbolSize: 3,
                color,
                itemStyle: { opacity: 0.35 },
                large: true,
                largeThreshold: 4000,
                data: some.flatMap((row) => timed(row).flatMap((s) => s.ms.map((ms, i) => [ms, place.get(row)! + (7 / step) * jitter(i)]))),
              },
              {
                type: "custom",
                name,
                color,
                z: 4,
                data: some.filter((row) => row.box).map((row) => [row.box![2], place.get(row)!, ...row.box!]),
                renderItem: (_: unknown, api: any) => {
                  const [x5, x25, x50, x75, x95] = [2, 3, 4, 5, 6].map((i) => api.coord([api.value(i), api.value(1)])[0]);
                  const y = api.coord([api.value(4), api.value(1)])[1];
                  const stroke = { stroke: ink.text, fill: "transparent", lineWidth: 1 };
                  const box = { x: x25, y: y - 6, width: Math.max(1, x75 - x25), height: 12 };
                  return {
                    type: "group",
                    children: [
                      { type: "line", shape: { x1: x5, x2: x25, y1: y, y2: y }, style: stroke },
                      { type: "line", shape: { x1: x75, x2: x95, y1: y, y2: y }, style: stroke },
                      { type: "rect", shape: box, style: { ...stroke, fill: color, fillOpacity: 0.25 } },
                      { type: "line", shape: { x1: x50, x2: x50, y1: y - 6, y2: y + 6 }, style: { ...stroke, lineWidth: 2 } },
                    ],
                  };
                },
              },
              {
                type: "scatter",
                name,
                color,
                symbol: "rect",
                symbolSize: [2, 18],
                z: 3,
                data: some.flatMap((row) => timed(row).filter((s) => s.value !== null).map((s) => [s.value, place.get(row)!])),
              },
            ]),
          },
        };
      },
    },
    summary,
  ];
}
