// Runs one session in a worker with a WebAssembly instance of its own, which is as fresh as a process.
// Afterwards it classifies with the model that it measured, or with another one that it loads.

import { loadAndCompile, loadLiteRt, supportsFeature, Tensor } from "@litertjs/core";
import { classOutput } from "./manifest.js";
import { feed, floats, pixels } from "./preprocess.js";
import { softmax, sqnr } from "./statistics.js";

const REPORT_MS = 100;
/** Number of runs in the golden check, as on other devices. */
const GOLDEN_IMAGES = 2;
/** Size of the image whose preprocessing is timed: a phone camera's frame. */
const CAMERA_IMAGE = { width: 640, height: 480 };
const PREPROCESS_RUNS = 20;
const base = new URL("./", self.location.href).href;
let runtime; // what `start` returned
let loaded; // { manifest, model, accelerator }

/** What LiteRT.js calls the unit of a plan. */
const accelerators = { cpu: "wasm", gpu: "webgpu" };

function acceleratorOf({ unit }) {
  const found = accelerators[unit ?? "cpu"];
  if (!found) throw new Error(`unit: found ${unit}, a browser has ${Object.keys(accelerators).join(" and ")}`);
  return found;
}

/** Starts LiteRT.js once, with threads if the browser allows them. */
async function start(threads, accelerator) {
  if (runtime) return runtime;
  const able = self.crossOriginIsolated && (await supportsFeature("relaxedSimd"));
  const variant = able && (await supportsFeature("threads")) ? "threaded" : "compat";
  const cores = navigator.hardwareConcurrency;
  if (threads > (variant === "threaded" ? cores : 1)) {
    const why = variant === "threaded" ? `it has ${cores} cores` : "it has no threads or no relaxed SIMD";
    throw new Error(`threads: found ${threads}, more than this browser can: ${why}`);
  }
  const script = `${base}litert_wasm_${variant}_internal.js`;
  // Inside a worker the runtime cannot find out where it came from, and would start its threads
  // from this file. As a blob it need not be fetched by every thread, which browsers may refuse
  // if the certificate is one that a person had to accept.
  const blob = new Blob([await (await fetch(script)).text()], { type: "text/javascript" });
  self.Module = { mainScriptUrlOrBlob: blob, locateFile: (name) => base + name };
  const begin = performance.now();
  const liteRt = await loadLiteRt(script);
  if (accelerator === "webgpu" && !liteRt.getWebGpuDevice()) {
    throw new Error("this browser has no WebGPU");
  }
  runtime = { variant, liteRt, startMs: performance.now() - begin };
  return runtime;
}

/** Loads a model and returns it with the time in ms. */
async function load(bytes, threads, accelerator) {
  const begin = performance.now();
  const model = await loadAndCompile(bytes, {
    accelerator,
    cpuOptions: { numThreads: threads },
  });
  const ms = performance.now() - begin;
  // The CPU runs the parts that WebGPU cannot run or, in some browsers, then the whole model.
  const whole = model.options.accelerator === accelerator && model.isFullyAccelerated;
  if (accelerator === "webgpu" && !whole) {
    throw new Error("WebGPU cannot run all of this model");
  }
  return { model, ms };
}

const arrays = { float32: Float32Array, uint8: Uint8Array, int32: Int32Array };

/** Returns a function that yields the same standard normal numbers every time. */
function normal() {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 1) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Returns inputs for a model without a bundle: normal floats, or integers from 0 to 127. */
function noise(model) {
  const next = normal();
  return model.getInputDetails().map(({ name, dtype, shape }) => {
    const array = arrays[dtype];
    if (!array) throw new Error(`input ${name}: found ${dtype}, LiteRT.js takes ${Object.keys(arrays).join(", ")}`);
    const sides = Array.from(shape);
    const values = new array(sides.reduce((a, b) => a * b, 1));
    const value = dtype === "float32" ? next : () => Math.floor(Math.abs(next()) * 40) % 128;
    return new Tensor(values.map(value), sides);
  });
}

/** Returns a golden tensor's entry. */
function golden(manifest, source, tensor) {
  const found = manifest.golden.find((entry) => entry.source === source && entry.tensor === tensor);
  if (!found) throw new Error(`${manifest.id}: golden: lacks ${tensor} of ${source}`);
  return found;
}

