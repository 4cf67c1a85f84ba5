# EntroOS: `make run` boots it in QEMU on this terminal, `make test` tests all of it.

GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
VERSION := $(shell cat VERSION)
IMAGE   := build/entroos.img
# Network cards' firmware and processors' microcode: pinned versions, newest, or none.
FIRMWARE ?= pinned

# Debian packages that the builds and the tests need.
PACKAGES := linux-source-6.12 gcc libc6-dev make bc bison flex kmod libelf-dev libssl-dev libseccomp-dev pkg-config xz-utils zstd \
	binutils systemd-boot-efi mtools dosfstools gdisk e2fsprogs e2fsck-static squashfs-tools ca-certificates \
	qemu-system-x86 qemu-utils ovmf \
	mmdebstrap buildah openssh-client

# What the image is made of, so that `make image` builds only when it changed.
SOURCES := go.mod go.sum VERSION Makefile $(shell find api appliance bench cmd equations image init kernel-config ledger morphzip nko qemu router runtime \
	-type f ! -name '*_test.go' ! -path '*/testdata/*' 2>/dev/null)

.PHONY: run test test-unit test-vm soak fuzz bench bench-morphzip bench-packages pictures build image kernel fixtures lint fmt generate packages clean

run: image
	build/entroos vm

build: packages build/entroos

build/entroos: $(SOURCES)
	$(GO) build -trimpath -o $@ ./cmd/entroos

kernel: build
	build/entroos kernel build

image: build $(IMAGE)

$(IMAGE): build/entroos
	build/entroos kernel build
	build/entroos image build --firmware $(FIRMWARE)

fixtures: packages
	@qemu/fixtures.sh build/fixtures >/dev/null

# The last line is gotestsum's own. VM tests run two at a time, one CPU each.
test: test-unit test-vm

test-unit: packages
	$(TOOL) gotestsum --format pkgname -- -timeout 10m ./...

test-vm: image fixtures
	$(TOOL) gotestsum --format testname -- -tags vm -parallel 2 -timeout 60m -count 1 ./qemu
	$(TOOL) gotestsum --format testname -- -tags vm -p 2 -parallel 1 -timeout 45m -count 1 ./image ./runtime ./nko ./appliance

# Hundreds of power cuts; SEED=n repeats a run. The seed is printed first.
soak: image fixtures
	ENTROOS_POWER_CUTS=$(or $(CUTS),500) ENTROOS_SEED=$(SEED) \
		$(TOOL) gotestsum --format standard-verbose -- -tags vm -parallel 2 -timeout 24h -count 1 -run PowerCut ./qemu

# Each parser against hostile input, FUZZTIME each.
fuzz: packages
	@$(GO) list -f '{{.Dir}} {{.ImportPath}}' ./... | while read -r folder package; do \
		for name in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$$folder"/*_test.go 2>/dev/null | cut -c6-); do \
			echo "$$package $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(or $(FUZZTIME),1m) "$$package" || exit 1; done; done

# The peer is Debian with podman, on a disk in the cache.
bench: image fixtures bench-morphzip
	@qemu/bench_peer.sh build/peer.img build/fixtures/busybox.tar
	$(GO) test -run '^$$' -bench . -benchmem ./equations/... ./router/... ./ledger/...
	$(GO) test -tags vm -run '^$$' -bench . -benchtime 3x -timeout 90m ./qemu/...
	ENTROOS_GUEST_RUN=StartTime $(GO) test -tags vm -count 1 -run TestInGuest -v ./runtime

# The pictures of the production test, in docs/simulate.md.
# Where the large logs that real programs write are kept, and a folder of LogHub's
# samples (github.com/logpai/loghub), if there is one.
LOGS   ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/entroos/bench/logs
LOGHUB ?=
bench-morphzip: build bench-packages
	$(GO) run ./bench/largelogs -out $(LOGS)
	$(if $(LOGHUB),build/entroos mz bench --levels 9 $(LOGHUB),@echo "LOGHUB=FOLDER compresses LogHub's samples, too")
	build/entroos mz bench --levels 3,7 --first 16MB $(LOGS)
	build/entroos mz bench --levels 3 --peers zstd $(LOGS)
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./morphzip/...
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 60m ./bench/versions

bench-packages:
	@$(MAKE) --no-print-directory packages PACKAGES="$(PACKAGES) gzip zstd xz-utils brotli zpaq bsdiff nginx redis-server"

pictures: build
	build/entroos simulate --plots docs/pictures

lint: packages
	@unformatted=$$(git ls-files '*.go' | grep -v -E '\.(pb|connect)\.go$$' | xargs $(TOOL) gofumpt -l); \
		if [ -n "$$unformatted" ]; then echo "gofumpt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags vm ./...
	$(GO) vet -tags box ./cmd/entroos
	$(GO) vet -tags guest ./runtime ./nko
	$(TOOL) staticcheck ./...
	$(TOOL) staticcheck -tags vm ./...
	$(TOOL) staticcheck -tags guest ./runtime ./nko

fmt:
	git ls-files '*.go' | grep -v -E '\.(pb|connect)\.go$$' | xargs $(TOOL) gofumpt -w

generate:
	$(TOOL) buf lint
	$(TOOL) buf generate

# Installs the Debian packages that are missing; elsewhere, lists them.
packages:
	@if ! command -v dpkg-query >/dev/null; then \
		for tool in qemu-system-x86_64 mksquashfs mcopy sgdisk mkfs.ext4 mkfs.vfat objcopy; do \
			command -v $$tool >/dev/null || absent=1; done; \
		if [ -n "$$absent" ]; then \
			echo "This is not Debian. Install what these Debian packages hold, then run make again:"; \
			echo "$(PACKAGES)" | fold -s -w 100; exit 1; fi; exit 0; fi; \
	missing=$$(for package in $(PACKAGES); do \
		[ "$$(dpkg-query -W -f='$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || echo $$package; done); \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
		echo "Installing missing Debian packages$${sudo:+ (with sudo)}:" $$missing; \
		$$sudo apt-get update -q && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; fi

clean:
	rm -rf build
