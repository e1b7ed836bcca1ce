#!/bin/sh
# install.sh - p2pcache on this host or in this image, from a checkout: the locked environment, a `p2pcache` on the path,
# then `p2pcache doctor`. Run again, it changes nothing, or upgrades to what the checkout has; what fails half way
# leaves the former installation in use.
#
#   ./install.sh                      as root to /opt/p2pcache, else to ~/.local/share/p2pcache
#   ./install.sh --extras s3,mcp      with what these backends and commands need; kept by later runs, `none` drops them
#   ./install.sh --uninstall          removes what it installed, and nothing else
#
#   --prefix DIR    where it is installed
#   --bin DIR       where the command `p2pcache` is put: /usr/local/bin as root, else ~/.local/bin
#   --python FILE   the Python to use, of the versions that pyproject.toml names; the newest is looked for
#   --no-doctor     do not run `p2pcache doctor` at the end
#
# Packages come by pip's or uv's usual configuration: PIP_INDEX_URL, pip.conf, uv.toml, HTTPS_PROXY, SSL_CERT_FILE.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
fail() {
  echo "install.sh: $1" >&2
  exit "${2:-1}"
}
[ -f "$here/release/install.py" ] || fail "this is no checkout of p2pcache: release/install.py is not beside it"

# E.g. "11 14" of ">=3.11,<3.14".
bounds=$(sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)"$/\1 \2/p' "$here/pyproject.toml")
oldest=${bounds% *} newest=$((${bounds#* } - 1))
versions="CPython 3.$oldest to 3.$newest"

wanted=
want_next=false
for argument in "$@"; do
  if [ $want_next = true ]; then wanted=$argument want_next=false; fi
  case $argument in
    -h | --help) exec sed -n '2,/^set -eu/{/^#/!d; s/^# \{0,1\}//; p;}' "$0" ;;
    --python) want_next=true ;;
    --python=*) wanted=${argument#*=} ;;
  esac
done

# The interpreter itself says whether it will do: what is met here may be 2.7, a shim that leads nowhere, or PyPy. $4: it
# has to be one that every user can run, as what root installs is for all.
usable() {
  # A word of its own: a stub that ends with 0 whatever it is asked is no Python.
  [ "$("$1" -I -c "
import os, ssl, sqlite3, sys
assert sys.implementation.name == 'cpython' and (3, $2) <= sys.version_info[:2] <= (3, $3)
path = os.path.realpath(sys.executable)
while '${4-}' and path != '/':
    assert os.stat(path).st_mode & 1
    path = os.path.dirname(path)
print('usable')
" </dev/null 2>/dev/null)" = usable ]
}
find_python() {
  minor=$newest
  while [ "$minor" -ge "$oldest" ]; do
    for candidate in "python3.$minor" python3 python "/usr/bin/python3.$minor" "/usr/local/bin/python3.$minor" \
      "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/3.$minor".*/bin/python3 \
      "${UV_PYTHON_INSTALL_DIR:-${HOME:-}/.local/share/uv/python}/cpython-3.$minor".*/bin/python3; do
      if usable "$candidate" "$minor" "$minor" "$1"; then
        python=$candidate
        return 0
      fi
    done
    minor=$((minor - 1))
  done
  return 1
}

python=
if [ -n "$wanted" ]; then
  usable "$wanted" "$oldest" "$newest" || fail "--python $wanted is not $versions" 2
  python=$wanted
elif [ "$(id -u)" = 0 ] && find_python public; then
  :
elif find_python ''; then
  if [ "$(id -u)" = 0 ]; then
    echo "install.sh: only root can run $python, so p2pcache will be root's alone (a hub of systemd will not start): \
install $versions for all users" >&2
  fi
elif command -v uv >/dev/null 2>&1 && uv python install -q 3.13 && python=$(uv python find --no-project 3.13); then
  :
else
  fail "$versions is needed, and neither the path, pyenv nor uv has one: install it (Debian, Ubuntu: \
apt install python3 python3-venv), or name it with --python"
fi
# -B: the checkout may belong to another user.
exec "$python" -I -B "$here/release/install.py" "$@"
