#!/bin/sh
# A repository at a glance, with gh through the cache. Nothing here knows of it: GH_CONFIG_DIR leads gh there.
#
#   p2pcache run -- ./overview.sh OWNER/REPO
set -eu
repository=${1:?usage: overview.sh OWNER/REPO}
# gh asks for one of its own: the token of the job, or of p2pcache's caller.
export GH_TOKEN="${GH_TOKEN:-${GITHUB_TOKEN:?set GITHUB_TOKEN}}"

gh api "repos/$repository" --jq '"\(.full_name): \(.description // "no description")"'
printf 'issues:   '; gh issue list -R "$repository" --limit 100 --json number --jq length   # by GraphQL
printf 'branches: '; gh api --paginate "repos/$repository/branches" --jq '.[].name' | wc -l
printf 'releases: '; gh api --paginate "repos/$repository/releases" --jq '.[].tag_name' | wc -l
