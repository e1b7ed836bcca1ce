// The tests' actions/github-script, with the same client, as the real one makes it.
(async () => {
  const { getOctokit, context } = await import(process.env.TOOLKIT);
  const core = { info: console.log, setFailed: (text) => { throw new Error(text); } };
  const github = getOctokit(process.env["INPUT_GITHUB-TOKEN"], { baseUrl: process.env["INPUT_BASE-URL"] });
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
  await new AsyncFunction("github", "context", "core", process.env.INPUT_SCRIPT)(github, context, core);
})().catch((error) => {
  console.log(`::error::${error.stack}`);
  process.exitCode = 1;
});
