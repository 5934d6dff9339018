// Runs the network beside the page, so that drawing goes on while it computes.
import * as ort from "./runtime/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;
// Several threads need shared memory, which browsers give to isolated pages alone (headers COOP and COEP).
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;

let session;

async function load(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
  const total = Number(answer.headers.get("Content-Length"));
  const parts = [];
  let done = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { value, done: ended } = await reader.read();
    if (ended) break;
    parts.push(value);
    done += value.length;
    if (total) postMessage({ kind: "progress", share: Math.min(1, done / total) });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

const does = {
  async open({ url }) {
    await session?.release();
    session = undefined;
    session = await ort.InferenceSession.create(await load(url), { executionProviders: ["wasm"] });
    return { threads: ort.env.wasm.numThreads };
  },

  async run({ pixels, shape }) {
    const began = performance.now();
    const { translated } = await session.run({ pixels: new ort.Tensor("uint8", pixels, shape) });
    return { pixels: translated.data, shape: translated.dims, seconds: (performance.now() - began) / 1000 };
  },
};

self.onmessage = async ({ data }) => {
  try {
    postMessage({ kind: data.kind, id: data.id, ...(await does[data.kind](data)) });
  } catch (e) {
    postMessage({ kind: "failed", id: data.id, text: e.message ?? String(e) });
  }
};
postMessage({ kind: "here" });
