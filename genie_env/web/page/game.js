/** One person's game: a dream, what happened in it so far, and the loop that plays it. */

import { Dream } from "./dream.js";
import { History } from "./history.js";
import { HeldKeys } from "./keys.js";
import { byId, byTouch, cover, fail, flash, showSettings, showState, signed, toast } from "./view.js";

export class Game {
  constructor(world) {
    this.world = world;
    this.info = world.info;
    this.dream = new Dream(world);
    this.held = new HeldKeys();
    this.known = new Set(Object.keys(this.info.keys).flatMap((name) => name.split("+")));
    this.running = false;
    this.over = false;
    this.kept = null;
    this.score = 0;
    this.last = { step: 0, entropy: null };
    this.marks = [];
    this.busy = Promise.resolve();
  }

  /** One thing at a time: whatever is asked for waits until the step before is done. */
  queue(work) {
    this.busy = this.busy.then(work).catch((error) => {
      this.running = false;
      fail(error);
    });
    return this.busy;
  }

  begin(seed) {
    return this.queue(async () => {
      const { temperature, diversity } = this.dream;
      this.history = new History({ seed: BigInt(seed), temperature, diversity });
      await this.fresh(BigInt(seed));
      byId("seed").value = String(seed);
    });
  }

  restart() {
    return this.queue(async () => {
      this.history.restart();
      await this.fresh(null);
    });
  }

  async fresh(seed) {
    await this.dream.reset(seed);
    this.over = false;
    this.score = 0;
    this.last = { step: 0, entropy: null };
    await this.show();
  }

  /** Dream one frame further. */
  async play(action, shown = true) {
    this.history.act(action);
    this.last = await this.dream.step(action);
    this.score += this.last.reward;
    this.over = this.last.terminated;
    if (shown) await this.show();
    return this.last;
  }

  set(kind, value) {
    return this.queue(() => {
      this.dream[kind] = value;
      this.history.set(kind, value);
      showSettings(this);
    });
  }

  keep() {
    return this.queue(() => {
      const { score, last, over } = this;
      this.kept = { dream: this.dream.snapshot(), history: this.history.clone(), score, last, over };
      byId("back").disabled = false;
      toast("Kept. “Go back” returns to this moment.");
    });
  }

  back() {
    if (!this.kept) return this.busy;
    return this.queue(async () => {
      this.dream.restore(this.kept.dream);
      this.history = this.kept.history.clone();
      Object.assign(this, { score: this.kept.score, last: { ...this.kept.last, reward: 0 }, over: this.kept.over });
      await this.show();
      if (!this.running) cover(null);
      showState(this);
    });
  }

  /** Dream again what a link tells. */
  async follow(history, progress) {
    Object.assign(this.dream, { temperature: history.beginning.temperature, diversity: history.beginning.diversity });
    await this.begin(history.beginning.seed);
    await this.queue(async () => {
      let done = 0;
      for (const event of history.events) {
        if (event.kind === "restart") {
          this.history.restart();
          await this.fresh(null);
        } else if (event.kind === "act") {
          for (let i = 0; i < event.count; i++, done++) {
            await this.play(event.action, false);
            if (done % 20 === 0) {
              progress(done / history.steps);
              await this.show();
              await new Promise((resolve) => setTimeout(resolve));
            }
          }
        } else {
          this.dream[event.kind] = event.value;
          this.history.set(event.kind, event.value);
        }
      }
      await this.show();
    });
  }

  async show() {
    const size = this.info.image_size;
    const image = new ImageData(await this.dream.picture(), size, size);
    byId("canvas").getContext("2d").putImageData(image, 0, 0);
    byId("score").textContent = signed(this.score, this.info);
    byId("steps").textContent = this.last.step;
    byId("surprise").textContent = this.last.entropy === null ? "–" : this.last.entropy.toFixed(3);
    if (this.last.reward) flash(this.last.reward);
    showSettings(this);
  }

  /** The loop: a frame whenever one is due, and the end of a game. */
  async loop() {
    const period = 1000 / this.info.fps;
    let due = performance.now();
    while (this.running) {
      await this.queue(async () => {
        if (!this.running) return;
        const action = this.held.action(this.info.keys, this.info.noop);
        // Where every action does something, the game waits for a key.
        if (action === null) return;
        await this.play(action);
        this.held.frameDone();
      });
      this.count();
      if (this.over) return gameOver(this);
      due = Math.max(due + period, performance.now() - period);
      await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    }
  }

  count() {
    this.marks = [...this.marks.slice(-30), performance.now()];
    if (this.marks.length < 10) return;
    const seconds = (this.marks.at(-1) - this.marks[0]) / 1000;
    byId("rate").textContent = ((this.marks.length - 1) / seconds).toFixed(0);
  }

  async run() {
    if (this.running) return;
    if (this.over) await this.restart();
    this.running = true;
    this.marks = [];
    cover(null);
    showState(this);
    this.loop();
  }

  stop() {
    this.running = false;
    this.held.clear();
    showState(this);
  }

  pause() {
    if (!this.running) return this.run();
    this.stop();
    cover({ headline: "Paused", message: byTouch() ? "Tap to go on." : "Press P or any key of the game to go on.", button: "Go on" });
  }

  async oneStep() {
    if (this.running || this.over) return;
    cover(null);
    await this.queue(() => this.play(this.held.action(this.info.keys, this.info.noop) ?? 0));
    if (this.over) gameOver(this);
  }

  /** A link that dreams all of this again. */
  link() {
    return `${location.href.split("#")[0]}#world=${encodeURIComponent(this.info.name)}&${this.history.toText()}`;
  }
}

function gameOver(game) {
  game.stop();
  cover({ headline: "The end", message: `Score ${signed(game.score, game.info)}. ${byTouch() ? "Tap for" : "Any key begins"} another game.`, button: "Play again" });
}
