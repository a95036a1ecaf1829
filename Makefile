# make help lists the targets: those with a comment behind two number signs.
GOSHAWK := go run ./cmd/goshawk
LOGS    := $(CURDIR)/out/logs
BOOTS   := $(CURDIR)/out/boots

run: qemu ## build cmd/httpd and boot it; it says where it answers
	$(GOSHAWK) run -p 80 ./cmd/httpd

test: qemu cc net e2fsprogs check ## all checks and tests, on the host and in guests
	mkdir -p $(LOGS) && rm -f $(BOOTS)
	GOSHAWK_BOOTS=$(BOOTS) GOSHAWK_LOGS=$(LOGS) go test -timeout 20m ./...
	GOSHAWK_BOOTS=$(BOOTS) $(GOSHAWK) test -timeout 5m ./qemu/guest/...
	@test -s $(BOOTS) || { echo 'make test: no test has started QEMU'; exit 1; }
	@echo "make test: passed; machines started: $$(wc -l < $(BOOTS))"

check: ## formatting, go vet, staticcheck, the command on macOS
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "not formatted by gofmt: $$unformatted"; exit 1; }
	go vet ./...
	GOOS=darwin CGO_ENABLED=0 go build -o /dev/null ./cmd/goshawk
	go tool staticcheck -checks inherit,-U1000 ./...
	go tool staticcheck -tests=false -tags goshawk ./arch/... ./boot ./fs/... ./kernel/...

qemu: ## install QEMU if it is missing
	@scripts/install "$${GOSHAWK_QEMU:-qemu-system-x86_64}" qemu-system-x86

cc: ## install a C compiler if it is missing: it builds QEMU's plugin that counts instructions
	@scripts/install "$${CC:-cc}" "gcc libc6-dev"

net: ## install what the network's tests talk to guests with, if it is missing
	@scripts/install curl curl
	@scripts/install ip iproute2

e2fsprogs: ## install what makes and checks ext4 file systems, if it is missing
	@PATH=$$PATH:/usr/sbin scripts/install mke2fs e2fsprogs

net-bulk: qemu net ## upload and download 1 GiB by all ways into the network
	GOSHAWK_BULK=1024 go test -count 1 -timeout 60m -run TestNetBulk -v ./qemu

qemu-gdb: qemu ## boot cmd/hello and wait for gdb, whose command line it prints
	$(GOSHAWK) run -accel tcg -gdb 1234 ./cmd/hello

bench: qemu cc net ## measure Goshawk and a Linux guest side by side; as root also on a tap
	@scripts/install wrk wrk
	go run ./qemu/bench

conformance: qemu ## run the standard library's tests in guests, write docs/conformance.md
	go run ./qemu/conformance

clean: ## remove what the targets have made
	rm -rf out

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: run test check qemu cc net e2fsprogs net-bulk qemu-gdb bench conformance clean help
