// Asks the exporter again and again: once a tick, slower while it does not answer, never while nobody looks.

const SHORTEST = 1, LONGEST = 60, TIMEOUT = 10, MARGIN = 0.3;

export class Poll {
  // ask: async (get) => seconds until it pays to ask again. failed: (error, seconds until the next attempt).
  constructor(ask, failed) {
    this.ask = ask;
    this.failed = failed;
    this.failures = 0;
    this.timer = null;
    this.running = false;
    document.addEventListener("visibilitychange", () => this.look());
  }

  look() {
    clearTimeout(this.timer);
    if (!document.hidden && !this.running) this.round();
  }

  async round() {
    this.running = true;
    let seconds;
    try {
      seconds = Math.min(LONGEST, Math.max(SHORTEST, (await this.ask(get)) + MARGIN));
      this.failures = 0;
    } catch (error) {
      this.failures += 1;
      seconds = Math.min(LONGEST, 2 ** Math.min(6, this.failures));
      this.failed(error, seconds);
    }
    this.running = false;
    if (!document.hidden) this.timer = setTimeout(() => this.round(), 1000 * seconds);
  }
}

// The exporter did not answer, or with an error; status: the HTTP status, if there was one.
export class Unanswered extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// Relative to the page, so that it works behind any prefix.
export async function get(path) {
  let response;
  try {
    response = await fetch(path, { signal: AbortSignal.timeout(1000 * TIMEOUT), cache: "no-store" });
    if (response.ok) return await response.json();
  } catch (error) {
    throw new Unanswered(`${path}: ${error.message}`);
  }
  throw new Unanswered(`${path}: HTTP ${response.status}`, response.status);
}
