#!/usr/bin/env bash
# The server as compose.yaml runs it: started, invited from, used by a client outside, checked for what it must not be able to
# do, restarted, taken down. run.sh runs it, with an engine and the image.
set -uo pipefail
cd "$(dirname "$0")/../../.."
. tests/tools/container/harness.sh
export COMPOSE_PROJECT_NAME=tandem-test-$$

compose() { docker compose --progress quiet --file compose.yaml --file "$SCRATCH/override.yaml" "$@"; }
on_failure() { compose logs --tail 30; docker inspect -f "{{json .State.Health}}" "$ID"; tail -20 "$SCRATCH/client.log"; }
of_process() { awk -v key="$1:" '$1 == key {print $2}' "/proc/$PID/status"; }

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

IS_UP=1
must "it starts, and its health check agrees" compose up --detach --no-build --wait --wait-timeout 60 server
ID=$(compose ps -q server)
PID=$(docker inspect -f '{{.State.Pid}}' "$ID")

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
grep '^tandem://' "$SCRATCH/shown" >"$SCRATCH/invite"
start_target "$(gateway_of "$ID")"
start_client
must "it fetches through the container" fetch
must "and is among its clients" sh -c "docker exec $ID tandem clients | grep -q laptop"

# --- a restart ---
began=$SECONDS
must "it stops when told to" compose stop --timeout 20 server
must "within its grace" test $((SECONDS - began)) -lt 20
must "with success" test "$(docker inspect -f '{{.State.ExitCode}}' "$ID")" = 0
must "it starts again" compose start server
wait_for "and is healthy" is_healthy "$ID"
wait_for "the client is back by itself, with the same key" fetch
must "it is taken down" compose down --volumes --timeout 5
IS_UP=""
