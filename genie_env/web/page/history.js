/** Everything that happened to a dream since its seed, as text that fits into a link. */

const EVENT = /([a-z])(\d*)|(\.)|([TD])(\d+(?:\.\d+)?)_/gy;
const MOST_STEPS = 1_000_000;

export class History {
  /** @param {{seed: bigint, temperature: number, diversity: number}} beginning */
  constructor(beginning, events = []) {
    this.beginning = beginning;
    this.events = events;
  }

  /** An action was asked for. */
  act(action) {
    const last = this.events.at(-1);
    if (last?.kind === "act" && last.action === action) last.count += 1;
    else this.events.push({ kind: "act", action, count: 1 });
  }

  /** The dream began again, without a new seed. */
  restart() {
    this.events.push({ kind: "restart" });
  }

  /** Temperature or diversity was set; of several settings in a row the last one counts. */
  set(kind, value) {
    if (this.events.at(-1)?.kind === kind) this.events.pop();
    this.events.push({ kind, value });
  }

  get steps() {
    return this.events.reduce((sum, event) => sum + (event.count ?? 0), 0);
  }

  clone() {
    return new History({ ...this.beginning }, this.events.map((event) => ({ ...event })));
  }

  /** What follows the # of a link. */
  toText() {
    const { seed, temperature, diversity } = this.beginning;
    const log = this.events.map((event) => {
      if (event.kind === "act") return letter(event.action) + (event.count > 1 ? event.count : "");
      if (event.kind === "restart") return ".";
      return `${event.kind === "temperature" ? "T" : "D"}${event.value}_`;
    });
    return `seed=${seed}&t=${temperature}&d=${diversity}&log=${log.join("")}`;
  }

  /**
   * Read a link.
   * @param {string} text what follows its #
   * @param {{actions: string[], name: string}} world
   * @returns {History | null} null where it is no link of a dream
   */
  static fromText(text, world) {
    const fields = new URLSearchParams(text);
    if (!fields.has("seed")) return null;
    const wrong = (what) => new Error(`This link is damaged: ${what}.`);
    if (fields.has("world") && fields.get("world") !== world.name)
      throw new Error(`This link is of the world “${fields.get("world")}”; this page dreams “${world.name}”.`);
    if (!/^\d{1,40}$/.test(fields.get("seed"))) throw wrong("its seed is no whole number");
    const [temperature, diversity] = ["t", "d"].map((name) => Number(fields.get(name) ?? NaN));
    if (!(temperature >= 0 && temperature <= 10 && diversity >= 0 && diversity <= 1)) throw wrong("its settings are out of range");
    const history = new History({ seed: BigInt(fields.get("seed")), temperature, diversity });
    const log = fields.get("log") ?? "";
    let read = 0;
    EVENT.lastIndex = 0;
    for (let match; (match = EVENT.exec(log)); read = EVENT.lastIndex) {
      const [, name, count, restart, setting, value] = match;
      if (restart) history.restart();
      else if (setting) history.set(setting === "T" ? "temperature" : "diversity", Number(value));
      else {
        const action = name.charCodeAt(0) - 97;
        if (action >= world.actions.length) throw wrong(`it plays action ${action} of ${world.actions.length}`);
        history.events.push({ kind: "act", action, count: Number(count || 1) });
      }
    }
    if (read !== log.length) throw wrong("its list of actions cannot be read");
    if (history.steps > MOST_STEPS) throw wrong("it is too long");
    return history;
  }
}

function letter(action) {
  return String.fromCharCode(97 + action);
}
