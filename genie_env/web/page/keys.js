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

  /** The action of these keys: the largest combination wins, then the one pressed last; `noop`, or null, without any. */
  action(keys, noop) {
    const meant = Object.keys(keys).map((name) => name.split("+")).filter((chord) => chord.every((name) => this.names.includes(name)));
    if (!meant.length) return noop;
    const latest = (chord) => Math.max(...chord.map((name) => this.names.indexOf(name)));
    const best = meant.reduce((one, other) => (other.length - one.length || latest(other) - latest(one)) > 0 ? other : one);
    return keys[best.join("+")];
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
