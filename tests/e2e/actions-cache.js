// The tests' actions/cache: keys are folders below CACHE_STUB; used once each, as the real one's.
const fs = require("node:fs");
const path = require("node:path");

const base = process.env.CACHE_STUB;
const saved = process.env.STATE_key;
if (base && saved) {
  const target = path.join(base, saved);
  if (!fs.existsSync(target)) fs.cpSync(process.env.STATE_path, target, { recursive: true });
  console.log(`cache saved: ${saved}`);
} else if (base) {
  const prefix = process.env["INPUT_RESTORE-KEYS"].trim();
  const found = fs.readdirSync(base).filter((name) => name.startsWith(prefix)).sort().at(-1);
  if (found) fs.cpSync(path.join(base, found), process.env.INPUT_PATH, { recursive: true });
  console.log(`cache restored: ${found ?? "nothing"}`);
  fs.appendFileSync(process.env.GITHUB_STATE, `key=${process.env.INPUT_KEY}\npath=${process.env.INPUT_PATH}\n`);
}
