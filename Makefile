# One command each: `make help` lists them. Needs Python 3.11 or newer and make; everything else is
# installed into $(VENV) once, and a target whose environment stands asks for no network.
#
#   make demo PYTHON=python3.13      another interpreter
#   make test ARGS="-k frame -x"     arguments for pytest (or for the benchmark: make bench)

ifneq ($(origin PYTHON), undefined)
PYTHON_GIVEN := yes
endif
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

# Newer interpreters stand beside an old python3 under these names; one that was named is not replaced.
CANDIDATES = $(PYTHON) $(if $(PYTHON_GIVEN),,python3.14 python3.13 python3.12 python3.11)
BIN = $(VENV)/bin
PIP = "$(BIN)/python" -m pip --disable-pip-version-check
RUN = "$(BIN)/python" -m

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-packaging test-memory test-slurm chaos lint format bench bench-pass-cost \
  bench-chunks bench-scaling bench-prediction bench-selection bench-rare bench-context bench-cluster bench-cost \
  bench-out-of-core bench-billion bench-spark bench-sklearn bench-spark-fit bench-limit guard bench-ablation bench-startup \
  bench-dask-ml bench-mclust docs pictures clean
.SUFFIXES:
.NOTPARALLEL: # one pip at a time in an environment

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.stamp-demo ## segment NASA's Blue Marble into runs/blue-marble; done once
	@$(RUN) pipelines.demo

test: $(VENV)/.stamp-test ## run the tests; what the machine lacks is skipped, with the reason
	@$(RUN) pytest --numprocesses auto --dist loadfile $(ARGS)

test-long: $(VENV)/.stamp-test ## run the tests that take tens of seconds each; 3 minutes
	@$(RUN) pytest -m long $(ARGS)

test-packaging: $(VENV)/.stamp-test ## install wheel and sdist on every supported Python; 10 minutes
	@$(RUN) pytest -m "long or not long" tests/packaging $(ARGS)

test-memory: $(VENV)/.stamp-test ## measure the memory of many drawn runs against what was predicted; minutes
	@$(RUN) pytest -m memory tests/run $(ARGS)

chaos: $(VENV)/.stamp-test ## kill real processes at random points, many times; up to 20 minutes
	@DASK_GMM_FUZZ=3 $(RUN) pytest tests/faults -m "chaos or not chaos" $(ARGS)

lint: $(VENV)/.stamp-lint ## check style, format and types
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy

format: $(VENV)/.stamp-lint ## repair style and format
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

test-slurm: $(VENV)/.stamp-test ## run the tests on a real SLURM, installed where it is missing (Debian, as root)
	@DASK_GMM_SLURM=install $(RUN) pytest -m slurm $(ARGS)

bench: $(VENV)/.stamp-test $(VENV)/.stamp-demo ## run the benchmarks, write their tables and pictures; a few minutes
	@$(RUN) benchmarks.bench_em_step --require 20@3,8,full --require 20@6,16,full \
	    --require 10@16,16,full --require 8@32,32,full --require 2.2@128,32,full $(ARGS); \
	  status=$$?; $(RUN) benchmarks.bench_kernels --require || status=$$?; \
	  $(RUN) benchmarks.bench_compression --require 1@fit --require 8@labels || status=$$?; \
	  $(RUN) benchmarks.bench_starts && $(RUN) benchmarks.bench_passes && $(RUN) benchmarks.collect && exit $$status

bench-ablation: $(VENV)/.stamp-test $(VENV)/.stamp-demo ## one part of a fit after the other switched off; 5 minutes
	@$(RUN) benchmarks.bench_ablation --require-readings 10 $(ARGS)

bench-startup: $(VENV)/.stamp-test ## whole processes of the command, help first; a minute
	@$(RUN) benchmarks.bench_startup --require-help 0.4 $(ARGS)

guard: $(VENV)/.stamp-test ## hold our time over that of NumPy primitives against what was recorded; seconds
	@$(RUN) benchmarks.guard $(ARGS)

bench-pass-cost: $(VENV)/.stamp-test ## a pass against reading plus arithmetic; 7 minutes
	@$(RUN) benchmarks.bench_pass_cost --require-sum 1.15 --require-larger 1.15 $(ARGS)

bench-prediction: $(VENV)/.stamp-test $(VENV)/.stamp-demo ## labels against reading, kernel and writing; 5 minutes
	@$(RUN) benchmarks.bench_prediction --require-sum 1.2 --require-relief 60 $(ARGS)

bench-chunks: $(VENV)/.stamp-test ## passes over up to a hundred thousand chunks; 5 minutes
	@$(RUN) benchmarks.bench_chunks --require-engine 1 $(ARGS)

bench-scaling: $(VENV)/.stamp-test ## one worker and two, 10^6 to 10^9 rows; 10 minutes, 16 GB stay in data/
	@$(RUN) benchmarks.bench_scaling --rows 1e9 --require-speedup 1.8 --require-linear 1.15 --require-flat 1.15 $(ARGS)

bench-cost: $(VENV)/.stamp-test ## core-hours and bytes of 10^9 pixels; 6 minutes
	@$(RUN) benchmarks.bench_cost $(ARGS)

