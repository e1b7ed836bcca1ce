// Octokit's own REST client against the gateway. Reads {base, token} from the arguments, prints what it found.
// Every request is checked to be for the gateway before it leaves: a URL of api.github.com would be an escape.
import { Octokit } from "@octokit/rest";

const [base, token] = process.argv.slice(2);
const origin = new URL(base).origin;
const urls = [];

function guarded(url, options) {
  urls.push(url);
  if (new URL(url).origin !== origin) throw new Error(`left the gateway for ${url}`);
  return fetch(url, { ...options, redirect: "manual" }).then(async (response) => {
    if (response.status !== 301) return response;
    return guarded(response.headers.get("location"), options);
  });
}

const octokit = new Octokit({ baseUrl: base, auth: token, request: { fetch: guarded } });
const repo = { owner: "octo", repo: "app" };
const issues = await octokit.paginate(octokit.rest.issues.listForRepo, { ...repo, per_page: 20 });
const renamed = await octokit.rest.repos.get({ owner: "octo", repo: "old" });
const followed = await octokit.request(`GET ${(await octokit.rest.repos.get(repo)).data.url}`);
const missing = await octokit.rest.repos.get({ owner: "octo", repo: "none" }).catch((error) => error.status);

console.log(
  JSON.stringify({
    issues: issues.map((issue) => issue.number),
    renamed: renamed.data.full_name,
    followed: followed.data.full_name,
    missing,
    requests: urls.length,
  }),
);
