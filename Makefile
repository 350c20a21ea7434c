# Two commands are all that is needed: `make demo` and `make test`; `make sudoku` is a third.  All build .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := runs/demo

.PHONY: demo sudoku test quick lint benchmarks docs clean

# torch comes first and pinned, so that nothing that depends on it can bring in another build.
$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[data,report,test]'
	touch $@

# First three answers of networks that come with the kit.  Then a training that is not compiled, as the scores in the README are of such
# runs: compiled ones round differently.
demo: $(VENV)/installed
	$(BIN)/python -m trm_arc.solve "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
	$(BIN)/python -m trm_arc.solve docs/maze.txt
	$(BIN)/python -m trm_arc.solve 66e6c45b --checkpoint arc1
	$(BIN)/python -m trm_arc.train --preset demo --compile none --out $(RUN) --overwrite
	$(BIN)/python -m trm_arc.evaluate --checkpoint $(RUN) --show

# Easy Sudoku of 6 x 6, then of 9 x 9; made here, nothing is fetched.
sudoku: $(VENV)/installed
	$(BIN)/python -m trm_arc.train --preset sudoku-small --compile none --steps 300 --out runs/sudoku-6x6 --overwrite
	$(BIN)/python -m trm_arc.evaluate --checkpoint runs/sudoku-6x6 --patience 3
	$(BIN)/python -m trm_arc.train --preset sudoku-small --compile none --data sudoku-9x9-easy --out runs/sudoku-9x9 --overwrite
	$(BIN)/python -m trm_arc.evaluate --checkpoint runs/sudoku-9x9 --patience 3

test: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Whole folders of tests, by what they are about: what needs neither a training loop, nor a whole program, nor PyTorch's compiler, nor
# the public data sets from end to end (training, commands, report, submission, data).  Of a property 15 examples are tried, not 100.
# With the start of two processes 80 s of CPU time on slow cores (user + sys of `time make quick`), so well below a minute.
QUICK := $(wildcard $(addprefix tests/,augment common config puzzles model inference evaluation test_house.py test_docs.py))

quick: $(VENV)/installed
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --hypothesis-profile=quick -m "not slow and not gpu and not programs" $(QUICK)

lint: $(VENV)/installed
	$(BIN)/ruff check .

benchmarks: $(VENV)/installed
	for program in plan paint vote model train_step maze sudoku busy report; do $(BIN)/python -m benchmarks.$$program || exit 1; done

# The Python API as pages, in build/api.
docs: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python docs/api.py build/api

clean:
	rm -rf $(VENV) runs build dist *.egg-info
