const limit = 1000;

// RoundTrips measures how long an echo takes. An echo answers in order, so
// whatever comes back belongs to the oldest text that has not come back.
export class RoundTrips {
  #pending = [];
  #times = []; // milliseconds of the last limit round trips, oldest first

  sent(text) {
    this.#pending.push({ text, at: performance.now() });
  }

  // received returns the milliseconds that text took, or undefined when text
  // is not what had to come next.
  received(text) {
    const now = performance.now();
    const next = this.#pending.shift();
    if (next?.text !== text) return undefined;
    this.#times.push(now - next.at);
    if (this.#times.length > limit) this.#times.shift();
    return this.last;
  }

  // last and median are in milliseconds, and undefined before the first echo.
  get last() {
    return this.#times.at(-1);
  }

  get median() {
    const sorted = [...this.#times].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    if (sorted.length % 2 === 1) return sorted[middle];
    return sorted.length ? (sorted[middle - 1] + sorted[middle]) / 2 : undefined;
  }
}
