# make repro             regenerate every table and figure that params.yaml says; or, for once, of another choice, which
#                        leaves params.yaml and dvc.lock as they were: SCALE=smoke|demo|paper ACDC=synthetic|real
#                        CLEVR_SEG=synthetic|released CHEST=synthetic|jsrt|radiographs MMWHS=synthetic|mmwhs
#                        VOLUMES=synthetic|decathlon PANCREAS=synthetic|tcia ULTRASOUND=synthetic|hdf5
# make fan-out           the same side by side: these switches, JOBS=N ON=here|slurm|cluster, and THEN='a command' after all
# make push              `dvc push`, once the licences of real data have been read: LICENCE=read
# make test              the tests                         make test-slow   the heavier ones
# make verify            whether what is in paper_figures/ is consistent with what is committed there
# make bench             the benchmarks                    make lab         JupyterLab, from the root
# make rehearse          every stage of the paper's scale for two steps, JOBS=N at once: docs/rehearsal.md, what it takes
# make fits              whether the committed results are those of the committed code: nothing is stale
# make cluster-demo      the smoke pipeline here and through a real Slurm on this host: the same sha256
# PYTHON=python3 makes the environment VENV=.venv, if it is not there yet, with PyTorch for TORCH=cpu|cuda: without it the
# one that is there already, else CUDA's where this machine has an NVIDIA driver (docs/environment.md).

CHOICE = SCALE ACDC CLEVR_SEG CHEST MMWHS VOLUMES PANCREAS ULTRASOUND
SWITCHES = $(CHOICE) LICENCE JOBS ON THEN PYTHON VENV TORCH
SAID := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
$(if $(filter-out $(SWITCHES),$(SAID)),$(error $(filter-out $(SWITCHES),$(SAID)): no such switch; known: $(SWITCHES)))
LEFT := $(strip $(foreach name,$(CHOICE) LICENCE,$(if $(and $(filter environment,$(origin $(name))),$(value $(name))),$(name))))
$(if $(LEFT),$(error $(LEFT): in the environment, where it would outlast this choice; unset it, and write it after `make`))
# recipes find them in their environment, as they were given: neither make nor a shell reads them as a program
$(foreach name,$(SWITCHES),$(eval override $(name) := $$(value $(name))))
export $(SWITCHES)
override PYTHONPATH := $(CURDIR)/lib$(if $(PYTHONPATH),:$(value PYTHONPATH))
export PYTHONPATH
override PYTHON := $(if $(value PYTHON),$(value PYTHON),python3)
override VENV := $(if $(value VENV),$(value VENV),$(CURDIR)/.venv)
RUN = "$$VENV/bin/python" -m
PIP = $(RUN) pip install --quiet --disable-pip-version-check --no-deps
COMMAND = dvc repro
TRACKED = git rev-parse -q --verify HEAD:./dvc.yaml >/dev/null 2>&1 && ! git check-ignore -q --no-index dvc.yaml
TESTS = env OMP_NUM_THREADS=1 $(RUN) pytest -n logical --maxprocesses 8 --dist loadfile

.PHONY: repro fan-out push test test-slow verify bench rehearse lab fits cluster-demo ready
# `exec`, here and below: make, told to end, tells its child, which is then no shell
repro: export SHELL = /bin/sh
repro: ready
	@$(TRACKED) || $(RUN) dvc config --local core.no_scm true
	@exec $(RUN) whereabouts.pipeline.choice scale="$$SCALE" acdc="$$ACDC" clevr_seg="$$CLEVR_SEG" chest="$$CHEST" mmwhs="$$MMWHS" \
	  volumes="$$VOLUMES" pancreas="$$PANCREAS" ultrasound="$$ULTRASOUND" -- $(COMMAND)

fan-out: COMMAND = whereabouts.pipeline.fan_out --jobs "$${JOBS:-0}" --on "$${ON:-here}" --then "$${THEN:-}"
fan-out: repro

push: ready
	@exec $(RUN) whereabouts.pipeline.choice -- whereabouts.data.push "$$LICENCE"

test: ready
	@exec $(TESTS) -m "not slow"

test-slow: ready
	@exec $(TESTS) -m slow

verify: ready
	@exec $(RUN) whereabouts.reporting.verify

bench: ready
	@exec $(RUN) benchmarks

rehearse: ready
	@exec $(RUN) whereabouts.pipeline.rehearse "$${JOBS:-0}"

lab: ready
	@exec $(RUN) jupyterlab .

fits: ready
	@exec $(RUN) whereabouts.pipeline.fits

cluster-demo: ready
	@exec "$$VENV/bin/python" tests/cluster_demo.py

# no file's name is a target here: make would split one that has a space. VENV/ready says what is installed there: which
# PyTorch, and a checksum of what it was installed from
ready:
	@made=$$(cat "$$VENV/ready" 2>/dev/null); torch=$${TORCH:-$${made%% *}}; \
	if [ -z "$$torch" ]; then [ -e /proc/driver/nvidia/version ] && torch=cuda || torch=cpu; fi; \
	case $$torch in cpu | cuda) ;; *) echo "error: TORCH=$$torch: no such PyTorch; use cpu or cuda" >&2; exit 1 ;; esac; \
	wanted="$$torch $$(cat requirements.lock "requirements-$$torch.lock" pyproject.toml | cksum)"; \
	[ "$$made" = "$$wanted" ] || { \
	  "$$PYTHON" lib/whereabouts/pipeline/system.py && \
	  "$$PYTHON" -m venv "$$VENV" && \
	  { $(PIP) --require-hashes -r "requirements-$$torch.lock" || { [ $$torch = cuda ] || \
	    echo "error: requirements-cpu.lock: not installed; name PyTorch's index for CPUs in PIP_EXTRA_INDEX_URL (docs/environment.md), or make TORCH=cuda" >&2; \
	    exit 1; }; } && \
	  $(PIP) --require-hashes -r requirements.lock && \
	  $(PIP) --no-build-isolation --editable . && \
	  printf '%s\n' "$$wanted" >"$$VENV/ready"; }
	@! { $(TRACKED); } || { \
	python=$$(cd "$$VENV/bin" && pwd)/python; clean='"$$(git config whereabouts.python)" -m whereabouts.pipeline.tidy --filter %f'; \
	{ [ "$$(git config whereabouts.python)" = "$$python" ] || git config whereabouts.python "$$python"; } && \
	{ [ "$$(git config filter.whereabouts.clean)" = "$$clean" ] || git config filter.whereabouts.clean "$$clean"; }; }
