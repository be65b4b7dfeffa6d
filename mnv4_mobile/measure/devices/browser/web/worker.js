// One session: a worker with a WebAssembly instance of its own, which is as fresh as a process.
// Afterwards it classifies, with what it has loaded.

import { loadAndCompile, loadLiteRt, supportsFeature, Tensor } from "@litertjs/core";
import { feed, pixels } from "./preprocess.js";
import { softmax, sqnr } from "./statistics.js";

const REPORT_MS = 100;
const base = new URL("./", self.location.href).href;
let loaded; // { task, model }

/** Starts LiteRT.js; a runtime with threads where the browser allows them. */
async function start(task) {
  const able = self.crossOriginIsolated && (await supportsFeature("relaxedSimd"));
  const variant = able && (await supportsFeature("threads")) ? "threaded" : "compat";
  const cores = navigator.hardwareConcurrency;
  if (task.plan.threads > (variant === "threaded" ? cores : 1)) {
    const why = variant === "threaded" ? `it has ${cores} cores` : "it has no threads or no relaxed SIMD";
    throw new Error(`threads: found ${task.plan.threads}, more than this browser can: ${why}`);
  }
  const script = `${base}litert_wasm_${variant}_internal.js`;
  // Inside a worker the runtime cannot find out where it came from, and would start its threads
  // from this file. As a blob it need not be fetched by every thread, which browsers may refuse
  // where the certificate is one that a person had to accept.
  const blob = new Blob([await (await fetch(script)).text()], { type: "text/javascript" });
  self.Module = { mainScriptUrlOrBlob: blob, locateFile: (name) => base + name };
  const begin = performance.now();
  const runtime = await loadLiteRt(script);
  if (task.accelerator === "webgpu" && !runtime.getWebGpuDevice()) {
    throw new Error("this browser has no WebGPU");
  }
  return { variant, runtime, startMs: performance.now() - begin };
}

/** Loads the model; its time in ms. */
async function load(task, bytes) {
  const begin = performance.now();
  const model = await loadAndCompile(bytes, {
    accelerator: task.accelerator,
    cpuOptions: { numThreads: task.plan.threads },
  });
  const ms = performance.now() - begin;
  // What WebGPU cannot run is run by the CPU, in parts or, in some browsers, as a whole.
  const whole = model.options.accelerator === task.accelerator && model.isFullyAccelerated;
  if (task.accelerator === "webgpu" && !whole) {
    throw new Error("WebGPU cannot run all of this model");
  }
  return { model, ms };
}

const arrays = { float32: Float32Array, uint8: Uint8Array, int32: Int32Array };

/** The model's inputs by name, of the bytes that the server sent. */
function inputs(task, bytes) {
  let at = 0;
  const tensors = {};
  for (const { name, dtype, shape } of task.inputs) {
    const array = arrays[dtype];
    const length = shape.reduce((a, b) => a * b, 1);
    const values = new array(bytes.slice(at, at + length * array.BYTES_PER_ELEMENT));
    tensors[name] = new Tensor(values, shape);
    at += values.byteLength;
  }
  return tensors;
}

/** Runs once; outputs by name. What the GPU computes is there only once it was read. */
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

/** The golden check: SQNR of the worst output, or what is wrong. */
function check(task, files, runs) {
  if (!task.outputs.length) return { db: null };
  let worst = Infinity;
  for (const { name, gate, images } of task.outputs) {
    const wanted = new Float32Array(files[`golden.${name}`]);
    const parts = runs.map((outputs) => outputs[name]);
    if (parts.includes(undefined)) {
      return { wrong: `output ${name}: found only ${Object.keys(runs[0]).join(", ")}` };
    }
    const found = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => (found.set(part, at), at + part.length), 0);
    if (found.length !== wanted.length) {
      return { wrong: `output ${name}: found ${found.length} values, must be ${wanted.length}` };
    }
    const db = sqnr(wanted, found, images);
    if (gate !== null && db < gate) {
      return { wrong: `output ${name}: wrong on the device: ${db.toFixed(1)} dB, must be ${gate} or more` };
    }
    worst = Math.min(worst, db);
  }
  return { db: worst };
}

