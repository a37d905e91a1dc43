# Everything that a fresh machine with Python 3.11, pip, git and make needs:  make report   make test
PYTHON  ?= python3
JOBS    ?=
export AUTHOR ?=
VENV    := .venv
COLAB_PYTHON ?= python3.13
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
SIDE    := $(if $(JOBS),--jobs $(JOBS))

.PHONY: report test test-faults test-otter test-browser test-colab notebooks bench check-gpu lint lab env clean

report: $(READY)  ## build/workbook.pdf and .html from the notebooks as they were executed on the real data
	$(BIN)/coursekit report --author "$$AUTHOR"

test: $(READY)  ## every test that needs neither a network nor a GPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

test-faults: $(READY)  ## the fault tests with all their kills and damages, minutes; prints what was injected and lost
	COURSEKIT_FAULTS=long $(BIN)/python -m pytest tests/faults tests/classroom/test_student.py tests/test_benchmarks.py

test-otter: $(READY)  ## handing out and grading through otter-grader, minutes: `make test` skips these tests where it is not installed
	$(PYTHON) -m pip --python $(BIN)/python install -q -c constraints.txt -e ".[instructor]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 tests/classroom tests/faults/test_submissions.py

test-browser: $(READY)  ## JupyterLab as a learner uses it, in a headless Chromium; pictures in build/browser
	$(PYTHON) -m pip --python $(BIN)/python install -q -c constraints.txt -e ".[browser]"
	$(BIN)/python -m pytest tests/browser/lab.py

test-colab:  ## a notebook and its report with Colab's versions of Python and all packages: COLAB_PYTHON=python3.13
	$(COLAB_PYTHON) -m venv .venv-colab
	.venv-colab/bin/python -m pip install -q -r tests/colab.txt
	.venv-colab/bin/python -m pip install -q -c tests/colab.txt .
	.venv-colab/bin/coursekit run $(or $(ONLY),2) --profile sample -o build/colab
	.venv-colab/bin/coursekit report build/colab/*.ipynb -o build/colab/report

notebooks: $(READY)  ## execute notebooks/src into notebooks/, on real data
	$(BIN)/coursekit run $(ONLY) $(SIDE) --source real -o notebooks --figures figures
	$(BIN)/coursekit scorecard --into docs/scorecard.md

bench: $(READY)  ## ours beside the courses' way and other libraries on an idle machine, 25 minutes: ONLY="peers costs"
	$(PYTHON) -m pip --python $(BIN)/python install -q -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

check-gpu: $(READY)  ## does a GPU compute what a CPU does, and how fast? at most 8 minutes; writes docs/gpu and docs/gpu.md
	$(BIN)/python -m benchmarks.gpu

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lab: $(READY)  ## JupyterLab with the notebooks
	$(BIN)/jupyter lab notebooks

env: $(READY)

# pip of the machine installs into the environment, so that a Python without ensurepip will do.
$(READY): pyproject.toml requirements.txt constraints.txt
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install -q -c constraints.txt pip -r requirements.txt -e ".[dev]"
	touch $(READY)

clean:
	rm -rf build $(VENV) .venv-colab
