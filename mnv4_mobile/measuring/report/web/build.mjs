// Bundles the page's script into one file, with the licences of what is in it.
//
//     npm ci && npm run build
import { build } from "esbuild";
import { readFileSync } from "node:fs";

const NOTICES = [
  ["Apache ECharts", "echarts", ["LICENSE", "NOTICE"]],
  ["ZRender", "zrender", ["LICENSE"]],
  ["tslib", "tslib", ["LICENSE.txt"]],
];

const here = new URL(".", import.meta.url);
const read = (path) => readFileSync(new URL(`node_modules/${path}`, here), "utf8").replaceAll("\r\n", "\n").trim();
const notices = NOTICES.map(([title, folder, files]) => {
  const { version, license } = JSON.parse(read(`${folder}/package.json`));
  return [`${title} ${version} (${license})`, ...files.map((file) => read(`${folder}/${file}`))];
});
const text = notices.flat().join("\n\n").replaceAll("*/", "* /");

await build({
  entryPoints: [new URL("src/main.ts", here).pathname],
  outfile: process.argv[2],
  bundle: true,
  minify: true,
  charset: "utf8",
  target: "es2022",
  format: "iife",
  legalComments: "none", // all of them are in the banner
  banner: { js: `/*! Built by web/build.mjs; do not edit.\n\nContains:\n\n${text}\n*/` },
  logLevel: "warning",
});
