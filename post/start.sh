# Sourced by action.yml's step, by any POSIX shell.
# 1. Give this action a fixed name that `uses: ./...` reaches from the workspace: `_actions/p2pcache`, two folders above
#    it. The target is relative because the runner resolves it on the host, where a job container's /__w has another name.
action=${GITHUB_ACTION_PATH%/}
work=${GITHUB_WORKSPACE%/*/*}
link=$work/_actions/p2pcache
case $action in
  "$work"/*) target=..${action#"$work"} ;;
  *) target=$action ;;
esac
if [ "$ACT" = true ]; then
  link=$GITHUB_WORKSPACE/.p2pcache target=$action
  echo "act=true" >>"$GITHUB_OUTPUT"
fi
if [ "$(readlink "$link" 2>/dev/null)" != "$target" ]; then
  mkdir -p "${link%/*}" && rm -rf "$link" && ln -s "$target" "$link"
fi

# 2. Hand over to Python.
for python in python3 python python3.13 python3.12 python3.11; do
  if command -v "$python" >/dev/null 2>&1; then
    exec "$python" "$action/entrypoint.py"
  fi
done
text="there is no Python in this image: choose one that has Python 3.11 to 3.13, or use p2pcache's Docker action"
if [ "$INPUT_STRICT" = true ]; then
  echo "::error title=p2pcache::$text."
  exit 1
fi
{
  echo "api-url=$GITHUB_API_URL"
  echo "graphql-url=$GITHUB_GRAPHQL_URL"
  echo "p2p-connected=false"
} >>"$GITHUB_OUTPUT"
{
  echo "P2PCACHE_API_URL=$GITHUB_API_URL"
  echo "P2PCACHE_GRAPHQL_URL=$GITHUB_GRAPHQL_URL"
} >>"$GITHUB_ENV"
echo "::warning title=p2pcache::$text. The job goes on without the cache."
