# SPDX-License-Identifier: MIT
# The whole build: one non-recursive makefile, one directory per variant. `make help` tells the targets.

VERSION  := 0.1.0
SOVERSION := 0

VARIANT  ?= release
BUILD    ?= build
PREFIX   ?= /usr/local
LIBDIR   ?= $(PREFIX)/lib
DESTDIR  ?=
MAKEFLAGS += --no-builtin-rules
Q        := $(if $(V),,@)
# V=1 shows the commands
say      = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$@')
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# A folder is a layer; each may include itself and those before it (scripts/check-layers). To work on some of them alone:
# make LAYERS="base codec" T="buf map" unit
LAYERS   ?= base codec store shard kafka registry ops rebuild testing service
# `make schemas= ...` leaves the generated code out. Only these stems of the tests that a target runs; default all.
T        ?=

B        := $(BUILD)/$(VARIANT)
TOOLS    := $(BUILD)/release
GEN      := $(BUILD)/gen
LOG      := $(BUILD)/log

# ---- compiler and flags -------------------------------------------------------------------------------------------

CLANG    ?= clang
ifneq ($(filter $(VARIANT),clang tsan fuzz coverage),)
CC       := $(CLANG)
else ifeq ($(origin CC),default)
CC       := gcc
endif
TOOL_CC  := $(if $(filter release,$(VARIANT)),$(CC),gcc)
AR       ?= ar
PKG_CONFIG ?= pkg-config

PACKAGES := rdkafka sqlite3 uuid jansson libmicrohttpd libcurl avro-c libsodium
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null)
PKG_LIBS := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null)
TEST_LIBS := $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null)

ARCH     := $(shell uname -m)
CONTROL_FLOW := $(if $(filter x86_64,$(ARCH)),-fcf-protection,$(if $(filter aarch64,$(ARCH)),-mbranch-protection=standard))

WARN     := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Werror
# Cutting a text to its bound is what snprintf is used for here; only gcc warns of it.
WARN     += $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),,-Wno-format-truncation)
HARDEN   := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong $(CONTROL_FLOW)
HARDEN_LD := -Wl,-z,relro,-z,now,-z,noexecstack
COMMON   := -std=c11 -D_GNU_SOURCE -DBUS_VERSION='"$(VERSION)"' -g -fPIC -pthread -fno-semantic-interposition $(WARN)

FLAGS_release := $(HARDEN)
FLAGS_clang   := $(HARDEN)
FLAGS_debug   := -Og -DBUS_FAILPOINTS -fno-omit-frame-pointer
FLAGS_asan    := -O1 -DBUS_FAILPOINTS -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan    := -O1 -DBUS_FAILPOINTS -fno-omit-frame-pointer -fsanitize=thread
FLAGS_fuzz    := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FLAGS_coverage := -O1 -fprofile-instr-generate -fcoverage-mapping -fsanitize=fuzzer-no-link

LINK_release  := $(HARDEN_LD)
LINK_clang    := $(HARDEN_LD)
LINK_debug    :=
LINK_asan     := -fsanitize=address,undefined
LINK_tsan     := -fsanitize=thread
LINK_fuzz     := -fsanitize=address,undefined
LINK_coverage := -fprofile-instr-generate

ifeq ($(origin FLAGS_$(VARIANT)),undefined)
$(error VARIANT is "$(VARIANT)"; it may be release, clang, debug, asan, tsan, fuzz or coverage)
endif

INCLUDES := -Ibus -Ibus/include -I$(GEN)
COMPILE  := $(COMMON) $(FLAGS_$(VARIANT)) $(INCLUDES) $(PKG_CFLAGS) $(EXTRA_CFLAGS)
TOOL_COMPILE := $(COMMON) $(if $(filter gcc%,$(TOOL_CC)),-Wno-format-truncation) $(FLAGS_release) $(INCLUDES) $(PKG_CFLAGS) $(EXTRA_CFLAGS)
LINK     := -pthread -Wl,--as-needed $(LINK_$(VARIANT)) $(EXTRA_LDFLAGS)
TOOL_LINK := -pthread -Wl,--as-needed $(LINK_release) $(EXTRA_LDFLAGS)
# Tests can make the n-th allocation fail (tests/support/alloc_fail.h) and draw ids from a seed (tests/support/seeded.h).
WRAP     := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=bus_uuid_random,--wrap=bus_token_random

