#!/usr/bin/env bash
# compose.yaml and compose.fleet.yaml with a real engine: the image is built, then server.sh and fleet.sh run.
#
#   tests/tools/container/run.sh [server.sh|fleet.sh]     0: all is well, 1: something is not, 77: no engine can run here
set -uo pipefail
cd "$(dirname "$0")/../../.."
. tests/tools/container/engine.sh

WORK=${CONTAINER_WORK:-/tmp/tandem-containers}
trap 'code=$?; trap - EXIT; engine_stop; exit $code' EXIT
trap 'exit 130' INT TERM

engine_start "$WORK" python:3.13-slim
docker compose --progress quiet build server >"$WORK/build.log" 2>&1 || { tail -20 "$WORK/build.log"; fail "the image builds"; }
echo "ok: the image builds: $(docker image inspect -f '{{.Size}}' tandem | awk '{printf "%.0f MB", $1 / 1e6}')"
[ $# -gt 0 ] || set -- server.sh fleet.sh
for name in "$@"; do
  [ "$name" = server.sh ] || engine_postgres postgres:17
  bash "tests/tools/container/$name" || exit
done
echo "containers: all is well"
