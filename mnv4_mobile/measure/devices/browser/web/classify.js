// Classifying pictures from a file or the camera with the model that was measured last.

import { decode, rgb } from "./picture.js";
import * as view from "./view.js";

const { $ } = view;
const TOP = 5;
let session = null;
let camera = null; // a MediaStream

/** Hands over the session that classifies; null while none can. */
export function use(found) {
  session = found;
  $("classify").hidden = !found;
  if (found) return;
  stop();
  say("");
  $("classes").replaceChildren();
  $("picture").hidden = $("stage").hidden = true;
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

async function show(picture) {
  const begin = performance.now();
  view.classes(await session.classify(picture, TOP));
  return `${Math.round(performance.now() - begin)} ms with preprocessing`;
}

async function classifyFile() {
  const [file] = $("file").files;
  if (!file) return undefined;
  stop();
  say("Classifying");
  URL.revokeObjectURL($("picture").src);
  $("picture").src = URL.createObjectURL(file);
  $("picture").hidden = $("stage").hidden = false;
  try {
    say(await show(await decode(file)));
  } catch (error) {
    if (!session) return undefined; // the next measurement began
    $("classes").replaceChildren();
    say(error.message);
  }
  $("file").value = ""; // so that the same file can be chosen again
  return undefined;
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
  $("picture").hidden = true;
  video.hidden = $("stage").hidden = false;
  $("camera").textContent = "Stop the camera";
  await video.play();
  while (camera && session) {
    try {
      say(await show(rgb(video, video.videoWidth, video.videoHeight)));
    } catch (error) {
      if (session) say(error.message);
      break;
    }
    await new Promise(requestAnimationFrame);
  }
  return stop();
}

$("file").addEventListener("change", classifyFile);
$("camera").addEventListener("click", toggleCamera);
