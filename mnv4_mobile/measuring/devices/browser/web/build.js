// Builds the page: node build.js OUT
// It writes everything that the server serves, so that using the page needs neither npm nor a network.

import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const out = process.argv[2];
const litert = "node_modules/@litertjs/core";
const { version } = JSON.parse(readFileSync(`${litert}/package.json`, "utf8"));

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

// No modules, because the runtime is loaded with importScripts, which only a classic worker has.
await build({
  entryPoints: ["page.js", "worker.js"],
  outdir: out,
  bundle: true,
  format: "iife",
  target: "es2022",
  minify: true,
  legalComments: "eof",
  define: { LITERT_VERSION: JSON.stringify(version) },
});
for (const file of ["index.html", "page.css", "icon.svg", "third-party.txt"]) {
  copyFileSync(file, `${out}/${file}`);
}
// Two of the package's four variants are served: the one with threads and relaxed SIMD, and the one
// for browsers that lack either. They are compressed, because they are large and every browser takes gzip.
for (const variant of ["threaded", "compat"]) {
  for (const suffix of ["js", "wasm"]) {
    const file = `litert_wasm_${variant}_internal.${suffix}`;
    writeFileSync(`${out}/${file}.gz`, gzipSync(readFileSync(`${litert}/wasm/${file}`), { level: 9 }));
  }
}
