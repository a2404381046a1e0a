#!/usr/bin/env bash
# A client and a server of Tandem as it is installed here, over two links on this machine, and one fetch through them. It uses
# the ports that are Tandem's by default, and so wants a network of its own.
#
#   TANDEM="..." PYTHON=... session.sh [OPTION of the server]...
set -euo pipefail
TANDEM=${TANDEM:-tandem}

# shellcheck disable=SC2086  # the command may be several words
tandem() { command $TANDEM "$@"; }

WORK=$(mktemp -d)
PIDS=()
end() {
  local code=$?
  trap - EXIT
  [ "$code" = 0 ] || tail -n 20 "$WORK"/*.log
  kill "${PIDS[@]}" 2>/dev/null || true
  wait
  rm -rf "$WORK"
  exit "$code"
}
trap end EXIT

wait_for() { # WHAT COMMAND...
  local what=$1; shift
  for _ in $(seq 120); do "$@" >/dev/null 2>&1 && return; sleep 0.5; done
  echo "not within a minute: $what"
  return 1
}
fetch() { printf 'GET /page HTTP/1.0\r\n\r\n' | tandem connect 127.0.0.1 18000 | grep -q 'from outside'; }

mkdir "$WORK/www"
echo "from outside" >"$WORK/www/page"
"${PYTHON:-python3}" -m http.server 18000 --bind 127.0.0.1 --directory "$WORK/www" >"$WORK/target.log" 2>&1 &
PIDS+=($!)
tandem server --allow 127.0.0.0/8 "$@" >"$WORK/server.log" 2>&1 &
PIDS+=($!)
wait_for "a server" tandem status --admin 127.0.0.1:8118
tandem invite laptop --endpoint 127.0.0.1:8120 --endpoint 127.0.0.1:8121 -o "$WORK/invite"
tandem client "@$WORK/invite" --link a=127.0.0.2 --link b=127.0.0.3 --no-console >"$WORK/client.log" 2>&1 &
PIDS+=($!)
wait_for "a session" tandem status --admin 127.0.0.1:8119
fetch
