#!/usr/bin/env bash
# The fleet of compose.fleet.yaml: PostgreSQL and two servers; a client is on one of them, which is drained, then killed.
# run.sh runs it, with an engine, the server's image and one of PostgreSQL.
set -uo pipefail
cd "$(dirname "$0")/../../.."
. tests/tools/container/harness.sh
export COMPOSE_PROJECT_NAME=tandem-fleet-$$
export DATABASE_PASSWORD=not-a-real-secret

compose() { docker compose --progress quiet --file compose.fleet.yaml --file "$SCRATCH/override.yaml" "$@"; }
on_failure() { compose ps --all; compose logs --tail 30; tail -30 "$SCRATCH/client.log"; }

# Ports of the test's own, a way to this machine for what it fetches, and more time to look at a server that drains.
cat >"$SCRATCH/override.yaml" <<'YAML'
services:
  aachen:
    image: tandem
    ports: !override ["127.0.0.1:18120:8120/udp", "127.0.0.1:18121:8121/udp"]
    environment: &more
      TANDEM_SERVER__PUBLIC: '["127.0.0.1:18120", "127.0.0.1:18121"]'
      TANDEM_SERVER__ALLOW: '["172.16.0.0/12", "10.0.0.0/8", "192.168.0.0/16"]'
      TANDEM_SERVER__DRAIN: "120"
  berlin:
    image: tandem
    ports: !override ["127.0.0.1:18130:8120/udp", "127.0.0.1:18131:8121/udp"]
    environment:
      <<: *more
      TANDEM_SERVER__PUBLIC: '["127.0.0.1:18130", "127.0.0.1:18131"]'
YAML

state_of() { compose exec -T "$2" tandem servers --json | "$PYTHON" -c "import json, sys
print(next((one['state'] for one in json.load(sys.stdin) if one['name'] == '$1'), 'unknown'))"; }
is_in_state() { [ "$(state_of "$1" "$3")" = "$2" ]; } # SERVER STATE ASKED
server_now() {
  tandem status --admin "$ADMIN" --json | "$PYTHON" -c "import json, sys
place = json.load(sys.stdin)['session']['server']
print({'1812': 'aachen', '1813': 'berlin'}.get(place.rpartition(':')[2][:4], place))"
}
is_on() { [ "$(server_now)" = "$1" ]; }
goes_on() { kill -0 "$DOWNLOAD" 2>/dev/null; }

IS_UP=1
must "a database and two servers start" compose up --detach --no-build --wait --wait-timeout 120
wait_for "aachen is in the registry" is_in_state aachen up berlin
wait_for "berlin is in the registry" is_in_state berlin up aachen
compose exec -T aachen tandem invite laptop >"$SCRATCH/invite" || fail "an invite"
must "one invite for both" grep -q '^tandem://2/' "$SCRATCH/invite"
start_target "$(gateway_of "$(compose ps -q aachen)")"
start_client
must "it fetches" fetch

FIRST=$(server_now)
OTHER=$([ "$FIRST" = aachen ] && echo berlin || echo aachen)
echo "the client is on $FIRST"

# --- drained: what is open goes on there, what is new begins at the other ---
head -c 300000000 /dev/zero >"$SCRATCH/www/large"
curl -sS --max-time 300 --limit-rate 5M --socks5-hostname "$SOCKS" -o "$SCRATCH/got" "http://$GATEWAY:$PORT/large" &
DOWNLOAD=$!
wait_for "a download begins" test -s "$SCRATCH/got"
compose kill --signal SIGTERM "$FIRST" >/dev/null 2>&1
wait_for "the registry knows that it drains" is_in_state "$FIRST" draining "$OTHER"
wait_for "the client begins a session with $OTHER" is_on "$OTHER"
must "it fetches there" fetch
must "the download goes on meanwhile" goes_on
must "the client has lost no connection" sh -c "! grep -q 'connections are reset' '$SCRATCH/client.log'"

# --- killed ---
docker kill --signal KILL "$(compose ps -q "$FIRST")" >/dev/null || fail "it is killed"
must "new connections do not notice" fetch
wait "$DOWNLOAD"
must "what was open there is told that it has ended" test $? != 0
wait_for "the registry misses it" is_in_state "$FIRST" gone "$OTHER"

# --- the other one is killed, too, and the first is back ---
must "$FIRST starts again" compose start "$FIRST"
wait_for "and is in the registry" is_in_state "$FIRST" up "$OTHER"
docker kill --signal KILL "$(compose ps -q "$OTHER")" >/dev/null || fail "it is killed"
wait_for "the client moves on silence" is_on "$FIRST"
wait_for "it fetches" fetch
must "it is taken down" compose down --volumes --timeout 5
IS_UP=""
