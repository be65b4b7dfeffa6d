import type { View } from "../chart";
import { artifactOf, chosenRow, data, label, list, number } from "../data";
import type { Choice, Row } from "../data";
import { bars, grid, nameAxis, tooltip, valueAxis } from "../style";

const [TOP, FIGURES] = [24, 52]; // room for headings, and for figures after the bars

export function memory(choice: Choice): [View | null, string] {
  const most = new Map<number, Row>(); // if there are several plans, the one that took the most memory
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
  const panels: [name: string, value: (row: Row) => number | null][] = [["File, MB", (row) => artifactOf(row).mb]];
  if (unknown.length < rows.length) panels.push(["Peak memory, MiB", (row) => row.rss]);
  return [
    {
      summary,
      columns: [["Artifact"], ["File, MB", true], ["Peak memory, MiB", true]],
      rows: rows.map((row) => [label(row), number(artifactOf(row).mb), row.rss]),
      draw: (width, ink) => {
        const { axis, left, step } = nameAxis(ink, rows.map(label), width);
        const across = (width - left) / panels.length;
        const at = (i: number) => left + i * across;
        return {
          height: TOP + step * (rows.length + 1),
          option: {
            tooltip: tooltip(ink, ({ value }) => {
              const row = rows[value[1]]!;
              return [label(row), `file ${number(artifactOf(row).mb)} MB`, `peak memory ${number(row.rss)} MiB`];
            }),
            title: panels.map(([name], i) => ({ text: name, left: at(i), top: 8, padding: 0, textStyle: { fontSize: 13, color: ink.text, fontWeight: 600 } })),
            grid: panels.map((_, i) => grid({ left: at(i), width: across - FIGURES, top: TOP, bottom: 0 })),
            xAxis: panels.map((_, gridIndex) => valueAxis(ink, "", { gridIndex, min: 0, max: "dataMax", show: false })),
            yAxis: panels.map((_, gridIndex) => ({ ...axis, gridIndex, ...(gridIndex ? { show: false } : {}) })),
            series: panels.map(([, value], i) => bars(ink, i, ink.series[i ? 4 : 0]!, rows.map((row, y) => [value(row), y]))),
          },
        };
      },
    },
    summary,
  ];
}
