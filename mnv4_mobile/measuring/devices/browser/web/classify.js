// Classifies images from a file or the camera with one of the models that were measured.

import { decode, rgb } from "./image.js";
import { Session } from "./session.js";
import * as view from "./view.js";

const { $ } = view;
const TOP = 5;
/** Bytes of models to keep; the oldest are dropped first. */
const KEPT = 256e6;
const models = new Map(); // by name, the newest last: { plan, manifest, blob }
let session = null; // classifies images; null while the run continues
let loaded = null; // name of the model that the session has
let camera = null; // a MediaStream
let file = null; // the newest one
let turn = Promise.resolve(); // the worker has one model at a time

/** Keeps a model that was measured. */
export function keep({ name, plan, manifest, artifact }) {
  const same = models.get(name)?.manifest.artifact.sha256 === manifest.artifact.sha256;
  const blob = same ? models.get(name).blob : new Blob([artifact]);
  models.delete(name);
  models.set(name, { plan, manifest, blob });
  let bytes = 0;
  for (const [other, { blob: { size } }] of Array.from(models).reverse()) {
    bytes += size;
    if (bytes > KEPT && other !== name) models.delete(other);
  }
}

/** Hides this part while sessions are measured. */
export function pause() {
  $("classify").hidden = true;
  session = loaded = null;
  stop();
  say("");
  $("classes").replaceChildren();
  $("image").hidden = $("stage").hidden = true;
}

/** Shows this part after the run; the models run in the worker of its last session. */
export function offer(found) {
  if (session || !models.size) return;
  session = found;
  const names = Array.from(models.keys());
  view.models(names, names.at(-1));
  $("classify").hidden = false;
}

/** Loads the chosen model, unless it is loaded. */
async function ready() {
  const name = $("model").value;
  if (loaded === name && session.alive) return;
  say(`Loading ${name}`);
  if (!session.alive) session = new Session();
  loaded = null;
  const { plan, manifest, blob } = models.get(name);
  await session.choose({ plan, manifest, artifact: await blob.arrayBuffer() });
  loaded = name;
}

function stop() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  $("video").hidden = true;
  $("camera").textContent = "Camera";
}

function say(text) {
  $("classify-text").textContent = text;
}

/** Classifies an image and shows its classes, after all earlier requests. */
function show(image) {
  const work = async () => {
    await ready();
    const begin = performance.now();
    view.classes(await session.classify(image, TOP));
    say(`${Math.round(performance.now() - begin)} ms with preprocessing`);
  };
  turn = turn.then(work, work);
  return turn;
}

async function classifyFile() {
  stop();
  say("Classifying");
  URL.revokeObjectURL($("image").src);
  $("image").src = URL.createObjectURL(file);
  $("image").hidden = $("stage").hidden = false;
  try {
    await show(await decode(file));
  } catch (error) {
    if (!session) return; // the next measurement began
    $("classes").replaceChildren();
    say(error.message);
  }
}

async function toggleCamera() {
  if (camera) return stop();
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return say(`No camera: ${error.message}`);
  }
  const video = $("video");
  video.srcObject = camera;
  $("image").hidden = true;
  video.hidden = $("stage").hidden = false;
  $("camera").textContent = "Stop the camera";
  await video.play();
  while (camera && session) {
    try {
      await show(rgb(video, video.videoWidth, video.videoHeight));
    } catch (error) {
      if (session) say(error.message);
      break;
    }
    await new Promise(requestAnimationFrame);
  }
  return stop();
}

$("file").addEventListener("change", () => {
  const [chosen] = $("file").files;
  $("file").value = ""; // so that the same file can be chosen again
  if (!chosen) return;
  file = chosen;
  classifyFile();
});
$("camera").addEventListener("click", toggleCamera);
$("model").addEventListener("change", () => {
  $("classes").replaceChildren();
  if (file && !$("image").hidden) classifyFile(); // the camera's loop reads the choice itself
});
