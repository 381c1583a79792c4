# Each target does its own set-up, so each works first on a bare checkout. PYTHON=... chooses another interpreter.
.PHONY: setup lint test demo compare colcon bench bench-gpu tiny-model lock
.DEFAULT_GOAL := demo

BIN := .venv/bin
# Threads of torch that wait by spinning take a busy machine from each other: a rollout takes ten times as long.
export OMP_WAIT_POLICY ?= PASSIVE

setup:
	@for python in "$(PYTHON)" python3 python3.11 python3.12 python3.13; do \
	  if "$$python" -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then \
	    PYTHON="$(PYTHON)" exec "$$python" tools/set_up.py; fi; done; \
	echo "set-up: no Python of at least 3.11 runs; install one, or give one as make PYTHON=..." >&2; exit 1

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup
	$(BIN)/pytest -n 2 --dist loadgroup

demo: setup
	$(BIN)/k4d-demo --out out/demo

# The demonstration's prediction against the recording that it predicts: out/compare/report.html.
compare: demo
	$(BIN)/k4d-compare --rollout out/demo/rollout --executed examples/panda_pick_place --cache out/demo/surfaces \
	  --out out/compare

colcon: setup
	$(BIN)/python tools/colcon.py

bench: setup
	$(BIN)/python bench/run.py --out out/bench

bench-gpu: setup
	$(BIN)/python bench/bench_gpu.py --out out/bench

# Rebuilds the small model; goes on where it was stopped.
TINY := out/tiny_model
KINDS := easy medium hard
tiny-model: setup
	for kind in $(KINDS); do $(BIN)/k4d-build-dataset --source config/sources/training_$$kind.yaml \
	  --validation-share 0.015 --cache $(TINY)/surfaces --out $(TINY)/$$kind || exit 1; done
	env -u OMP_WAIT_POLICY MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1 MALLOC_TOP_PAD_=268435456 \
	  $(BIN)/k4d-train --config config/training/tiny.yaml $(KINDS:%=--data $(TINY)/%) --robot config/robots/panda.yaml \
	  --cache $(TINY)/clips --workers 2 --out $(TINY)/run --resume
	$(BIN)/k4d-evaluate --model $(TINY)/run/world_model.yaml --out $(TINY)/evaluation \
	  --source $(KINDS:%=config/sources/held_out_%.yaml)

# Resolves the pins anew from requirements/*.in; the result is committed. CUDA's packages are left to torch, which names
# exactly those that its own build needs. Ubuntu 24.04, which Jazzy and Kilted stand on, has NumPy 1.26 and Python 3.12.
LOCK := ../$(BIN)/uv pip compile -q --no-header --no-emit-index-url --no-annotate
WITHOUT_CUDA := sed -Ei '/^(cuda|nvidia)-|^triton=/d'
lock: setup
	$(BIN)/python -m pip -q install uv
	cd requirements && for extra in kinematics embedded simulation world_model alignment test; do \
	  $(LOCK) --universal --python-version 3.11 $$extra.in -o $$extra.txt && $(WITHOUT_CUDA) $$extra.txt || exit 1; done
	cd requirements && for distribution in jazzy kilted; do echo numpy==1.26.4 | \
	  $(LOCK) --only-binary :all: --python-version 3.12 lab.in -c /dev/stdin -o lab_$$distribution.txt || exit 1; done
	cd requirements && $(LOCK) --only-binary :all: --python-version 3.14 lab.in -o lab_lyrical.txt
	cd requirements && $(WITHOUT_CUDA) lab_*.txt
