# SPDX-License-Identifier: GPL-2.0-only
#
# Builds the modules out of the kernel's tree, and calls the scripts that set a
# machine up, run the tests and run the demonstration.  "make help" lists what
# there is.  What is built stays in the tree, results go to build/.

# Which kernel to build for and to test on (scripts/lib.sh knows the names)
KERNEL ?= distro
export KERNEL

# make stress looks for what only the debug kernel sees
ifeq ($(origin KERNEL),file)
stress coverage: KERNEL = debug
endif
# Read by scripts/stress
export MINUTES SEED

# The kernel build directory: with KERNEL=distro the running kernel's headers if it
# is new enough, else the newest installed ones (scripts/lib.sh decides).  Asked for
# once, by the first recipe that wants it; empty if there is none, and it said why.
# What is exported does not reach $(shell) before make 4.4.
ifeq ($(origin KDIR),undefined)
KDIR = $(eval KDIR := $$(shell \
	KERNEL=$(KERNEL) bash -c '. $(CURDIR)/scripts/lib.sh && print_kdir' make))$(KDIR)
endif

SELFTESTS = $(CURDIR)/tools/testing/selftests/vfmig

KBUILD = $(MAKE) -C $(KDIR) M=$(CURDIR)

all: modules

# Only what builds cleans: a newer header package is no reason to install nothing
modules: clean-stale
modules: kdir
	+$(KBUILD) $@

# Not with the kernel's own call of depmod: it wants the System.map of the kernel's build
# directory, which no distribution's headers have, and leaves depmod out with a warning.
modules_install: kdir
	+$(KBUILD) cmd_depmod= $(no_signing) $@
	@$(call depmod,$(INSTALL_MOD_PATH),$(shell cat $(KDIR)/include/config/kernel.release))

# A distribution's kernel says that all modules are signed, and its headers have no key:
# sign-file would report a page of errors for each module
no_signing = $(if $(wildcard $(KDIR)/certs/signing_key.x509),,CONFIG_MODULE_SIG_ALL=)

# depmod ROOT RELEASE: so that modprobe finds what was installed.  A ROOT that is filled for
# another machine has no kernel, so there is nothing to make an index of.
depmod = PATH=$$PATH:/usr/sbin:/sbin; \
	if ! [ -e "$(1)/lib/modules/$(2)/modules.builtin" ]; then \
		echo "no kernel $(2) in $(or $(1),/): run 'depmod $(2)' where it is"; \
	elif ! command -v depmod >/dev/null; then \
		echo "no depmod here: install kmod, then run 'depmod $(2)'" >&2; exit 1; \
	else \
		echo "  DEPMOD  $(1)/lib/modules/$(2)"; \
		depmod $(if $(1),-b "$(1)") "$(2)"; \
	fi

clean: clean-modules
	+@$(MAKE) -s -C $(SELFTESTS) clean
	+@$(MAKE) -s -C tools/vfmig clean

