# Everything that people and CI type. `make up` and `make test` need nothing before them but Python 3.11, Go 1.24 and git.
PYTHON ?= python3
STACK ?= local
BIN := .venv/bin
FAST := tests/unit tests/contract tests/policy tests/preview tests/rules tests/dashboards tests/tools

.PHONY: up down status preview app test test-fast gameday mutation lint tools lock generated benchmark judges clean

up: .venv/installed tools ## Deploy STACK (default: local, on an embedded control plane)
	@$(BIN)/mcenv up $(STACK)

down: .venv/installed ## Remove STACK, and with local its control plane
	@$(BIN)/mcenv down $(STACK)

status: .venv/installed ## Show what of STACK is ready
	@$(BIN)/mcenv status $(STACK)

preview: .venv/installed ## Show what STACK declares, without an engine
	@$(BIN)/mcenv preview $(STACK)

app: .venv/installed ## Serve the application on loopback, against a PostgreSQL and a Redis of its own
	@$(BIN)/python -m tests.app.playground

test: .venv/installed tools ## Every test but e2e
	@$(BIN)/python -m pytest tests

test-fast: .venv/installed ## What needs Python only
	@$(BIN)/python -m pytest $(FAST)

lint: .venv/installed ## Format, lint, types, generated files
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m infra.settings_schema --check
	@$(BIN)/python -m modelcard_generator.monitoring.catalogue --check
	@$(BIN)/python -m dashboards --check

mutation: .venv/installed tools ## Change every rule in every way, and see whether its tests notice; takes two minutes
	@$(BIN)/python -m tests.promtool.mutants

gameday: .venv/installed tools ## Break one thing after another, and see who is told; takes 15 minutes
	@$(BIN)/python -m tests.system.gameday

judges: .venv/installed tools ## What kube-score says of dev and prod
	@$(BIN)/python -m pytest tests/judges -q

benchmark: .venv/installed tools ## Ratios to floors and peers measured in the same run; needs `make up`, takes 10 minutes
	@for each in $(BENCHMARKS); do echo "== $$each" && $(BIN)/python -m benchmarks.$$each || failed=1; done; exit $$failed
BENCHMARKS := rules requests logging_records cache queries endurance preview

generated: .venv/installed ## Write infra/settings.schema.json, docs/metrics.md and dashboards/json anew
	@$(BIN)/python -m infra.settings_schema
	@$(BIN)/python -m modelcard_generator.monitoring.catalogue
	@$(BIN)/python -m dashboards

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
