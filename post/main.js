// Keeps for the post step what it needs, and gives the node what the runner gives JavaScript actions alone.
// Inputs are wrong in the post of an action nested in two composites: state is not.
const { appendFileSync } = require("node:fs");
const { randomUUID } = require("node:crypto");
const http = require("node:http");

const DEADLINE_MS = 5_000;

function saveState(name, value) {
  const mark = `ghadelimiter_${randomUUID()}`;
  appendFileSync(process.env.GITHUB_STATE, `${name}<<${mark}\n${value}\n${mark}\n`);
}

// Whether there is the Actions cache service v2: github.com and *.ghe.com have it, an Enterprise Server may say so.
function hasService({ ACT, ACTIONS_CACHE_SERVICE_V2, GITHUB_SERVER_URL }) {
  const { hostname } = new URL(GITHUB_SERVER_URL || "https://github.com");
  const here = ACT !== "true" && (hostname === "github.com" || hostname.endsWith(".ghe.com"));
  return here || /^(true|1)$/i.test(ACTIONS_CACHE_SERVICE_V2 ?? "");
}

function notUsed(why) {
  console.log(`p2pcache: the Actions cache is not used: ${why}`);
}

// To the memory of the node: not to GITHUB_ENV, which would show the token to every later step.
function authorize(socketPath, results_url, token) {
  const headers = { "Content-Type": "application/json" };
  const request = http.request({ socketPath, path: "/-/actions", method: "POST", headers, timeout: DEADLINE_MS });
  request.on("response", (response) => {
    response.resume();
    if (response.statusCode !== 200) notUsed(`the node answered with status ${response.statusCode}`);
  });
  request.on("timeout", () => request.destroy(new Error("the node does not answer")));
  request.on("error", (error) => notUsed(error.code ?? error.message));
  request.end(JSON.stringify({ results_url, token }));
}

const environment = process.env.INPUT_ENVIRONMENT ?? "";
saveState("environment", environment);
saveState("strict", process.env.INPUT_STRICT ?? "");
try {
  const { socket, actions } = JSON.parse(environment);
  if (actions) {
    const { ACTIONS_RESULTS_URL: url, ACTIONS_RUNTIME_TOKEN: token } = process.env;
    if (url && token && hasService(process.env)) authorize(socket, url, token);
    else notUsed("this runner has no cache service v2");
  }
} catch (error) {
  notUsed(error.name);
}
