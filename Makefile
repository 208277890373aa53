# Each target sets itself up on a fresh machine: Python 3.11+ and the network for the first run, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE  # the tests start many processes: what they import is compiled once
READY := $(VENV)/.ready

# Where the system lets anyone have a network of their own without a way out, the demonstration gets one: it needs none.
ALONE := $(shell unshare --map-root-user --net true 2>/dev/null && echo unshare --map-root-user --net)

.PHONY: demo test coverage long cluster bench figures lint reference docs wheel clean

demo: $(READY)  ## learn the demonstration person, repair their photos, write demo/index.html
	$(ALONE) $(BIN)/python -m tools.demo

test: $(READY)  ## the test suite, but for the slow tests
	@mkdir -p build
	OMP_NUM_THREADS=1 $(BIN)/python $(WATCHED) -m pytest -q -n auto --dist worksteal $(CHOSEN)

coverage: WATCHED := -m slipcover --source src/mystyle_cli --json --out build/coverage.json
coverage: CHOSEN := -m "not long and not cluster"
coverage: test  ## the same with the slow ones, and whether it runs as many lines of each room as it did
	$(BIN)/python -m tools.coverage build/coverage.json

long: $(READY)  ## the tests that take minutes: thousands of bad pictures, hostile profiles and kills
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s -m long

cluster: $(READY)  ## tests on Ray, and on Slurm where it is installed (apt install slurmctld slurmd slurm-client munge)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[ray,slurm]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m cluster tests/engines

bench: $(READY)  ## every benchmark: ratios measured side by side, written to benchmarks/results/
	$(BIN)/python -m benchmarks

figures: $(READY)  ## every figure that the project states about itself
	$(BIN)/python -m tools.figures

lint: $(READY)  ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

reference: $(READY)  ## write docs/commands.md from the commands
	$(BIN)/python -m tools.make_reference

docs: $(READY)  ## the documentation as a site in build/site
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict --quiet

wheel: $(READY)  ## build dist/*.whl
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null

# Set-up runs again only when the list of dependencies changes.
$(READY): pyproject.toml
	@echo "setting up $(VENV): once, a few minutes and about 6 GB where a build of torch with CUDA is taken"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,heic,page,video]'
	touch $@

clean:
	rm -rf dist build demo .mypy_cache .ruff_cache .pytest_cache
