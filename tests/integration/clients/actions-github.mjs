// The toolkit's client, as actions/github-script makes it, against the gateway: REST pages, a rename and GraphQL.
import { getOctokit } from "@actions/github";

const [base, token] = process.argv.slice(2);
const origin = new URL(base).origin;
const urls = [];

function guarded(url, options) {
  urls.push(url);
  if (new URL(url).origin !== origin) throw new Error(`left the gateway for ${url}`);
  return fetch(url, options).then((response) => {
    if (new URL(response.url).origin !== origin) throw new Error(`was led to ${response.url}`);
    return response;
  });
}

const octokit = getOctokit(token, { baseUrl: base, request: { fetch: guarded } });
const repo = { owner: "octo", repo: "app" };
const issues = await octokit.paginate(octokit.rest.issues.listForRepo, { ...repo, per_page: 20 });
const renamed = await octokit.rest.repos.get({ owner: "octo", repo: "old" });
const viewer = await octokit.graphql(`query($owner: String!) { repository(owner: $owner, name: "app") { name } }`, {
  owner: "octo",
});

console.log(
  JSON.stringify({
    issues: issues.map((issue) => issue.number),
    renamed: renamed.data.full_name,
    graphql: viewer.repository.name,
    requests: urls.length,
  }),
);
