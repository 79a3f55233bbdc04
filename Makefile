# make repro             regenerate every table and figure; switches: SCALE=smoke|demo|paper ACDC=synthetic|real
#                        CLEVR_SEG=synthetic|released CHEST=synthetic|jsrt|radiographs MMWHS=synthetic|mmwhs
#                        VOLUMES=synthetic|decathlon PANCREAS=synthetic|tcia ULTRASOUND=synthetic|hdf5
# make test              the tests                         make test-slow   the heavier ones
# make bench             the benchmarks                    make lab         JupyterLab in notebooks/
# make fan-out           what is stale, side by side: JOBS=N ON=here|slurm
# make cluster-demo      the smoke pipeline here and through a real Slurm on this host: the same sha256

PYTHON ?= python3
VENV ?= $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
SWITCHES = $(if $(SCALE),scale=$(SCALE)) $(if $(ACDC),acdc=$(ACDC)) $(if $(CLEVR_SEG),clevr_seg=$(CLEVR_SEG)) $(if $(CHEST),chest=$(CHEST)) $(if $(MMWHS),mmwhs=$(MMWHS)) $(if $(VOLUMES),volumes=$(VOLUMES)) $(if $(PANCREAS),pancreas=$(PANCREAS)) $(if $(ULTRASOUND),ultrasound=$(ULTRASOUND))

.PHONY: repro test test-slow bench lab fan-out cluster-demo
repro: $(VENV)/ready
	@python -m lib.params $(SWITCHES)
	@git rev-parse --git-dir >/dev/null 2>&1 || dvc config --local core.no_scm true
	dvc repro

test: $(VENV)/ready
	python -m pytest -m "not slow"

test-slow: $(VENV)/ready
	python -m pytest -m slow

bench: $(VENV)/ready
	@python -m benchmarks

lab: $(VENV)/ready
	jupyter lab notebooks

fan-out: $(VENV)/ready
	@python -m lib.params $(SWITCHES)
	@python -m lib.fan_out --jobs $(or $(JOBS),0) --on $(or $(ON),here)

cluster-demo: $(VENV)/ready
	@python tests/cluster_demo.py

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
