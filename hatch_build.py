"""How a wheel gets a compiled protocol core: mypyc turns the files of tandem_transport into a C extension.

They are the same files that run as they are from a checkout, or where there is no C compiler, and the wheel has them,
too, for tracebacks. In the environment, TANDEM_PURE=1 leaves the compiling out, and TANDEM_PURE=0 makes it an error
if it cannot be done.
"""

import os
import shutil
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "tandem_transport"
INTERPRETED = frozenset({"__init__", "errors", "noise"})
"""Modules that stay as they are: a handshake is tried on a copy of its state, and compiled objects cannot be copied;
errors are of two built-in kinds, and compiled classes cannot be."""
COMPILED_DRIVER = frozenset({"batches"})
COMPILER_FLAGS = ["-w", "-g0"]
"""The C that mypyc writes has warnings that say nothing of our code. What it would tell a debugger names a directory
that is another one each time: without it, two builds of one commit are the same."""


class CompiledCore(BuildHookInterface):
    """The hook that hatchling calls for each wheel."""

    work: Path | None = None

    def dependencies(self) -> list[str]:
        """What compiling takes: mypy has to see the types of what the core imports, and so that is needed, too."""
        return ["cryptography>=44", "mypy>=1.13", "setuptools>=70"] if _may_compile() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the extensions to the wheel; an editable installation runs the files in the checkout instead."""
        if version == "editable" or not _may_compile():
            return
        self.work = Path(tempfile.mkdtemp(prefix="tandem-core-"))
        try:
            extensions = _compile(Path(self.root, "transport"), self.work)
        except (Exception, SystemExit) as error:  # mypyc ends the process where it does not like a type
            if _must_compile():
                raise
            self.app.display_warning(f"the protocol core is not compiled, and will be slower: {error}")
            return
        for extension in extensions:
            build_data["force_include"][str(extension)] = str(extension.relative_to(self.work / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what was compiled, for it is in the wheel now."""
        if self.work is not None:
            shutil.rmtree(self.work, ignore_errors=True)


def _must_compile() -> bool:
    return os.environ.get("TANDEM_PURE") == "0"


def _may_compile() -> bool:
    if os.environ.get("TANDEM_PURE"):
        return _must_compile()
    compiler = os.environ.get("CC", "cc").split()[0]
    return shutil.which(compiler) is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


def _is_compiled(path: Path) -> bool:
    """Whether a file of the package is; of the driver only what each packet passes, for asyncio has the rest's time."""
    return path.stem not in INTERPRETED and ("driver" not in path.parts or path.stem in COMPILED_DRIVER)


def _compile(source: Path, work: Path) -> list[Path]:
    """The extension modules of the package in the directory `source`."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    class ParallelBuild(build_ext):
        def build_extensions(self) -> None:
            self.compiler.compile = _in_parallel(self.compiler)
            super().build_extensions()

    with chdir(source):
        files = sorted(str(path) for path in Path(PACKAGE).rglob("*.py") if _is_compiled(path))
        options = ["--explicit-package-bases", "--cache-dir", str(work / "types"), *files]
        extensions = mypycify(options, opt_level="2", multi_file=True, target_dir=str(work / "c"))
        for extension in extensions:
            extension.extra_compile_args += COMPILER_FLAGS
        command = ParallelBuild(Distribution({"name": PACKAGE, "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(work / "lib"), str(work / "temp")
        command.ensure_finalized()
        command.run()
        return [Path(output).absolute() for output in command.get_outputs()]


def _in_parallel(compiler: Any) -> Any:
    """The compiler's method that takes many files, for one file after the other would keep one core busy only."""
    compile_all = compiler.compile

    def compile_each(sources: list[str], *args: Any, **options: Any) -> list[str]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = pool.map(lambda source: compile_all([source], *args, **options), sources)
            return [name for names in objects for name in names]

    return compile_each
