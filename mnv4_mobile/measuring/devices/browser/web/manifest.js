// Reads a bundle's manifest.json, which the generator's docs/reference/bundle.md specifies.

import { count, MOST_EXACT, MOST_INT32, natural, number, parse, schema, text, Wrong } from "./json.js";

const BYTES = { float32: 4, float16: 2, int8: 1, uint8: 1 };
const MOST_SIDE = 2 ** 14;
// The positive numbers that a float of 32 bits holds in full precision.
const SMALLEST = 2 ** -126;
const LARGEST = (2 - 2 ** -23) * 2 ** 127;
const CLASSES = ["logits", "probabilities"];

/** A bundle's id, which is also the name of its folder. */
export const id = (json) => json.text(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);

const sha256 = (json) => json.text(/^[0-9a-f]{64}$/);
const path = (json) => json.text(/^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/);
const dtype = (json) => json.oneOf(...Object.keys(BYTES));
const textOrNull = (json) => json.orNull(text);
const numberOrNull = (json) => json.orNull(number);
const positive = (json) => json.number(SMALLEST, LARGEST);
const share = (json) => json.number(0, 1);
const shape = (json) => json.list(count, 1);

/** Refuses a tensor of more bytes than 31 bits can count. */
function checkSize(tensor, place) {
  const bytes = tensor.shape.reduce((product, side) => product * side, BYTES[tensor.dtype]);
  if (bytes > MOST_INT32) {
    throw new Wrong(`${place}.shape: found ${tensor.shape}, a tensor has at most ${MOST_INT32} bytes`);
  }
}

const quantization = (json) =>
  json.record({ scale: positive, zero_point: (value) => value.integer(-128, 255) });

function tensor(json) {
  const found = json.record(
    { name: text, kind: text, shape, dtype, layout: (value) => value.orNull(() => value.oneOf("nchw", "nhwc")) },
    { quantization: (value) => value.orNull(quantization) },
  );
  checkSize(found, json.place);
  if (found.quantization && found.dtype.startsWith("float")) {
    throw new Wrong(`${json.place}.quantization: found with ${found.dtype}, must be with integers only`);
  }
  return found;
}

function golden(json) {
  const found = json.record({
    path,
    tensor: text,
    shape,
    dtype,
    source: (value) => value.oneOf("input", "eager", "artifact"),
    min_sqnr_db: numberOrNull,
  });
  checkSize(found, json.place);
  return found;
}

const preprocess = (json) =>
  json.record({
    size: (value) => value.list((side) => side.integer(1, MOST_SIDE), 2, 2),
    crop: (value) => value.number(0.01, 1),
    interpolation: (value) => value.oneOf("nearest", "bilinear", "bicubic", "lanczos"),
    mean: (value) => value.list((one) => one.number(-LARGEST, LARGEST), 3, 3),
    std: (value) => value.list(positive, 3, 3),
    inside: (value) => value.flag(),
    assumed: (value) => value.list((one) => one.oneOf("mean", "std", "crop", "interpolation")),
  });

const layer = (json) =>
  json.record({
    name: text,
    kind: (value) => value.oneOf("convolution", "other"),
    block: text,
    precision: text,
    why: textOrNull,
  });

const parity = (json) =>
  json.record({
    sqnr_db: number,
    sqnr_db_p10: number,
    top1_agreement: (value) => value.orNull(share),
    max_abs: (value) => value.number(0),
    n: count,
    gate_db: number,
  });

const calibration = (json) =>
  json.record({
    images: count,
    held_out: natural,
    skipped: natural,
    seed: (value) => value.integer(-MOST_EXACT, MOST_EXACT),
    dataset_sha256: (value) => value.orNull(sha256),
    range: textOrNull,
    agreement: (value) => value.orNull(() => value.record({ top1: share, n: count, gate: share })),
  });

function option(json) {
  if (typeof json.value === "string" || typeof json.value === "boolean") return json.value;
  return json.integer(-MOST_EXACT, MOST_EXACT);
}

function manifest(json) {
  const found = json.record(
    {
      schema,
      id,
      ingredients: (value) => value.map(sha256),
      model: (value) =>
        value.record({
          name: text,
          config_sha256: sha256,
          weights: text,
          weights_sha256: sha256,
          licence: textOrNull,
        }),
      target: text,
      recipe: text,
      options: (value) => value.map(option),
      artifact: (value) => value.record({ path, bytes: (one) => one.integer(1, MOST_EXACT), sha256 }),
      inputs: (value) => value.list(tensor, 1, 1),
      outputs: (value) => value.list(tensor, 1),
      preprocess,
      labels: (value) => value.orNull(() => value.list(text)),
      golden: (value) => value.list(golden, 2),
      parity: (value) => value.map((unit) => unit.map(parity), (unit) => unit.oneOf("cpu", "gpu", "npu")),
      layers: (value) => value.list(layer),
      requires: (value) => value.map(text, (key) => key.text(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/)),
      versions: (value) => value.map(text),
    },
    { calibration: (value) => value.orNull(calibration) },
  );
  const { inputs, outputs, labels, preprocess: { size } } = found;
  const [{ layout, shape: [, ...sides] }] = inputs;
  if (layout === null) throw new Wrong("inputs[0].layout: found null, must be one of nchw, nhwc");
  const wanted = layout === "nchw" ? [3, ...size] : [...size, 3];
  if (sides.join() !== wanted.join()) {
    throw new Wrong(`inputs[0].shape: found ${inputs[0].shape}, must be the number of images, and ${wanted}`);
  }
  for (const output of outputs) {
    const classes = output.shape.at(-1);
    if (labels && CLASSES.includes(output.kind) && labels.length !== classes) {
      throw new Wrong(`labels: found ${labels.length}, must be ${classes}, one for each class`);
    }
  }
  return found;
}

/** Reads a manifest; an error names the key. */
export const parseManifest = (json) => parse(json, "manifest.json", manifest);

/** Returns the output with the scores of the classes; undefined if there is none. */
export const classOutput = ({ outputs }) =>
  outputs.find(({ kind }) => kind === "probabilities") ?? outputs.find(({ kind }) => kind === "logits");
