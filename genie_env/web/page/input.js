/** Keys, fingers and buttons, and what they do to a game. */

import { keyName } from "./keys.js";
import { byId, toast } from "./view.js";

const SEEDS = 10n ** 18n;
const SETTING_STEP = 0.05;

/** Let keys, fingers and buttons do what they say. */
export function listen(game) {
  const commands = {
    p: () => game.pause(),
    n: () => game.oneStep(),
    r: () => game.restart().then(() => game.run()),
    k: () => game.keep(),
    l: () => game.back(),
    "[": () => step(game, "temperature", -1),
    "]": () => step(game, "temperature", 1),
    ";": () => step(game, "diversity", -1),
    "'": () => step(game, "diversity", 1),
  };
  const press = (name) => {
    game.held.press(name);
    game.run();
  };
  window.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.id === "seed") return;
    const name = keyName(event);
    const onButton = event.target.closest?.("button, summary") && (name === "space" || name === "return");
    if (onButton) return;
    if (name in commands) {
      event.preventDefault();
      if (!event.repeat || "[];'".includes(name)) commands[name]();
    } else if (game.known.has(name)) {
      event.preventDefault();
      if (!event.repeat) press(name);
    } else if ((name === "space" || name === "return") && !game.running) {
      event.preventDefault();
      game.run();
    }
  });
  window.addEventListener("keyup", (event) => game.held.release(keyName(event)));
  window.addEventListener("blur", () => game.held.clear());
  document.addEventListener("visibilitychange", () => document.hidden && game.running && game.pause());
  // A link that was put into the address bar of this page; sharing writes there without this event.
  window.addEventListener("hashchange", () => location.reload());
  touchPad(game, press);
  touchScreen(game, press);
  const buttons = {
    pause: commands.p,
    next: commands.n,
    restart: commands.r,
    keep: commands.k,
    back: commands.l,
    share: () => share(game),
    cover: () => window.ready && game.run(),
    dice: () => game.begin(randomSeed()).then(() => game.run()),
  };
  for (const [id, action] of Object.entries(buttons))
    byId(id).addEventListener("click", (event) => {
      action();
      // Or the space bar would press it again instead of playing.
      if (event.detail) event.currentTarget.blur();
    });
  for (const kind of ["temperature", "diversity"]) {
    byId(kind).addEventListener("input", () => game.set(kind, Number(byId(kind).value)));
    byId(kind).addEventListener("pointerup", () => byId(kind).blur());
  }
  byId("seed-form").addEventListener("submit", (event) => {
    event.preventDefault();
    game.begin(BigInt(byId("seed").value) % SEEDS).then(() => game.run());
    byId("seed").blur();
  });
}

function touchPad(game, press) {
  for (const button of byId("pad").children) {
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      button.setPointerCapture(event.pointerId);
      button.classList.add("down");
      press(button.dataset.key);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"])
      button.addEventListener(kind, () => {
        button.classList.remove("down");
        game.held.release(button.dataset.key);
      });
    button.addEventListener("contextmenu", (event) => event.preventDefault());
  }
}

/** A finger on the picture: its upper or lower half, or the left or right one, are keys. */
function touchScreen(game, press) {
  const { keys } = game.info;
  const differ = (one, other) => one in keys && other in keys && keys[one] !== keys[other];
  const vertical = differ("up", "down");
  if (!vertical && !differ("left", "right")) return;
  const screen = byId("canvas");
  const pressed = new Map();
  const keyAt = (event) => {
    const box = screen.getBoundingClientRect();
    const share = vertical ? (event.clientY - box.top) / box.height : (event.clientX - box.left) / box.width;
    return (vertical ? ["up", "down"] : ["left", "right"])[Number(share > 0.5)];
  };
  const move = (event) => {
    const [before, now] = [pressed.get(event.pointerId), keyAt(event)];
    if (before === now) return;
    if (before) game.held.release(before);
    pressed.set(event.pointerId, now);
    press(now);
  };
  screen.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    screen.setPointerCapture(event.pointerId);
    move(event);
  });
  screen.addEventListener("pointermove", (event) => pressed.has(event.pointerId) && move(event));
  for (const kind of ["pointerup", "pointercancel"])
    screen.addEventListener(kind, (event) => {
      game.held.release(pressed.get(event.pointerId));
      pressed.delete(event.pointerId);
    });
}

function step(game, kind, sign) {
  const input = byId(kind);
  const value = Math.round((game.dream[kind] + sign * SETTING_STEP) * 100) / 100;
  game.set(kind, Math.min(Number(input.max), Math.max(Number(input.min), value)));
}

async function share(game) {
  await game.busy;
  const link = game.link();
  history.replaceState(null, "", link);
  try {
    await navigator.clipboard.writeText(link);
    toast("Link copied: it dreams all of this again.");
  } catch {
    toast("The link is in the address bar.");
  }
}

/** A random seed. */
export function randomSeed() {
  return BigInt(crypto.getRandomValues(new Uint32Array(1))[0]);
}
