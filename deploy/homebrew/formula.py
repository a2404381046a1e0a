"""Prints the formula for one release: that of this directory, with the checksum of the source.

python3 deploy/homebrew/formula.py dist/tandem_proxy-1.2.3.tar.gz > tandem.rb
"""

import hashlib
import re
import sys
from pathlib import Path

FORMULA = Path(__file__).with_name("tandem.rb")


def completed(source: Path) -> str:
    """The formula. Raises SystemExit where it is that of another version."""
    text = FORMULA.read_text()
    if f'/{source.name}"' not in text:
        sys.exit(f"the formula is not one of {source.name}")
    checksum = hashlib.sha256(source.read_bytes()).hexdigest()
    return re.sub(r'sha256 "0{64}"', f'sha256 "{checksum}"', text, count=1)


if __name__ == "__main__":
    sys.stdout.write(completed(Path(sys.argv[1])))
