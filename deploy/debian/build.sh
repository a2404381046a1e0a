#!/usr/bin/env bash
# Builds the Debian package of Tandem, dist/tandem_VERSION+SYSTEM_ARCHITECTURE.deb, for the system that this runs on: Debian
# 12 or newer, or an Ubuntu of that time. Tandem and everything that it imports stand in an environment of their own,
# /usr/lib/tandem; of the system it needs Python, of the same minor version as here.
#
#   deploy/debian/build.sh [WHEEL]      WHEEL: Tandem, built already, by a Python of that version
#
# It needs python3-venv, dpkg, and for the compiled protocol core gcc, binutils and python3-dev. TANDEM_PURE=1 leaves the
# compiling out. SOURCE_DATE_EPOCH is the time that all files bear; default: that of the last commit.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON=${PYTHON:-/usr/bin/python3}
WORK=build/debian
TREE=$WORK/tree
PLACE=usr/lib/tandem
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export TANDEM_PURE=${TANDEM_PURE:-0} PYTHONHASHSEED=0 LC_ALL=C.UTF-8
umask 022

# shellcheck source=/dev/null
RELEASE=$(. /etc/os-release && echo "$ID$VERSION_ID")
project() { "$PYTHON" -c "import tomllib; print(tomllib.load(open('pyproject.toml', 'rb'))['project']$1)"; }
VERSION=$(project "['version']")+$RELEASE
HOMEPAGE=$(project "['urls']['Homepage']")
ARCHITECTURE=$(dpkg --print-architecture)
SERIES=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
SITE=$PLACE/lib/python$SERIES/site-packages
LIBC=$(dpkg-query -W -f '${Version}' libc6 | sed 's/-.*//')

pip() { "$WORK/tools/bin/pip" --disable-pip-version-check "$@"; }

