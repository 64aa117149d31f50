/** Everything that is shown around the picture. Knows nothing of keys and of how a dream is made. */

import { GLYPHS } from "./keys.js";

export const byId = (id) => document.getElementById(id);

/** Whether there is a finger rather than a keyboard. */
export const byTouch = () => matchMedia("(pointer: coarse)").matches;

/** A score as people write it; with its sign in games that can be lost. */
export function signed(score, info) {
  const text = Number.isInteger(score) ? String(Math.abs(score)) : Math.abs(score).toFixed(1);
  const sign = score < 0 ? "−" : score > 0 && info.rewards.some((reward) => reward < 0) ? "+" : "";
  return sign + text;
}

/** Let a reward rise over the picture. */
export function flash(reward) {
  const element = byId("flash");
  element.textContent = (reward > 0 ? "+" : "−") + Math.abs(reward);
  element.className = "flash";
  void element.offsetWidth; // so that the animation begins again
  element.classList.add(reward > 0 ? "good" : "bad");
}

/** What can be done now. */
export function showState(game) {
  byId("pause").textContent = game.running ? "Pause" : game.last.step ? "Go on" : "Play";
  byId("next").disabled = game.running || game.over;
}

/** The sliders as the dream has them. */
export function showSettings(game) {
  for (const kind of ["temperature", "diversity"]) {
    byId(kind).value = game.dream[kind];
    byId(`${kind}-value`).textContent = game.dream[kind].toFixed(2);
  }
}

/** Text over the picture; null takes it away. */
export function cover(content) {
  byId("cover").classList.toggle("away", content === null);
  if (content === null) return;
  const { headline, message = "", button = "", share = null, keys = false } = content;
  byId("headline").textContent = headline;
  byId("message").textContent = message;
  byId("late").hidden = true;
  byId("spinner").hidden = share === null;
  byId("bar").hidden = share === null;
  byId("bar-done").style.transform = `scaleX(${share ?? 0})`;
  byId("caps").hidden = !keys;
  byId("play").textContent = button;
  byId("play").hidden = !button;
}

/** A line of text for a moment. */
export function toast(text) {
  const element = byId("toast");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => element.classList.remove("shown"), 2600);
}

/** Say what went wrong, instead of the game. */
export function fail(error) {
  console.error(error);
  window.failed = String(error?.message ?? error);
  cover({ headline: "That did not work", message: window.failed });
}

/** The keys of each action that has some; what goes to the left stands on the left. */
function actionKeys(info) {
  const found = new Map();
  for (const [key, action] of Object.entries(info.keys)) found.set(action, [...(found.get(action) ?? []), key]);
  const place = ({ keys }) => ({ left: 0, up: 1, down: 3, right: 4 })[keys[0]] ?? 2;
  const chords = (key) => key.split("+").length;
  const shortFirst = (one, other) => chords(one) - chords(other) || (one in GLYPHS ? 0 : 1) - (other in GLYPHS ? 0 : 1);
  const all = [...found].map(([action, keys]) => {
    const effect = info.effects[action];
    return { keys: keys.sort(shortFirst), effect, name: effect?.name ?? info.actions[action] };
  });
  return all.sort((one, other) => place(one) - place(other));
}

/** An arrow from what a latent action does, as long as the effect is strong; another sign where nothing moves. */
function arrow({ right, down, sign }, parent) {
  if (!right && !down) return element("b", `${sign} `, parent);
  const name = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(name, "svg");
  const path = document.createElementNS(name, "path");
  const length = 7 * Math.hypot(right, down);
  svg.setAttribute("viewBox", "-8 -8 16 16");
  svg.setAttribute("class", "effect");
  path.setAttribute("d", `M${-length} 0H${length}M${length - 4} -4L${length} 0L${length - 4} 4`);
  path.setAttribute("transform", `rotate(${(Math.atan2(down, right) * 180) / Math.PI})`);
  svg.append(path);
  parent.append(svg);
  return svg;
}

/** What is printed on a key. */
function cap(key) {
  if (key.includes("+")) return key.split("+").map(cap).join("+");
  return key.length > 1 ? (key in GLYPHS && key !== "space" ? GLYPHS[key] : key) : key.toUpperCase();
}

function element(kind, text = "", parent = null) {
  const made = document.createElement(kind);
  made.textContent = text;
  parent?.append(made);
  return made;
}

/** Fill the page with what the world says of itself. */
export function describe(game) {
  const { info } = game;
  document.title = `${info.title}, dreamed`;
  byId("title").textContent = `${info.title}, dreamed`;
  byId("about").textContent =
    `Neural networks watched ${info.title} being played and dream it now, in this page. There is no game behind it: ` +
    "each picture is drawn from the pictures before and from your keys.";
  for (const { keys, name, effect } of actionKeys(info)) {
    const shown = element("span", "", byId("caps"));
    if (effect) arrow(effect, shown);
    for (const key of keys.slice(0, 2)) element("kbd", cap(key), shown);
    // An arrow says enough; what the space bar does needs words.
    if (effect || !(keys[0] in GLYPHS) || keys[0] === "space") shown.append(name.toLowerCase());
    const button = element("button", GLYPHS[keys[0]] ?? cap(keys[0]), byId("pad"));
    element("small", name, button);
    button.dataset.key = keys[0];
  }
  const rows = actionKeys(info).map(({ keys, name, effect }) => [keys.map(cap).join(" "), name, effect]);
  const commands = { P: "pause", N: "one step while paused", R: "restart", K: "keep this moment", L: "go back to it", "[ ]": "temperature", "; '": "action diversity" };
  for (const [key, meaning, effect] of [...rows, ...Object.entries(commands)]) {
    const row = element("tr", "", byId("keys"));
    const cell = element("td", "", row);
    for (const printed of key.split(" ")) element("kbd", printed, cell);
    const told = element("td", "", row);
    if (effect) arrow(effect, told);
    told.append(meaning);
  }
}
