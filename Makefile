# SPDX-License-Identifier: GPL-2.0
#
# All commands of the project; `make help` lists them. Kbuild describes the modules themselves.
#
# Without KDIR, everything runs in a build root of its own (tools/buildroot), which the first call
# makes. With KDIR, the modules are built against that kernel build tree, with the tools of
# this machine.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := modules

tool := tools/buildroot python3 -m ktcp
cache = $(or $(KTCP_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ktcp_server)

#@ Build
ifndef KDIR

modules: ## build ktcp_server.ko and the examples into build/<release>/ (the default)
	@$(tool) modules

rust-analyzer: ## write rust-project.json, for editors
	@$(tool) rust-analyzer

lint: ## run rustfmt, clippy, shellcheck, black, mypy and others; one of them: LINT=
	@$(tool) lint

install: modules ## install the modules, and the files with which other modules build on the library
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

#@ Your own module
new: ## write a new module that uses the library: NAME=foo DIR=/path/to/foo
	@tools/new-module '$(NAME)' '$(DIR)'

build-module: ## build such a module against the files that `make install` installs: DIR=
	@KTCP_ALSO='$(abspath $(DIR))' $(tool) build-module '$(abspath $(DIR))'

test-module: ## run the KUnit tests of such a module on user-mode Linux: DIR=
	@KTCP_ALSO='$(abspath $(DIR))' $(tool) test-module '$(abspath $(DIR))'

#@ Run and test
run: ## boot the distribution's kernel, load kecho and talk to it
	@$(tool) run

test: ## lints, tools, benchmark programs, models, KUnit, a new module, the debug kernel, end to end
	@$(tool) test

test-unit: ## only KUnit on user-mode Linux
	@$(tool) test-unit

test-new: ## only the tests of a module as `make new` writes it
	@$(tool) test-new

test-tools: ## only the tests of the tools and the documents
	@$(tool) test-tools

test-bench: ## only the tests of the load generator, and of the servers to compare with
	@$(tool) test-bench

test-model: ## only the lock-free parts in a model checker, and mistakes that it has to find
	@$(tool) test-model

test-debug: ## only KUnit and clients on a kernel that reports bad accesses, lock cycles and leaks
	@$(tool) test-debug

test-e2e: ## only the tests that boot the distribution's kernel
	@$(tool) test-e2e

test-browser: ## khttpd's pages in Chromium, which is installed into the build root (300 MB)
	@$(tool) test-browser

test-kernels: ## build for each series of the kernel (see KERNEL), and test kecho's echo there
	@$(tool) test-kernels

#@ Measure
plots: ## measure the time per echo over clients, and draw it for the documentation (4 min)
	@$(tool) plots

bench: ## measure kecho and khttpd beside servers in user space: all cases, 20 min
	@$(tool) bench

bench-quick: ## measure kecho beside servers in user space: the main cases, 4 min
	@$(tool) bench-quick

profile: ## count the instructions of an echo or an HTTP request, function by function
	@$(tool) profile

fuzz: ## run a fuzzer against khttpd's protocol, for FUZZ_SECONDS
	@$(tool) fuzz

test-long: ## storms, failing memory, and a hundred thousand connections, for half an hour
	@$(tool) test-long

soak: ## load and disturb one guest for MINUTES, and see whether anything is wrong or grows
	@$(tool) soak

test-mutations: ## break the library in many ways, each of which a test has to notice (up to an hour)
	@$(tool) test-mutations

#@ Keep in order
doc: ## write the documentation of the library into build/doc/
	@$(tool) doc

fmt: ## format the Rust and the Python code
	@$(tool) fmt

shell: ## start a shell in the build root
	@tools/buildroot bash

buildroot: ## make only the build root
	@tools/buildroot true

update: ## refresh the package index (by itself this happens daily)
	@$(tool) update

clean: ## remove the builds of this checkout
	@rm -rf build rust-project.json

clean-cache: ## remove the build root, the kernels and all else in KTCP_CACHE
	@tools/buildroot --remove-cache

help: ## print this table
	@awk -f tools/help.awk -v cache='$(cache)' Makefile

#@ Variables
#= KERNEL: series (7.3, 7.2), full release or `running`; default: the newest one that is tested
#= FLAVOUR: cloud-amd64, amd64 or rt-amd64; default: cloud-amd64
#= KDIR: a Rust-enabled kernel build tree to build against, with no build root
#= RUSTC: with KDIR, the Rust compiler that has built the kernel; default: rustc
#= LLVM: with KDIR, 1 for a kernel that clang has built
#= KTCP_CRATES: with KDIR, the folder of the crates of khttpd; without it khttpd is left out
#= KTCP_MIME: with KDIR, the list of media types that khttpd knows; default: /etc/mime.types
#= DESTDIR: the root folder of `make install`; default: /
#= PORT: the port of this machine that `make run` forwards; default: 12345
#= ACCEL: kvm or tcg; default: kvm if it runs a guest, else tcg
#= LINT: the one lint that `make lint` runs
#= CASE: the tests that `make test-unit`, `test-tools`, … run, by a part of their names
#= CASE: the cases that `make bench` measures, by a part of their names
#= REPEAT: the number of runs of `make test-unit`, `test-e2e`, …, unless a run fails
#= SERVERS: the servers that `make bench` measures, with commas between: kecho,epoll,io_uring,tokio
#= FIGURES: the figures that `make bench` takes, with commas between: instructions,rates,memory,stop,open
#= CONNECTIONS: the number of connections for `make profile`; default: 64
#= SIZE: bytes of a message for `make profile`, default: 64; or of a file by HTTP, default: 1024
#= BASE: the result that `make bench` compares with; default: the previous one
#= FUZZ_SECONDS: the seconds that `make fuzz` runs; default: 600
#= MINUTES: the minutes that `make soak` takes; default: 20
#= SEED: the number from which `make soak` takes its disturbances; default: another each time
#= V: 1 shows the commands of the build
#= KTCP_CACHE: the folder of the build root and the kernels; default: @CACHE@
#= KTCP_MIRROR: the Debian mirror; default: that of apt

.PHONY: modules rust-analyzer lint doc install run test test-unit test-new test-tools test-bench test-model test-debug \
	test-e2e test-browser test-kernels test-long soak test-mutations plots bench bench-quick new build-module test-module fuzz fmt \
	shell buildroot update clean clean-cache help
