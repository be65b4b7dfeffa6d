// Reads a bundle's manifest.json, which the generator's docs/reference/bundle.md specifies.

import { count, MOST_EXACT, MOST_INT32, natural, parse, schema, text, Wrong } from "./json.js";

const BYTES = { float32: 4, float16: 2, int8: 1, uint8: 1 };
const MOST_SIDE = 2 ** 14;
// The positive numbers that a float of 32 bits holds in full precision.
const SMALLEST = 2 ** -126;
const LARGEST = (2 - 2 ** -23) * 2 ** 127;
const CLASSES = ["logits", "probabilities"];
/** The least and the most of a signal to noise ratio in dB. */
const DECIBELS = [-200, 200];

/** A bundle's id, which is also the name of its folder. */
export const id = (json) => json.text(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);

const sha256 = (json) => json.text(/^[0-9a-f]{64}$/);
const path = (json) => json.text(/^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/);
const dtype = (json) => json.oneOf(...Object.keys(BYTES));
const textOrNull = (json) => json.orNull(text);
const decibels = (json) => json.number(...DECIBELS);
const label = (json) => json.text(/^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$/);
const kind = (json) => json.text(/^[a-z][a-z0-9_]*$/);
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
    { name: text, kind, shape, dtype, layout: (value) => value.orNull(() => value.oneOf("nchw", "nhwc")) },
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
    sha256,
    source: (value) => value.oneOf("input", "eager", "artifact"),
    min_sqnr_db: (value) => value.orNull(decibels),
  });
  checkSize(found, json.place);
  return found;
}

const size = (json) => json.list((side) => side.integer(1, MOST_SIDE), 2, 2);