# What builds the wheel, and the wheel, if it is not given: compiling takes the types of what Tandem imports, too.
make_wheel() {
  "$PYTHON" -m venv "$WORK/tools"
  mkdir -p "$WORK/wheels"
  if [ $# -gt 0 ]; then
    cp "$1" "$WORK/wheels/"
    return
  fi
  pip install --quiet --require-hashes --requirement requirements/run.txt --requirement requirements/build.txt
  pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$WORK/wheels" .
}

# The interpreter of the environment is a link to the system's; nothing in it says where it was built.
make_environment() {
  mkdir -p "$TREE/$PLACE"
  "$PYTHON" -m venv --without-pip "$TREE/$PLACE"
  pip --python "$TREE/$PLACE/bin/python3" install --quiet --no-compile --only-binary :all: \
    --require-hashes --requirement requirements/postgres.txt
  pip --python "$TREE/$PLACE/bin/python3" install --quiet --no-compile --no-deps "$WORK"/wheels/*.whl
  rm -rf "${TREE:?}/$PLACE"/{bin,include,lib64,share,.gitignore}
  rm -rf "$TREE/$SITE"/*/tests "$TREE/$SITE"/*/testing
  find "$TREE/$SITE" \( -name direct_url.json -o -name RECORD -o -name '*.pyx' -o -name '*.pxd' -o -name '*.[ch]' \) -delete
  printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = %s\n' "$SERIES" >"$TREE/$PLACE/pyvenv.cfg"
  mkdir "$TREE/$PLACE/bin"
  ln -s "../../../bin/python$SERIES" "$TREE/$PLACE/bin/python3"
}

# Debugging symbols are a third of the size. psycopg's libraries have none, and are rewritten in a way that this would break.
strip_libraries() {
  find "$TREE/$SITE" -name '*.so' ! -path '*/psycopg*' -exec strip --strip-unneeded {} +
}

# Python writes its bytecode beside the source when root runs Tandem; removal would leave it there. So it comes along, and
# because it never asks the source's time, no copy with other times is out of date. What pip left there while it ran is replaced.
compile_bytecode() {
  "$PYTHON" -m compileall -q -f -j 0 --invalidation-mode unchecked-hash -s "$PWD/$TREE" -p / "$PWD/$TREE/$SITE"
}

install_command() {
  install -D -m 755 /dev/stdin "$TREE/usr/bin/tandem" <<SCRIPT
#!/$PLACE/bin/python3 -I
from tandem.cli.main import main

main()
SCRIPT
}

# The units of deploy/systemd, but for their first lines, which are for whoever copies them by hand.
install_units() {
  local side
  for side in client server; do
    install -D -m 644 /dev/stdin "$TREE/usr/lib/systemd/system/tandem-$side.service" < <(
      echo "# Not started before you do so: /usr/share/doc/tandem/README.Debian."
      sed -e '1,/^\[Unit\]$/ { /^\[Unit\]$/ ! d }' -e 's|/usr/local/bin/tandem|/usr/bin/tandem|' \
        "deploy/systemd/tandem-$side.service"
    )
  done
}

install_completion() {
  local shell place
  local -A places=(
    [bash]=usr/share/bash-completion/completions/tandem
    [zsh]=usr/share/zsh/vendor-completions/_tandem
    [fish]=usr/share/fish/vendor_completions.d/tandem.fish
  )
  for shell in "${!places[@]}"; do
    place=$TREE/${places[$shell]}
    mkdir -p "$(dirname "$place")"
    PYTHONPATH=$TREE/$SITE "$PYTHON" -P -B -m tandem completion "$shell" >"$place"
  done
}

# Pages are there if `make man` is.
install_manual() {
  if grep -q '^man:' Makefile; then make man; fi
  local page
  for page in build/man/*.1; do
    [ -e "$page" ] || continue
    install -D -m 644 "$page" "$TREE/usr/share/man/man1/$(basename "$page")"
    gzip -9 -n "$TREE/usr/share/man/man1/$(basename "$page")"
  done
}

install_documents() {
  local place=$TREE/usr/share/doc/tandem
  mkdir -p "$place" "$TREE/etc/tandem"
  cp README.md "$place/README"
  cp deploy/debian/README.Debian "$place/"
  gzip -9 -n <CHANGELOG.md >"$place/NEWS.gz"
  gzip -9 -n >"$place/changelog.gz" <<TEXT
tandem ($VERSION) stable; urgency=medium

  * What has changed for users is in NEWS.gz.

 -- $(maintainer)  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
TEXT
  { sed "s|@HOMEPAGE@|$HOMEPAGE|" deploy/debian/copyright; "$PYTHON" deploy/debian/licenses.py "$TREE/$SITE" "$SITE"; } >"$place/copyright"
  install -D -m 644 deploy/debian/lintian-overrides "$TREE/usr/share/lintian/overrides/tandem"
}

maintainer() { sed -n 's/^Maintainer: //p' deploy/debian/control; }

# In KiB, the same on every file system: a directory or a link is one, whatever it takes here.
installed_size() {
  find "$TREE" -mindepth 1 -path "$TREE/DEBIAN" -prune -o -printf '%y %s\n' \
    | awk '{sum += $1 == "f" ? int(($2 + 1023) / 1024) : 1} END {print sum}'
}

install_control() {
  local control=$TREE/DEBIAN script
  mkdir -p "$control"
  for script in postinst prerm postrm; do install -m 755 "deploy/debian/$script" "$control/"; done
  sed -e "s/@VERSION@/$VERSION/" -e "s/@ARCHITECTURE@/$ARCHITECTURE/" -e "s/@PYTHON@/python$SERIES/" \
    -e "s/@LIBC@/$LIBC/" -e "s|@HOMEPAGE@|$HOMEPAGE|" -e "s/@SIZE@/$(installed_size)/" \
    deploy/debian/control >"$control/control"
  (cd "$TREE" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$control/md5sums"
}

rm -rf "$WORK"
make_wheel "$@"
make_environment
strip_libraries
compile_bytecode
install_command
install_units
install_completion
install_manual
install_documents
install_control
chmod -R u=rwX,go=rX "$TREE"
find "$TREE/$PLACE/lib" -type f -exec chmod a-x {} +
find "$TREE" -depth -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
mkdir -p dist
dpkg-deb --build --root-owner-group -Zxz "$TREE" "dist/tandem_${VERSION}_$ARCHITECTURE.deb"
