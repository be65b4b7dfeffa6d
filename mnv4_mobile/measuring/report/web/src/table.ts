import { h, newId } from "./dom";

export type Cell = string | number | null | undefined;

export interface Column<T> {
  name: string;
  title?: string; // a longer name, shown on hover
  value: (row: T) => Cell; // what is sorted by, and shown without `show`
  show?: (row: T) => Node | string;
  numeric?: boolean;
}

export const PAGE = 100;
const collator = new Intl.Collator("en", { numeric: true });

/** Compares two cells; missing values come last in both directions. */
function compare(a: Cell, b: Cell, sign: number): number {
  const [noA, noB] = [a === null || a === undefined, b === null || b === undefined];
  if (noA || noB) return Number(noA) - Number(noB);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * collator.compare(String(a), String(b));
}

/** Returns a heading that may break only before its unit. */
const name = (text: string): (Node | string)[] => {
  const [main, ...unit] = text.split(", ");
  return unit.length ? [h("span", { class: "nowrap" }, `${main},`), ` ${unit.join(", ")}`] : [text];
};

/** A table that sorts by its header's buttons; `show` replaces its rows. */
export class Table<T> {
  readonly element: HTMLElement;
  private readonly body = h("tbody");
  private readonly more = h("button", { type: "button", class: "more", click: () => this.fill() });
  private readonly heads: HTMLElement[];
  private rows: T[] = [];
  private shown = 0;
  private by: number | null = null;
  private sign = 1;

  constructor(
    caption: string,
    private readonly columns: Column<T>[],
  ) {
    this.heads = columns.map((column, i) =>
      h(
        "th",
        { scope: "col", class: column.numeric ? "number" : null, title: column.title },
        // The arrow is drawn by the style sheet: a pale double one until the column sorts.
        h("button", { type: "button", click: () => this.sort(i) }, h("span", {}, ...name(column.name)), h("i", { "aria-hidden": "true" })),
      ),
    );
    const id = newId();
    this.element = h(
      "div",
      {},
      h("p", { id, class: "caption" }, `${caption}. Click a heading to sort.`),
      h(
        "div",
        // A region that scrolls sideways must take the focus, or the keyboard cannot scroll it.
        { class: "scroll", role: "region", tabindex: 0, "aria-labelledby": id },
        h("table", { "aria-labelledby": id }, h("thead", {}, h("tr", {}, ...this.heads)), this.body),
      ),
      this.more,
    );
  }

  show(rows: T[]): void {
    this.rows = rows;
    this.order();
  }

  /** Sorts by a column, and in the other direction if it is called again. */
  sort(column: number): void {
    this.sign = this.by === column ? -this.sign : 1;
    this.by = column;
    this.heads.forEach((head, i) => {
      if (i === column) head.setAttribute("aria-sort", this.sign > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    this.order();
  }

  private order(): void {
    const by = this.by === null ? null : this.columns[this.by]!.value;
    if (by) this.rows = [...this.rows].sort((a, b) => compare(by(a), by(b), this.sign));
    this.body.replaceChildren();
    this.shown = 0;
    this.fill();
  }

  private fill(): void {
    const next = this.rows.slice(this.shown, this.shown + PAGE);
    this.shown += next.length;
    this.body.append(...next.map((row) => this.line(row)));
    const left = this.rows.length - this.shown;
    this.more.hidden = left === 0;
    this.more.textContent = `Show ${Math.min(left, PAGE)} more of ${left}`;
  }

  private line(row: T): HTMLElement {
    const cells = this.columns.map((column, i) => {
      const value = column.show ? column.show(row) : (column.value(row) ?? "–");
      const type = column.numeric ? "number" : null;
      const text = typeof value === "number" ? String(value) : value;
      return i === 0 ? h("th", { scope: "row", class: type }, text) : h("td", { class: type ?? (typeof text === "string" && text.length < 12 ? "short" : null) }, text);
    });
    return h("tr", {}, ...cells);
  }
}
