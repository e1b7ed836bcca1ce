# Sourced by start.sh and by action.yml's last step, by any POSIX shell, under `set -e`: lead the job past the cache.
annotate() { echo "::$1 title=p2pcache::$2"; }

found=none
for python in python3 python; do
  version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' </dev/null 2>/dev/null) || continue
  case $version in
    *[!0-9.]*) ;;
    ?*) found="only Python $version" && break ;;
  esac
done
text="Python 3.11 to 3.14 is needed and $found is here: add \`uses: actions/setup-python\` with python-version \
3.13 before it, choose an image that has one, or use p2pcache's Docker action"
[ "$SIBLING" != failed ] || text="Python 3.11 to 3.14 is needed and $found is here, and the container that was to run \
the cache beside the job's failed (the log above has the reason): add \`uses: actions/setup-python\` with \
python-version 3.13 before it, or choose an image that has one"
[ "$RUNNER_OS" != Windows ] || text="p2pcache runs on Linux and macOS, and this runner is a Windows machine"
# Both rules are those of p2pcache/runner/direct.py.
case $INPUT_STRICT in
  "" | [Ff][Aa][Ll][Ss][Ee]) ;;
  *)
    annotate error "$text."
    exit 1
    ;;
esac
api=${GITHUB_API_URL:-https://api.github.com}
case $INPUT_UPSTREAM in
  *[!-A-Za-z0-9._~:/]*) ;; # what is no plain URL could be another line of the files below
  http://[A-Za-z0-9]* | https://[A-Za-z0-9]*) api=${INPUT_UPSTREAM%/} ;;
esac
{
  echo "api-url=$api"
  echo "graphql-url=${api%/v3}/graphql"
  echo "p2p-connected=false"
} >>"$GITHUB_OUTPUT"
{
  echo "P2PCACHE_API_URL=$api"
  echo "P2PCACHE_GRAPHQL_URL=${api%/v3}/graphql"
} >>"$GITHUB_ENV"
annotate warning "$text. The job goes on without the cache."
