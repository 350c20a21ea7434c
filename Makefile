# Two commands are all that is needed: `make demo` and `make test`.  Both build .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := runs/demo

.PHONY: demo test lint benchmarks clean

# torch comes first and pinned, so that nothing that depends on it can bring in another build.
$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[data,test]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m trm_arc.train --preset demo --out $(RUN) --overwrite
	$(BIN)/python -m trm_arc.evaluate --checkpoint $(RUN) --show

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/installed
	$(BIN)/ruff check .

benchmarks: $(VENV)/installed
	for program in plan paint vote model train_step; do $(BIN)/python -m benchmarks.$$program || exit 1; done

clean:
	rm -rf $(VENV) runs build dist *.egg-info
