#!/bin/sh
# Puts Tandem, and those packages that OpenWrt's feed does not have or has too old, into one directory; all of them are pure
# Python. The versions and hashes are those of the source's own list.
#
#   bundle.sh PYTHON SOURCE DIRECTORY
set -eu

python=$1
source=$2
directory=$3

# Of SQLAlchemy the feed has the generation before; rich and what it uses are for the console.
bundled="aiohappyeyeballs asyncio-dgram h11 markdown-it-py mdurl prometheus-client pydantic-settings rich segno sqlalchemy
  typing-inspection"

# An entry of the list begins with a name and ends with the last of its hashes.
entries() {
    for name in $bundled; do
        awk -v name="$name" '/^[a-z]/ {on = index($0, name "==") == 1; found = found || on} on
            END {exit !found}' "$source/requirements/run.txt" || { echo "not in the list: $name" >&2; exit 1; }
    done
}

rm -rf "$directory"
mkdir -p "$directory"
entries >"$directory.txt"
# Wheels for any machine: this one is not the router.
"$python" -m pip install --quiet --no-deps --require-hashes --requirement "$directory.txt" --target "$directory" \
    --only-binary :all: --platform any --implementation py --abi none --no-compile
rm -rf "${directory:?}/bin" "$directory/share" "$directory.txt"

for package in app/tandem socks/tandem_socks transport/tandem_transport; do
    cp -R "$source/$package" "$directory/"
done
find "$directory" -name __pycache__ -prune -exec rm -rf {} +
# Tandem's version is read from here, as where pip has installed it.
version=$(sed -n 's/^Version: //p' "$source/PKG-INFO")
mkdir "$directory/tandem_proxy-$version.dist-info"
cp "$source/PKG-INFO" "$directory/tandem_proxy-$version.dist-info/METADATA"
