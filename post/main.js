// Keeps for the post step what it needs. Inputs are wrong in the post of an action nested in two composites: state is not.
const { appendFileSync } = require("node:fs");
const { randomUUID } = require("node:crypto");

function saveState(name, value) {
  const mark = `ghadelimiter_${randomUUID()}`;
  appendFileSync(process.env.GITHUB_STATE, `${name}<<${mark}\n${value}\n${mark}\n`);
}

saveState("environment", process.env.INPUT_ENVIRONMENT ?? "");
saveState("strict", process.env.INPUT_STRICT ?? "");
