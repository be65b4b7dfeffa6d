// What all charts share: axes, ticks, tooltips, and which colour and shape means what.
import type { Ink } from "./chart";
import { artifactOf, data, number } from "./data";
import type { Row } from "./data";
import { h } from "./dom";

const recipeOf = (row: { artifact: number }): string => artifactOf(row).recipe ?? "from elsewhere";
const targetOf = (row: { artifact: number }): string => artifactOf(row).target;
const RECIPES = [...new Set(data.rows.map(recipeOf))].sort();
const TARGETS = [...new Set(data.rows.map(targetOf))].sort();
const SHAPES = ["circle", "rect", "triangle", "roundRect", "arrow"];
const DASHES = ["solid", "dashed", "dotted"];

/** Groups rows by recipe and target. Each recipe has a colour, each target a shape and a dash. */
export function kinds<T extends Row>(rows: T[], ink: Ink): { name: string; rows: T[]; color: string; symbol: string; dash: string }[] {
  const found = [];
  for (const [i, recipe] of RECIPES.entries()) {
    for (const [j, target] of TARGETS.entries()) {
      const some = rows.filter((row) => recipeOf(row) === recipe && targetOf(row) === target);
      if (!some.length) continue;
      found.push({
        name: TARGETS.length > 1 ? `${recipe} ${target}` : recipe,
        rows: some,
        color: ink.series[i % ink.series.length]!,
        symbol: SHAPES[j % SHAPES.length]!,
        dash: DASHES[j % DASHES.length]!,
      });
    }
  }
  return found;
}

/** Returns a tooltip of lines of text; the first one is a heading. */
export function tooltip(ink: Ink, lines: (parameters: any) => (string | false | null)[]): object {
  return {
    trigger: "item",
    confine: true,
    backgroundColor: ink.ground,
    borderColor: ink.line,
    textStyle: { color: ink.text, fontSize: 12 },
    formatter: (parameters: any) => {
      const [head, ...rest] = lines(parameters).filter((line) => line !== false && line !== null);
      return h("div", { class: "tip" }, h("strong", {}, head ?? ""), ...rest.map((line) => h("div", {}, line)));
    },
  };
}

const FONT = "sans-serif";
const pen = document.createElement("canvas").getContext("2d")!;
pen.font = `12px ${FONT}`;
const widthOf = (text: string): number => pen.measureText(text).width;

const LEGEND = { padding: 5, gap: 10, line: 12 };

/** @param mark width of what stands before a name: square for a symbol, wider for a line. */
export const legend = (ink: Ink, names: string[], mark = 10): object => ({
  type: "plain",
  data: names,
  top: 0,
  left: 0,
  padding: LEGEND.padding,
  itemGap: LEGEND.gap,
  itemHeight: 10,
  itemWidth: mark,
  itemStyle: { opacity: 1 },
  textStyle: { color: ink.text, fontSize: 12, fontFamily: FONT, lineHeight: LEGEND.line },
});

/** Returns the height of a legend in pixels. */
export function legendHeight(names: string[], width: number, mark = 10): number {
  const room = width - 2 * LEGEND.padding;
  let [lines, x] = [1, 0];
  for (const name of names) {
    const next = mark + 5 + widthOf(name);
    if (x && x + next > room) [lines, x] = [lines + 1, 0];
    x += next + LEGEND.gap;
  }
  return 2 * LEGEND.padding + lines * (LEGEND.line + LEGEND.gap);
}

export function valueAxis(ink: Ink, name: string, rest: object = {}): object {
  return {
    type: "value",
    name,
    nameLocation: "middle",
    nameGap: 30,
    nameTextStyle: { color: ink.muted, fontSize: 12 },
    axisLabel: { color: ink.muted, fontSize: 12, hideOverlap: true },
    axisLine: { show: true, onZero: false, lineStyle: { color: ink.line } },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: ink.line } },
    ...rest,
  };
}

/** Returns an axis of latencies: logarithmic if they differ by more than a factor of eight. */
export function msAxis(ink: Ink, name: string, values: number[], rest: object = {}): object {
  const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  if (!(low > 0 && high / low > 8)) return valueAxis(ink, name, { scale: true, ...rest });
  const ticks = [1, 2, 5].flatMap((digit) => Array.from({ length: 12 }, (_, i) => digit * 10 ** (i - 5)));
  const [min, max] = [low / 1.15, high * 1.15];
  const customValues = ticks.filter((tick) => tick >= min && tick <= max).sort((a, b) => a - b);
  return valueAxis(ink, name, {
    type: "log",
    min,
    max,
    axisLabel: { color: ink.muted, fontSize: 12, customValues, hideOverlap: true, formatter: (v: number) => `${Number(v.toPrecision(3))}` },
    axisTick: { show: true, customValues, lineStyle: { color: ink.line } },
    ...rest,
  });
}

/** Returns an axis of percentages, between round numbers. */
export function percentAxis(ink: Ink, name: string, values: number[], rest: object = {}): object {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const interval = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20].find((step) => (high - low) / step <= 6) ?? 50;
  const [min, max] = [Math.floor(low / interval - 0.3), Math.ceil(high / interval + 0.3)];
  const range = { min: Math.max(0, min * interval), max: Math.min(100, max * interval) };
  return valueAxis(ink, name, { ...range, interval, ...rest });
}

/** Returns an axis of names, one per line. On a narrow page a name stands above its line. */
export function nameAxis(ink: Ink, names: string[], width: number, gridIndex = 0): { axis: object; left: number; step: number } {
  const beside = width > 560;
  const left = beside ? Math.min(340, 20 + Math.max(...names.map(widthOf))) : 8;
  return {
    left,
    step: beside ? 24 : 46,
    axis: {
      type: "value",
      gridIndex,
      inverse: true,
      min: -1,
      max: names.length,
      interval: 1,
      splitLine: { show: false },
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: {
        color: ink.text,
        fontSize: 12,
        fontFamily: FONT,
        formatter: (i: number) => names[i] ?? "",
        ...(beside
          ? { width: left - 12, overflow: "truncate" }
          : { inside: true, align: "left", verticalAlign: "bottom", margin: 0, padding: [0, 0, 12, 0] }),
      },
      z: 5,
    },
  };
}

/** Returns bars along lines of names, each followed by its figure; null is an unknown figure. */
export const bars = (ink: Ink, index: number, color: string, values: [value: number | null, line: number][], name = ""): object => ({
  type: "custom",
  name,
  color,
  xAxisIndex: index,
  yAxisIndex: index,
  data: values.map(([value, line]) => [value ?? 0, line]),
  renderItem: ({ dataIndex }: { dataIndex: number }, api: any) => {
    const [[x0, y], [x1]] = [api.coord([0, api.value(1)]), api.coord([api.value(0), api.value(1)])];
    const text = number(values[dataIndex]![0]).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
    return {
      type: "group",
      children: [
        { type: "rect", shape: { x: x0, y: y - 7, width: x1 - x0, height: 14 }, style: { fill: color } },
        { type: "text", style: { text, x: x1 + 6, y, textVerticalAlign: "middle", fill: ink.muted, font: `12px ${FONT}` } },
      ],
    };
  },
});

export const grid = (place: object): object => ({ outerBoundsMode: "none", ...place });

/** Returns a value between -1 and 1, always the same for the same number. */
export const jitter = (i: number): number => 2 * ((i * 0.618033988749895) % 1) - 1;
