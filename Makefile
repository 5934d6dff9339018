# Thin: everything here also works with plain pip, see README.md.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

# The demo keeps its drawn data set here, unless a cache of your own is named.
CACHE := $(or $(I2I_CACHE),.cache)
RUN := runs/demo-$(shell date +%Y%m%d-%H%M%S)
# Overrides for the demo's recipe: make demo DEMO="train.images=400"
DEMO :=

.PHONY: help demo test lint clean

help:
	@echo "make demo    train pix2pix on drawn pictures for some minutes and translate unseen ones"
	@echo "make test    the test suite (ARGS=... goes to pytest)"
	@echo "make lint    ruff and mypy"
	@echo "make clean   remove $(VENV), the demo's cache and build output; runs/ stays"

demo: $(VENV)/.train
	I2I_CACHE="$(CACHE)" $(BIN)/i2i train pix2pix --dataset shapes --out $(RUN) $(DEMO)
	I2I_CACHE="$(CACHE)" $(BIN)/i2i translate "$(CACHE)/datasets/shapes/test/A" --model $(RUN) --out $(RUN)/translated --sheet
	@echo
	@echo "report             $(RUN)/report.html"
	@echo "before and after   $(RUN)/translated/before-after-001.png"

# A process a core, each with one thread: the networks of the tests are too small to be shared by threads.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .cache build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find i2i tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp for each extra: nothing is installed again until pyproject.toml changes. The install is editable.
$(VENV)/.train $(VENV)/.dev: $(VENV)/.%: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@echo "installing i2i-toolkit[$*] into $(VENV): torch is large, this can take minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	@touch $@
