import type { View } from "../chart";
import { artifactOf, chosenRow, data, label, list, number } from "../data";
import type { Choice, Row } from "../data";
import { grid, legend, nameAxis, tooltip, valueAxis } from "../style";

export function memory(choice: Choice): [View | null, string] {
  const most = new Map<number, Row>(); // of several plans, the one that took the most memory
  for (const row of data.rows.filter((row) => chosenRow(row, choice))) {
    if ((row.rss ?? 0) >= (most.get(row.artifact)?.rss ?? 0)) most.set(row.artifact, row);
  }
  const rows = [...most.values()].sort((a, b) => artifactOf(a).mb - artifactOf(b).mb);
  if (!rows.length) return [null, "Nothing was measured here."];
  const unknown = rows.filter((row) => row.rss === null);
  const [least, largest] = [rows[0]!, rows.at(-1)!];
  const summary = [
    `Files from ${number(artifactOf(least).mb)} MB (${label(least)}) to ${number(artifactOf(largest).mb)} MB (${label(largest)}).`,
    unknown.length === rows.length ? "Peak memory is not known of any." : unknown.length > 0 && `Peak memory is not known of ${list(unknown.map(label))}.`,
  ]
    .filter(Boolean)
    .join(" ");
  const bar = (name: string, color: string, shift: number, value: (row: Row) => number | null) => ({
    type: "custom",
    name,
    color,
    data: rows.flatMap((row, i) => (value(row) === null ? [] : [[value(row), i]])),
    renderItem: (_: unknown, api: any) => {
      const [[x0, y], [x1]] = [api.coord([0, api.value(1)]), api.coord([api.value(0), api.value(1)])];
      return { type: "rect", shape: { x: x0, y: y + shift, width: x1 - x0, height: 7 }, style: { fill: api.visual("color") } };
    },
  });
  return [
    {
      summary,
      columns: [["Artifact"], ["File, MB", true], ["Peak memory, MiB", true]],
      rows: rows.map((row) => [label(row), number(artifactOf(row).mb), row.rss]),
      draw: (width, ink) => {
        const { axis, left, step } = nameAxis(ink, rows.map(label), width);
        const names = ["file, MB", "peak memory, MiB"];
        return {
          height: 30 + step * (rows.length + 1) + 46,
          option: {
            legend: { ...legend(ink), data: names },
            tooltip: tooltip(ink, ({ value }) => {
              const row = rows[value[1]]!;
              return [label(row), `file ${number(artifactOf(row).mb)} MB`, `peak memory ${number(row.rss)} MiB`];
            }),
            grid: grid({ left, right: 16, top: 30, bottom: 46 }),
            xAxis: valueAxis(ink, "MB of the file, MiB of memory"),
            yAxis: axis,
            series: [bar(names[0]!, ink.series[0]!, -8, (row) => artifactOf(row).mb), bar(names[1]!, ink.series[4]!, 1, (row) => row.rss)],
          },
        };
      },
    },
    summary,
  ];
}
