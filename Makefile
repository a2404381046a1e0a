# Everything a newcomer needs is here: `make demo` shows the product, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# A second environment, with Tandem as its users install it: the protocol core compiled where there is a C compiler.
COMPILED := .venv-compiled
SOURCES := hatch_build.py pyproject.toml constraints.txt $(shell find app transport socks -name '*.py')

# Tests that are virtual time, or need little of the machine, stand side by side; those with real processes have it to themselves.
VIRTUAL := tests/transport tests/socks5
SIDE_BY_SIDE := $(VIRTUAL) tests/app tests/conformance

SEEDS := 2000
FUZZ_SECONDS := 60

# Also for what builds the package, which is fetched into a place of its own.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

RUNS := 3
BENCHMARK := loopback

.PHONY: demo test test-long check bench bench-compare matrix conformance sweep fuzz clean help

help:
	@echo "make demo   client and server over two bad links on this machine, with the live console"
	@echo "make test   install what the tests need and run those that prove each behaviour once"
	@echo "make test-long  all tests in virtual time, on the compiled protocol core"
	@echo "make check  ruff, mypy --strict, pyright"
	@echo "make sweep  play $(SEEDS) random histories of sessions (SEEDS=10000 for more)"
	@echo "make fuzz   coverage-guided fuzzing for $(FUZZ_SECONDS) s (FUZZ_SECONDS=3600 for more)"
	@echo "make bench  the benchmarks; they print figures and never fail"
	@echo "make bench-compare REV=...  the same figures of another commit and of this one, in turn (RUNS=5, BENCHMARK=connections)"
	@echo "make matrix write tests/transport/matrix.txt anew: what two links do together, loss by RTT by mode"
	@echo "make conformance  play what clients expect of the SOCKS port, and write docs/socks-conformance.md anew"
	@echo "make clean  remove the environment and caches"

demo: $(VENV)/installed
	@$(BIN)/tandem demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q -n 2 $(SIDE_BY_SIDE)
	$(BIN)/python -m pytest -q $(addprefix --ignore=,$(SIDE_BY_SIDE))

test-long: $(COMPILED)/installed-dev
	$(COMPILED)/bin/python -m pytest -q -n 2 -m "" -o pythonpath=tests $(VIRTUAL)

check: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright

bench: $(VENV)/installed-dev
	@for name in packets transfer flood loopback connections; do $(BIN)/python tests/benchmarks/$$name.py; done

bench-compare: $(VENV)/installed-dev
	@$(BIN)/python tests/benchmarks/compare.py "$(REV)" --runs $(RUNS) --benchmark "$(BENCHMARK)"

matrix: $(VENV)/installed-dev
	$(BIN)/python tests/simnet/matrix.py
	git --no-pager diff --stat tests/transport/matrix.txt

conformance: $(VENV)/installed-dev
	PYTHONPATH=tests $(BIN)/python -m conformance.report docs/socks-conformance.md

sweep: $(VENV)/installed-dev
	$(BIN)/python tests/sweep.py --seeds $(SEEDS)

fuzz: $(VENV)/installed-dev
	$(BIN)/pip install --quiet --constraint constraints.txt --group fuzz
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Tandem needs Python 3.11 or newer; set it with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into $(VENV): about a minute, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml constraints.txt
	TANDEM_PURE=1 $(BIN)/pip install --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --group dev
	@touch $@

$(COMPILED)/created:
	$(PYTHON) -m venv $(COMPILED)
	$(COMPILED)/bin/pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(COMPILED)/installed-dev: $(COMPILED)/created $(SOURCES)
	$(COMPILED)/bin/pip install --quiet --constraint constraints.txt --force-reinstall --no-deps .
	$(COMPILED)/bin/pip install --quiet --constraint constraints.txt --group dev "tandem-proxy"
	$(COMPILED)/bin/tandem --version
	@touch $@

clean:
	rm -rf $(VENV) $(COMPILED) .mypy_cache .ruff_cache .pytest_cache .hypothesis