/** The smallest step that the clock was seen to make, in ms. */
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

/** Milliseconds of preprocessing the server's picture, a few times. */
function preprocessing(task, files) {
  if (!task.picture) return [];
  const picture = { ...task.picture, data: new Uint8Array(files.picture) };
  return Array.from({ length: task.picture.runs }, () => {
    const begin = performance.now();
    feed(pixels(picture, task.preprocess), task.inputs[0], task.preprocess);
    return performance.now() - begin;
  });
}

async function measure({ task, files }, report) {
  report({ text: "Starting the runtime" });
  const { variant, runtime, startMs } = await start(task);
  report({ text: "Loading the model" });
  const bytes = new Uint8Array(files.model);
  const cold = await load(task, bytes);
  cold.model.delete();
  const { model, ms: warmMs } = await load(task, bytes);

  report({ text: "Checking against the golden pair" });
  const feeds = task.feeds.map((name) => inputs(task, files[name]));
  const runs = [];
  let firstMs;
  for (const tensors of feeds) {
    const begin = performance.now();
    const outputs = await run(model, tensors, task.accelerator);
    firstMs ??= performance.now() - begin;
    runs.push(await values(outputs));
  }
  loaded = { task, model };
  const golden = check(task, files, runs);
  if (golden.wrong) return { wrong: golden.wrong };
  const preprocessMs = preprocessing(task, files);

  const { warmup, runs: least, seconds } = task.plan;
  for (let i = 0; i < warmup; i++) {
    report({ text: "Warming up", done: i / warmup });
    release(await run(model, feeds[0], task.accelerator));
  }
  const latencies = [];
  const starts = [];
  const begin = performance.now();
  for (let now = begin; latencies.length < least || now - begin < seconds * 1e3; now = performance.now()) {
    const outputs = await run(model, feeds[0], task.accelerator);
    const end = performance.now();
    latencies.push(end - now);
    starts.push(now - begin);
    release(outputs);
    const done = Math.min(latencies.length / least, seconds ? (end - begin) / (seconds * 1e3) : 1);
    report({ text: "Measuring", done, latencies });
  }
  const micro = (ms) => Math.round(ms * 1e3) / 1e3;
  return {
    samples: {
      golden_sqnr_db: golden.db,
      load_cold_ms: micro(cold.ms),
      load_warm_ms: micro(warmMs),
      first_ms: micro(firstMs),
      latencies_ms: latencies.map(micro),
      t_ms: starts.map((t) => micro(t - starts[0])),
      preprocess_ms: preprocessMs.map(micro),
      versions: { runtime: `litert.js ${LITERT_VERSION}` },
      conditions: {
        accelerator: task.accelerator,
        wasm: variant,
        wasm_memory_mb: runtime.liteRtWasm.HEAPU8.length / 2 ** 20,
        runtime_start_ms: micro(startMs),
        timer_resolution_ms: timerResolution(),
      },
    },
  };
}

/** The likeliest classes of a picture, best first. */
async function classify({ picture, top }) {
  const { task, model } = loaded;
  const [input] = task.inputs;
  const tensors = { [input.name]: new Tensor(feed(pixels(picture, task.preprocess), input, task.preprocess), input.shape) };
  const found = await values(await run(model, tensors, task.accelerator));
  release(tensors);
  const { name, kind, classes } = task.scores;
  const row = found[name].subarray(0, classes);
  const probabilities = kind === "logits" ? softmax(row) : Array.from(row);
  return probabilities
    .map((probability, index) => ({ index, probability, label: task.labels?.[index] ?? String(index) }))
    .sort((a, b) => b.probability - a.probability || a.index - b.index)
    .slice(0, top);
}

const calls = { measure, classify };
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
