// Reads a plan: how an artifact is measured. The generator's plan.schema.json specifies the JSON form.

import { count, natural, parse, schema } from "./json.js";

const seconds = (json) => json.number(0, 1e6);

export const plan = (json) =>
  json.record({
    schema,
    warmup: natural,
    runs: count,
    seconds,
    repeats: (value) => value.integer(1, 10_000),
    cooldown_s: seconds,
    max_thermal: (value) => value.oneOf("nominal", "fair", "serious", "critical"),
    threads: (value) => value.integer(1, 1024),
    affinity: (value) => value.text(/^(?:none|fastest|[0-9]{1,4}(?:,[0-9]{1,4})*)$/),
    unit: (value) => value.orNull(() => value.oneOf("cpu", "gpu", "npu")),
    statistic: (value) => value.oneOf("p50", "p90", "mean"),
  });

/** Reads a plan; an error names the key. */
export const parsePlan = (text) => parse(text, "plan", plan);
