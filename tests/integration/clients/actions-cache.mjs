// GitHub's own client of the Actions cache: each line of standard input is a call, each of the output its result.
import * as cache from "@actions/cache";
import { createInterface } from "node:readline";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const path = join(process.env.RUNNER_TEMP, "data.bin");
// The client reports through commands on standard output: the test reads standard error.
const say = (value) => console.error(JSON.stringify(value));

for await (const line of createInterface({ input: process.stdin })) {
  const { call, key, prefixes = [], text = "" } = JSON.parse(line);
  try {
    if (call === "save") {
      await writeFile(path, text);
      say({ saved: (await cache.saveCache([path], key)) > 0 });
    } else {
      await rm(path, { force: true });
      const found = await cache.restoreCache([path], key, prefixes);
      say({ found: found ?? null, text: found ? await readFile(path, "utf8") : null });
    }
  } catch (error) {
    say({ error: error.name });
  }
}
