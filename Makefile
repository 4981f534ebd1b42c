# make        format, vet, lint and test
# make run    the demo page at http://127.0.0.1:8081/
# make short  what needs no browser, no Node and no comparison, in seconds
# make test   every test, with what they need
# make soak   the loads that are too long for that
# make check  what a change must pass beside the tests
GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
FUZZTIME    ?= 1m
# The race detector needs a C compiler.
RACE        := $(shell command -v cc >/dev/null 2>&1 && echo -race)

.PHONY: all fmt vet lint vuln check build run short test soak race fuzz protocol bench bench-scale bench-node client stomp-clients alarm-client browser-clients programs clean

all: fmt vet lint test

fmt:
	gofmt -l -w $$(git ls-files '*.go')

vet:
	$(GO) vet ./...

lint:
	$(GO) run $(STATICCHECK) ./...

# Known faults of what is linked, where their database can be reached.
vuln:
	@out=$$($(GO) run $(GOVULNCHECK) ./... 2>&1) && echo "$$out" || case "$$out" in \
	*"fetching vulnerabilities"*) echo "govulncheck: its database cannot be reached; dependencies are not checked";; \
	*) echo "$$out"; exit 1;; esac

check: vet lint vuln
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "gofmt: $$bad"; exit 1; }

build: client
	$(GO) build -o bin/switchback ./cmd/switchback

run: build
	bin/switchback serve

# Packages of which many wait more than they work.
short:
	$(GO) test -short -p 6 ./...

# The command's tests start browsers, nodes and databases beside one another: alone, so that
# they do not take the time of others.
test: client stomp-clients alarm-client browser-clients programs
	$(GO) test $(RACE) -timeout 15m ./cmd/switchback
	$(GO) test $(RACE) -timeout 15m $$($(GO) list ./... | grep -v /cmd/switchback$$)

# Attackers and outages at their full size, with what they took.
soak:
	SOAK=1 $(GO) test -count 1 -timeout 60m -v -run 'WithinMemory|Load' ./cmd/switchback

race:
	$(GO) test -race -count 5 ./session/... ./handler/... ./transport/internal/... ./transport

# The protocol's cases by name: make protocol CASE=XhrPolling
protocol:
	$(GO) test -count 1 -v -run 'TestProtocol/.*/$(CASE)' ./transport

# Every fuzzer there is, for FUZZTIME each.
fuzz:
	@git grep --untracked '^func Fuzz' -- '*_test.go' | sed -E 's,^(.*)/[^/]+:func (Fuzz[A-Za-z0-9]*).*,\1 \2,' | \
	while read -r dir name; do \
	  echo "$$dir $$name"; $(GO) test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) "./$$dir" || exit 1; \
	done

# The same load on this server, on igm/sockjs-go and on sockjs-node:
# BENCH_QUICK=1 for a short one, BENCH_RUNS=5, BENCH_ROWS='memory|opened'
bench: build bench-node
	$(GO) run ./cmd/switchback/bench/compare

# This server alone, with few sessions and with many; BENCH_RUNS, BENCH_ROWS as above
bench-scale: build
	$(GO) run ./cmd/switchback/bench/compare --scale

bench-node:
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory testdata/bench/node_modules/sockjs; \
	else echo "npm is not here: sockjs-node is not measured"; fi

testdata/bench/node_modules/sockjs: testdata/bench/package-lock.json
	cd testdata/bench && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# The sockjs-client that the page and the iframe page load. Without npm the
# page loads the same version from a CDN.
client:
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory web/client/sockjs.min.js; \
	else echo "npm is not here: the page will load sockjs-client from a CDN, and the browser tests are not run"; fi

web/client/sockjs.min.js: web/package-lock.json
	cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	cp web/node_modules/sockjs-client/dist/sockjs.min.js $@

# The STOMP libraries of the tests that drive them in Node.
stomp-clients:
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory testdata/stomp/node_modules/.package-lock.json; \
	else echo "npm is not here: the STOMP libraries are not run"; fi

# The libraries that the page of testdata/apps/alarm loads.
alarm-client:
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory testdata/apps/alarm/node_modules/.package-lock.json; \
	else echo "npm is not here: the page of the alarm application has no libraries"; fi

# The clients that a browser runs in front of nodes behind proxies.
browser-clients:
	@if command -v npm >/dev/null 2>&1; then $(MAKE) --no-print-directory testdata/browser/node_modules/.package-lock.json; \
	else echo "npm is not here: old clients are not run in a browser"; fi

# What npm has installed in a folder by its lock file.
%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# The programs that tests start: browsers, servers, databases. A test whose program is not
# here says so and is skipped; with CI set, that is an error here.
PROGRAMS := chromium firefox-esr haproxy nginx openssl postgresql prometheus redis-server

programs:
	@command -v dpkg >/dev/null 2>&1 || { echo "not Debian: tests run with those of these that are here: $(PROGRAMS)"; exit 0; }; \
	missing=$$(for p in $(PROGRAMS); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ]; then \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } >/dev/null 2>&1 \
	  || { echo "could not be installed, so that their tests are not run: "$$missing; [ -z "$$CI" ]; }; \
	else echo "not here, so that their tests are not run: "$$missing" (apt-get install)"; fi

clean:
	rm -rf bin web/node_modules web/client/sockjs.min.js testdata/bench/node_modules testdata/stomp/node_modules testdata/apps/alarm/node_modules testdata/browser/node_modules
