# Needs Python 3.11 to 3.13 and make; everything else is installed into .venv.
PYTHON ?= python3
UV_VERSION := 0.13.9
WEIGHTS ?= demo
# Three workers for two cores: tests of devices wait more than they compute.
JOBS ?= 3
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist worksteal

VENV := .venv
BIN := $(VENV)/bin
UV := .tools/bin/uv

# Importing these toolchains is slow enough: keep their compiled bytecode.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env demo test test-quick extras accelerators android ios lint documents bench attack clean

help:
	@echo "make demo   build the demo model for all targets and classify images with each"
	@echo "            WEIGHTS=hf-hub:timm/mobilenetv4_conv_small.e2400_r224_in1k for ImageNet"
	@echo "make test   run the whole test suite, including Android and iOS"
	@echo "make test-quick  run the tests that need no toolchain and no other program: within a minute"
	@echo "make extras   install the toolchain of one target at a time, and test each installation"
	@echo "make accelerators  build two networks for the GPU and for a Snapdragon's NPU, and run them there: under a minute"
	@echo "make android  build and test android_demo, without the Android SDK"
	@echo "make ios    build and test ios_demo, without a Mac"
	@echo "make lint   run ruff and mypy; check the direction of imports and the wording of texts"
	@echo "make documents  run the commands of README and docs, each document in a clean folder"
	@echo "make attack  try hostile input with fresh seeds for ten minutes, then kill processes at random moments"
	@echo "make bench  compare artifacts and builds with naive exports; build the float matrix"

$(UV):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
	  "PYTHON: found $(PYTHON), which is Python %d.%d; needs 3.11 to 3.13: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.stamp: pyproject.toml constraints.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[all,snapdragon,dev]'
	@touch $@

env: $(VENV)/.stamp

demo: env
	$(BIN)/python -m tools.demo --weights '$(WEIGHTS)'

test: env
	$(PYTEST)
	$(BIN)/python -m tools.android
	$(BIN)/python -m tools.ios

test-quick: env
	$(PYTEST) -n 2 -m 'not toolchain and not peer and not slow' # these tests do not wait for devices

extras: env
	$(BIN)/python -m tools.extras

# Both are emulated where the machine has none; a missing emulator is an error. No bundle comes from the cache.
ACCELERATED = build conv-small,hybrid-medium-075 --weights random:0 --input-size 96 -r fp16 \
  --no-cache --force -o out/accelerators
accelerators: env
	OMP_NUM_THREADS=1 $(BIN)/mnv4 $(ACCELERATED) -t tflite --unit gpu
	OMP_NUM_THREADS=1 $(BIN)/mnv4 $(ACCELERATED) -t snapdragon --set snapdragon.soc=SM8750

android: env
	$(BIN)/python -m tools.android

ios: env
	$(BIN)/python -m tools.ios

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.writing

documents: env
	$(BIN)/python -m tools.document_commands
	$(BIN)/jupyter execute --timeout=300 notebooks/*.ipynb

bench: env
	$(BIN)/python -m benchmarks.artifacts -o out/artifacts
	$(BIN)/python -m benchmarks.builds -o out/builds
	$(BIN)/python -m benchmarks.float_matrix -o out/matrix

attack: env
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.hostile.attack
	MNV4_ATTACK=fresh $(PYTEST) -k kills tests/hostile

clean:
	rm -rf .venv .tools demo-out out
