# `make demo` and `make test` set everything up themselves; only Python >= 3.11, pip and make are needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# A run is a dozen processes: without bytecode each would spend half of its time on compiling its libraries anew.
unexport PYTHONDONTWRITEBYTECODE
# Threads that wait by spinning starve steps that share the cores.
export OMP_WAIT_POLICY ?= PASSIVE
export OPENBLAS_THREAD_TIMEOUT ?= 4
export LD_LIBRARY_PATH := $(CURDIR)/$(VENV)/openmp$(if $(LD_LIBRARY_PATH),:$(LD_LIBRARY_PATH))

# What is audited; pip-audit has an environment of its own.
LOCKS := requirements.lock .ci/audit.lock .ci/axe.lock images/*.lock benchmarks/*.lock benchmarks/serving/*.lock docs/site/*.lock tests/support/*.lock
AUDIT := .cache/audit

.PHONY: demo demo-loop example-fraud test fuzz images-test alerts docs links lint format component compile proto bench bench-data bench-serving screenshots clean setup lock audit pin-base
.DEFAULT_GOAL := help

help:
	@echo "make demo     the main job, end to end, on real data, with no cluster (MODE=standard: KServe's other mode)"
	@echo "make demo-loop  drift of a served model is found, and answered by a retraining (MODE=standard as well)"
	@echo "make example-fraud  fraud in a stream of payments: late labels, a month that changes, an alert"
	@echo "make test     the test suite"
	@echo "make coverage the test suite, and how much of the code it runs"
	@echo "make fuzz     inputs that are nearly right, for every parser (SECONDS=10 for each)"
	@echo "make images-test  the images, built and tried in a Docker engine (BASE=…: on another base)"
	@echo "make alerts   the alert rules, checked and tried on series (needs promtool)"
	@echo "make docs     the documentation as a site, in build/site"
	@echo "make links    whether what the pages link to outside of the project is there (needs the internet)"
	@echo "make lint     ruff, mypy, and generated files against their sources"
	@echo "make format   put every file into the form that make lint asks for"
	@echo "make component NAME=count_rows  a new component with its implementation and test, ready to be changed"
	@echo "make compile  compile every component and pipeline"
	@echo "make proto    generate the modules of the .proto files"
	@echo "make bench    the benchmarks"
	@echo "make bench-data  the data steps beside their peers; ROWS=\"1000000 5000000\" says on how many rows"
	@echo "make bench-serving  the model server beside its peers, under overload, and through an hour's requests"
	@echo "make screenshots  every page in a real browser: pictures, wide and narrow, light and dark, by keyboard; axe-core (needs Chromium)"
	@echo "make lock     resolve requirements.lock and the locks of images/ anew (needs uv)"
	@echo "make audit    known vulnerabilities of what is locked (needs the database of vulnerabilities)"
	@echo "make pin-base the base image of the Dockerfiles by its digest of today (needs its registry)"
	@echo "make clean    remove the environment, runs and caches"

setup: $(READY)

$(READY): requirements.lock pyproject.toml .ci/environment.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Kubeline needs Python 3.11 or newer; run make PYTHON=python3.x")'
	$(PYTHON) .ci/environment.py $(VENV) requirements.lock .
# LightGBM needs the system's OpenMP runtime; where there is none, the one that scikit-learn brings serves as well.
	@$(BIN)/python -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null || \
	  { mkdir -p $(VENV)/openmp && ln -sf "$$(ls $(CURDIR)/$(VENV)/lib/python3*/site-packages/scikit_learn.libs/libgomp*)" $(VENV)/openmp/libgomp.so.1; }
	@touch $@

demo: setup
	@$(BIN)/python -m examples.flights.demo $(if $(MODE),--mode $(MODE))

demo-loop: setup
	@$(BIN)/python -m examples.flights.loop $(if $(MODE),--mode $(MODE))

example-fraud: setup
	@$(BIN)/python -m examples.fraud.demo $(if $(BROKER),--broker $(BROKER))

