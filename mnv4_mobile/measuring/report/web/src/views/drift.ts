import type { Ink, View } from "../chart";
import { chosenRow, data, number, percent, rowLabel, timed } from "../data";
import type { Choice, Row, Timed } from "../data";
import { grid, legend, legendHeight, msAxis, tooltip, valueAxis } from "../style";

type Session = Timed & { t: number[] };
const sessions = (row: Row): Session[] => timed(row).filter((s): s is Session => s.t !== null && s.t.length > 1);
const drift = (row: Row): number => Math.max(...sessions(row).map((s) => Math.abs(s.drift ?? 0)));

/** Returns the rows that can be shown, the one with the most drift first. */
export const drifting = (choice: Choice): Row[] =>
  data.rows.filter((row) => chosenRow(row, choice) && sessions(row).length).sort((a, b) => drift(b) - drift(a));

export function driftView(row: Row | undefined, choice: Choice): [View | null, string] {
  if (!row) return [null, "No session here tells when its runs began."];
  const shown = sessions(row);
  const heat = shown.filter((s) => s.before.some((v) => v !== null) || s.after.some((v) => v !== null));
  const summary = [
    `${rowLabel(row, choice)}: the last quarter of a session's runs against its first: ${shown.map((s) => sign(s.drift)).join(", ")}.`,
    heat.length ? `Before and after: ${shown.map((s) => `${warmth(s.before)} to ${warmth(s.after)}`).join("; ")}.` : "The device does not say how warm it is.",
  ].join(" ");
  return [
    {
      summary,
      columns: [["Session"], ["Began"], ["Before"], ["After"], ["Latency, ms", true], ["Drift, %", true]],
      rows: shown.map((s, i) => [`${i + 1}`, s.start, warmth(s.before), warmth(s.after), s.value, s.drift === null ? null : Number((100 * s.drift).toFixed(1))]),
      draw: (width, ink) => {
        const names = shown.map((s, i) => (heat.length ? `${i + 1}: ${warmth(s.before)} to ${warmth(s.after)}` : `session ${i + 1}`));
        const top = legendHeight(names, width) + 8;
        return {
          height: top + 300,
          option: {
            legend: legend(ink, names),
            tooltip: tooltip(ink, ({ seriesName, value }) => [seriesName, `after ${number(value[0])} s: ${number(value[1])} ms`]),
            grid: grid({ left: 56, right: 16, top, bottom: 46 }),
            xAxis: valueAxis(ink, "time in the session, s", { min: 0, splitLine: { show: false } }),
            yAxis: msAxis(ink, "latency, ms", shown.flatMap((s) => s.ms), { nameGap: 40 }),
            series: shown.flatMap((s, i) => lines(s, names[i]!, ink.series[i % ink.series.length]!, ink)),
          },
        };
      },
    },
    summary,
  ];
}

/** Returns samples as dots, and their running median over eleven samples. */
function lines(s: Session, name: string, color: string, ink: Ink): object[] {
  const smooth = s.ms.map((_, i) => {
    const near = s.ms.slice(Math.max(0, i - 5), i + 6).sort((a, b) => a - b);
    return [s.t[i]! / 1000, near[near.length >> 1]];
  });
  const dots = { type: "scatter", name, color, symbolSize: 3, itemStyle: { opacity: 0.4 }, data: s.ms.map((ms, i) => [s.t[i]! / 1000, ms]) };
  return [dots, { type: "line", name, color, symbol: "none", lineStyle: { width: 2, shadowColor: ink.ground, shadowBlur: 1 }, data: smooth }];
}

const sign = (share: number | null): string => (share === null ? "too short" : `${share > 0 ? "+" : ""}${percent(share)}`);

const warmth = ([status, celsius]: Timed["before"]): string =>
  [celsius === null ? null : `${celsius.toFixed(1)} °C`, status].filter(Boolean).join(" ") || "unknown";