/** Returns the inputs of each run of the golden check. */
function feeds({ manifest, files }, model) {
  if (!manifest) return [noise(model)];
  const { inputs: [input], preprocess } = manifest;
  const [batch] = input.shape;
  const entry = golden(manifest, "input", "pixels");
  const length = 3 * preprocess.size[0] * preprocess.size[1];
  const bytes = new Uint8Array(files[entry.path]);
  const runs = Math.min(GOLDEN_IMAGES, Math.floor(bytes.length / (batch * length)));
  if (!runs) throw new Error(`${manifest.id}: golden: lacks pixels for a batch of ${batch}`);
  return Array.from({ length: runs }, (_, i) => {
    const images = bytes.subarray(i * batch * length, (i + 1) * batch * length);
    return { [input.name]: new Tensor(feed(images, input, preprocess), input.shape) };
  });
}

/** Runs once and returns the outputs by name. A GPU has finished only when its outputs were read. */
async function run(model, tensors, accelerator) {
  const outputs = await model.run(tensors);
  if (accelerator === "webgpu") await Promise.all(Object.values(outputs).map((o) => o.data()));
  return outputs;
}

const release = (tensors) => Object.values(tensors).forEach((tensor) => tensor.delete());

async function values(outputs) {
  const found = {};
  for (const [name, tensor] of Object.entries(outputs)) found[name] = await tensor.data();
  release(outputs);
  return found;
}

/** Performs the golden check and returns the SQNR of the worst output, or what is wrong. */
function check({ manifest, files }, runs) {
  if (!manifest) return { db: null };
  const images = runs.length * manifest.inputs[0].shape[0];
  let worst = Infinity;
  for (const output of manifest.outputs) {
    const { name } = output;
    const { path, min_sqnr_db: gate } = golden(manifest, "eager", name);
    const parts = runs.map((outputs) => outputs[name]);
    if (parts.includes(undefined)) {
      return { wrong: `output ${name}: found only ${Object.keys(runs[0]).join(", ")}` };
    }
    const found = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => (found.set(floats(part, output), at), at + part.length), 0);
    const wanted = new Float32Array(files[path]).subarray(0, found.length);
    const length = images * output.shape.slice(1).reduce((a, b) => a * b, 1);
    if (found.length !== length || wanted.length !== length) {
      return { wrong: `output ${name}: found ${found.length} values, must be ${length}` };
    }
    const db = sqnr(wanted, found, images);
    if (!(db >= gate)) {
      return { wrong: `output ${name}: wrong on the device: ${db.toFixed(1)} dB, must be ${gate} or more` };
    }
    worst = Math.min(worst, db);
  }
  return { db: worst };
}

/** Returns the smallest step of the clock that was observed, in ms. */
function timerResolution() {
  let smallest = Infinity;
  for (let i = 0; i < 50; i++) {
    const begin = performance.now();
    let now = begin;
    while (now === begin) now = performance.now();
    smallest = Math.min(smallest, now - begin);
  }
  return smallest;
}

/** Times the preprocessing of an image several times, in milliseconds. */
function preprocessing({ inputs: [input], preprocess }) {
  const { width, height } = CAMERA_IMAGE;
  const image = { width, height, data: Uint8Array.from({ length: 3 * width * height }, (_, i) => i * 7) };
  return Array.from({ length: PREPROCESS_RUNS }, () => {
    const begin = performance.now();
    feed(pixels(image, preprocess), input, preprocess);
    return performance.now() - begin;
  });
}

