// `node client.mjs - LIBRARY URL TOKEN`, from standard input so that packages are found beside the working directory:
// asks twice, and prints the heads of the answers.
const [library, url, token] = process.argv.slice(2);

function show(status, headers) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  console.log([`HTTP/1.1 ${status}`, ...lines, ""].join("\n"));
}

const clients = {
  async fetch() {
    const answer = await fetch(url, { headers: { authorization: `token ${token}` } });
    await answer.text();
    show(answer.status, Object.fromEntries(answer.headers));
  },
  async octokit() {
    const { Octokit } = await import("@octokit/rest");
    const { status, headers } = await new Octokit({ auth: token }).request(`GET ${url}`);
    show(status, headers);
  },
  async actions() {
    const { getOctokit } = await import("@actions/github");
    const { status, headers } = await getOctokit(token).request(`GET ${url}`);
    show(status, headers);
  },
  async axios() {
    const { default: axios } = await import("axios");
    const { status, headers } = await axios.get(url, { headers: { Authorization: `token ${token}` } });
    show(status, headers);
  },
};

await clients[library]();
await clients[library]();
