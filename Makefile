# Everything a newcomer needs is here: `make demo` shows the product, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# A second environment, with Tandem as its users install it where there is a C compiler: the protocol core compiled.
COMPILED := .venv-compiled
LISTS := $(wildcard requirements/*.txt)
SOURCES := hatch_build.py pyproject.toml $(LISTS) $(shell find app transport socks -name '*.py')

# Tests that are virtual time, or need little of the machine, stand side by side; all that start processes have it to themselves.
VIRTUAL := tests/transport tests/socks5

# The tests of the checkout, and the program that is installed.
ON_COMPILED := -o "pythonpath=tests tests/support tests/tools"

SEEDS := 2000
FUZZ_SECONDS := 60
ROOMS :=
SAMPLE := 100

# What is fetched is what the lists in requirements/ say, by version and hash, also what builds the package.
INSTALL := install --disable-pip-version-check
LISTED := $(INSTALL) --require-hashes
OURS := $(INSTALL) --quiet --no-deps --no-build-isolation
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-annotate --no-header $(UPGRADE)

RUNS := 3
BENCHMARK := loopback

.PHONY: demo test test-long check $(PYRIGHT_CHECKS) $(MYPY_CHECKS) bench bench-compare matrix conformance sweep fuzz mutants lock deb pyz man commands site picture clean help

help:
	@echo "make demo   client and server over two bad links on this machine, with the live console"
	@echo "make test   install what the tests need and run those that prove each behaviour once: some minutes"
	@echo "make test-long  the whole matrices and all tests with real processes, on the compiled protocol core"
	@echo "make check  ruff, mypy --strict and pyright, for Linux, macOS and Windows"
	@echo "make sweep  play $(SEEDS) random histories of sessions (SEEDS=10000 for more)"
	@echo "make fuzz   coverage-guided fuzzing for $(FUZZ_SECONDS) s (FUZZ_SECONDS=3600 for more)"
	@echo "make mutants  change the code in small ways and see that tests fail (ROOMS=\"crypto recovery\", SAMPLE=20 percent)"
	@echo "make bench  the benchmarks; they print figures and never fail"
	@echo "make bench-compare REV=...  the same figures of another commit and of this one, in turn (RUNS=5, BENCHMARK=connections)"
	@echo "make matrix write tests/transport/matrix.txt anew: what two links do together, loss by RTT by mode"
	@echo "make conformance  play what clients expect of the SOCKS port, and write docs/socks-conformance.md anew"
	@echo "make lock   write the lists in requirements/ anew from pyproject.toml (UPGRADE=--upgrade for newer versions)"
	@echo "make man    build/man/*.1, made from the commands; make commands writes docs/commands.md and the reference anew"
	@echo "make site   build/site, the documentation as pages; a link that leads nowhere is an error"
	@echo "make picture  docs/console.svg, from a minute of the demonstration"
	@echo "make deb    dist/tandem_*.deb, for the Debian or Ubuntu that this machine runs"
	@echo "make pyz    dist/tandem.pyz, one file that this Python runs on machines like this one"
	@echo "make clean  remove the environment and caches"

demo: $(VENV)/installed
	@$(BIN)/tandem demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q -n 3 --dist loadgroup

# Tests of real processes that need neither the whole machine nor anything that there is only once.
SIDE_BY_SIDE = $(patsubst %,tests/system/test_%.py,clients connect documents http_clients memberships page publishing routes tls whole_house)

test-long: $(COMPILED)/installed-dev
	$(COMPILED)/bin/python -m pytest -q -n 2 -m "" $(ON_COMPILED) $(VIRTUAL)
	$(COMPILED)/bin/python -m pytest -q -n 2 -m long $(ON_COMPILED) tests/conformance tests/app
	$(COMPILED)/bin/python -m pytest -q -n 2 -m "" $(ON_COMPILED) $(SIDE_BY_SIDE)
	$(COMPILED)/bin/python -m pytest -q -m "" $(ON_COMPILED) tests/system $(addprefix --ignore=,$(SIDE_BY_SIDE))

# Each system on which Tandem, or at least its client, runs; the longest checks begin first.
PYRIGHT_CHECKS := pyright-Linux pyright-Windows pyright-Darwin
MYPY_CHECKS := mypy-linux mypy-win32 mypy-darwin

check: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory --jobs=2 --keep-going $(PYRIGHT_CHECKS) $(MYPY_CHECKS)

# What a checker says appears when it has ended, in one piece: another one runs beside it.
WHOLE = said=$$($(1) 2>&1); code=$$?; printf '%s\n' "$(1)" "$$said"; exit $$code

$(PYRIGHT_CHECKS): pyright-%:
	@$(call WHOLE,$(BIN)/pyright --pythonplatform $*)

# A cache of its own for each system: mypy begins anew where it finds that of another one.
$(MYPY_CHECKS): mypy-%:
	@$(call WHOLE,$(BIN)/mypy --platform $* --cache-dir .mypy_cache/$*)

bench: $(VENV)/installed-dev
	@for name in packets transfer flood loopback connections; do $(BIN)/python tests/benchmarks/$$name.py; done

bench-compare: $(VENV)/installed-dev
	@$(BIN)/python tests/benchmarks/compare.py "$(REV)" --runs $(RUNS) --benchmark "$(BENCHMARK)"

matrix: $(VENV)/installed-dev
	$(BIN)/python tests/support/simnet/matrix.py
	git --no-pager diff --stat tests/transport/matrix.txt

conformance: $(VENV)/installed-dev
	PYTHONPATH=tests:tests/support $(BIN)/python -m conformance.report docs/socks-conformance.md

sweep: $(VENV)/installed-dev
	$(BIN)/python tests/tools/sweep.py --seeds $(SEEDS)

fuzz: $(VENV)/installed-dev
	$(BIN)/pip $(LISTED) --quiet --requirement requirements/fuzz.txt
	$(BIN)/python tests/tools/fuzz/run.py --seconds $(FUZZ_SECONDS)

mutants: $(VENV)/installed-dev
	$(BIN)/pip $(LISTED) --quiet --requirement requirements/mutants.txt
	$(BIN)/python tests/tools/mutants/run.py --sample $(SAMPLE) $(ROOMS)

lock: $(VENV)/installed-dev
	$(BIN)/pip $(LISTED) --quiet --requirement requirements/lock.txt
	$(LOCK) --output-file requirements/run.txt pyproject.toml
	$(LOCK) --output-file requirements/postgres.txt --extra postgres --constraint requirements/run.txt pyproject.toml
	$(LOCK) --output-file requirements/build.txt --constraint requirements/run.txt --group build
	$(LOCK) --output-file requirements/dev.txt --constraint requirements/run.txt --constraint requirements/build.txt --group dev
	$(LOCK) --output-file requirements/fuzz.txt --group fuzz
	$(LOCK) --output-file requirements/lock.txt --group lock
	$(LOCK) --output-file requirements/pyz.txt --constraint requirements/run.txt --constraint requirements/build.txt --group pyz
	$(LOCK) --output-file requirements/mutants.txt $(addprefix --constraint requirements/,run.txt build.txt dev.txt) --group mutants

# The manual is made of the commands; the site, of the documents.
man: $(VENV)/installed
	$(BIN)/python deploy/manual/pages.py man build/man

commands: $(VENV)/installed
	$(BIN)/python deploy/manual/pages.py markdown docs/commands.md
	$(BIN)/tandem config reference > docs/configuration-reference.md

site: $(VENV)/installed-dev
	$(BIN)/python deploy/site/stage.py build/docs
	$(BIN)/zensical build --strict --clean --config-file mkdocs.yml

picture: $(VENV)/installed
	$(BIN)/python tests/tools/picture.py docs/console.svg

deb:
	deploy/debian/build.sh

# Its subprocesses find the packages by PYTHONPATH (a server's workers are such), and it unpacks itself beside other caches.
pyz: $(VENV)/installed
	$(BIN)/pip $(LISTED) --quiet --requirement requirements/pyz.txt
	rm -rf build/pyz
	mkdir -p dist
	$(BIN)/pip $(LISTED) --quiet --no-compile --target build/pyz --requirement requirements/run.txt
	TANDEM_PURE=1 $(BIN)/pip $(OURS) --no-compile --target build/pyz .
	rm -rf build/pyz/bin build/pyz/tandem_proxy-*.dist-info/direct_url.json
	$(BIN)/shiv --site-packages build/pyz --entry-point tandem.cli.main:main --output-file dist/tandem.pyz \
	  --python "/usr/bin/env python3" --root "~/.cache/tandem" --preamble deploy/pyz/preamble.py \
	  --extend-pythonpath --reproducible

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tandem needs Python 3.11 or newer; set it with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into $(VENV): about a minute, once."
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml $(LISTS)
	$(BIN)/pip $(LISTED) --requirement requirements/run.txt --requirement requirements/build.txt
	TANDEM_PURE=1 $(BIN)/pip $(OURS) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip $(LISTED) --quiet --requirement requirements/dev.txt
	@touch $@

$(COMPILED)/created:
	$(PYTHON) -m venv $(COMPILED)
	@touch $@

$(COMPILED)/installed-dev: $(COMPILED)/created $(SOURCES)
	$(COMPILED)/bin/pip $(LISTED) --quiet $(addprefix --requirement requirements/,run.txt build.txt dev.txt)
	TANDEM_PURE=0 $(COMPILED)/bin/pip $(OURS) --force-reinstall .
	$(COMPILED)/bin/tandem --version
	@touch $@

clean:
	rm -rf $(VENV) $(COMPILED) build .mypy_cache .ruff_cache .pytest_cache .hypothesis
