// Reads records: strict JSON, and every key with its type and bounds. JSON.parse accepts a key
// twice, and cannot tell 2.0 from 2. Messages begin with the place: outputs[0].shape.

/** What is wrong with a JSON text. */
export class Wrong extends Error {}

/** The largest integer that a JavaScript number holds exactly. */
export const MOST_EXACT = Number.MAX_SAFE_INTEGER;
export const MOST_INT32 = 2 ** 31 - 1;
const MOST_DEEP = 64;
const TOKEN =
  /[ \n\r\t]*(?:([{}[\]:,])|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|(true|false|null)|$)/y;

const join = (place, key) => (place ? `${place}.${key}` : key);

/** A number as it is written. */
class Literal {
  constructor(text) {
    this.text = text;
  }
}

/** Returns maps for objects, arrays, strings, booleans, null, and `Literal`s for numbers. */
function read(text) {
  let at = 0;
  let token;
  const wrong = () => new Wrong(`not JSON: at character ${at}`);
  const next = () => {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (!found) throw wrong();
    at = TOKEN.lastIndex;
    const [, mark, string, number, word] = found;
    token = { mark, string, number, word };
  };
  const string = () => {
    const found = JSON.parse(token.string);
    if (/\p{Surrogate}/u.test(found)) throw wrong(); // half of a character
    return found;
  };
  /** Reads entries with commas between them. */
  const separated = (end, entry) => {
    next();
    if (token.mark === end) return;
    for (;;) {
      entry();
      next();
      if (token.mark === end) return;
      if (token.mark !== ",") throw wrong();
      next();
    }
  };
  const value = (place, depth) => {
    if (depth > MOST_DEEP) throw new Wrong("not JSON: nested too deeply");
    if (token.string !== undefined) return string();
    if (token.number !== undefined) return new Literal(token.number);
    if (token.word !== undefined) return { true: true, false: false, null: null }[token.word];
    if (token.mark === "[") {
      const found = [];
      separated("]", () => found.push(value(`${place}[${found.length}]`, depth + 1)));
      return found;
    }
    if (token.mark !== "{") throw wrong();
    const found = new Map();
    separated("}", () => {
      if (token.string === undefined) throw wrong();
      const key = string();
      if (found.has(key)) throw new Wrong(`${join(place, key)}: is there twice`);
      next();
      if (token.mark !== ":") throw wrong();
      next();
      found.set(key, value(join(place, key), depth + 1));
    });
    return found;
  };
  next();
  const found = value("", 0);
  next();
  if (Object.values(token).some((part) => part !== undefined)) throw wrong();
  return found;
}

/** A value and its place. */
class Json {
  constructor(value, place) {
    this.value = value;
    this.place = place;
  }

  /**
   * Reads an object that has these keys and no others, each by its function; `optional` ones may be
   * absent.
   */
  record(keys, optional = {}) {
    const { value, place } = this;
    if (!(value instanceof Map)) throw this.wrong("an object");
    const found = {};
    for (const [key, take] of Object.entries({ ...keys, ...optional })) {
      if (value.has(key)) found[key] = take(new Json(value.get(key), join(place, key)));
      else if (key in keys) throw new Wrong(`${join(place, key)}: missing`);
    }
    const allowed = Object.keys({ ...keys, ...optional });
    const other = [...value.keys()].find((key) => !allowed.includes(key));
    if (other !== undefined) {
      throw new Wrong(`${join(place, other)}: unknown key, allowed: ${allowed.join(", ")}`);
    }
    return found;
  }

  /** Reads an object whose keys are data. */
  map(take, checkKey = () => {}) {
    if (!(this.value instanceof Map)) throw this.wrong("an object");
    const entries = [...this.value].map(([key, value]) => {
      checkKey(new Json(key, this.place));
      return [key, take(new Json(value, join(this.place, key)))];
    });
    return Object.fromEntries(entries);
  }

  list(take, least = 0, most = Infinity) {
    const { value, place } = this;
    if (!Array.isArray(value)) throw this.wrong("a list");
    if (value.length < least || value.length > most) {
      const allowed = least === most ? least : `${least} or more`;
      throw new Wrong(`${place}: found ${value.length} entries, must be ${allowed}`);
    }
    return value.map((entry, i) => take(new Json(entry, `${place}[${i}]`)));
  }

  text(pattern) {
    if (typeof this.value !== "string") throw this.wrong("a string");
    if (pattern && !pattern.test(this.value)) throw this.wrong(`of the form ${pattern.source}`);
    return this.value;
  }

  oneOf(...allowed) {
    if (!allowed.includes(this.value)) throw this.wrong(`one of ${allowed.join(", ")}`);
    return this.value;
  }

  flag() {
    if (typeof this.value !== "boolean") throw this.wrong("true or false");
    return this.value;
  }

  integer(least = 1, most = MOST_INT32) {
    const text = this.value instanceof Literal ? this.value.text : "";
    const found = Number(text);
    if (/^-?[0-9]+$/.test(text) && found >= least && found <= most) return found;
    throw this.wrong(`an integer from ${least} to ${most}`);
  }

  number(least = -Infinity, most = Infinity) {
    const found = this.value instanceof Literal ? Number(this.value.text) : NaN;
    if (Number.isFinite(found) && found >= least && found <= most) return found;
    const from = least === -Infinity ? "" : ` from ${least}`;
    throw this.wrong(`a number${from}${most === Infinity ? "" : ` to ${most}`}`);
  }

  orNull(take) {
    return this.value === null ? null : take(this);
  }

  wrong(allowed) {
    const { value } = this;
    let found = String(value);
    if (typeof value === "string") found = `'${value}'`;
    else if (value instanceof Literal) found = value.text;
    else if (value instanceof Map) found = "an object";
    else if (Array.isArray(value)) found = "a list";
    return new Wrong(`${this.place || "the text"}: found ${found}, must be ${allowed}`);
  }
}

/** Reads one record from a text; error messages begin with `what`. */
export function parse(text, what, take) {
  try {
    return take(new Json(read(text), ""));
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    throw new Wrong(`${what}: ${error.message}`);
  }
}

export const text = (json) => json.text();
export const number = (json) => json.number();
export const count = (json) => json.integer();
export const natural = (json) => json.integer(0);

const SCHEMA = 1;

/** Refuses a record of a newer version. */
export function schema(json) {
  const found = json.integer();
  if (found > SCHEMA) {
    throw new Wrong(`${json.place}: written by a newer version (schema ${found}, this one reads ${SCHEMA})`);
  }
  return found;
}