/** Measures `work`, { plan, manifest, artifact, files }, on noise if there is no manifest. */
async function measure(work, report) {
  const { plan, manifest } = work;
  const accelerator = acceleratorOf(plan);
  report({ text: "Starting the runtime" });
  const { variant, liteRt, startMs } = await start(plan.threads, accelerator);
  report({ text: "Loading the model" });
  const bytes = new Uint8Array(work.artifact);
  const cold = await load(bytes, plan.threads, accelerator);
  cold.model.delete();
  const { model, ms: warmMs } = await load(bytes, plan.threads, accelerator);

  report({ text: manifest ? "Checking against the golden pair" : "Running it once" });
  const fed = feeds(work, model);
  const runs = [];
  let firstMs;
  for (const tensors of fed) {
    const begin = performance.now();
    const outputs = await run(model, tensors, accelerator);
    firstMs ??= performance.now() - begin;
    runs.push(await values(outputs));
  }
  loaded = { manifest, model, accelerator };
  const found = check(work, runs);
  if (found.wrong) return { wrong: found.wrong };
  const preprocessMs = manifest ? preprocessing(manifest) : [];

  const { warmup, runs: least, seconds } = plan;
  for (let i = 0; i < warmup; i++) {
    report({ text: "Warming up", done: i / warmup });
    release(await run(model, fed[0], accelerator));
  }
  const latencies = [];
  const starts = [];
  const begin = performance.now();
  for (let now = begin; latencies.length < least || now - begin < seconds * 1e3; now = performance.now()) {
    const outputs = await run(model, fed[0], accelerator);
    const end = performance.now();
    latencies.push(end - now);
    starts.push(now - begin);
    release(outputs);
    const done = Math.min(latencies.length / least, seconds ? (end - begin) / (seconds * 1e3) : 1);
    report({ text: "Measuring", done, latencies });
  }
  const micro = (ms) => Math.round(ms * 1e3) / 1e3;
  const unknown = { status: null, celsius: null };
  return {
    samples: {
      golden_sqnr_db: found.db,
      load_cold_ms: micro(cold.ms),
      load_warm_ms: micro(warmMs),
      first_ms: micro(firstMs),
      latencies_ms: latencies.map(micro),
      t_ms: starts.map((t) => micro(t - starts[0])),
      summary: null,
      preprocess_ms: preprocessMs.map(micro),
      peak_rss_mb: null,
      ran_on: [plan.unit ?? "cpu"], // load refuses a model that WebGPU does not take as a whole
      thermal_before: unknown,
      thermal_after: unknown,
      versions: { runtime: `litert.js ${LITERT_VERSION}` },
      conditions: {
        accelerator,
        wasm: variant,
        wasm_memory_mb: liteRt.liteRtWasm.HEAPU8.length / 2 ** 20,
        runtime_start_ms: micro(startMs),
        timer_resolution_ms: timerResolution(),
      },
    },
  };
}

/** Returns the likeliest classes of an image, best first. */
async function classify({ image, top }) {
  const { manifest, model, accelerator } = loaded;
  const { inputs: [input], preprocess, labels } = manifest;
  const tensors = { [input.name]: new Tensor(feed(pixels(image, preprocess), input, preprocess), input.shape) };
  const found = await values(await run(model, tensors, accelerator));
  release(tensors);
  const output = classOutput(manifest);
  const row = floats(found[output.name], output).subarray(0, output.shape.at(-1));
  const probabilities = output.kind === "logits" ? softmax(row) : Array.from(row);
  return probabilities
    .map((probability, index) => ({ index, probability, label: labels?.[index] ?? String(index) }))
    .sort((a, b) => b.probability - a.probability || a.index - b.index)
    .slice(0, top);
}

/** Loads the model that `classify` uses next, { plan, manifest, artifact }, on the unit of its plan. */
async function choose({ plan, manifest, artifact }) {
  const accelerator = acceleratorOf(plan);
  await start(plan.threads, accelerator);
  loaded?.model.delete();
  loaded = undefined;
  const { model } = await load(new Uint8Array(artifact), plan.threads, accelerator);
  loaded = { manifest, model, accelerator };
}

const calls = { measure, choose, classify };
self.onmessage = async ({ data: { id, call, args } }) => {
  let reported = -Infinity;
  const report = (progress) => {
    const now = performance.now();
    // Reporting costs time between runs, though not within one.
    if (progress.done !== undefined && now - reported < REPORT_MS) return;
    reported = now;
    self.postMessage({ id, progress });
  };
  try {
    self.postMessage({ id, result: await calls[call](args, report) });
  } catch (error) {
    self.postMessage({ id, error: error?.message ?? String(error) });
  }
};
