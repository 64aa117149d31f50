/** Opens the world, then follows the link by which the page was called, or waits for a first key. */

import { World, hasSimd } from "./dream.js";
import { Game } from "./game.js";
import { History } from "./history.js";
import { listen, randomSeed } from "./input.js";
import { byTouch, cover, describe, fail, showState } from "./view.js";

async function main() {
  if (!hasSimd()) throw new Error("This browser has no WebAssembly SIMD, on which the dream runs: please use a newer one.");
  const world = await World.open("world/", (done, total) => cover({ headline: "Opening…", share: Math.min(1, done / total) }));
  const game = new Game(world);
  window.game = game;
  describe(game);
  cover(await firstPicture(game));
  listen(game);
  showState(game);
  window.ready = true;
}

/** Go where the link says, if there is one; returns what to write over the picture. */
async function firstPicture(game) {
  const { info } = game;
  let problem = "";
  try {
    const shared = History.fromText(location.hash.slice(1), info);
    if (shared) {
      await game.follow(shared, (share) => cover({ headline: "Dreaming again…", share }));
      return { headline: "Here the link ends", message: "All of it was dreamed again. Go on from here.", button: "Go on", keys: true };
    }
  } catch (error) {
    problem = error.message;
  }
  await game.begin(randomSeed());
  const message = problem || (byTouch() ? "Hold the buttons below, or a half of the picture." : "");
  return { headline: `Play ${info.title}`, message, button: "Play", keys: true };
}

main().catch(fail);
