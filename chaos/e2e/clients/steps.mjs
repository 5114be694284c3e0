// Runs the steps of a script, all of them, and tells which went wrong.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const given = JSON.parse(readFileSync(process.env.CASE, "utf8"));
export const say = (text) => [{ role: "user", content: `Say: ${text}` }];

export async function eventually(what, holds, limit = 20_000) {
  const end = Date.now() + limit;
  while (!(await holds())) {
    assert(Date.now() < end, `not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

// raised is the error, exactly of the given class, that promise fails with.
export async function raised(kind, promise) {
  let got;
  try {
    got = await promise;
  } catch (e) {
    assert.equal(e.constructor.name, kind.name, String(e));
    return e;
  }
  assert.fail(`no ${kind.name}, but ${JSON.stringify(got)}`);
}

// cancelled tells whether the engine saw the client of that request leave.
export const cancelled = async (id) => (await (await fetch(`${given.seen}/${id}`)).json()).cancelled === 1;

export async function run(steps) {
  let failed = 0;
  for (const [name, does] of Object.entries(steps)) {
    if (!name.includes(process.env.STEP ?? "")) continue;
    const began = Date.now();
    let ending = "ok  ";
    try {
      await does();
    } catch (e) {
      ending = "FAIL";
      failed++;
      console.log(e.stack);
    }
    console.log(`${ending} ${name} ${((Date.now() - began) / 1000).toFixed(2)} s`);
  }
  if (failed > 0) {
    console.log(`${failed} of ${Object.keys(steps).length} steps failed`);
    process.exit(1);
  }
  process.exit(0); // connections that are kept open must not hold the script
}