# ---- sources ------------------------------------------------------------------------------------------------------

lib_src      := $(foreach l,$(LAYERS),$(sort $(wildcard bus/$(l)/*.c)))
schemac_src  := $(sort $(wildcard bus/codec/compiler/*.c))
tool_src     := $(foreach l,$(filter base codec,$(LAYERS)),$(sort $(wildcard bus/$(l)/*.c)))
cli_src      := $(sort $(wildcard bus/cli/*.c))
schemas      := $(if $(schemac_src),$(sort $(wildcard schemas/*.avsc examples/*/*.avsc)))
# schemas/order.OrderPlaced.avsc belongs to the name space order: one order.events.h and one order.events.c
gen_names    := $(sort $(foreach s,$(notdir $(schemas)),$(firstword $(subst ., ,$(s))).events))
services     := $(sort $(foreach s,$(wildcard services/*/main.c),$(notdir $(patsubst %/,%,$(dir $(s))))))
examples     := $(sort $(foreach s,$(wildcard examples/*/main.c),$(notdir $(patsubst %/,%,$(dir $(s))))))
support_src  := $(sort $(wildcard tests/support/*.c))
# Services that tests run as programs of their own
test_services := $(patsubst tests/support/services/%.c,%,$(sort $(wildcard tests/support/services/*.c)))
public       := $(sort $(wildcard bus/include/bus/*.h))

comma := ,
only = $(if $(T),$(filter $(T),$(1)),$(1))
stems = $(call only,$(sort $(patsubst tests/$(1)/%.c,%,$(wildcard tests/$(1)/*.c))))
unit_stems   := $(call stems,unit)
mock_stems   := $(call stems,mock)
sim_stems    := $(call stems,simulation)
fuzz_stems   := $(call stems,fuzz)
bench_stems  := $(call stems,bench)

obj          = $(patsubst %.c,$(B)/obj/%.o,$(1))
tool_obj     = $(patsubst %.c,$(TOOLS)/obj/%.o,$(1))
lib_obj      := $(call obj,$(lib_src))
gen_obj      := $(patsubst %,$(B)/gen/%.o,$(gen_names))
cli_obj      := $(call obj,$(cli_src))
support_obj  := $(call obj,$(support_src))

lib_a        := $(B)/libbus.a
lib_so       := $(B)/libbus.so.$(VERSION)
gen_a        := $(B)/libgen.a
support_a    := $(B)/libsupport.a
schemac      := $(if $(schemac_src),$(TOOLS)/bin/bus-schemac)
gen_stamp    := $(if $(schemas),$(GEN)/.stamp)
page         := $(B)/tool/pages

programs     := $(if $(cli_src),$(B)/bin/bus) $(if $(schemac_src),$(B)/bin/bus-schemac) $(patsubst %,$(B)/bin/%,$(services))
unit_bin     := $(patsubst %,$(B)/tests/unit/%,$(unit_stems))
mock_bin     := $(patsubst %,$(B)/tests/mock/%,$(mock_stems))
sim_bin      := $(patsubst %,$(B)/tests/simulation/%,$(sim_stems))
fuzz_bin     := $(patsubst %,$(B)/tests/fuzz/%,$(fuzz_stems))
bench_bin    := $(patsubst %,$(B)/tests/bench/%,$(bench_stems))

all: lib $(programs) $(patsubst %,$(B)/examples/%,$(examples)) $(patsubst %,$(B)/tests/services/%,$(test_services))
lib: $(lib_a) $(B)/libbus.so
programs: $(programs)
gen: $(gen_stamp)
tests-built: $(unit_bin) $(mock_bin) $(sim_bin)

# ---- rules --------------------------------------------------------------------------------------------------------

# Rewritten only when what it says changes, so that other flags rebuild and the same ones do not.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CC) $(COMPILE) $(LINK))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(CC) $(COMPILE) $(LINK))' > $@
FORCE:

$(B)/obj/bus/%.o: bus/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(COMPILE) -MMD -MP -c $< -o $@

$(B)/obj/%.o: %.c $(B)/flags | $(gen_stamp)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(COMPILE) -Itests -MMD -MP -c $< -o $@

$(B)/gen/%.o: $(GEN)/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(COMPILE) -MMD -MP -c $< -o $@

# The lists of members are stamped as well: a removed source must leave the archive.
$(lib_a): $(lib_obj) $(B)/members
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $(lib_obj)
$(B)/members: FORCE
	@mkdir -p $(@D)
	@echo '$(lib_obj)' | cmp -s - $@ || echo '$(lib_obj)' > $@
$(gen_a): $(gen_obj)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $(gen_obj)
$(support_a): $(support_obj)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $(support_obj)

# The library exports what the public headers declare, and nothing else.
$(GEN)/libbus.map: $(public) scripts/export-list
	@mkdir -p $(@D)
	$(Q)scripts/export-list --map $(public) > $@
$(lib_so): $(lib_obj) $(B)/members $(GEN)/libbus.map
	$(call say,LINK)
	$(Q)$(CC) -shared $(if $(filter release clang debug,$(VARIANT)),-Wl$(comma)-z$(comma)defs) -Wl,-soname,libbus.so.$(SOVERSION) -Wl,--version-script=$(GEN)/libbus.map $(LINK) -o $@ $(lib_obj) $(PKG_LIBS)
$(B)/libbus.so: $(lib_so)
	$(Q)ln -sf libbus.so.$(VERSION) $(B)/libbus.so.$(SOVERSION)
	$(Q)ln -sf libbus.so.$(SOVERSION) $@

$(B)/bin/bus: $(cli_obj) $(lib_a)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $@ $(cli_obj) $(lib_a) $(PKG_LIBS)

define service_rules
$(B)/bin/$(1): $(call obj,$(sort $(wildcard services/$(1)/*.c))) $(gen_a) $(lib_a)
	@mkdir -p $$(@D)
	$$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $$@ $$(filter %.o,$$^) $(gen_a) $(lib_a) $(PKG_LIBS)
endef
$(foreach s,$(services),$(eval $(call service_rules,$(s))))

$(B)/examples/%: $(B)/obj/examples/%/main.o $(gen_a) $(lib_a)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $@ $< $(gen_a) $(lib_a) $(PKG_LIBS)

$(B)/tests/services/%: $(B)/obj/tests/support/services/%.o $(gen_a) $(lib_a)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $@ $< $(gen_a) $(lib_a) $(PKG_LIBS)

# The schema compiler that makes the generated code is always the release one, whatever is being built.
schemac_link = $(patsubst %.c,$(1)/obj/%.o,$(schemac_src) $(tool_src))
$(B)/bin/bus-schemac: $(call schemac_link,$(B))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $@ $^ $(PKG_LIBS)
ifneq ($(VARIANT),release)
$(TOOLS)/bin/bus-schemac: $(call schemac_link,$(TOOLS))
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(TOOL_CC) -pie $(TOOL_LINK) -o $@ $^ $(PKG_LIBS)
$(TOOLS)/obj/bus/%.o: bus/%.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(TOOL_CC) $(TOOL_COMPILE) -MMD -MP -c $< -o $@
endif

$(GEN)/.stamp: $(schemac) $(schemas)
	@mkdir -p $(GEN)
	$(call say,GEN)
	$(Q)rm -f $(filter-out $(gen_names:%=$(GEN)/%.h) $(gen_names:%=$(GEN)/%.c),$(wildcard $(GEN)/*.h $(GEN)/*.c))
	$(Q)$(schemac) -o $(GEN) $(schemas)
	@touch $@
$(foreach n,$(gen_names),$(GEN)/$(n).c $(GEN)/$(n).h): $(GEN)/.stamp ;

# Unit tests link the archive, so that they reach what the library does not export.
tsan_obj := $(if $(filter tsan,$(VARIANT)),$(B)/obj/tests/support/tsan/c11_threads.o)
test_link = @mkdir -p $(@D); $(if $(V),,printf '  %-8s %s\n' LINK $@;) \
	$(CC) -pie $(LINK) $(WRAP) -o $@ $< $(tsan_obj) -Wl,--start-group $(support_a) $(gen_a) $(lib_a) -Wl,--end-group $(TEST_LIBS) $(PKG_LIBS)
$(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(tsan_obj) $(support_a) $(gen_a) $(lib_a)
	$(test_link)
$(B)/tests/mock/%: $(B)/obj/tests/mock/%.o $(tsan_obj) $(support_a) $(gen_a) $(lib_a)
	$(test_link)
$(B)/tests/simulation/%: $(B)/obj/tests/simulation/%.o $(tsan_obj) $(support_a) $(gen_a) $(lib_a)
	$(test_link)
$(B)/tests/fuzz/%: $(B)/obj/tests/fuzz/%.o $(support_a) $(gen_a) $(lib_a)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINK) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(support_a) $(gen_a) $(lib_a) -Wl,--end-group $(TEST_LIBS) $(PKG_LIBS)
$(B)/tests/bench/%: $(B)/obj/tests/bench/%.o $(gen_a) $(lib_a)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $@ $< $(gen_a) $(lib_a) $(PKG_LIBS) -lm

$(page): $(B)/obj/scripts/pages.o $(lib_a)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $@ $< $(lib_a) $(PKG_LIBS)

.PRECIOUS: $(B)/obj/%.o $(B)/gen/%.o
-include $(shell find $(B)/obj $(B)/gen -name '*.d' 2>/dev/null)
ifneq ($(VARIANT),release)
-include $(patsubst %.c,$(TOOLS)/obj/%.d,$(schemac_src) $(tool_src))
endif

# ---- tests --------------------------------------------------------------------------------------------------------

# Each target runs its programs by scripts/run-tests, which counts; `make test` adds the counts up.
RUN := BUS_BUILD='$(BUILD)' BUS_BIN='$(abspath $(B)/bin)' VARIANT='$(VARIANT)' LOG='$(LOG)' scripts/run-tests
FUZZ_SECONDS ?= 15

test:
	@MAKE='$(MAKE)' BUILD='$(BUILD)' scripts/test-all
unit: $(unit_bin)
	@$(RUN) -s unit-$(VARIANT) -j 2 -t 300 $(unit_bin)
mock: $(mock_bin)
	@$(RUN) -s mock-$(VARIANT) -j 2 -t 600 $(mock_bin)
# With failpoints, so in a variant that has them; under sanitizers fewer histories.
ifneq ($(filter debug asan tsan,$(VARIANT)),)
SEEDS    ?= $(if $(filter debug,$(VARIANT)),1:10000,1:300)
simulate: $(sim_bin)
	@SEEDS='$(SEEDS)' $(RUN) -s simulate-$(VARIANT) -j 2 -t 1800 $(sim_bin)
else
simulate:
	+@$(MAKE) VARIANT=debug simulate
endif
sanitizers:
	+@$(MAKE) VARIANT=asan unit simulate mock
	+@$(MAKE) VARIANT=tsan unit simulate mock
scripts_in = $(sort $(foreach f,$(wildcard tests/$(1)/test_*),$(if $(T),$(if $(filter $(T),$(basename $(notdir $(f)))),$(f)),$(f))))
ifeq ($(VARIANT),debug)
integration: all
	@$(RUN) -s integration -t 600 $(call scripts_in,integration)
else
integration:
	+@$(MAKE) VARIANT=debug integration
endif
interop: all
	@$(RUN) -s interop -t 600 $(call scripts_in,interop)
ifeq ($(VARIANT),fuzz)
fuzz: $(fuzz_bin)
	@$(RUN) -s fuzz -j 2 -t $$(($(FUZZ_SECONDS) + 60)) -f $(FUZZ_SECONDS) $(fuzz_bin)
else
fuzz:
	+@$(MAKE) VARIANT=fuzz fuzz
endif
ifeq ($(VARIANT),coverage)
fuzz-coverage: $(fuzz_bin)
	@scripts/fuzz-coverage --bin $(B)/tests/fuzz --out $(B)/profile $(COVERAGE) $(T)
else
fuzz-coverage:
	+@$(MAKE) VARIANT=coverage fuzz-coverage
endif
bench: all $(bench_bin)
	@set -e; for b in $(filter %/store %/codec %/partitions,$(bench_bin)); do $$b; done
	@scripts/bench --bin $(B)/tests/bench --output $(BUILD)/bench.json $(BENCH)
bench-smoke: all $(bench_bin)
	@scripts/bench --smoke --bin $(B)/tests/bench --output $(BUILD)/bench-smoke.json 2>$(BUILD)/bench-smoke.log || { tail -n 30 $(BUILD)/bench-smoke.log; exit 1; }
mutants:
	@BUILD='$(BUILD)' LOG='$(abspath $(LOG))' scripts/mutants $(M)
CHAOS_RUN = BUS_BUILD='$(BUILD)' BUS_BIN='$(abspath $(B)/bin)' tests/chaos/chaos $(if $(CHAOS_SECONDS),--seconds $(CHAOS_SECONDS)) \
	$(if $(SEED),--seed $(SEED)) $(CHAOS)
HOURS ?= 4
chaos: all
	@BUS_BUILD='$(BUILD)' scripts/setup-chaos
	@$(CHAOS_RUN) $(A)
controls:
	@BUILD='$(BUILD)' LOG='$(abspath $(LOG))' scripts/mutants --controls
audited:
	@BUILD='$(BUILD)' LOG='$(abspath $(LOG))' scripts/mutants --audit
soak: all
	@BUS_BUILD='$(BUILD)' scripts/setup-chaos
	@$(CHAOS_RUN) --hours $(HOURS) --output $(BUILD)/soak.json $(A)
chaos-short: all
	@$(RUN) -s chaos -t 600 $(call scripts_in,chaos)
demo: all
	@BUS_BIN='$(abspath $(B)/bin)' KAFKA='$(KAFKA)' scripts/demo

check: lib $(programs) $(schemac) $(page)
	@$(RUN) -s check -t 120 scripts/check-layers scripts/check-headers scripts/check-symbols scripts/check-docs scripts/check-manual scripts/check-help scripts/check-schemas scripts/check-schemac scripts/check-install scripts/check-setup scripts/check-mutants
docs: $(page)
	@mkdir -p docs
	$(page) configuration > docs/configuration.md
	$(page) metrics > docs/metrics.md

# ---- install ------------------------------------------------------------------------------------------------------

INSTALL ?= install
MANDIR  ?= $(PREFIX)/share/man/man1
COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
man_page := $(firstword $(wildcard docs/bus.1 bus.1))
completion := $(firstword $(wildcard completion/bus.bash))

# PREFIX may differ each time.
$(B)/bus.pc: bus.pc.in FORCE
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' $< > $@

install: lib $(programs) $(B)/bus.pc
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/include/bus $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/bin
	$(INSTALL) -m 644 $(public) $(DESTDIR)$(PREFIX)/include/bus/
	$(INSTALL) -m 644 $(lib_a) $(DESTDIR)$(LIBDIR)/libbus.a
	$(INSTALL) -m 755 $(lib_so) $(DESTDIR)$(LIBDIR)/libbus.so.$(VERSION)
	ln -sf libbus.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libbus.so.$(SOVERSION)
	ln -sf libbus.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libbus.so
	$(INSTALL) -m 644 $(B)/bus.pc $(DESTDIR)$(LIBDIR)/pkgconfig/bus.pc
	$(if $(cli_src),$(INSTALL) -m 755 $(B)/bin/bus $(DESTDIR)$(PREFIX)/bin/bus)
	$(if $(schemac_src),$(INSTALL) -m 755 $(B)/bin/bus-schemac $(DESTDIR)$(PREFIX)/bin/bus-schemac)
	$(if $(man_page),$(INSTALL) -d $(DESTDIR)$(MANDIR) && $(INSTALL) -m 644 $(man_page) $(DESTDIR)$(MANDIR)/bus.1)
	$(if $(completion),$(INSTALL) -d $(DESTDIR)$(COMPLETIONS) && $(INSTALL) -m 644 $(completion) $(DESTDIR)$(COMPLETIONS)/bus)

uninstall:
	rm -f $(patsubst bus/include/%,$(DESTDIR)$(PREFIX)/include/%,$(public))
	-rmdir $(DESTDIR)$(PREFIX)/include/bus 2>/dev/null
	rm -f $(patsubst %,$(DESTDIR)$(LIBDIR)/%,libbus.a libbus.so libbus.so.$(SOVERSION) libbus.so.$(VERSION) pkgconfig/bus.pc)
	rm -f $(patsubst %,$(DESTDIR)$(PREFIX)/bin/%,bus bus-schemac) $(DESTDIR)$(MANDIR)/bus.1 $(DESTDIR)$(COMPLETIONS)/bus

clean:
	rm -rf $(BUILD)

help:
	@sed -n '/^#:/s/^#: \{0,1\}//p' Makefile

#: make                 the library, the bus command and the services, in
#:                      build/release
#: make test            everything that CI does, about an hour; the last line
#:                      counts
#: make unit mock       the tests of parts, and against an embedded broker (T="buf
#:                      map": only these)
#: make integration     on a real Kafka, started and stopped by the tests
#:                      (T=test_a_paths)
#: make simulate        whole histories on the in-memory transport (SEEDS=1:10000)
#: make sanitizers      unit, simulate and mock under ASan and UBSan, and under
#:                      TSan
#: make fuzz            every fuzz target for FUZZ_SECONDS (15) (T="plan json":
#:                      only these)
#: make fuzz-coverage   what the corpora of the fuzz targets reach
#:                      (COVERAGE=--missed)
#: make interop         with foreign clients
#: make mutants         the product broken on purpose, line by line (M="3 7": only
#:                      these; MUTANTS_TURN=date: a few)
#: make controls        ten mutants that the simulation's random histories must
#:                      find, or their silence proves nothing
#: make chaos           three Kafka nodes and the shop under load, attacked, healed
#:                      and audited (A="leader sigstop", CHAOS_SECONDS=60, SEED=1;
#:                      tests/chaos/chaos --help)
#: make chaos-short     what CI does of it, two minutes
#: make audited         what bus audit alone must find: the worst defects, each
#:                      with its rule taken out
#: make soak            attacks by chance until HOURS=4 are over
#: make bench           beside librdkafka and SQLite alone, drawn in
#:                      build/bench.svg (BENCH="--curves")
#: make bench-smoke     does all of it run, with right counts and orders?
#: make check           layers, headers, symbols, pages, help texts, an installed
#:                      copy
#: make demo            orders through three services, on an embedded broker
#:                      (KAFKA=local|host:port)
#: make docs            writes docs/configuration.md and docs/metrics.md from the
#:                      tables in the code
#: make install         DESTDIR=, PREFIX=/usr/local; make uninstall
#: make clean
#: VARIANT=release|clang|debug|asan|tsan|fuzz|coverage, each in its own directory;
#: BUILD=dir: elsewhere

.PHONY: all lib programs gen tests-built test unit mock simulate sanitizers integration interop fuzz fuzz-coverage bench bench-smoke mutants controls audited soak demo check docs \
	install uninstall clean help FORCE
