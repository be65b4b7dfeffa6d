// Talks to the server with requests, because Safari allows no WebSocket with a certificate that the
// user accepted by hand.

const RETRY_MS = 1000;
const GIVE_UP_MS = 60_000;
const GONE = "The computer no longer answers: the run has ended, or the network is gone.";
/** Identifies this load of the page: the server accepts only the newest one of a phone. */
const page = crypto.randomUUID();

/** The server refused a request and said why, or no longer answers. */
export class Refused extends Error {}

/** Sends a request, and repeats it while the server cannot be reached. */
async function send(path, options, onTrouble) {
  const begin = performance.now();
  for (;;) {
    let response;
    try {
      response = await fetch(`api/${path}?page=${page}`, options);
    } catch {
      if (performance.now() - begin > GIVE_UP_MS) throw new Refused(GONE);
      onTrouble?.();
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      continue;
    }
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({ error: response.statusText }));
    throw new Refused(error);
  }
}

const post = (path, body, onTrouble) =>
  send(path, { method: "POST", body: JSON.stringify(body) }, onTrouble).then((r) => r.json());

export const join = (about) => post("join", about);
export const next = (onTrouble) => send("next", {}, onTrouble).then((r) => r.json());
export const progress = (job, text) => post("progress", { job, text });
export const result = (body, onTrouble) => post("result", body, onTrouble);
export const bye = () => navigator.sendBeacon(`api/bye?page=${page}`);

/** Fetches a file of a job as an ArrayBuffer. */
export const file = (job, name) => {
  const path = name.split("/").map(encodeURIComponent).join("/");
  return send(`files/${job}/${path}`, {}).then((r) => r.arrayBuffer());
};
