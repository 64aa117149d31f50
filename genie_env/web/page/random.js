/** NumPy's default generator, PCG64 seeded through SeedSequence: a seed means in the page what it means in Python. */

const WORD = 0xffffffffn;
const LONG = 0xffffffffffffffffn;
const WIDE = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const POOL = 4;

export class Generator {
  /** @param {number | bigint} seed a whole number of at least 0 */
  constructor(seed) {
    const [high, low, incrementHigh, incrementLow] = seedWords(BigInt(seed));
    this.increment = ((((incrementHigh << 64n) | incrementLow) << 1n) | 1n) & WIDE;
    this.state = 0n;
    this.spare = null;
    this.advance();
    this.state = (this.state + ((high << 64n) | low)) & WIDE;
    this.advance();
  }

  /** An independent copy. */
  clone() {
    return Object.assign(Object.create(Generator.prototype), this);
  }

  /** A whole number from 0 to before `end`, as `Generator.integers(end)` of int64 gives it. */
  integers(end) {
    const last = BigInt(end) - 1n;
    if (last === 0n) return 0n;
    const [bits, next] = last <= WORD ? [32n, () => this.next32()] : [64n, () => this.next64()];
    if (last === WORD) return next();
    // Lemire 2019, arXiv 1805.10941: the high half of a product, without bias.
    const mask = (1n << bits) - 1n;
    const count = last + 1n;
    let product = next() * count;
    if ((product & mask) < count) {
      const threshold = (mask - last) % count;
      while ((product & mask) < threshold) product = next() * count;
    }
    return product >> bits;
  }

  next64() {
    this.advance();
    const mixed = (this.state >> 64n) ^ (this.state & LONG);
    const turn = this.state >> 122n;
    return ((mixed >> turn) | (mixed << ((64n - turn) & 63n))) & LONG;
  }

  next32() {
    if (this.spare !== null) {
      const kept = this.spare;
      this.spare = null;
      return kept;
    }
    const both = this.next64();
    this.spare = both >> 32n;
    return both & WORD;
  }

  advance() {
    this.state = (this.state * MULTIPLIER + this.increment) & WIDE;
  }
}

/** Four 64-bit words of `SeedSequence(seed).generate_state(4, uint64)`. */
function seedWords(seed) {
  const entropy = [];
  do {
    entropy.push(seed & WORD);
    seed >>= 32n;
  } while (seed);
  let constant = 0x43b0d7e5n;
  const hash = (value) => {
    value ^= constant;
    constant = (constant * 0x931e8875n) & WORD;
    value = (value * constant) & WORD;
    return value ^ (value >> 16n);
  };
  const mix = (x, y) => {
    const result = (0xca01f9ddn * x - 0x4973f715n * y) & WORD;
    return result ^ (result >> 16n);
  };
  const pool = Array.from({ length: POOL }, (_, i) => hash(entropy[i] ?? 0n));
  for (let from = 0; from < POOL; from++)
    for (let to = 0; to < POOL; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  for (let from = POOL; from < entropy.length; from++)
    for (let to = 0; to < POOL; to++) pool[to] = mix(pool[to], hash(entropy[from]));
  constant = 0x8b51f9ddn;
  const words = Array.from({ length: 8 }, (_, i) => {
    let value = pool[i % POOL] ^ constant;
    constant = (constant * 0x58f38dedn) & WORD;
    value = (value * constant) & WORD;
    return value ^ (value >> 16n);
  });
  return [0, 2, 4, 6].map((i) => words[i] | (words[i + 1] << 32n));
}
