// Wraps a session's worker for the page.

/** A run that takes longer than this counts as hanging. */
const HANGS_MS = 120_000;

/** The page went to the background, where browsers slow everything down. */
export class Hidden extends Error {}

export class Session {
  #worker = new Worker("worker.js");
  #waiting = new Map();
  #id = 0;
  #alive = true;

  constructor() {
    this.#worker.onmessage = ({ data: { id, progress, result, error } }) => {
      const call = this.#waiting.get(id);
      if (progress) return call?.progress(progress);
      this.#waiting.delete(id);
      if (error !== undefined) return call?.reject(new Error(error));
      return call?.resolve(result);
    };
    this.#worker.onerror = (event) => this.end(new Error(event.message || "the worker could not start"));
  }

  #call(call, args, transfer, progress = () => {}) {
    const id = this.#id++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, progress });
      this.#worker.postMessage({ id, call, args }, transfer);
    });
  }

  /** Measures {plan, manifest, artifact, files} and returns {samples} or {wrong}. */
  async measure(work, progress) {
    let timer;
    const alive = () => {
      clearTimeout(timer);
      const text = `nothing was heard from the runtime for ${HANGS_MS / 1e3} s`;
      timer = setTimeout(() => this.end(new Error(text)), HANGS_MS);
    };
    const hidden = () => document.hidden && this.end(new Hidden());
    document.addEventListener("visibilitychange", hidden);
    alive();
    hidden();
    try {
      return await this.#call("measure", work, [], (found) => {
        alive();
        progress(found);
      });
    } finally {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", hidden);
    }
  }

  /** Whether the worker still runs. */
  get alive() {
    return this.#alive;
  }

  /** Loads {plan, manifest, artifact} for `classify`. */
  choose(model) {
    return this.#call("choose", model, [model.artifact]);
  }

  /** Returns the likeliest classes of an image {width, height, data}. */
  classify(image, top) {
    return this.#call("classify", { image, top }, [image.data.buffer]);
  }

  /** Ends the worker; whoever waits for it gets the error. */
  end(error = new Error("ended")) {
    this.#alive = false;
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
