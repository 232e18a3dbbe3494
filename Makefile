# Every target sets up what it needs; a second run is fast. CI calls the same targets (.ci/run).
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
SCAN   := .venv-scan
PEERS  := .venv-bench
# Tried once more as `python -O` runs them: no check of ours may be an `assert` (ruff S101 says so too).
WITHOUT_ASSERT := tests/workspace_operator/test_changes.py tests/workspace_operator/test_api_parse.py tests/workspace_operator/test_settings.py tests/model_server/test_protocol.py tests/model_server/test_scheduler.py tests/model_presets/test_catalog.py
SOURCE := operator presets inference charts release tests requirements $(if $(wildcard benchmarks/*.py),benchmarks)

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z][a-z0-9-]*:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with the locked, hashed dependencies (about 6 GB with torch)

$(STAMP): pyproject.toml requirements/dev.lock
	@command -v python3 >/dev/null || { echo "setup: python3 (>= 3.11) is missing; on Debian: apt-get install python3 python3-venv"; exit 1; }
	@test -x $(PY) || python3 -m venv $(VENV) || { echo "setup: python3 has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip sync --quiet --require-hashes requirements/dev.lock
	VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lint: $(STAMP) ## ruff (all rules), mypy strict, import contracts
	$(VENV)/bin/ruff check $(SOURCE)
	$(VENV)/bin/ruff format --check $(SOURCE)
	$(VENV)/bin/mypy $(SOURCE)
	$(VENV)/bin/lint-imports

format: $(STAMP) ## Rewrite the source in the one format
	$(VENV)/bin/ruff check --fix $(SOURCE)
	$(VENV)/bin/ruff format $(SOURCE)

lock: $(STAMP) ## Resolve the dependencies again and write requirements/*.lock
	for extra in dev operator inference tuning; do \
	  case $$extra in dev) what="--all-extras --group dev";; *) what="--extra $$extra -c requirements/dev.lock";; esac; \
	  $(VENV)/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command "make lock" pyproject.toml $$what -o requirements/$$extra.lock || exit 1; \
	done
	$(VENV)/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" requirements/scan.in -o requirements/scan.lock
	$(VENV)/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" -c requirements/dev.lock requirements/bench.in -o requirements/bench.lock
	$(PY) requirements/sbom.py requirements/operator.lock requirements/inference.lock requirements/tuning.lock
	grep -A99 '^uv==' requirements/dev.lock | awk 'NR==1 || /^ /{print; next} {exit}' > requirements/uv.lock

cluster-binaries: $(STAMP) ## Build or install the programs of the throw-away Kubernetes (once, minutes)
	$(PY) -m tests.cluster prepare

generate: $(STAMP) ## Write what follows from the source: CRD, policies, chart README, dashboard, pages of docs (tests check it)
	$(PY) -m workspace_operator.crd > charts/atelier/files/workspaces.kaito.sh.yaml
	$(PY) -m workspace_operator.crd policies > charts/atelier/files/admission.yaml
	$(PY) charts/reference.py charts/atelier
	$(PY) -m tests.workspaces.page docs/rules.md
	$(PY) charts/dashboard.py charts/atelier/files/dashboard.json
	$(PY) charts/metrics_page.py docs/metrics.md
	$(PY) charts/sizes_page.py docs/sizes.md
	$(PY) -m workspace_operator.status.reference > docs/conditions.md

stages: $(STAMP) ## Write docs/stages.md from what kubectl prints at every stage (a real API server; a minute)
	$(PY) -m tests.stages docs/stages.md

test: lint cluster-binaries ## All that a merge requires
	$(PY) -m pytest -m "not e2e and not gpu and not large and not release"
	PYTHONOPTIMIZE=1 $(PY) -m pytest -q -p no:cacheprovider -W ignore::pytest.PytestConfigWarning $(WITHOUT_ASSERT)

$(SCAN)/.installed: requirements/scan.lock $(STAMP)
	@test -x $(SCAN)/bin/python || python3 -m venv $(SCAN)
	VIRTUAL_ENV=$(SCAN) $(VENV)/bin/uv pip sync --quiet --require-hashes requirements/scan.lock
	@touch $@

scan: $(SCAN)/.installed ## Review chart, pods and alerts with checkov, kube-score, promtool; sign with cosign (once: 10 min more)
	$(PY) -m tests.scan $(SCAN)/bin/checkov
	$(PY) -m pytest -q -m release tests/release

release: $(STAMP) ## Push, sign and attest a release: REGISTRY=host/folder KEY=file-or-KMS IMAGES=folder (docs/releases.md)
	@$(PY) -m release --registry '$(REGISTRY)' --key '$(KEY)' --images '$(or $(IMAGES),images)' $(FLAGS)

bench-operator: $(STAMP) ## Time the operator on a real API server; prints one JSON object last
	$(PY) -m benchmarks.operator

$(PEERS)/.installed: requirements/bench.lock $(STAMP)
	@test -x $(PEERS)/bin/python || python3 -m venv $(PEERS)
	VIRTUAL_ENV=$(PEERS) $(VENV)/bin/uv pip sync --quiet --require-hashes requirements/bench.lock
	@touch $@

bench-server: $(PEERS)/.installed ## Time the server beside its peers (MODE=--quick: minutes; else 70); one JSON object last
	$(PY) -m benchmarks.server $(MODE)

fault-table: $(STAMP) cluster-binaries ## Kill the operator before and after each of its writes; writes the table in the README (10 to 15 min)
	$(PY) -m tests.fault_table

server-fault-table: $(STAMP) ## Run the tests of docs/server-faults.md and write what was seen into it (minutes)
	$(PY) -m tests.model_server.fault_table

abuse: $(STAMP) ## Treat a server of tiny-mistral badly for ten minutes (SECONDS_OF_ABUSE=600); no 5xx, no growth
	$(PY) -m tests.model_server.abuse_server --seconds $(or $(SECONDS_OF_ABUSE),600)

images: $(STAMP) ## Build the images of the operator and of tiny-mistral, to serve and to tune (Docker, else buildah)
	$(PY) -m tests.images build operator tiny-mistral tiny-mistral-tuning

e2e: $(STAMP) ## The whole line on a real node: cluster, images, Helm, manifest, answer (root; minutes)
	$(PY) -m pytest -m e2e

demo: $(STAMP) ## Start a real Kubernetes, install the operator, apply a Workspace, ask the model
	$(PY) -m tests.demo up

demo-down: $(STAMP) ## Take the demo away
	$(PY) -m tests.demo down

.PHONY: help setup lint format lock cluster-binaries generate stages test scan release bench-operator bench-server fault-table server-fault-table abuse images e2e demo demo-down
