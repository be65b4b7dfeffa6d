import type { View } from "../chart";
import { artifactOf, chosenRow, data, label, network, number, speed } from "../data";
import type { Choice, Row } from "../data";
import { grid, kinds, legend, legendHeight, tooltip, valueAxis } from "../style";

type Timed = Row & { ms: number };
const LINE = 24; // width of a line in the legend: long enough to show dashes

export function threads(choice: Choice): [View | null, string] {
  const every = { ...choice, threads: null };
  const rows = data.rows.filter((row): row is Timed => chosenRow(row, every) && row.ms !== null);
  const lines = new Map<string, Timed[]>();
  for (const row of rows) {
    const key = [row.artifact, row.run, row.affinity, row.unit].join(" ");
    lines.set(key, [...(lines.get(key) ?? []), row]);
  }
  const series = [...lines.values()]
    .map((line) => line.sort((a, b) => a.threads - b.threads))
    .filter((line) => new Set(line.map((row) => row.threads)).size > 1);
  if (!series.length) return [null, "Measured with one number of threads only; mnv4 sweep takes several."];
  const gain = (line: Timed[], row: Timed) => line[0]!.ms / row.ms;
  const last = series.map((line) => [line, gain(line, line.at(-1)!)] as const).sort((a, b) => b[1] - a[1]);
  const words = ([line, times]: (typeof last)[number]) => `${label(line[0]!)}, ${speed(times)} with ${line.at(-1)!.threads} threads`;
  const summary = `Speed compared with the fewest threads. Highest: ${words(last[0]!)}; lowest: ${words(last.at(-1)!)}. The dashed grey line is proportional to the threads.`;
  const panels = [...Map.groupBy(series, (line) => network(artifactOf(line[0]!)))];
  return [
    {
      summary,
      columns: [["Artifact"], ["Threads", true], ["Latency, ms", true], ["Times as fast", true]],
      rows: series.flatMap((line) => line.map((row) => [label(row), row.threads, row.ms, Number(gain(line, row).toPrecision(3))])),
      draw: (width, ink) => {
        const groups = kinds(series.map((line) => line[0]!), ink);
        const names = groups.map((group) => group.name);
        const head = legendHeight(names, width, LINE) + 8;
        const columns = Math.min(panels.length, width > 800 ? 3 : width > 520 ? 2 : 1);
        const [across, down, gap] = [(width - 16) / columns, 230, 46];
        const most = Math.max(...series.flatMap((line) => line.map((row) => row.threads)));
        const highest = Math.max(...series.flatMap((line) => line.map((row) => gain(line, row))));
        const kindOf = (row: Timed) => groups.find((group) => group.rows.includes(row))!;
        const at = (i: number) => ({ x: (i % columns) * across, y: head + Math.floor(i / columns) * down });
        const steps = [...new Set(series.flatMap((line) => line.map((row) => row.threads)))].sort((a, b) => a - b);
        return {
          height: head + down * Math.ceil(panels.length / columns),
          option: {
            legend: legend(ink, names, LINE),
            tooltip: tooltip(ink, ({ data: point }) => [label(point.row), `${point.row.threads} threads: ${number(point.row.ms)} ms, ${speed(point.value[1])}`]),
            title: panels.map(([model], i) => ({ text: model, left: at(i).x + 40, top: at(i).y, textStyle: { fontSize: 13, color: ink.text, fontWeight: 600 } })),
            grid: panels.map((_, i) => grid({ left: at(i).x + 40, top: at(i).y + 26, width: across - 56, height: down - 26 - gap })),
            xAxis: panels.map((_, i) => valueAxis(ink, "threads", { gridIndex: i, min: 0, max: most, nameGap: 24, axisLabel: { color: ink.muted, fontSize: 12, customValues: steps }, splitLine: { show: false } })),
            yAxis: panels.map((_, i) => valueAxis(ink, "", { gridIndex: i, min: 0, max: Math.ceil(highest), minInterval: 1 })),
            series: panels.flatMap(([, some], i) => [
              { type: "line", xAxisIndex: i, yAxisIndex: i, silent: true, symbol: "none", data: [[0, 0], [Math.min(most, Math.ceil(highest)), Math.min(most, Math.ceil(highest))]], lineStyle: { color: ink.muted, type: "dashed", width: 1 } },
              ...some.map((line) => {
                const { name, color, symbol, dash } = kindOf(line[0]!);
                return { type: "line", name, color, symbol, symbolSize: 7, lineStyle: { type: dash, width: 1.5 }, xAxisIndex: i, yAxisIndex: i, data: line.map((row) => ({ value: [row.threads, gain(line, row)], row })) };
              }),
            ]),
          },
        };
      },
    },
    summary,
  ];
}
