# Everything that people and CI type. `make up` and `make test` need nothing before them but Python 3.11, Go 1.24 and git.
PYTHON ?= python3
STACK ?= local
BIN := .venv/bin
FAST := tests/unit tests/contract tests/policy tests/preview tests/tools

.PHONY: up down status preview test test-fast lint tools lock schema benchmark judges clean

up: .venv/installed tools ## Deploy STACK (default: local, on an embedded control plane)
	@$(BIN)/mcenv up $(STACK)

down: .venv/installed ## Remove STACK, and with local its control plane
	@$(BIN)/mcenv down $(STACK)

status: .venv/installed ## Show what of STACK is ready
	@$(BIN)/mcenv status $(STACK)

preview: .venv/installed ## Show what STACK declares, without an engine
	@$(BIN)/mcenv preview $(STACK)

test: .venv/installed tools ## Every test but e2e
	@$(BIN)/python -m pytest tests

test-fast: .venv/installed ## What needs Python only
	@$(BIN)/python -m pytest $(FAST)

lint: .venv/installed ## Format, lint, types, generated files
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m infra.settings_schema --check

judges: .venv/installed tools ## What kube-score says of dev and prod
	@$(BIN)/python -m pytest tests/judges -q

benchmark: .venv/installed tools ## Time of a preview, as ratios to its floor and to the engine
	@$(BIN)/python benchmarks/preview.py

schema: .venv/installed ## Write infra/settings.schema.json anew
	@$(BIN)/python -m infra.settings_schema

tools: ## Build what no package registry carries into .tools/bin
	@$(PYTHON) tools/build.py

lock: ## Compile requirements/*.txt from pyproject.toml
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv
	@build/lock/bin/uv pip compile --quiet $(LOCK) --group dev pyproject.toml -o requirements/dev.txt
	@build/lock/bin/uv pip compile --quiet $(LOCK) --constraints requirements/dev.txt pyproject.toml -o requirements/runtime.txt
	@build/lock/bin/uv pip compile --quiet $(LOCK) --constraints requirements/dev.txt --group app -o requirements/app.txt
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

.venv/installed: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: set PYTHON=…")'
	@echo "Installing Python packages into .venv"
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean: ## Remove the virtual environment and the built tools
	@rm -rf .venv .tools build
