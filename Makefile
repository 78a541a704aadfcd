# What one can do here; `make help` lists it. `make run` and `make test` set up a fresh machine themselves.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := .venv/bin
RUN_STAMP := .venv/.set-up-for-run
DEV_STAMP := .venv/.set-up-for-test
CORE_OBJECTS := $(addprefix ebpf/kernel/,sched_switch.bpf.o pids.bpf.o)

CLANG ?= clang
BPF_ARCH := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(shell uname -m)))
BPF_FLAGS := -O2 -g -fdebug-compilation-dir=. -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -I/usr/include/$(shell uname -m)-linux-gnu -Iebpf/kernel
# Root where it can be had without asking; without it podjoule itself says what it lacks.
AS_ROOT = $(shell if [ "$$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then echo sudo -n; fi)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(RUN_STAMP) $(CORE_OBJECTS) ## run the exporter (ARGS='--monitor.interval 1s' passes flags)
	exec $(AS_ROOT) $(BIN)/podjoule run $(ARGS)

.PHONY: test
test: $(DEV_STAMP) $(CORE_OBJECTS) ## run every test but `make machines` (ARGS passes flags to pytest)
	$(BIN)/python -m tests $(PARTS) -- $(ARGS)

.PHONY: set-up
set-up: $(DEV_STAMP) ## install what `make test` needs, and no more

.PHONY: machines
machines: $(DEV_STAMP) $(CORE_OBJECTS) ## try other kernels, arm64, and the set-up on a bare Debian
	$(BIN)/python -m tests machines compiled -- $(ARGS)
	$(BIN)/python -m tests.vm.table

.PHONY: live
live: $(DEV_STAMP) $(CORE_OBJECTS) ## run the tests that need root and a real kernel
	$(BIN)/pytest -m live $(ARGS)

.PHONY: e2e
e2e: $(DEV_STAMP) $(CORE_OBJECTS) ## run the tests with real Prometheus and podman
	$(BIN)/pytest -m e2e $(ARGS)

.PHONY: kernels
kernels: $(DEV_STAMP) $(CORE_OBJECTS) ## try other kernels and arm64 in emulation, and make docs/kernels.md
	$(BIN)/pytest -m kernels $(ARGS)
	$(BIN)/python -m tests.vm.table

.PHONY: cluster-binaries
cluster-binaries: $(DEV_STAMP) ## compile that Kubernetes, helm and Prometheus (Go; minutes the first time)
	$(BIN)/python -m tests.e2e.cluster build

.PHONY: cluster
cluster: cluster-binaries ## start a one-node Kubernetes (compiled where it is not yet)
	$(BIN)/python -m tests.e2e.cluster up

.PHONY: cluster-down
cluster-down: $(DEV_STAMP) ## end it; nothing is left
	$(BIN)/python -m tests.e2e.cluster down

.PHONY: e2e-kubernetes
e2e-kubernetes: cluster-binaries $(CORE_OBJECTS) ## run the tests in that Kubernetes
	$(BIN)/pytest -m kubernetes $(ARGS)

.PHONY: check
check: lint types layers c-check ## everything that needs no run: format, lint, types, layers, C warnings

.PHONY: lint
lint: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

.PHONY: types
types: $(DEV_STAMP)
	$(BIN)/mypy

.PHONY: layers
layers: $(DEV_STAMP)
	$(BIN)/lint-imports

.PHONY: c-check
c-check: $(DEV_STAMP)
	for source in ebpf/kernel/*.bpf.c; do $(CLANG) $(BPF_FLAGS) -Wall -Werror -c "$$source" -o /dev/null; done

.PHONY: format
format: $(DEV_STAMP) ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: bench
bench: $(DEV_STAMP) $(CORE_OBJECTS) ## run the benchmarks
	$(BIN)/python -m tests.bench $(ARGS)

.PHONY: soak
soak: $(DEV_STAMP) $(CORE_OBJECTS) ## an hour of everything that can go wrong, at random (ARGS='--seconds 600 --seed 1')
	$(AS_ROOT) $(BIN)/python -m tests.soak $(ARGS)

.PHONY: demo
demo: $(DEV_STAMP) $(CORE_OBJECTS) ## show joules per container on this machine
	$(BIN)/python -m tests.e2e.demo $(ARGS)

.PHONY: recording
recording: $(DEV_STAMP) $(CORE_OBJECTS) ## record this machine under a load, for the notebooks (into recording/)
	$(AS_ROOT) $(BIN)/python -m tests.e2e.make_recording $(ARGS)

.PHONY: notebooks
notebooks: $(DEV_STAMP) ## execute the notebooks into build/ (PODJOULE_RECORDING=$$PWD/recording takes your own)
	mkdir -p build/notebooks
	cd notebooks && for notebook in *.ipynb; do \
		PYTHONPATH=.. ../$(BIN)/jupyter execute "$$notebook" --output="../build/notebooks/$$notebook"; \
	done

.PHONY: pictures
pictures: $(DEV_STAMP) ## run the notebooks and keep their pictures for docs/notebooks.md
	$(BIN)/python -m tests.notebooks.pictures

.PHONY: docs
docs: $(DEV_STAMP) ## make the pages, dashboards and manifests that come from the code
	$(BIN)/python -m deploy.chart_source.generate
	$(BIN)/python -m exporter.commands.reference > docs/configuration.md
	$(BIN)/python -m exporter.commands.metrics_reference > deploy/METRICS.md
	$(BIN)/python -m exporter.commands.library_reference > docs/python.md
	$(BIN)/python -m deploy.grafana.generate
	$(BIN)/python -m deploy.packages.configuration > deploy/packages/podjoule.yaml
	$(BIN)/python -m tests.exporter.metrics.stable_families

.PHONY: wheel
wheel: $(DEV_STAMP) $(CORE_OBJECTS) ## build a wheel with the kernel programs in it, into dist/
	rm -rf build dist
	$(BIN)/python -m build --wheel
	for object in $(CORE_OBJECTS); do $(BIN)/python -m zipfile -l dist/podjoule-*.whl | grep "$$object"; done

.PHONY: packages
packages: $(RUN_STAMP) ## build Debian and RPM packages into build/packages (ARGS='--arch amd64 --for deb12' some)
	PYTHON=$(BIN)/python deploy/packages/build --out build/packages $(ARGS)

.PHONY: image
image: ## build the container image (ARGS passes flags)
	deploy/image $(ARGS)

.PHONY: release
release: $(DEV_STAMP) ## make all that a release publishes, into build/release (docs/releasing.md)
	$(BIN)/python -m deploy.release $(ARGS)

.PHONY: manifest
manifest: ## render deploy/kubernetes.yaml from the chart (HELM names the helm)
	deploy/manifest > deploy/kubernetes.yaml

.PHONY: clean
clean: ## remove what was made, but for .venv
	rm -rf build dist *.egg-info .demo ebpf/kernel/*.bpf.o
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

ebpf/kernel/%.bpf.o: ebpf/kernel/%.bpf.c $(wildcard ebpf/kernel/*.h) | $(RUN_STAMP)
	$(CLANG) $(BPF_FLAGS) -c $< -o $@
	if command -v llvm-strip > /dev/null; then llvm-strip -g $@; fi # debug sections go, BTF stays

$(RUN_STAMP): pyproject.toml .ci/setup
	.ci/setup run
	touch $@

$(DEV_STAMP): $(RUN_STAMP) tests/programs.tsv
	.ci/setup test
	touch $@
