// The data that mnv4_mobile/measuring/report/data.py writes into the page.

/** A published latency, and how near its device is to ours. */
export interface Published {
  device: string;
  match: "device" | "chip" | "class";
  unit: string;
  runtime: string;
  precision: string;
  model: string;
  size: number;
  ms: number;
  top1: number | null; // percent
  images: number | null;
  source: string;
}

export interface Source {
  title: string;
  url: string;
  date: string;
  latency: string;
}

export interface Device {
  id: string;
  model: string;
  soc: string;
  cores: number | null;
  published: Published[];
}

export interface Artifact {
  name: string;
  target: string;
  model: string | null;
  recipe: string | null;
  size: [height: number, width: number] | null;
  mb: number;
  sha256: string;
}

/** Accuracy in percent; low and high are the 95 % interval. */
export interface Accuracy {
  top1: number;
  low: number;
  high: number;
  n: number;
}

/** Which bundle to ship to a device, as mnv4 choose finds it. */
export interface Verdict {
  device: number;
  dataset: string | null;
  ship: boolean;
  headline: string;
  facts: string;
  why: string;
  doubts: string[];
  next: string[];
}

type Thermal = [status: string | null, celsius: number | null];

export interface Timed {
  start: string;
  status: "ok";
  value: number | null;
  summary: { mean: number; std: number | null; min: number | null; max: number | null; count: number } | null;
  n: number;
  ms: number[];
  t: number[] | null;
  drift: number | null;
  before: Thermal;
  after: Thermal;
}

export interface Failed {
  start: string;
  status: "wrong" | "failed";
}

export interface Row {
  artifact: number;
  device: number;
  run: string;
  latest: boolean;
  os: string;
  runtime: string;
  threads: number;
  affinity: string;
  unit: string;
  statistic: string;
  ms: number | null;
  range: [number, number] | null;
  p90: number | null;
  p95: number | null;
  cv: number | null;
  box: [number, number, number, number, number] | null;
  n: number;
  cold: number | null;
  first: number | null;
  preprocess: number | null;
  rss: number | null;
  published: Published | null;
  alike: boolean; // whether ours was measured as the published figure was
  doubts: [code: string, detail: string][];
  errors: string[];
  accuracy: (Accuracy | null)[]; // for each dataset
  sessions: (Timed | Failed)[];
}

export interface Profile {
  artifact: number;
  device: number;
  threads: number | null;
  blocks: [name: string, role: string | null, ms: number][];
}

interface Data {
  verdicts: Verdict[];
  doubts: Record<string, string>; // the meaning of each code that occurs, the gravest first
  common: string[]; // codes that all rows have
  runs: string[];
  sessions: number;
  limit: number;
  from: string;
  to: string;
  devices: Device[];
  sources: Record<string, Source>; // of published figures, by their short names
  datasets: { name: string; n: number }[];
  artifacts: Artifact[];
  rows: Row[];
  profiles: Profile[];
}

export const data: Data = JSON.parse(document.getElementById("data")!.textContent!);

export const artifactOf = (row: { artifact: number }): Artifact => data.artifacts[row.artifact]!;
export const deviceOf = (row: { device: number }): Device => data.devices[row.device]!;
export const timed = (row: Row): Timed[] => row.sessions.filter((s): s is Timed => s.status === "ok");

/** Which part of the page's data is shown. */
export interface Choice {
  device: number;
  threads: number | null; // null: all
  model: string | null;
  run: string | null; // null: the latest of each group
  dataset: number;
}

export const chosenRow = (row: Row, choice: Choice): boolean =>
  row.device === choice.device &&
  (choice.threads === null || row.threads === choice.threads) &&
  (choice.model === null || artifactOf(row).model === choice.model) &&
  (choice.run === null ? row.latest : row.run === choice.run);

export const accuracy = (row: Row, choice: Choice): Accuracy | null => row.accuracy[choice.dataset] ?? null;
export const top1 = (row: Row, choice: Choice): number | null => accuracy(row, choice)?.top1 ?? null;