test: setup
	$(BIN)/python -m pytest -n 3 --dist loadfile

# What child processes run (servers, steps, pods) is not counted. Python 3.12 and later measure at hardly any cost.
coverage: setup
	COVERAGE_CORE=$(shell $(PYTHON) -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') \
	  $(BIN)/python -m pytest -n 3 --dist loadfile --cov --cov-report=term:skip-covered --cov-report=xml:build/coverage.xml

fuzz: setup
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),10)

images-test: setup
	@$(BIN)/python -m tests.images.docker_engine

# Sphinx has an environment of its own.
.cache/docs/.ready: docs/site/requirements.lock .ci/environment.py
	$(PYTHON) .ci/environment.py $(@D) $<
	@touch $@

docs: setup .cache/docs/.ready
	@$(BIN)/python docs/site/reference.py
	@.cache/docs/bin/sphinx-build --fail-on-warning --keep-going --quiet -c docs/site -d .cache/docs/doctrees . build/site
	@echo "the site is in build/site: open build/site/index.html"

# Links within the site are checked by the tests, these are those that lead out of it.
links: docs
	@.cache/docs/bin/sphinx-build --builder linkcheck --write-all --keep-going --quiet -c docs/site -d .cache/docs/doctrees . build/links

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy .ci/*.py images/*.py
	$(BIN)/python compile.py --check
	$(BIN)/python -m kubeline.protos --check

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

component: setup
	@$(BIN)/python -m components.scaffold $(NAME)

compile: setup
	$(BIN)/python compile.py

proto: setup
	$(BIN)/python -m kubeline.protos

bench: setup
	$(BIN)/python -m benchmarks

# Polars and pandera with it, in an environment of their own, are peers of the data steps.
.cache/bench-data/.ready: benchmarks/polars.lock .ci/environment.py
	$(PYTHON) .ci/environment.py $(@D) $<
	@touch $@

bench-data: setup .cache/bench-data/.ready
	$(BIN)/python -m benchmarks.data $(ROWS)

# Peers that do not go with the libraries of the main environment have one of their own.
PEERS := .cache/bench-serving

$(PEERS)/%/.ready: benchmarks/serving/peers-%.lock .ci/environment.py
	$(PYTHON) .ci/environment.py $(@D) $<
	@touch $@

bench-serving: setup $(PEERS)/mlserver/.ready $(PEERS)/bentoml/.ready
	$(BIN)/python -m benchmarks.serving
	-$(BIN)/python -m benchmarks.serving.overload
	-$(BIN)/python -m benchmarks.serving.soak

alerts: setup
	@$(BIN)/python .ci/alerts.py

$(AUDIT)/.ready: .ci/audit.lock .ci/environment.py
	$(PYTHON) .ci/environment.py $(@D) $<
	@touch $@

audit: $(AUDIT)/.ready
	$(AUDIT)/bin/python .ci/audit.py $(LOCKS)

pin-base:
	@$(PYTHON) images/pin_base.py

# axe-core comes in a wheel, which drives it by a library that is not needed here.
.cache/axe/.ready: .ci/axe.lock .ci/environment.py
	$(PYTHON) .ci/environment.py $(@D) $<
	@touch $@

screenshots: setup .cache/axe/.ready
	@$(BIN)/python .ci/screenshots.py .cache/axe/lib/python3*/site-packages/axe_playwright_python/axe.min.js runs build/site

lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --extra dev \
	  --constraint constraints.txt pyproject.toml --output-file requirements.lock >/dev/null
	images/lock.sh
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate docs/site/requirements.in --output-file docs/site/requirements.lock >/dev/null
	echo 'pip-audit>=2.10' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate - --output-file .ci/audit.lock >/dev/null
	echo 'axe-playwright-python' | uv pip compile --quiet --universal --python-version 3.11 --no-deps --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate - --output-file .ci/axe.lock >/dev/null
	echo 'feast[duckdb]' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate - --output-file tests/support/feast.lock >/dev/null

clean:
	rm -rf $(VENV) runs examples/*/data .cache .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
