# Everything that people and CI type. `make up` and `make test` need nothing before them but Python 3.11, Go 1.24 and git.
PYTHON ?= python3
STACK ?= local
BIN := .venv/bin
FAST := tests/unit tests/contract tests/policy tests/preview tests/ci tests/rules tests/dashboards tests/tools \
	tests/runbooks/test_pages.py

.PHONY: up down status preview app test test-fast e2e drill gameday scaling mutation runbooks lint tools lock generated benchmark \
	judges policies clean

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

test: .venv/installed .tools/judges/installed tools ## Every test but e2e
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) --ignore=tests/e2e tests

e2e: .venv/installed tools ## Deploy a stack onto the cluster of KUBECONFIG, use it and break it
	@$(BIN)/python -m pytest -v -s -p no:randomly --timeout=1800 tests/e2e

test-fast: .venv/installed ## What needs Python only
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(FAST)
SIDE_BY_SIDE := --numprocesses=auto --dist=loadfile --no-loadscope-reorder

lint: .venv/installed ## Format, lint, types, generated files
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m infra.settings_schema --check
	@$(BIN)/python -m modelcard_generator.monitoring.catalogue --check
	@$(BIN)/python -m dashboards --check
	@$(BIN)/python -m tests.policy.page --check

mutation: .venv/installed tools ## Change every rule in every way, and see whether its tests notice; takes two minutes
	@$(BIN)/python -m tests.promtool.mutants

scaling: .venv/installed tools ## Take the application to its most replicas and back by a real load; takes half an hour
	@$(BIN)/python -m tests.system.autoscaling

drill: .venv/installed tools ## Back up, verify, lose everything and bring it back, around the service under load; takes two minutes
	@$(BIN)/python -m tests.ops.backup.rehearsal

gameday: .venv/installed tools ## Break one thing after another, see who is told, and what becomes of the incident; takes 15 minutes
	@$(BIN)/python -m tests.system.gameday

runbooks: .venv/installed tools ## Run every command of every runbook against prod's objects and real processes; takes two minutes
	@$(BIN)/python -m tests.runbooks

judges: .venv/installed .tools/judges/installed tools ## What kube-score, checkov and cloudsplaining say of every stack
	@$(BIN)/python -m tests.judges

policies: .venv/installed .tools/judges/installed tools ## Break the platform in hundreds of ways, and see who notices
	@$(BIN)/python -m tests.policy.matrix

benchmark: .venv/installed tools ## Ratios to floors and peers measured in the same run; needs `make up`, takes 10 minutes
	@for each in $(BENCHMARKS); do echo "== $$each" && $(BIN)/python -m benchmarks.$$each || failed=1; done; exit $$failed
BENCHMARKS := rules requests logging_records cache queries endurance preview environments backup

generated: .venv/installed ## Write infra/settings.schema.json, docs/metrics.md, docs/policies.md and dashboards/json anew
	@$(BIN)/python -m infra.settings_schema
	@$(BIN)/python -m modelcard_generator.monitoring.catalogue
	@$(BIN)/python -m dashboards
	@$(BIN)/python -m tests.policy.page

tools: .venv/installed ## Build what no package registry carries into .tools/bin, and fetch OpenSearch for the tests
	@$(PYTHON) tools/build.py
	@$(PYTHON) tools/debian.py
	@$(BIN)/python tools/opensearch.py

lock: ## Compile requirements/*.txt from pyproject.toml
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv
	@build/lock/bin/uv pip compile --quiet $(LOCK) --group dev pyproject.toml -o requirements/dev.txt
	@build/lock/bin/uv pip compile --quiet $(LOCK) --constraints requirements/dev.txt pyproject.toml -o requirements/runtime.txt
	@build/lock/bin/uv pip compile --quiet $(LOCK) --constraints requirements/dev.txt --group app -o requirements/app.txt
	@build/lock/bin/uv pip compile --quiet $(LOCK) --constraints requirements/dev.txt --group ops -o requirements/ops.txt
	@build/lock/bin/uv pip compile --quiet $(LOCK) --constraints requirements/dev.txt --group e2e -o requirements/e2e.txt
	@build/lock/bin/uv pip compile --quiet $(LOCK) --group judges -o requirements/judges.txt
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

.venv/installed: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: set PYTHON=…")'
	@echo "Installing Python packages into .venv"
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Of their own: what checkov needs conflicts with Pulumi.
.tools/judges/installed: requirements/judges.txt
	@echo "Installing the judges into .tools/judges"
	@rm -rf .tools/judges && mkdir -p .tools && $(PYTHON) -m venv .tools/judges
	@.tools/judges/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/judges.txt
	@touch $@

clean: ## Remove the virtual environment and the built tools
	@rm -rf .venv .tools build
