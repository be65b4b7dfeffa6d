// Reads a job: what the computer asks for, one session of one bundle, whose folder lies beside the job's file.

import { parse, schema } from "./json.js";
import { id } from "./manifest.js";
import { plan } from "./plan.js";

const uuid = (json) => json.text(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

/** Reads a job; an error names the key. */
export const parseJob = (text) =>
  parse(text, "job.json", (json) => json.record({ schema, id: uuid, bundle: id, plan }));
