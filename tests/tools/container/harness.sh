# Sourced: what the tests with a container engine share. Each has a directory for its files, $SCRATCH, and ends what it has started.
SCRATCH=$(mktemp -d)
TANDEM=${TANDEM:-.venv/bin/tandem}
PYTHON=${PYTHON:-.venv/bin/python}
SOCKS=127.0.0.1:18080
ADMIN=127.0.0.1:18119
CLIENT=""
TARGET=""
IS_UP=""

fail() { echo "FAILED: $*"; exit 1; }
ok() { echo "ok: $1"; }
must() { local what=$1; shift; "$@" && ok "$what" || fail "$what"; }
wait_for() { # WHAT COMMAND...
  local what=$1; shift
  for _ in $(seq 120); do "$@" >/dev/null 2>&1 && { ok "$what"; return; }; sleep 0.5; done
  fail "$what"
}

# The test defines `compose`; `on_failure` shows what helps to understand one.
clean_up() {
  local code=$?
  trap - EXIT
  [ $code = 0 ] || on_failure
  for process in $CLIENT $TARGET; do kill "$process" 2>/dev/null; wait "$process" 2>/dev/null; done
  [ -z "$IS_UP" ] || compose down --volumes --timeout 5 >/dev/null 2>&1
  rm -rf "$SCRATCH"
  exit $code
}
trap clean_up EXIT
trap 'exit 130' INT TERM

tandem() { XDG_RUNTIME_DIR=$SCRATCH/run HOME=$SCRATCH "$TANDEM" "$@"; }
is_healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" = healthy ]; }
is_client_up() { tandem status --admin "$ADMIN"; }

gateway_of() { docker inspect -f '{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}' "$1"; }

# What the client fetches: a directory on this machine, at the gateway of a container's network.
start_target() { # GATEWAY
  GATEWAY=$1
  mkdir "$SCRATCH/www" && echo "from outside" >"$SCRATCH/www/index.html"
  "$PYTHON" -u -m http.server 0 --bind "$GATEWAY" --directory "$SCRATCH/www" >"$SCRATCH/target.log" 2>&1 &
  TARGET=$!
  wait_for "a target" grep -q "port" "$SCRATCH/target.log"
  PORT=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$SCRATCH/target.log")
}
fetch() { curl -sS --max-time 30 --socks5-hostname "$SOCKS" "http://$GATEWAY:$PORT/" | grep -q "from outside"; }

start_client() { # with the invite in $SCRATCH/invite
  chmod 600 "$SCRATCH/invite"
  env XDG_RUNTIME_DIR="$SCRATCH/run" HOME="$SCRATCH" "$TANDEM" client "@$SCRATCH/invite" --link a=127.0.0.2 --link b=127.0.0.3 \
    --socks "$SOCKS" --admin "$ADMIN" --no-console >"$SCRATCH/client.log" 2>&1 &
  CLIENT=$!
  wait_for "a client connects" is_client_up
}