const preprocess = (json) =>
  json.record({
    size,
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

const notNegative = (json) => json.number(0, LARGEST);

const bytes = (json) => json.integer(1, MOST_EXACT);

const parity = (json) =>
  json.record({
    sqnr_db: decibels,
    sqnr_db_p10: decibels,
    top1_agreement: (value) => value.orNull(share),
    max_abs: notNegative,
    n: count,
    gate_db: decibels,
  });

const unit = (json) => json.oneOf("cpu", "gpu", "npu");
const parities = (json) => json.map((outputs) => outputs.map(parity), unit);
const goldens = (json) => json.list(golden, 2);
const sized = (json) => json.record({ size, golden: goldens, parity: parities });

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

const float16Range = (json) => json.record({ images: count, margin: positive, layer: text });

const tried = (json) =>
  json.record({
    recipe: text,
    drop: notNegative,
    sqnr_db_p10: decibels,
    latency: (value) => value.orNull(positive),
    bytes,
  });

const tuning = (json) =>
  json.record({
    objective: (value) => value.oneOf("size", "latency"),
    max_drop: notNegative,
    min_p10: decibels,
    max_latency: positive,
    images: count,
    tried: (value) => value.list(tried, 1),
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
      artifact: (value) => value.record({ path, bytes, sha256 }),
      inputs: (value) => value.list(tensor, 1, 1),
      outputs: (value) => value.list(tensor, 1),
      preprocess,
      labels: (value) => value.orNull(() => value.list(label)),
      golden: goldens,
      parity: parities,
      layers: (value) => value.list(layer),
      requires: (value) => value.map(text, (key) => key.text(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/)),
      versions: (value) => value.map(text),
    },
    {
      more_sizes: (value) => value.list(sized),
      calibration: (value) => value.orNull(calibration),
      float16_range: (value) => value.orNull(float16Range),
      tuning: (value) => value.orNull(tuning),
    },
  );
  checkInput(found);
  checkOutputs(found);
  checkGolden(found);
  checkSizes(found);
  return found;
}

function checkInput({ inputs, preprocess: { size } }) {
  const [{ kind, layout, shape: [, ...sides] }] = inputs;
  if (kind !== "image") throw new Wrong(`inputs[0].kind: found '${kind}', must be image`);
  if (layout === null) throw new Wrong("inputs[0].layout: found null, must be one of nchw, nhwc");
  const wanted = layout === "nchw" ? [3, ...size] : [...size, 3];
  if (sides.join() !== wanted.join()) {
    throw new Wrong(`inputs[0].shape: found ${inputs[0].shape}, must be the number of images, and ${wanted}`);
  }
}

function checkOutputs({ inputs: [{ shape: [batch] }], outputs, labels, parity }) {
  const names = new Set();
  for (const [i, { name, kind, shape, layout }] of outputs.entries()) {
    const wrong = (key, message) => new Wrong(`outputs[${i}].${key}: ${message}`);
    const scores = CLASSES.includes(kind);
    if (names.has(name)) throw wrong("name", `found '${name}' twice`);
    names.add(name);
    if (kind === "image") throw wrong("kind", "found 'image', which is for the input");
    if (shape[0] !== batch || (scores && shape.length !== 2)) {
      throw wrong("shape", `found ${shape}, must be ${scores ? `${batch},classes` : `a batch of ${batch}`}`);
    }
    if ((layout !== null) !== (shape.length === 4)) {
      throw wrong("layout", `found ${layout}, must be the order of four axes, or null for another number of axes`);
    }
    if (labels && scores && labels.length !== shape[1]) {
      throw new Wrong(`labels: found ${labels.length}, must be ${shape[1]}, one for each class`);
    }
  }
  for (const [unit, found] of Object.entries(parity)) {
    const strange = Object.keys(found).find((name) => !names.has(name));
    if (strange !== undefined) throw new Wrong(`parity.${unit}: found '${strange}', which is no output`);
  }
}

/** Checks the further input sizes. */
function checkSizes(manifest) {
  const { inputs: [image], preprocess, more_sizes: sizes = [] } = manifest;
  const found = new Set([preprocess.size.join()]);
  for (const [i, { size, golden, parity }] of sizes.entries()) {
    const place = `more_sizes[${i}]`;
    if (found.has(size.join())) throw new Wrong(`${place}.size: found ${size} twice`);
    found.add(size.join());
    const bytes = [image.shape[0], 3, ...size].reduce((product, side) => product * side, BYTES[image.dtype]);
    if (bytes > MOST_INT32) {
      throw new Wrong(`${place}.size: found ${size}, an input has at most ${MOST_INT32} bytes`);
    }
    const eager = golden.filter(({ source }) => source === "eager");
    const outputs = manifest.outputs.map((output) =>
      withSidesOf(output, eager.find(({ tensor }) => tensor === output.name)?.shape),
    );
    const alone = { ...manifest, outputs, golden, parity, preprocess: { ...preprocess, size } };
    try {
      checkOutputs(alone);
      checkGolden(alone);
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      throw new Wrong(`${place}.${error.message}`);
    }
  }
}

/** Returns an output with the sides of another shape, if it is a feature map. */
function withSidesOf(output, other) {
  const { layout, shape: [batch, ...rest] } = output;
  if (layout === null || other?.length !== 4) return output;
  const sides = layout === "nchw" ? [rest[0], ...other.slice(2)] : [...other.slice(1, 3), rest[2]];
  return { ...output, shape: [batch, ...sides] };
}

/** Checks that every output has a golden tensor, for the same images. */
function checkGolden({ inputs: [{ shape: [batch] }], outputs, golden, preprocess: { size } }) {
  const shapes = new Map(outputs.map(({ name, shape: [, ...sides] }) => [name, sides]));
  const pixels = golden.find(({ source, tensor }) => source === "input" && tensor === "pixels");
  const eager = golden.filter(({ source }) => source === "eager").map(({ tensor }) => tensor);
  if (!pixels || outputs.some(({ name }) => !eager.includes(name))) {
    throw new Wrong("golden: needs the pixels of the input, and an eager tensor for every output");
  }
  const [images] = pixels.shape;
  const found = new Set();
  for (const [i, { tensor, shape, dtype, source, min_sqnr_db: gate }] of golden.entries()) {
    const wrong = (key, message) => new Wrong(`golden[${i}].${key}: ${message}`);
    const sides = source === "input" ? new Map([["pixels", [...size, 3]]]) : shapes;
    if (!sides.has(tensor)) throw wrong("tensor", `found '${tensor}', must be one of ${[...sides.keys()]}`);
    if (found.has(`${source} ${tensor}`)) throw wrong("tensor", `found '${tensor}' twice`);
    found.add(`${source} ${tensor}`);
    const wanted = [images, ...sides.get(tensor)];
    if (shape.join() !== wanted.join() || images % batch) {
      throw wrong("shape", `found ${shape}, must be ${wanted}, and ${batch} must divide the number of images`);
    }
    const type = { input: "uint8", eager: "float32" }[source] ?? dtype;
    if (dtype !== type) throw wrong("dtype", `found ${dtype}, must be ${type}`);
    if (source === "eager" && gate === null) throw wrong("min_sqnr_db", "found null, must be a number");
  }
}

/** Reads a manifest; an error names the key. */
export const parseManifest = (json) => parse(json, "manifest.json", manifest);

/** Returns the output with the scores of the classes; undefined if there is none. */
export const classOutput = ({ outputs }) =>
  outputs.find(({ kind }) => kind === "probabilities") ?? outputs.find(({ kind }) => kind === "logits");
