#!/usr/bin/env bash
# The Debian package in a system with nothing else in it: installed, tried with a client and a server, removed, purged.
#
#   tests/tools/package/deb.sh [PACKAGE]     0: all is well, 1: something is not, 77: it cannot run here
#
# Without PACKAGE it builds one, with the protocol core as it is, which is quicker than compiling it.
set -euo pipefail
cd "$(dirname "$0")/../../.."

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAILED: $*"; exit 1; }
must() { # WHAT COMMAND...
  local what=$1; shift
  if "$@"; then echo "ok: $what"; else fail "$what"; fi
}

[ "$(id -u)" = 0 ] || skip "only root can make a system in a directory"
command -v apt-get >/dev/null || skip "this is not Debian"
unshare --mount --pid --fork --net true 2>/dev/null || skip "no right to make namespaces"
/usr/bin/python3 -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || skip "no python3-venv of 3.11 or newer"

SCRATCH=$(mktemp -d)
ROOM=$SCRATCH/room
trap 'rm -rf --one-file-system "$SCRATCH"' EXIT
trap 'exit 130' INT TERM

# The archive and the release that this machine's own apt uses.
make_room() {
  command -v mmdebstrap >/dev/null \
    || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null 2>&1 \
    || skip "mmdebstrap cannot be installed"
  local mirror release
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  # shellcheck disable=SC2016  # apt fills that in
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' \
    | grep -v -e security -e updates | head -1) || skip "apt names no archive"
  mmdebstrap --quiet --variant=minbase --include="python$SERIES,procps,systemd" "$release" "$ROOM" "$mirror" \
    >"$SCRATCH/room.log" 2>&1 || { tail -3 "$SCRATCH/room.log"; skip "a clean system cannot be made"; }
}

# With processes and a network of its own, which end with the command.
inside() {
  # shellcheck disable=SC2016  # the shell inside fills that in
  unshare --mount --pid --fork --net --kill-child -- bash -c '
    set -e
    mount --make-rprivate /
    mount -t proc proc "$0/proc"
    mount --bind /dev "$0/dev"
    ip link set lo up
    exec chroot "$0" "$@"' "$ROOM" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}

left() { find "$ROOM" -xdev -iname '*tandem*' -printf '/%P\n'; }
is_left() { [ "$(left | sort | tr '\n' ' ')" = "$1" ]; }
is_there() { local name; for name in "$@"; do [ -e "$ROOM/$name" ] || { echo "there is no /$name"; return 1; }; done; }
says() { local words=$1; shift; inside "$@" 2>&1 | grep -q -e "$words"; }
is_off() { [ -z "$(find "$ROOM/etc/systemd" -name 'tandem*')" ]; }

SERIES=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PACKAGE=${1:-}
if [ -z "$PACKAGE" ]; then
  mkdir -p dist
  touch "$SCRATCH/before"
  TANDEM_PURE=1 deploy/debian/build.sh >"$SCRATCH/build.log" 2>&1 || { tail -20 "$SCRATCH/build.log"; fail "it is built"; }
  PACKAGE=$(find dist -name 'tandem_*.deb' -newer "$SCRATCH/before")
  echo "ok: it is built: $(stat -c %s "$PACKAGE" | awk '{printf "%.0f MB", $1 / 1e6}')"
fi
if command -v lintian >/dev/null; then
  must "Debian's checker of packages finds no error" lintian --allow-root --fail-on error "$PACKAGE"
fi
make_room

# --- installed ---
cp "$PACKAGE" "$ROOM/tmp/package.deb"
must "nothing is there before" is_left ""
must "it is installed, and what it depends on is there" inside dpkg -i /tmp/package.deb
must "it says which version it is" says "^tandem $(dpkg-deb -f "$PACKAGE" Version | sed 's/+.*//'), " tandem --version
must "it prints the reference of its configuration" says '^# Configuration reference' tandem config reference
must "what others have set up for Python does not matter to it" \
  says '^tandem ' env PYTHONPATH=/nonexistent PYTHONHOME=/nonexistent tandem --version
must "its files are where they belong" is_there \
  usr/lib/systemd/system/tandem-{client,server}.service etc/tandem usr/share/bash-completion/completions/tandem \
  usr/share/zsh/vendor-completions/_tandem usr/share/fish/vendor_completions.d/tandem.fish \
  usr/share/man/man1/tandem{,-client,-server,-open}.1.gz \
  usr/share/doc/tandem/{README,README.Debian,NEWS.gz,changelog.gz,copyright}
must "systemd understands its units" inside systemd-analyze verify tandem-client.service tandem-server.service
must "nothing of it starts by itself" is_off
must "nothing in it names the place where it was built" sh -c "! grep -rqF '$PWD' '$ROOM/usr/lib/tandem' '$ROOM/usr/bin/tandem'"

# --- used ---
cp tests/tools/package/session.sh "$ROOM/root/"
must "a client fetches through a server" inside env PYTHON=/usr/lib/tandem/bin/python3 bash /root/session.sh
must "running has written nothing among its files" inside dpkg --verify tandem
must "nor beside them" test -z "$(find "$ROOM/usr/lib/tandem" -newer "$ROOM/root/session.sh")"

# --- enabled, removed, installed again, purged ---
echo "not an invite" >"$ROOM/etc/tandem/invite"
must "it is installed over itself" inside dpkg -i /tmp/package.deb
must "it is enabled" inside systemctl --quiet enable tandem-server
must "it is removed" inside dpkg --remove tandem
must "the configuration and the keys stay" is_there etc/tandem/invite var/lib/tandem/server.key
must "the program does not" test ! -e "$ROOM/usr/lib/tandem"
must "it comes back" inside dpkg -i /tmp/package.deb
must "and still knows its clients" says laptop tandem clients
must "it is purged" inside dpkg --purge tandem
must "nothing is left" is_left ""
echo "package: all is well, after $SECONDS s"
