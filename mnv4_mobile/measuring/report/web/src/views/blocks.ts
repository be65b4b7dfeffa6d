import type { View } from "../chart";
import { count, data, label, number } from "../data";
import type { Choice, Profile } from "../data";
import { bars, grid, legend, legendHeight, nameAxis, tooltip, valueAxis } from "../style";

export const profiles = (choice: Choice): Profile[] =>
  data.profiles.filter((p) => p.device === choice.device && (choice.model === null || data.artifacts[p.artifact]!.model === choice.model));

export function blocksView(profile: Profile | undefined): [View | null, string] {
  if (!profile) return [null, "No profile of this device: mnv4 profile BUNDLE makes one."];
  const total = profile.blocks.reduce((sum, [, , ms]) => sum + ms, 0);
  const slowest = [...profile.blocks].sort((a, b) => b[2] - a[2]).slice(0, 3);
  const summary = `${label(profile)}${profile.threads ? `, ${count(profile.threads, "thread")}` : ""}: ${number(total)} ms in all blocks; the slowest: ${slowest.map(([name, , ms]) => `${name} ${number(ms)} ms (${((100 * ms) / total).toFixed(0)} %)`).join(", ")}.`;
  return [
    {
      summary,
      columns: [["Block"], ["Kind"], ["Time, ms", true], ["Share, %", true]],
      rows: profile.blocks.map(([name, role, ms]) => [name, role, ms, Number(((100 * ms) / total).toFixed(1))]),
      draw: (width, ink) => {
        const kinds = [...new Set(profile.blocks.map(([, role]) => role ?? "block"))];
        const top = legendHeight(kinds, width) + 4;
        const { axis, left, step } = nameAxis(ink, profile.blocks.map(([name]) => name), width);
        return {
          height: top + step * (profile.blocks.length + 1) + 46,
          option: {
            legend: legend(ink, kinds),
            tooltip: tooltip(ink, ({ value }) => {
              const [name, role, ms] = profile.blocks[value[1]]!;
              return [name, role, `${number(ms)} ms, ${((100 * ms) / total).toFixed(1)} %`];
            }),
            grid: grid({ left, right: 52, top, bottom: 46 }),
            xAxis: valueAxis(ink, "ms", { splitLine: { show: false } }),
            yAxis: axis,
            series: kinds.map((kind, k) => {
              const its = profile.blocks.flatMap(([, role, ms], i): [number, number][] => ((role ?? "block") === kind ? [[ms, i]] : []));
              return bars(ink, 0, ink.series[k % ink.series.length]!, its, kind);
            }),
          },
        };
      },
    },
    summary,
  ];
}