# Not kbuild's own: that would look for objects in build/ too, where a whole
# kernel may be
clean-modules:
	@find drivers \( -name '*.[oas]' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' \
		-o -name '.*.cmd' -o -name '.*.d' -o -name '*.gcno' -o -name modules.order \
		-o -name '.tmp_*' \) -type f -delete
	@rm -f Module.symvers modules.order .module-common.o .*.cmd

# What a build or a run leaves behind in the checkout, but not the cache outside
distclean: clean
	rm -rf build

kdir:
	@[ -e "$(KDIR)/Makefile" ] || { \
		[ -z "$(KDIR)" ] || echo "no kernel headers in '$(KDIR)'" >&2; \
		exit 2; }

# What was built for another kernel, or with other instrumentation, goes first: kbuild
# compares file times, which say nothing across two of them
clean-stale: kdir
	@mkdir -p build
	@for_kernel="$(KDIR) $$(stat -c %Y $(KDIR)/include/config/auto.conf)"; \
	for_kernel="$$for_kernel$(if $(VFMIG_GCOV), gcov)"; \
	[ "$$for_kernel" = "$$(cat build/modules-kdir 2>/dev/null)" ] || { \
		$(MAKE) -s clean-modules && echo "$$for_kernel" >build/modules-kdir; }

# vfmigctl, which needs no kernel
tools:
	+$(MAKE) -C tools/vfmig all

tools_install:
	+$(MAKE) -C tools/vfmig install

setup run check bench stress coverage mutate deb:
	+@scripts/$@ $(ARGS)

# A long run on one kernel (scripts/migration/soak.py)
HOURS ?= 1
soak:
	+@scripts/run --scenario soak $(if $(ROUNDS),--rounds $(ROUNDS),--hours $(HOURS)) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

# Fuzzers in user space, which need clang and no kernel
fuzz:
	+@$(MAKE) -s -C $(SELFTESTS)/fuzz O=$(abspath $(or $(O),build/fuzz))

htmldocs:
	@command -v sphinx-build >/dev/null || { \
		echo "no sphinx-build: apt install python3-sphinx" >&2; exit 2; }
	@scripts/setup
	@srctree=$(CURDIR) sphinx-build -q -W --keep-going -b html Documentation build/htmldocs
	@echo build/htmldocs/index.html

help:
	@echo 'The modules:'
	@echo '  all              build them (default)'
	@echo '  modules_install  install them, as for any external module, for modprobe to find'
	@echo '  clean            remove what was built'
	@echo '  distclean        also remove build/: logs, results, what setup unpacked;'
	@echo '                   the cache (see scripts/kernel) stays'
	@echo ''
	@echo 'The program vfmigctl (needs json-c and ncurses):'
	@echo '  tools            build it'
	@echo '  tools_install    install it, in PREFIX=/usr/local'
	@echo ''
	@echo 'The whole (each installs through apt what is missing):'
	@echo '  run              migrate a guest under I/O in the test VM'
	@echo '  check            all tests, static checks included'
	@echo '  stress           random operations for MINUTES, on the kernel debug by default'
	@echo '  soak             migrate for hours (HOURS=1) or so often (ROUNDS=), with QEMUs killed'
	@echo '                   at random; SEED=N again'
	@echo '  bench            how fast device memory moves, and what tracking costs'
	@echo '  fuzz             RUNS=1000000 damaged streams and states for the drivers, and some for'
	@echo '                   vfmigctl, in user space (needs clang)'
	@echo '  setup            only install what these two need'
	@echo ''
	@echo 'The tests themselves:'
	@echo '  coverage         which lines and branches of the modules they execute, on the'
	@echo '                   kernel debug unless KERNEL is given; the page is in build/coverage/'
	@echo '  mutate           put faults into a copy of the drivers, and list what no test'
	@echo '                   finds; needs the results of coverage'
	@echo ''
	@echo '  deb              Debian packages, in build/deb/'
	@echo ''
	@echo '  htmldocs         Documentation/ as HTML (needs python3-sphinx)'
	@echo ''
	@echo 'Variables:'
	@echo '  KERNEL=distro    build for this kernel and test on it: distro (the default), or'
	@echo '                   one that scripts/kernel builds (scripts/kernel --help)'
	@echo "  GUEST_KERNEL=6.1 the guest's kernel, for run, check and bench: 6.1, 6.12, 7.x or"
	@echo '                   another series of Debian (scripts/guest-kernel --help)'
	@echo '  MINUTES=10 SEED=N  how long stress goes on, and its seed (scripts/stress --help)'
	@echo '  KDIR=DIR         build for the kernel that this is the build directory of'
	@echo '  W=1 C=1          more compiler warnings; sparse'
	@echo '  INSTALL_MOD_PATH=DIR, INSTALL_MOD_DIR=DIR  where modules_install puts them'
	@echo '  ARGS="..."       options for run, check, bench, stress, coverage and mutate (see'
	@echo '                   scripts/run --help and so on)'
	@echo '  VFMIG_GCOV=1     build modules that count what is executed of them, for a kernel'
	@echo '                   with CONFIG_GCOV_KERNEL'

.PHONY: all modules modules_install clean clean-modules distclean kdir clean-stale \
	tools tools_install setup run check bench stress soak fuzz coverage mutate deb htmldocs help
