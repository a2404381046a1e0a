#!/usr/bin/env bash
# The single file of `make pyz`, run from another directory, with an empty home: its first words, a client and a server with
# workers, and what it says to a Python that it was not made for.
#
#   tests/tools/package/pyz.sh     0: all is well, 1: something is not
set -euo pipefail
cd "$(dirname "$0")/../../.."
ROOT=$PWD
PYTHON=${PYTHON:-$ROOT/.venv/bin/python}

fail() { echo "FAILED: $*"; exit 1; }
must() { # WHAT COMMAND...
  local what=$1; shift
  if "$@"; then echo "ok: $what"; else fail "$what"; fi
}
says() { local words=$1; shift; { "$@" 2>&1 || true; } | grep -q -e "$words"; }

SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
trap 'exit 130' INT TERM

make pyz >"$SCRATCH/build.log" 2>&1 || { tail -20 "$SCRATCH/build.log"; fail "it is built"; }
echo "ok: it is built: $(stat -c %s dist/tandem.pyz | awk '{printf "%.0f MB", $1 / 1e6}')"
cp dist/tandem.pyz "$SCRATCH/"
mkdir "$SCRATCH/home"
cd "$SCRATCH"
run() { env -i PATH="$PATH" HOME="$SCRATCH/home" "$@"; }

VERSION=$("$PYTHON" -c 'import sys, tomllib; print(tomllib.load(open(sys.argv[1], "rb"))["project"]["version"])' "$ROOT/pyproject.toml")
must "it says which version it is" says "^tandem $VERSION, " run "$PYTHON" tandem.pyz --version
must "it prints the reference of its configuration" says '^# Configuration reference' run "$PYTHON" tandem.pyz config reference
must "it unpacks itself where caches are" test -d home/.cache/tandem
must "nothing in it names the place where it was built" sh -c "! grep -rqF '$ROOT' home/.cache/tandem"
for other in python3.11 python3.12 python3.13 python3.14; do
  is_other="import os, sys; sys.exit(os.path.basename(sys.argv[1]) == 'python%d.%d' % sys.version_info[:2])"
  if "$other" -c '' 2>/dev/null && "$PYTHON" -c "$is_other" "$other"; then
    must "$other is told that the file was made for another Python" says "^error: this file was made for" run "$other" tandem.pyz --version
  fi
done
if unshare --map-root-user --net ip link set lo up 2>/dev/null; then
  # shellcheck disable=SC2016  # the shell inside fills that in
  must "a client fetches through a server with two workers" \
    run unshare --map-root-user --net bash -c 'ip link set lo up && exec "$@"' inside \
    env TANDEM="$PYTHON $SCRATCH/tandem.pyz" PYTHON="$PYTHON" XDG_RUNTIME_DIR="$SCRATCH/run" XDG_STATE_HOME="$SCRATCH/state" \
    STATE_DIRECTORY="$SCRATCH/state" RUNTIME_DIRECTORY="$SCRATCH/run" \
    bash "$ROOT/tests/tools/package/session.sh" --workers 2
else
  echo "skipped: a client and a server, for there is no right to make a network for them"
fi
echo "single file: all is well, after $SECONDS s"
