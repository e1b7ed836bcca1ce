// The job's end: reports, and stops the node. Nothing here fails a job that is not strict.
const { spawnSync } = require("node:child_process");

const DEADLINE_MS = 60_000;

function escape(text) {
  return text.replace(/%/g, "%25").replace(/[\x00-\x1f\x7f]+/g, " ").slice(0, 1000);
}

function finish({ python, path }) {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("PYTHON"));
  const env = { ...Object.fromEntries(kept), PYTHONPATH: path, PYTHONSAFEPATH: "1", PYTHONNOUSERSITE: "1" };
  const done = spawnSync(python, ["-m", "p2pcache.runner.main", "finish"], {
    env, timeout: DEADLINE_MS, stdio: ["ignore", "inherit", "pipe"], encoding: "utf8",
  });
  if (done.error) throw done.error;
  if (done.status !== 0) {
    const lines = done.stderr.split("\n").filter((line) => line.trim());
    throw new Error(lines.at(-1) ?? `it ended with status ${done.status}`);
  }
}

try {
  finish(JSON.parse(process.env.STATE_environment));
} catch (error) {
  // The rule of p2pcache/runner/direct.py: what is not said, or false, is not strict.
  const strict = !["", "false"].includes((process.env.STATE_strict ?? "").trim().toLowerCase());
  console.log(`::${strict ? "error" : "warning"} title=p2pcache::No report: ${escape(String(error.message))}`);
  if (strict) process.exitCode = 1;
}
