# Two commands do all of their set-up: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A failed command is a failure behind a pipe, too.
SHELL := bash
.SHELLFLAGS := -o pipefail -c
# Everything runs from the clone's own environment, dvc's stage commands (`python -m stages...`) too.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# No usage statistics from the libraries underneath.
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export NO_ALBUMENTATIONS_UPDATE := 1

.DEFAULT_GOAL := help
.PHONY: help run test test-quick test-random faults fuzz mutants simulation reproduce check format architecture parameters site sbom audit data lock ui clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: data ## the main job: the whole pipeline, what is up to date left alone
	@darkroom run

data: $(READY) ## the raw pictures, checked against their pinned hashes
	@darkroom fetch

test: $(READY) ## every test
	@python -m pytest -n auto

test-quick: $(READY) ## the tests that take seconds
	@python -m pytest -q -n auto -m "not slow"

test-random: $(READY) ## every test, in another order each time with four workers (FLAGS="--randomly-seed=7")
	@python -m pytest -n 4 -p randomly $(FLAGS)

faults: $(READY) ## 200 runs hit at random, 20 minutes (FLAGS="--rounds 400 --minutes 40"); every crash point; power cuts
	@python -m tests.faults --out benchmarks/darkroom/results/faults.md $(FLAGS)
	@python -m tests.crashes.crash_points --out benchmarks/darkroom/results/crash_points.md
	@python -m tests.crashes.power_loss --out benchmarks/darkroom/results/power_loss.md

mutants: $(READY) ## small faults in what decides runs and figures, and whether tests or types notice them (two hours)
	@python -m tests.mutants decisions --out benchmarks/darkroom/results/mutants.md
	@python -m tests.mutants figures --out benchmarks/stages/results/mutants.md

fuzz: $(READY) ## mutated files of DVC, pictures, videos, annotations and folders, 300 new ones of each (N=1000)
	@FUZZ_EXAMPLES=$(or $(N),300) python -m pytest -q -n auto --timeout 0 tests/darkroom/repository/test_fuzz.py \
	    tests/stages/intake/test_fuzz.py tests/stages/sources/test_fuzz.py tests/stages/preprocess/test_fuzz_files.py

simulation: $(READY) ## a million seeds of runs on simulated hosts that fail, in two processes (FIRST=0 N=1000000)
	@python -m tests.simulation --far --processes $(or $(PROCESSES),2) --out benchmarks/darkroom/results/simulation.md \
	    $(or $(FIRST),0) $$(($(or $(FIRST),0) + $(or $(N),1000000)))

reproduce: data ## two fresh clones, one by `dvc repro`, one killed and run again: the same bytes (FLAGS="--quick")
	@python -m benchmarks.darkroom.reproduce --raw data/raw/fashion-mnist --out benchmarks/darkroom/results/reproduce.md $(FLAGS)

check: $(READY) ## lint, format, types, layers
	@ruff check .
	@ruff format --check .
	@mypy
	@lint-imports

format: $(READY) ## mend what can be mended by itself
	@ruff check --fix .
	@ruff format .

architecture: $(READY) ## draw the packages of docs/architecture.md anew, from the contracts in pyproject.toml
	@python -m tests.architecture

site: $(READY) ## the documents as pages with a search, in site/; a broken link is an error
	@sphinx-build --quiet --fail-on-warning --keep-going -c docs . site
	@echo "site/index.html: open it in a browser, no server is needed"

parameters: $(READY) ## write docs/parameters.md anew, from the classes that read params.yaml
	@python -m stages.by_hand.params --markdown > docs/parameters.md

tour: $(READY) ## draw the terminals and photographs of docs/ anew, by running the commands they show
	@python -m tests.tour

sbom: $(READY) ## what the environment consists of, with licences, as CycloneDX: sbom.json
	@uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py environment --no-validate --output-reproducible \
	    --pyproject pyproject.toml --output-file sbom.json $(VENV) 2>/dev/null
	@echo "sbom.json: written"

audit: $(READY) ## known vulnerabilities of the packages in requirements.lock, as osv.dev lists them
	@log=$$(mktemp) && code=0 && { uv tool run --quiet pip-audit==2.10.1 --vulnerability-service osv --disable-pip \
	    --no-deps --progress-spinner off --requirement requirements.lock 2>$$log || code=$$?; } \
	    && tail -n 1 $$log && rm $$log && exit $$code

ui: $(READY) ## Prefect's pages, with all runs so far
	@darkroom ui

lock: $(READY) ## renew requirements.lock within pyproject.toml's bounds
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
	    --extra dev pyproject.toml --output-file requirements.lock
	@$(MAKE) --no-print-directory $(READY)
	@python -m stages.core.libraries --params params.yaml

# uv hard-links from its own cache: a second clone's environment takes seconds and hardly any disk.
# It says what it downloads and how far it is; its list of every single package (` + name==1.0`) is left out.
$(READY): requirements.lock pyproject.toml
	@echo "darkroom: setting up $(VENV) (the first time on a machine it downloads about 5 GB)"
	@test -x $(BIN)/uv || { $(PYTHON) -m venv --clear $(VENV) && $(BIN)/python -m pip install --quiet \
	    --disable-pip-version-check "$$(grep -o '^uv==[^ ]*' requirements.lock)"; }
	@uv pip sync --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock 2>&1 \
	    | sed --unbuffered '/^ [-+~] [A-Za-z0-9._-]*==/d'
	@uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

clean: ## remove the environment, caches and what runs leave behind (not data or results)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache .hypothesis .mutants .darkroom
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
