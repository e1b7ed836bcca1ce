#!/bin/sh
# All branches of a repository, page by page, with curl and jq through the cache.
#
#   p2pcache run -- ./branches.sh OWNER/REPO
#
# By the unix socket instead, where no port is wanted: curl --unix-socket "$P2PCACHE_SOCKET" http://api.github.com/...
set -eu
repository=${1:?usage: branches.sh OWNER/REPO}
head=$(mktemp)
trap 'rm -f "$head"' EXIT

# The one line that leads to the cache; without one, to GitHub itself.
api=${P2PCACHE_API_URL:-https://api.github.com}
url="$api/repos/$repository/branches?per_page=100"
while [ -n "$url" ]; do
  # The token comes from stdin: an argument could be read by every user of this machine.
  printf 'header = "Authorization: Bearer %s"\n' "${GITHUB_TOKEN:?set GITHUB_TOKEN}" |
    curl -fsS --max-time 60 -K - -D "$head" "$url" | jq -r '.[].name'
  grep -i '^cache-status:' "$head" >&2 || true # what the cache did: hit, or a call to GitHub
  next=$(sed -n 's/^[Ll]ink:.*<\([^>]*\)>; rel="next".*/\1/p' "$head")
  # The token goes to the API alone, whatever an answer names.
  case $next in "$api"/*) url=$next ;; *) url= ;; esac
done
