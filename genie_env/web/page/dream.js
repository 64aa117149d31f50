/** A world in the page: its graphs in onnxruntime, one row, and where the dream stands. No buttons, no drawing. */

import * as ort from "./runtime/ort.js";
import { Generator } from "./random.js";

/** Version of the names and meanings of the graph's inputs and outputs. */
const CONTRACT = 1;

/** Whether this browser has the instructions that the runtime is made of. */
export function hasSimd() {
  // A module with one function that makes a vector: (func (result v128) i32.const 0 i8x16.splat)
  const module = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
  return typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(module));
}

/** A world that was fetched and opened. */
export class World {
  /**
   * @param {string} base address of the world's folder, ending in a slash
   * @param {(done: number, total: number) => void} progress bytes so far and in all
   */
  static async open(base, progress = () => {}) {
    const info = await (await get(base + "world.json")).json();
    if (info.contract !== CONTRACT)
      throw new Error(`This page and its world are of different versions (${CONTRACT}, ${info.contract}): upload the whole folder again.`);
    const names = ["starts.safetensors", ...Object.keys(info.weights), ...Object.values(info.weights).flat()];
    const loader = new Loader(progress, info.bytes);
    const runtime = loader.fetch(new URL("./runtime/ort.wasm", import.meta.url));
    const files = Object.fromEntries(names.map((name) => [name, loader.fetch(base + name)]));
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = (await runtime).buffer;
    const world = new World();
    world.info = info;
    world.pictures = await session(files, "pictures.onnx", info.weights);
    world.step = await session(files, "step.onnx", info.weights);
    world.starts = readTensors(await files["starts.safetensors"]);
    return world;
  }
}

/** One dream. Everything that decides how it goes on is in `state` and `generator`. */
export class Dream {
  constructor(world) {
    this.world = world;
    this.temperature = world.info.temperature;
    this.diversity = 0;
    this.generator = new Generator(0);
    this.state = this.empty();
  }

  /**
   * Begin, as `env.reset(seed=seed)` does in Python.
   * @param {number | bigint | null} seed null goes on with the present random numbers
   * @param {number | null} start number of the recorded beginning; null draws one
   */
  async reset(seed = null, start = null) {
    const { frames, count, tokens } = this.world.info.starts;
    if (seed !== null) this.generator = new Generator(seed);
    const key = this.generator.integers(1n << 63n);
    const chosen = start ?? Number(this.generator.integers(count));
    const frame = (t) => longs(this.world.starts.tokens.subarray((chosen * frames + t) * tokens, (chosen * frames + t + 1) * tokens));
    const state = (this.state = this.empty());
    const { context } = this.world.info;
    for (let t = 0; t + 1 < frames; t++) {
      state.tokens.set(frame(t), (context - 1) * tokens);
      await this.run({ forced_latent: this.world.starts.actions[chosen * (frames - 1) + t] });
    }
    for (let place = 0; place < context; place++)
      state.tokens.set(frame(Math.max(0, frames - context + place)), place * tokens);
    state.key[0] = key;
    state.step[0] = 0n;
  }

  /** Play one action; returns what it brought. */
  async step(action) {
    const asked = { action, temperature: this.temperature, action_diversity: this.diversity };
    const out = await this.run(asked);
    this.state.tokens.set(out.next_tokens.data);
    this.state.recent_actions.set(out.next_recent_actions.data);
    this.state.step[0] += 1n;
    return {
      reward: out.reward.data[0],
      terminated: Boolean(out.terminated.data[0]),
      action: Number(out.executed_action.data[0]),
      latent: Number(out.latent_action.data[0]),
      entropy: out.entropy.data[0],
      step: Number(this.state.step[0]),
    };
  }

  /** Tokens of the present frame. */
  get tokens() {
    return Array.from(this.state.tokens.subarray(-this.world.info.starts.tokens), Number);
  }

  /** The present frame as bytes of red, green, blue and opacity. */
  async picture() {
    const count = this.world.info.starts.tokens;
    const tokens = new ort.Tensor("int64", this.state.tokens.slice(-count), [1, count]);
    const { pictures } = await this.world.pictures.run({ tokens });
    const colours = pictures.data;
    const pixels = new Uint8ClampedArray((colours.length / 3) * 4).fill(255);
    for (let from = 0, to = 0; from < colours.length; from += 3, to += 4)
      for (let channel = 0; channel < 3; channel++) pixels[to + channel] = colours[from + channel];
    return pixels;
  }