/** Returns what is wrong with a row, in sentences. */
export const reasons = (row: Row): string[] => [
  ...row.doubts.map(([code, detail]) => data.doubts[code] + (detail && ` (${detail})`)),
  ...row.errors,
];

/** Returns the doubts that not all rows have: only they mark a point or a line. */
export const ownDoubts = (row: Row): [code: string, detail: string][] => row.doubts.filter(([code]) => !data.common.includes(code));
export const unsound = (row: Row): boolean => ownDoubts(row).length > 0 || row.errors.length > 0;

const pixels = ({ size }: Artifact): string => (!size ? "" : size[0] === size[1] ? ` ${size[0]} px` : ` ${size[0]}x${size[1]} px`);
const sizes = Map.groupBy(data.artifacts, (artifact) => artifact.model);

/** Returns the network's name, with the input size if the page has several sizes of it. */
export const network = (artifact: Artifact): string =>
  (artifact.model ?? artifact.name) + (new Set(sizes.get(artifact.model)!.map(pixels)).size > 1 && artifact.model ? pixels(artifact) : "");

const shortNames = new Map<string, number>();
const shortName = (a: Artifact) => (a.model && a.recipe ? `${network(a)} ${a.recipe} ${a.target}` : a.name);
for (const artifact of data.artifacts) {
  shortNames.set(shortName(artifact), (shortNames.get(shortName(artifact)) ?? 0) + 1);
}

/** Returns network, recipe and target if no other artifact has the same three, otherwise the name. */
export const label = (row: { artifact: number }): string => {
  const artifact = artifactOf(row);
  const short = shortName(artifact);
  return shortNames.get(short) === 1 ? short : `${artifact.name} (${artifact.sha256.slice(0, 6)})`;
};

/** Returns the label, with the plan's threads if rows with several numbers of threads are shown. */
export const rowLabel = (row: Row, choice: Choice): string =>
  label(row) +
  (choice.threads === null ? `, ${count(row.threads, "thread")}` : "") +
  (row.affinity === "none" ? "" : `, cores ${row.affinity}`);

/** Returns some of the names, and how many more there are. */
export function list(names: string[], most = 4): string {
  const different = [...new Set(names)];
  const more = different.length - most;
  return more > 0 ? `${different.slice(0, most).join(", ")} and ${more} more` : different.join(", ");
}

const integers = new Intl.NumberFormat("en"); // making one takes longer than a thousand uses
export const integer = (n: number): string => integers.format(n);
export const count = (n: number, noun: string): string => `${integer(n)} ${noun}${n === 1 ? "" : "s"}`;

/** Returns "N times as fast", or "N times as slow" for less than one. */
export const speed = (ratio: number): string => {
  const faster = ratio >= 1;
  const times = (faster ? ratio : 1 / ratio).toPrecision(3).replace(/\.?0+$/, "");
  return times === "1" ? "as fast" : `${times} times as ${faster ? "fast" : "slow"}`;
};

/** Formats a number with three digits, or more if its integer part has more. */
export const number = (value: number | null | undefined): string =>
  value === null || value === undefined
    ? "–"
    : value.toPrecision(Math.max(3, 1 + Math.floor(Math.log10(Math.max(value, 1)))));

export const fixed = (value: number | null, digits: number): string => (value === null ? "–" : value.toFixed(digits));
export const percent = (share: number | null): string => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);

const MATCHES: Record<Published["match"], string> = { device: "this device", chip: "the same chip", class: "another device of its class" };

/** Returns what a published figure ran on. */
export const publishedOn = (figure: Published): string =>
  [figure.unit, figure.runtime !== figure.unit && figure.runtime, figure.precision, `${figure.device} (${MATCHES[figure.match]})`].filter(Boolean).join(", ");

/** Returns the sources of published figures as text. */
export const sourcesOf = (figures: Published[]): string =>
  [...new Set(figures.map((figure) => figure.source))].map((name) => `${name}: ${data.sources[name]!.title}, ${data.sources[name]!.date}`).join("; ");
