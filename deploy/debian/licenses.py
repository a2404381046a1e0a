"""Prints who made what the package has beside Tandem, and under which license, in the form of Debian's copyright file.

python3 deploy/debian/licenses.py DIRECTORY PLACE    the installed packages, and where they stand in the package
"""

import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageMetadata, distributions

OWN = "tandem-proxy"


def said(metadata: PackageMetadata, *keys: str) -> str:
    """The first of these that the package's authors have filled in with one line; empty where there is none."""
    texts = (text for key in keys for text in metadata.get_all(key) or [])
    return next((text for text in texts if text and "\n" not in text), "")


def license_of(metadata: PackageMetadata) -> str:
    """The license as the package's authors name it, in one word or by classifier."""
    classifiers = metadata.get_all("Classifier") or []
    classified = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")]
    return said(metadata, "License-Expression", "License") or ", ".join(classified) or "named in its own files"


def author_of(metadata: PackageMetadata) -> str:
    """Who made it, as far as the package says so."""
    author = said(metadata, "Author", "Author-email", "Maintainer", "Maintainer-email")
    return author or f"the authors of {metadata['Name']}"


def files_of(distribution: Distribution, place: str) -> str:
    """A pattern for the directory that names the package, its version and its license."""
    name = distribution.metadata["Name"].replace("-", "_")
    return f"{place}/{name}-{distribution.version}.dist-info/*"


def paragraphs(directory: str, place: str) -> Iterator[str]:
    for distribution in sorted(distributions(path=[directory]), key=lambda one: one.metadata["Name"].lower()):
        metadata = distribution.metadata
        if metadata["Name"] != OWN:
            yield (
                f"\nFiles: {files_of(distribution, place)}\n"
                f"Copyright: {author_of(metadata)}\n"
                f"License: {metadata['Name']}\n {license_of(metadata)}\n"
            )


if __name__ == "__main__":
    sys.stdout.writelines(paragraphs(*sys.argv[1:3]))
