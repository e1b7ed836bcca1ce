// Count the open issues of a repository, pull requests among them, by label, with Octokit through the cache:
//
//   npm install && p2pcache run -- node issues-by-label.mjs OWNER/REPO
import { Octokit } from "@octokit/rest";

const [owner, repo] = (process.argv[2] ?? "").split("/");
if (!repo) throw new Error("usage: issues-by-label.mjs OWNER/REPO");

const octokit = new Octokit({
  // The one line that leads to the cache; without one, to GitHub itself.
  baseUrl: process.env.P2PCACHE_API_URL ?? "https://api.github.com",
  auth: process.env.GITHUB_TOKEN,
});

const counts = new Map();
const pages = octokit.paginate.iterator(octokit.rest.issues.listForRepo, { owner, repo, state: "open", per_page: 100 });
for await (const { data } of pages) {
  for (const issue of data) {
    for (const { name } of issue.labels) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
}
for (const [name, count] of [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))) {
  console.log(`${String(count).padStart(5)} ${name}`);
}
