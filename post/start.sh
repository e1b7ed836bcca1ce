# Sourced by action.yml's step, by any POSIX shell, under `set -e`. Whatever fails here, the job goes on.
action=${GITHUB_ACTION_PATH%/}

annotate() { echo "::$1 title=p2pcache::$2"; }

# 1. Give this action a fixed name that `uses: ./...` reaches from the workspace: two folders above it, beside the
#    owners of actions, under a name that no owner can have (a login has no dot). The target is relative because the
#    runner resolves it on the host, where a job container's /__w has another name. act looks in the workspace only.
give_name() {
  work=${GITHUB_WORKSPACE%/*/*}
  if [ "$ACT" = true ]; then
    kind=act link=$GITHUB_WORKSPACE/.p2pcache target=$action
  else
    kind=runner link=$work/_actions/.p2pcache
    case $action in
      "$work"/*) target=..${action#"$work"} ;;
      *) target=$action ;;
    esac
  fi
  if [ -L "$link" ]; then
    rm -f "$link" || return 1
  elif [ -e "$link" ]; then
    return 1 # somebody's file or folder, not ours to remove
  fi
  mkdir -p "${link%/*}" && ln -s "$target" "$link" && [ -f "$link/post/action.yml" ] || return 1
  echo "post=$kind" >>"$GITHUB_OUTPUT"
  named=$kind
}
named=
if [ "$RUNNER_OS" != Windows ] && ! give_name 2>/dev/null; then
  annotate warning "no report at the job's end: a link at $link cannot be made. The cache works, and ends with the job."
fi

# 2. Hand over to the newest Python that runs p2pcache: of the path, the runner's tool cache, pyenv or uv. The
#    interpreter itself says whether it does; what is met here may be 2.7, a shim that leads nowhere, or PyPy.
usable() {
  # A word of its own: a stub that ends with 0 whatever it is asked is no Python.
  [ "$("$1" -I -c "import sys; assert sys.version_info[:2] == (3, $2) and sys.implementation.name == 'cpython'; \
import ssl, sqlite3; print('usable')" </dev/null 2>/dev/null)" = usable ]
}
# Where there is none, uv fetches one, in two minutes at most where `timeout` is there to bound it. Not from the job's
# workspace, whose uv.toml is that of a project.
fetched() (
  cd / && export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-20}"
  command -v uv || exit 1
  command -v timeout && bounded="timeout 120" || bounded=
  $bounded uv python install --no-progress 3.13 </dev/null
) >/dev/null 2>&1
if [ "$RUNNER_OS" != Windows ]; then
  for attempt in here fetched; do
    [ $attempt = here ] || fetched || break
    for minor in 14 13 12 11; do
      for python in "python3.$minor" python3 python \
        "${RUNNER_TOOL_CACHE:-/nonexistent}/Python/3.$minor".*/*/bin/python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python3 \
        "${UV_PYTHON_INSTALL_DIR:-$HOME/.local/share/uv/python}/cpython-3.$minor".*/bin/python3; do
        if usable "$python" "$minor"; then
          exec "$python" -I "$action/entrypoint.py"
        fi
      done
    done
  done
fi

# 3. None. The engine that runs the job's container can run another: action.yml hands over to the Docker action. The
#    runner names the job's container in an expression; act does not, but has its files at this path in containers
#    alone. /.dockerenv proves nothing: a runner's own container has it too.
in_container=$JOB_CONTAINER
if [ "$ACT" = true ]; then
  case $GITHUB_OUTPUT in /var/run/act/*) in_container=act ;; esac
fi
if [ -n "$in_container" ] && [ -n "$named" ]; then
  echo "sibling=$named" >>"$GITHUB_OUTPUT"
  case $INPUT_INTERCEPT in
    [Tt][Rr][Uu][Ee]) intercept=" Clients without a base URL go to GitHub: 'intercept: true' needs that Python." ;;
    *) intercept= ;;
  esac
  annotate notice "no Python 3.11 to 3.14 is in this job's container, so the cache runs in a container of its own \
beside it. Its image is built first, which takes about a minute.$intercept"
else
  . "$action/post/direct.sh"
fi
