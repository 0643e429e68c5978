# `make demo` and `make test` set up everything on a fresh machine and then do their work.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test chromium check bench soak page gpu clean

# One stamp an environment: what it holds, remade when the pins change.
$(VENV)/.user: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Mneme and its pinned dependencies into $(VENV) (minutes, once)"
	$(PIP) -e '.[cpu]'
	@touch $@

$(VENV)/.dev: $(VENV)/.user
	$(PIP) -e '.[cpu,dev]'
	$(PIP) --no-deps openpi-client  # it pins numpy<2, and works with 2
	@touch $@

demo: $(VENV)/.user
	$(BIN)/python examples/demo.py

test: $(VENV)/.dev chromium
	$(BIN)/python -m pytest -n 2 --dist loadfile

# The page's tests drive a browser. Only root on Debian gets one here; without one those tests are skipped and say why.
chromium:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v chromium >/dev/null \
	  && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then \
	  echo "installing Debian's chromium for the page's tests"; \
	  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium; } \
	    >/dev/null 2>&1 || echo "chromium could not be installed: the page's tests will be skipped"; \
	fi

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/typed && $(PIP) --no-deps --target build/typed .
	cd build/typed && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../pyproject.toml -p mneme

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.operators
	$(BIN)/python -m benchmarks.vlog examples/sample

# Hours: kills, a day of two cameras, a million percepts, an apartment of eight hours, canaries.
soak: $(VENV)/.dev
	$(BIN)/python -m pytest tests/test_durability.py tests/test_sleep.py tests/test_forget.py -k kill --kills 200 --timeout 7200
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.apartment
	$(BIN)/python -m benchmarks.canaries

# The page of the demo's memory (make demo makes it), or of another: make page MEMORY=kitchen.mneme
MEMORY ?= .demo/harbour_day.mneme
page: $(VENV)/.page
	$(BIN)/mneme page --memory $(MEMORY)

$(VENV)/.page: $(VENV)/.user
	$(PIP) -e '.[cpu,ui]'
	@touch $@

# On a machine with an NVIDIA GPU: dependencies require onnxruntime by name, and both builds write into one folder,
# so the GPU build replaces it after everything else is in place.
gpu: $(VENV)/.user
	$(PIP) -e '.[cpu]'
	$(BIN)/pip uninstall --quiet --yes onnxruntime
	$(PIP) --no-deps onnxruntime-gpu
	$(BIN)/mneme doctor

clean:
	rm -rf $(VENV) build .demo
