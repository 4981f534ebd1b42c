// One line of JSON for each check, and an exit status for all.

// The whole run ends after this many milliseconds, finished or not.
const patience = 240_000;

// A check that takes longer hangs.
const limit = 60_000;

// A Report prints the checks of one subject: labels are in each of its lines.
export class Report {
  constructor(labels) {
    this.labels = labels;
  }

  // check runs a check for at most limit milliseconds, prints how it went, and tells whether it went well. What the
  // check returns is printed with it.
  async check(name, run) {
    const begun = Date.now();
    try {
      const details = await within(limit, run());
      this.#print({ check: name, ok: true, ms: Date.now() - begun, ...details });
      return true;
    } catch (error) {
      this.#print({ check: name, ok: false, ms: Date.now() - begun, error: error.message });
      process.exitCode = 1;
      return false;
    }
  }

  #print(line) {
    console.log(JSON.stringify({ ...this.labels, ...line }));
  }
}

// within is the promise, or an error when it takes longer than limit milliseconds.
export function within(limit, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${limit} ms`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export function pause(ms) {
  return new Promise(resolve => setTimeout(resolve, ms));
}

// equal is an error that shows both values, cut short, unless they are the same.
export function equal(what, got, want) {
  if (got !== want) throw new Error(`${what}: ${show(got)}, want ${show(want)}`);
}

export function holds(what, condition) {
  if (!condition) throw new Error(what);
}

function show(value) {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 120 ? `${text.slice(0, 120)}... (${text.length})` : text;
}

// run ends the process with main, or with patience: sockets that are still open do not keep it.
export async function run(main) {
  setTimeout(() => {
    console.log(JSON.stringify({ check: 'finish', ok: false, ms: patience, error: 'the run did not finish' }));
    process.exit(1);
  }, patience);
  try {
    await main();
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
  process.exit();
}
