/** Keys that are down, and the action they play. The same rules as in the window of `genie-env play`. */

const NAMES = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right", " ": "space", Enter: "return", Tab: "tab" };
export const GLYPHS = { up: "▲", down: "▼", left: "◀", right: "▶", space: "●" };

/** The world's name of the key of a keyboard event. */
export function keyName(event) {
  return NAMES[event.key] ?? event.key.toLowerCase();
}

export class HeldKeys {
  constructor() {
    this.names = [];
    this.fresh = new Set();
    this.released = new Set();
  }

  press(name) {
    this.names = [...this.names.filter((other) => other !== name), name];
    this.fresh.add(name);
    this.released.delete(name);
  }

  /** A tap shorter than a frame counts for one frame. */
  release(name) {
    if (this.fresh.has(name)) this.released.add(name);
    else this.names = this.names.filter((other) => other !== name);
  }

  /** The action of these keys: the last one pressed that means something wins. */
  action(keys, noop) {
    const meant = this.names.filter((name) => name in keys);
    return meant.length ? keys[meant.at(-1)] : noop;
  }

  frameDone() {
    this.names = this.names.filter((name) => !this.released.has(name));
    this.fresh.clear();
    this.released.clear();
  }

  clear() {
    this.names = [];
    this.frameDone();
  }
}