  /** A copy of where the dream stands, for `restore`, any number of times. */
  snapshot() {
    const { temperature, diversity } = this;
    return { state: copied(this.state), generator: this.generator.clone(), temperature, diversity };
  }

  restore(snapshot) {
    const { temperature, diversity } = snapshot;
    Object.assign(this, { state: copied(snapshot.state), generator: snapshot.generator.clone(), temperature, diversity });
  }

  empty() {
    const { context, window, places, frames, width, layers } = this.world.info;
    const state = {
      tokens: new BigInt64Array(context * this.world.info.starts.tokens),
      recent_actions: new BigInt64Array(window).fill(-1n),
      key: new BigInt64Array(1),
      step: new BigInt64Array(1),
      time: new BigInt64Array(1),
    };
    for (let layer = 0; layer < layers; layer++)
      for (const kind of ["keys", "values"]) state[`${kind}_${layer}`] = new Float32Array(places * frames * width);
    return state;
  }

  /** One run of the graph; the present frame is remembered, the rest is returned. */
  async run({ action = 0, forced_latent = -1, temperature = 0, action_diversity = 0 }) {
    const { context, window, places, frames, width, starts } = this.world.info;
    const feeds = {
      action: tensor(BigInt64Array.of(BigInt(action))),
      forced_latent: tensor(BigInt64Array.of(BigInt(forced_latent))),
      temperature: tensor(Float32Array.of(temperature)),
      action_diversity: tensor(Float32Array.of(action_diversity)),
    };
    const shapes = { tokens: [1, context, starts.tokens], recent_actions: [1, window], key: [1], step: [1], time: [1] };
    for (const [name, array] of Object.entries(this.state))
      feeds[name] = tensor(array, shapes[name] ?? [1, places, frames, width]);
    const out = await this.world.step.run(feeds);
    const slot = Number(this.state.time[0]) % frames;
    for (const [name, memory] of Object.entries(this.state)) {
      const fresh = out[`fresh_${name}`]?.data;
      for (let place = 0; fresh && place < places; place++)
        memory.set(fresh.subarray(place * width, (place + 1) * width), (place * frames + slot) * width);
    }
    this.state.time[0] += 1n;
    return out;
  }
}

/** Fetches files and counts the bytes of all of them together. */
class Loader {
  constructor(progress, total) {
    Object.assign(this, { progress, total, done: 0 });
  }

  async fetch(address) {
    const answer = await get(address);
    const parts = [];
    let length = 0;
    for (const reader = answer.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      length += value.length;
      this.done += value.length;
      this.progress(this.done, this.total);
    }
    const whole = new Uint8Array(length);
    let offset = 0;
    for (const part of parts) {
      whole.set(part, offset);
      offset += part.length;
    }
    return whole;
  }
}

async function get(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} is missing (${answer.status}): upload the whole folder again`);
  return answer;
}

/** A graph, and the weights it points to, as soon as they are there. */
async function session(files, name, weights) {
  const externalData = await Promise.all(weights[name].map(async (path) => ({ path, data: await files[path] })));
  return ort.InferenceSession.create(await files[name], { executionProviders: ["wasm"], externalData });
}

function tensor(array, shape = [1]) {
  return new ort.Tensor(array instanceof BigInt64Array ? "int64" : "float32", array, shape);
}

/** Arrays of a safetensors file that holds small whole numbers. */
function readTensors(bytes) {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const kinds = { I16: Int16Array, I32: Int32Array };
  return Object.fromEntries(
    Object.entries(header)
      .filter(([name]) => name !== "__metadata__")
      .map(([name, { dtype, data_offsets: [begin, end] }]) => {
        // Copied, for a typed array must begin at a multiple of its numbers' size.
        return [name, new kinds[dtype](bytes.slice(8 + length + begin, 8 + length + end).buffer)];
      }),
  );
}

function longs(numbers) {
  return BigInt64Array.from(numbers, BigInt);
}

function copied(state) {
  return Object.fromEntries(Object.entries(state).map(([name, array]) => [name, array.slice()]));
}
