# SPDX-License-Identifier: GPL-2.0
#
# Where everything starts; `make help` lists it. The modules themselves are described in Kbuild.
#
# Without KDIR, everything runs in a build root of its own (tools/buildroot), which is made by the
# first call. With KDIR, the modules are built against that kernel build tree, with the tools of
# this machine.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := modules

tool := tools/buildroot python3 -m ktcp
cache = $(or $(KTCP_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ktcp_server)

#@ Build
ifndef KDIR

modules: ## build ktcp_server.ko and kecho.ko into build/<release>/ (the default)
	@$(tool) modules

rust-analyzer: ## write rust-project.json, for editors
	@$(tool) rust-analyzer

lint: ## rustfmt, clippy, shellcheck, black, mypy and others; one of them: LINT=
	@$(tool) lint

install: modules ## install the modules, and what other modules need to build on them
	@tools/install-modules

else

release = $(shell cat '$(KDIR)/include/config/kernel.release')
# Out of the kernel tree, where no Kconfig is read, the pieces are chosen here.
kbuild = $(MAKE) -C '$(KDIR)' M='$(CURDIR)' MO='$(CURDIR)/build/$(release)$(1)' \
	CONFIG_KTCP_SERVER=m CONFIG_KTCP_KECHO=m $(if $(KTCP_CRATES),KTCP_CRATES='$(abspath $(KTCP_CRATES))')

# The kernel's build system takes these from the command line, and not from the environment.
given = $(if $(filter command,$(origin $(1))),$($(1)))

.PHONY: kdir
kdir:
	@RUSTC='$(call given,RUSTC)' CC='$(call given,CC)' LLVM='$(LLVM)' CROSS_COMPILE='$(CROSS_COMPILE)' \
		tools/check-kdir '$(KDIR)'

modules: kdir
	@mkdir -p 'build/$(release)'
	@$(kbuild) modules
	@echo '$(release)' >build/.release

rust-analyzer: modules
	@$(kbuild) rust-analyzer
	@PYTHONPATH=tools python3 -m ktcp.analyzer 'build/$(release)/rust-project.json'

lint: kdir
	@mkdir -p 'build/$(release).clippy'
	@$(call kbuild,.clippy) CLIPPY=1 KCFLAGS=-Werror KRUSTFLAGS=-Dwarnings modules

install: modules
	@$(kbuild) INSTALL_MOD_PATH='$(DESTDIR)' modules_install
	@tools/install-modules --development-files

endif

#@ Modules of others
new: ## write a module of its own that uses the library: NAME=foo DIR=/path/to/foo
	@tools/new-module '$(NAME)' '$(DIR)'

build-module: ## build such a module, with what `make install` gives it: DIR=
	@KTCP_ALSO='$(abspath $(DIR))' $(tool) build-module '$(abspath $(DIR))'

test-module: ## run the KUnit tests of such a module on user-mode Linux: DIR=
	@KTCP_ALSO='$(abspath $(DIR))' $(tool) test-module '$(abspath $(DIR))'

#@ Run and test
run: ## boot the distribution's kernel, load kecho and talk to it
	@$(tool) run

test: ## all tests: lints, tools, models, KUnit, the debug kernel, end to end
	@$(tool) test

test-unit: ## KUnit on user-mode Linux only
	@$(tool) test-unit

test-new: ## the tests of a module as `make new` writes it only
	@$(tool) test-new

test-tools: ## the tests of the tools only
	@$(tool) test-tools

test-bench: ## the tests of the load generator, and of the servers to compare with, only
	@$(tool) test-bench

test-model: ## the lock-free parts in a model checker, and mistakes that it has to find, only
	@$(tool) test-model

test-debug: ## KUnit and clients on a kernel that sees races, leaks and bad accesses only
	@$(tool) test-debug

test-e2e: ## the tests that boot the distribution's kernel only
	@$(tool) test-e2e

test-browser: ## khttpd's pages in Chromium, which is installed into the build root (300 MB)
	@$(tool) test-browser

test-kernels: ## build for each series of the kernel (see KERNEL), and talk to kecho there
	@$(tool) test-kernels

#@ Measure
plots: ## measure the time per echo over clients, and draw it for the documentation (4 min)
	@$(tool) plots

bench: ## how fast kecho is, beside servers in user space: all cases, 20 min
	@$(tool) bench

bench-quick: ## how fast kecho is, beside servers in user space: the main cases, 4 min
	@$(tool) bench-quick

profile: ## where the instructions of an echo or of an HTTP request go, function by function
	@$(tool) profile

fuzz: ## feed khttpd's protocol what a fuzzer comes up with, for FUZZ_SECONDS
	@$(tool) fuzz

test-long: ## storms, failing memory, and a hundred thousand connections, for half an hour
	@$(tool) test-long

test-mutations: ## break the library in many ways, and see that a test notices each (up to an hour)
	@$(tool) test-mutations

#@ Keep in order
doc: ## write the documentation of the library into build/doc/
	@$(tool) doc

fmt: ## format the Rust and the Python code
	@$(tool) fmt

shell: ## a shell in the build root
	@tools/buildroot bash

buildroot: ## make the build root, and nothing else
	@tools/buildroot true

update: ## refresh the package index, which happens daily by itself
	@$(tool) update

clean: ## remove what was built in this checkout
	@rm -rf build rust-project.json

clean-cache: ## remove the build root, the kernels and all else in KTCP_CACHE
	@tools/buildroot --remove-cache

help: ## this table
	@awk -f tools/help.awk -v cache='$(cache)' Makefile

#@ Variables
#= KERNEL: series (7.3, 7.2), full release or `running`; default: the newest one that is tested
#= FLAVOUR: cloud-amd64, amd64 or rt-amd64; default: cloud-amd64
#= KDIR: a Rust-enabled kernel build tree to build against, with no build root
#= RUSTC: with KDIR, the Rust compiler that has built the kernel; default: rustc
#= LLVM: with KDIR, 1 for a kernel that clang has built
#= KTCP_CRATES: with KDIR, where cargo has put the crates of khttpd; without it khttpd is left out
#= KTCP_MIME: with KDIR, the list of media types that khttpd knows; default: /etc/mime.types
#= DESTDIR: where `make install` puts everything; default: /
#= PORT: the port of this machine that `make run` forwards; default: 12345
#= ACCEL: kvm or tcg; default: kvm if it runs a guest, else tcg
#= LINT: the one lint to run
#= CASE: the tests that `make test-unit`, `test-tools`, … runs: a part of their names
#= CASE: for `make bench`: the cases that it measures, a part of their names
#= REPEAT: how often `make test-unit`, `test-e2e`, … run, unless a run fails
#= SERVERS: the servers that `make bench` measures, with commas between: kecho,epoll,io_uring,tokio
#= FIGURES: what `make bench` measures, with commas between: instructions,rates,memory,stop,open
#= CONNECTIONS: how many connections `make profile` looks at; default: 64
#= SIZE: the bytes of a message of theirs, or of the file that they ask for; default: 64, or 1024
#= BASE: the result that `make bench` compares with; default: the one before
#= FUZZ_SECONDS: how long `make fuzz` runs; default: 600
#= V: 1 shows the commands of the build
#= KTCP_CACHE: where the build root and the kernels are kept; default: @CACHE@
#= KTCP_MIRROR: the Debian mirror; default: that of apt

.PHONY: modules rust-analyzer lint doc install run test test-unit test-new test-tools test-bench test-model test-debug \
	test-e2e test-browser test-kernels test-long test-mutations plots bench bench-quick new build-module test-module fuzz fmt \
	shell buildroot update clean clean-cache help
