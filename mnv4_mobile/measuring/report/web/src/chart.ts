// Draws a chart when it comes into view, in the colours of the page, with its figures as a table.
import { BarChart, CustomChart, LineChart, ScatterChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { LabelLayout } from "echarts/features";
import type { EChartsCoreOption } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { h } from "./dom";
import { Table } from "./table";
import type { Cell } from "./table";

echarts.use([
  BarChart,
  CustomChart,
  LineChart,
  ScatterChart,
  GridComponent,
  LegendComponent,
  TitleComponent,
  TooltipComponent,
  CanvasRenderer,
  LabelLayout,
]);

/** What a chart shows, as a drawing, in words and as a table. */
export interface View {
  /** The chart in words, for screen readers and as the caption. */
  summary: string;
  /** Returns the chart for a width in pixels. */
  draw: (width: number, ink: Ink) => { height: number; option: EChartsCoreOption };
  columns: [name: string, numeric?: boolean][];
  rows: Cell[][];
}

/** Colours of a chart, on light or dark ground. */
export interface Ink {
  text: string;
  muted: string;
  line: string;
  ground: string;
  series: string[];
}

// Paul Tol's "bright" scheme, darker or lighter for a contrast of 3:1 with the ground.
const LIGHT: Ink = {
  text: "#1b1f24",
  muted: "#57606a",
  line: "#d8dee4",
  ground: "#ffffff",
  series: ["#2f6fbf", "#c8453b", "#1d7f3f", "#8a4fbf", "#9a7400", "#0b7f93", "#b03a78", "#5b6470"],
};
const DARK: Ink = {
  text: "#e8ebef",
  muted: "#a5aeb9",
  line: "#363d46",
  ground: "#171b21",
  series: ["#6aa8f5", "#ff8a7f", "#5fce85", "#c39bf2", "#e0b83c", "#4dc6dc", "#f28cbb", "#aab3bf"],
};

const charts = new Set<Chart>();
const waiting = new Set<Chart>();

/** Draws one chart per frame, so that the first appears at once and the page stays responsive. */
function drawLater(chart: Chart): void {
  if (!waiting.size) requestAnimationFrame(drawNext);
  waiting.add(chart);
}

function drawNext(): void {
  const [chart] = waiting;
  if (!chart) return;
  waiting.delete(chart);
  chart.draw();
  if (waiting.size) setTimeout(() => requestAnimationFrame(drawNext));
}

const PRINT_WIDTH = 680;

/** A figure with a heading; `show` draws it, or draws it anew. */
export class Chart {
  readonly element: HTMLElement;
  private readonly canvas = h("div", { class: "chart", role: "img" });
  private readonly caption = h("p", { class: "summary" });
  private readonly details = h("details", {}, h("summary", {}, "The figures as a table"));
  private readonly extra: HTMLElement;
  private view: View | null = null;
  private chart: echarts.ECharts | null = null;
  private visible = false;

  constructor(private readonly title: string, explanation: string) {
    this.extra = h("div", { class: "choices" });
    this.element = h(
      "section",
      { class: "figure" },
      h("h3", {}, title),
      h("p", { class: "explanation" }, explanation),
      this.extra,
      this.canvas,
      this.caption,
      this.details,
    );
    this.details.addEventListener("toggle", () => this.table());
    charts.add(this);
    new IntersectionObserver((entries) => {
      this.visible = entries.some((entry) => entry.isIntersecting);
      if (this.visible && !this.chart) drawLater(this);
    }, { rootMargin: "200px" }).observe(this.element);
    let width = 0;
    new ResizeObserver(() => {
      const now = this.canvas.clientWidth;
      if (this.chart && now !== width) drawLater(this);
      width = now;
    }).observe(this.canvas);
  }

  /** @param view null if there is nothing to show; `caption` then explains why. */
  show(view: View | null, caption: string, ...choices: (HTMLElement | null)[]): void {
    this.view = view;
    this.extra.replaceChildren(...choices.filter((choice) => choice !== null));
    this.caption.textContent = caption;
    this.canvas.hidden = this.details.hidden = !view;
    this.canvas.setAttribute("aria-label", `Chart: ${this.title}. ${view?.summary ?? ""}`);
    if (this.chart || this.visible) drawLater(this);
    this.table();
  }

  draw(width = this.canvas.clientWidth, dark = isDark()): void {
    if (!this.view || !width) return;
    const { height, option } = this.view.draw(width, dark ? DARK : LIGHT);
    this.canvas.style.height = `${height}px`;
    this.chart ??= echarts.init(this.canvas);
    this.chart.resize({ width, height });
    this.chart.setOption({ animation: false, ...option }, { notMerge: true });
  }

  private table(): void {
    const { view } = this;
    if (!(this.details as HTMLDetailsElement).open || !view) return;
    const columns = view.columns.map(([name, numeric], i) => ({
      name,
      numeric: numeric ?? false,
      value: (row: Cell[]) => row[i],
    }));
    const table = new Table<Cell[]>(this.title, columns);
    table.show(view.rows);
    this.details.replaceChildren(this.details.firstElementChild!, table.element);
  }
}

export const isDark = (): boolean => {
  const asked = document.documentElement.dataset["theme"];
  return asked ? asked === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

/** Draws the first chart in the first frame, without waiting for the observer. */
export const drawFirst = (): void => [...charts][0]?.draw();

export const redraw = (): void => charts.forEach((chart) => chart.draw());

// Paper is white and narrow, and shows charts that were never in view.
addEventListener("beforeprint", () => charts.forEach((chart) => chart.draw(PRINT_WIDTH, false)));
addEventListener("afterprint", redraw);
