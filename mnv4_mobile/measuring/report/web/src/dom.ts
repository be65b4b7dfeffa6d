type Child = Node | string | null | undefined | false;
type Properties = Record<string, string | number | boolean | null | undefined | ((event: Event) => void)>;

/** Creates an element. Text is always text, never markup, because names come from unchecked files. */
export function h(tag: string, properties: Properties = {}, ...children: Child[]): HTMLElement {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

let ids = 0;
export const newId = (): string => `n${ids++}`;

/** Creates a labelled choice, or returns null if there is nothing to choose from. */
export function select<T>(
  name: string,
  options: [text: string, value: T][],
  chosen: T,
  changed: (value: T) => void,
): HTMLElement | null {
  if (options.length < 2) return null;
  const id = newId();
  const element = h("select", { id }) as HTMLSelectElement;
  options.forEach(([text, value], i) => element.append(h("option", { value: i, selected: value === chosen }, text)));
  element.addEventListener("change", () => changed(options[Number(element.value)]![1]));
  return h("div", { class: "choice" }, h("label", { for: id }, name), element);
}
