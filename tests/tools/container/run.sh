#!/usr/bin/env bash
# The server as compose.yaml runs it, with a real engine: built, started, invited from, used by a client
# outside, checked for what it must not be able to do, restarted, taken down.
#
#   tests/tools/container/run.sh      0: all is well, 1: something is not, 77: no engine can run here
set -uo pipefail
cd "$(dirname "$0")/../../.."
. tests/tools/container/engine.sh

WORK=${CONTAINER_WORK:-/tmp/tandem-containers}
TANDEM=${TANDEM:-.venv/bin/tandem}
PYTHON=${PYTHON:-.venv/bin/python}
SOCKS=127.0.0.1:18080
ADMIN=127.0.0.1:18119
SCRATCH=$(mktemp -d)
CLIENT=""
TARGET=""
IS_UP=""
export COMPOSE_PROJECT_NAME=tandem-test-$$

compose() { docker compose --file compose.yaml --file "$SCRATCH/override.yaml" "$@"; }
tandem() { XDG_RUNTIME_DIR=$SCRATCH/run HOME=$SCRATCH "$TANDEM" "$@"; }
ok() { echo "ok: $1"; }
must() { local what=$1; shift; "$@" && ok "$what" || fail "$what"; }

clean_up() {
  local code=$?
  trap - EXIT
  [ -z "$CLIENT" ] || { kill "$CLIENT" 2>/dev/null; wait "$CLIENT" 2>/dev/null; }
  [ -z "$TARGET" ] || { kill "$TARGET" 2>/dev/null; wait "$TARGET" 2>/dev/null; }
  if [ -n "$IS_UP" ]; then
    [ $code = 0 ] || { compose logs --tail 30; docker inspect -f "{{json .State.Health}}" "$(compose ps -q server)"; tail -20 "$SCRATCH/client.log"; }
    compose down --volumes --timeout 5 >/dev/null 2>&1
  fi
  engine_stop
  rm -rf "$SCRATCH"
  exit $code
}
trap clean_up EXIT
trap 'exit 130' INT TERM

wait_for() { # WHAT COMMAND...
  local what=$1; shift
  for _ in $(seq 120); do "$@" >/dev/null 2>&1 && { ok "$what"; return; }; sleep 0.5; done
  fail "$what"
}
is_healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$ID")" = healthy ]; }
is_client_up() { tandem status --admin "$ADMIN"; }
fetch() { curl -sS --max-time 30 --socks5-hostname "$SOCKS" "http://$GATEWAY:$PORT/" | grep -q "from outside"; }
of_process() { awk -v key="$1:" '$1 == key {print $2}' "/proc/$PID/status"; }

engine_start "$WORK" python:3.13-slim

# Other ports than the real ones, and a way to this machine for what the test fetches.
cat >"$SCRATCH/override.yaml" <<'YAML'
services:
  server:
    ports: !override
      - "127.0.0.1:18120:8120/udp"
      - "127.0.0.1:18121:8121/udp"
    environment:
      TANDEM_SERVER__ALLOW: '["172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"]'
YAML

compose build --quiet server >"$SCRATCH/build.log" 2>&1 || { tail -20 "$SCRATCH/build.log"; fail "the image builds"; }
ok "the image builds: $(docker image inspect -f '{{.Size}}' tandem | awk '{printf "%.0f MB", $1 / 1e6}')"
IS_UP=1
must "it starts, and its health check agrees" compose up --detach --no-build --wait --wait-timeout 60 server
ID=$(compose ps -q server)
PID=$(docker inspect -f '{{.State.Pid}}' "$ID")
GATEWAY=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}' "$ID")

# --- what it must not be able to do, as the kernel has it ---
if [ -r "/proc/$PID/status" ]; then
  must "not root" test "$(of_process Uid)" = 10001
  must "no capabilities" test "$(of_process CapBnd)" = 0000000000000000
  must "no new privileges" test "$(of_process NoNewPrivs)" = 1
  must "a seccomp filter" test "$(of_process Seccomp)" = 2
  must "a read-only root" awk '$5 == "/" && $6 ~ /(^|,)ro(,|$)/ {found = 1} END {exit !found}' "/proc/$PID/mountinfo"
fi
must "nothing to write but its state" docker exec "$ID" sh -c '! touch /opt/tandem/x /tmp/x 2>/dev/null'
must "its state is its own" docker exec "$ID" sh -c 'test "$(stat -c %a /var/lib/tandem/server.key)" = 600'

# --- a client outside ---
compose exec -T server tandem invite laptop --endpoint 127.0.0.1:18120 --endpoint 127.0.0.1:18121 --qr >"$SCRATCH/shown" \
  || fail "an invite"
must "an invite with a QR code" test "$(wc -l <"$SCRATCH/shown")" -gt 10
grep '^tandem://' "$SCRATCH/shown" >"$SCRATCH/invite" && chmod 600 "$SCRATCH/invite"
mkdir "$SCRATCH/www" && echo "from outside" >"$SCRATCH/www/index.html"
"$PYTHON" -u -m http.server 0 --bind "$GATEWAY" --directory "$SCRATCH/www" >"$SCRATCH/target.log" 2>&1 &
TARGET=$!
wait_for "a target" grep -q "port" "$SCRATCH/target.log"
PORT=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$SCRATCH/target.log")
env XDG_RUNTIME_DIR="$SCRATCH/run" HOME="$SCRATCH" "$TANDEM" client "@$SCRATCH/invite" --link a=127.0.0.2 --link b=127.0.0.3 --socks "$SOCKS" --admin "$ADMIN" \
  --no-console >"$SCRATCH/client.log" 2>&1 &
CLIENT=$!
wait_for "a client connects" is_client_up
must "it fetches through the container" fetch
must "and is among its clients" sh -c "docker exec $ID tandem clients | grep -q laptop"

# --- a restart ---
began=$SECONDS
must "it stops when told to" compose stop --timeout 20 server
must "within its grace" test $((SECONDS - began)) -lt 20
must "with success" test "$(docker inspect -f '{{.State.ExitCode}}' "$ID")" = 0
must "it starts again" compose start server
wait_for "and is healthy" is_healthy
wait_for "the client is back by itself, with the same key" fetch
must "it is taken down" compose down --volumes --timeout 5
IS_UP=""
echo "containers: all is well"