bench-cluster: $(VENV)/.stamp-test ## a model of a cluster, calibrated and checked here; 6 minutes
	@$(RUN) benchmarks.bench_cluster --require-error 0.25 $(ARGS)

bench-out-of-core: $(VENV)/.stamp-test ## 8.6 GB under two workers of 512 MiB; 8 minutes
	@$(RUN) benchmarks.bench_out_of_core --require-deviation 5 --require-memory 1 $(ARGS)

bench-billion: $(VENV)/.stamp-test ## 10^9 rows, 16 GB, eight components, two workers of 2 GiB; 15 minutes
	@$(RUN) benchmarks.bench_out_of_core --rows 1e9 --components 8 --memory 2GiB --name billion \
	  --require-deviation 5 --require-memory 1 $(ARGS)

bench-selection: $(VENV)/.stamp-test ## 60 candidates together and one by one, 20 million rows; 20 minutes
	@$(RUN) benchmarks.bench_selection --rows 20e6 --require-passes 1.5 --require-time 0.3334 \
	  --require-time-without 0.8 $(ARGS)

bench-rare: $(VENV)/.stamp-test ## a class of a ten-thousandth of 20 million rows, 20 seeds; 10 minutes
	@$(RUN) benchmarks.bench_rare --rows 20e6 --require 0.95 $(ARGS)

bench-context: $(VENV)/.stamp-test $(VENV)/.stamp-demo ## a field and features of 58 million pixels; 6 minutes
	@$(RUN) benchmarks.bench_context --require-seconds 180 $(ARGS)

bench-spark: $(VENV)/.stamp-bench ## iterations against Spark ML's (needs Java 17); 14 minutes
	@$(RUN) benchmarks.bench_spark --require 50@3,8 --require 50@6,16 --require 30@16,16 \
	  --require 20@32,32 $(ARGS)

bench-spark-fit: $(VENV)/.stamp-bench ## whole fits against Spark ML's (needs Java 17); 14 minutes
	@$(RUN) benchmarks.bench_spark_fit --require 20 $(ARGS)

bench-limit: $(VENV)/.stamp-test ## bandwidth of formats, and where a pass's time goes; 9 minutes
	@$(RUN) benchmarks.bench_limit $(ARGS)

bench-sklearn: $(VENV)/.stamp-test ## against scikit-learn, to its end and to equal likelihood; 25 minutes
	@$(RUN) benchmarks.bench_sklearn --require-end-to-end 30 --require-memory 1 $(ARGS)

bench-dask-ml: $(VENV)/.stamp-bench ## against dask-ml's KMeans: labels and their quality; a quarter of an hour
	@$(RUN) benchmarks.bench_dask_ml --require-gain 0 $(ARGS)

bench-mclust: $(VENV)/.stamp-test ## against R's mclust (needs Rscript and r-cran-mclust); 10 minutes
	@$(RUN) benchmarks.bench_mclust --require-kernel 1e-10 $(ARGS)

docs: $(VENV)/.stamp-docs ## build the pages into build/docs; a warning is an error
	@$(RUN) sphinx --builder html --fail-on-warning --keep-going --nitpicky --jobs auto \
	    -d build/doctrees docs build/docs $(ARGS)
	@echo "build/docs/index.html"

pictures: $(VENV)/.stamp-demo $(VENV)/.stamp-test ## draw the pages' pictures: the README's from the demo's result
	@$(RUN) docs.draw_pictures runs/blue-marble $(wildcard runs/landsat runs/shaded-relief runs/mri)
	@DASK_GMM_PICTURES=draw $(RUN) pytest -q tests/docs/test_pages.py -k tutorials

clean: ## remove the environment and all caches; data/ and runs/ stay
	@if [ -e "$(VENV)/.stamp-venv" ]; then rm -rf "$(VENV)"; fi
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment per extra of pyproject.toml; they share the directory and add up.
$(VENV)/.stamp-%: pyproject.toml $(VENV)/.stamp-venv
	$(PIP) install --editable ".[$*]"
	@touch "$@"

# Debian splits ensurepip off into python3-venv; where it is missing, the pip that is there fills in.
$(VENV)/.stamp-venv:
	@python=; for each in $(CANDIDATES); do \
	  if "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    python=$$each; break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "error: Python 3.11 or newer is needed; tried: $(strip $(CANDIDATES))." >&2; \
	  echo "       $(PYTHON) is: $$("$(PYTHON)" --version 2>&1 | head -n 1)" >&2; \
	  echo "       Name one that is newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	  exit 2; \
	fi; \
	if "$$python" -c 'import ensurepip' >/dev/null 2>&1; then \
	  echo "making $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv "$(VENV)" || exit 1; \
	elif "$$python" -m pip --version >/dev/null 2>&1; then \
	  echo "making $(VENV) with $$("$$python" --version), without its ensurepip"; \
	  "$$python" -m venv --without-pip "$(VENV)" && \
	  "$$python" -m pip --disable-pip-version-check --python "$(BIN)/python" install pip || exit 1; \
	else \
	  echo "error: $$python has neither ensurepip nor pip; install one of them (Debian and" >&2; \
	  echo "       Ubuntu: the packages python3-venv or python3-pip), then try again." >&2; \
	  exit 2; \
	fi; \
	touch "$@"
