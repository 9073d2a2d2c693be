# Every target builds .venv from the pinned requirements first; a changed pin rebuilds it.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
WORKDIR ?= runs/shoulder

.PHONY: install demo test test-slow lint ablations bench clean
.DELETE_ON_ERROR:

install: $(VENV)/installed

$(VENV)/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"contextloc_jax needs Python 3.11, 3.12 or 3.13, found {v.major}.{v.minor}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(RUN) -m compileall -q $(VENV)/lib >/dev/null || true
	touch $@

bench: install
	$(RUN) -m benchmarks

ablations: install
	$(RUN) -m benchmarks.ablations --workdir=runs/ablations

demo: install
	$(RUN) main.py --config=configs/shoulder.py --workdir=$(WORKDIR)

test: install
	$(RUN) -m pytest tests -m "not slow" -n 2

test-slow: install
	$(RUN) -m pytest tests -m slow -n 2 --dist loadfile

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

clean:
	rm -rf $(VENV) runs
