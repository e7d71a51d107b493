# SPDX-License-Identifier: MIT
# The whole build: one non-recursive makefile, one directory per variant. `make help` tells the targets.

# The version is that of bus/include/bus/version.h. Until 1.0 each minor version is an ABI of its own (docs/abi.md).
version_part = $(shell sed -n 's/^.define BUS_VERSION_$(1) //p' bus/include/bus/version.h)
MAJOR    := $(call version_part,MAJOR)
MINOR    := $(call version_part,MINOR)
VERSION  := $(MAJOR).$(MINOR).$(call version_part,PATCH)
SOVERSION := $(if $(filter 0,$(MAJOR)),0.$(MINOR),$(MAJOR))

VARIANT  ?= release
BUILD    ?= build
PREFIX   ?= /usr/local
LIBDIR   ?= $(PREFIX)/lib
DESTDIR  ?=
MAKEFLAGS += --no-builtin-rules
comma    := ,
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
LD       ?= ld
OBJCOPY  ?= objcopy
PKG_CONFIG ?= pkg-config

# Empty: the librdkafka that scripts/setup has built, unless the system's is as new. RDKAFKA=system: the system's; RDKAFKA=DIR: the one
# installed there. Programs look for it first where it was when they were linked, then where the system looks.
export RDKAFKA ?=
RDKAFKA_DIR := $(shell RDKAFKA='$(RDKAFKA)' scripts/setup-librdkafka --where)
pkg_config := $(if $(RDKAFKA_DIR),PKG_CONFIG_PATH='$(RDKAFKA_DIR)/lib/pkgconfig:$(PKG_CONFIG_PATH)') $(PKG_CONFIG)

PACKAGES := rdkafka sqlite3 uuid jansson libmicrohttpd libcurl avro-c libsodium
# The command's alone
CLI_PACKAGES := libutf8proc
# As the system's: their headers warn.
PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell $(pkg_config) --cflags $(PACKAGES) 2>/dev/null))
PKG_LIBS := $(shell $(pkg_config) --libs $(PACKAGES) 2>/dev/null) $(if $(RDKAFKA_DIR),-Wl$(comma)-rpath$(comma)$(RDKAFKA_DIR)/lib)
CLI_LIBS := $(shell $(pkg_config) --libs $(CLI_PACKAGES) 2>/dev/null)
TEST_LIBS := $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null)

ARCH     := $(shell uname -m)
CONTROL_FLOW := $(if $(filter x86_64,$(ARCH)),-fcf-protection,$(if $(filter aarch64,$(ARCH)),-mbranch-protection=standard))

WARN     := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Werror
# Cutting a text to its bound is what snprintf is used for here; only gcc warns of it.
WARN     += $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),,-Wno-format-truncation)
HARDEN   := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong $(CONTROL_FLOW)
HARDEN_LD := -Wl,-z,relro,-z,now,-z,noexecstack
COMMON   := -std=c11 -D_GNU_SOURCE -g -fPIC -pthread -fno-semantic-interposition $(WARN)

FLAGS_release := $(HARDEN)
FLAGS_clang   := $(HARDEN)
FLAGS_debug   := -Og -DBUS_FAILPOINTS -fno-omit-frame-pointer
FLAGS_asan    := -O1 -DBUS_FAILPOINTS -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan    := -O1 -DBUS_FAILPOINTS -fno-omit-frame-pointer -fsanitize=thread
FLAGS_fuzz    := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FLAGS_coverage := -O1 -fprofile-instr-generate -fcoverage-mapping -fsanitize=fuzzer-no-link

LINK_release  := $(HARDEN_LD)

# The release library is optimised as a whole (make LTO= leaves that out): its objects carry what that needs beside their code, and
# $(whole) is made of them once, so that programs link it as any object. Other compilers do without.
LTO      ?= 1
lto_of    = $(if $(and $(LTO),$(findstring gcc,$(notdir $(1)))),$(2))
LTO_OBJ   = $(call lto_of,$(1),-flto -ffat-lto-objects)
LTO_CC   := $(if $(filter release,$(VARIANT)),$(CC))
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
LINK     := -pthread -Wl,--as-needed $(LINK_$(VARIANT)) $(call lto_of,$(LTO_CC),-fno-lto) $(EXTRA_LDFLAGS)
TOOL_LINK := -pthread -Wl,--as-needed $(LINK_release) $(call lto_of,$(TOOL_CC),-fno-lto) $(EXTRA_LDFLAGS)
# Tests can make the n-th allocation fail (tests/support/alloc_fail.h) and draw ids from a seed (tests/support/seeded.h); each
# runs alone by TEST_FILTER (tests/support/filter.c).
WRAP     := -Wl,-u,test_filter -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=bui_uuid_random,--wrap=bui_token_random

# ---- sources ------------------------------------------------------------------------------------------------------

lib_src      := $(foreach l,$(LAYERS),$(sort $(wildcard bus/$(l)/*.c)))
schemac_src  := $(sort $(wildcard bus/codec/compiler/*.c))
tool_src     := $(foreach l,$(filter base codec,$(LAYERS)),$(sort $(wildcard bus/$(l)/*.c)))
cli_src      := $(sort $(wildcard bus/cli/*.c))
schemas      := $(if $(schemac_src),$(sort $(wildcard schemas/*.avsc examples/*/*.avsc tests/data/states/*.avsc)))
# schemas/order.OrderPlaced.avsc belongs to the name space order: one order.events.h and one order.events.c
gen_names    := $(sort $(foreach s,$(notdir $(schemas)),$(firstword $(subst ., ,$(s))).events))
# Other versions of some, for tests: their C names begin with inventory_v2_
versions     := $(if $(schemas),$(sort $(wildcard tests/data/versions/*.avsc)))
gen_names    += $(sort $(foreach s,$(notdir $(versions)),$(firstword $(subst ., ,$(s)))_v2.events))
services     := $(sort $(foreach s,$(wildcard services/*/main.c),$(notdir $(patsubst %/,%,$(dir $(s))))))
examples     := $(sort $(foreach s,$(wildcard examples/*/main.c),$(notdir $(patsubst %/,%,$(dir $(s))))))
support_src  := $(sort $(wildcard tests/support/*.c))
# Services that tests run as programs of their own
test_services := $(patsubst tests/support/services/%.c,%,$(sort $(wildcard tests/support/services/*.c)))
public       := $(sort $(wildcard bus/include/bus/*.h))

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

# What is installed, with the public names alone, and what tests, benches, tools and the bus command link: they reach inside.
lib_a        := $(B)/libbus.a
internal_a   := $(B)/libbus-internal.a
whole        := $(B)/libbus-whole.o
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
lib: $(lib_a) $(internal_a) $(B)/libbus.so
programs: $(programs)
gen: $(gen_stamp)
tests-built: $(unit_bin) $(mock_bin) $(sim_bin)

# ---- rules --------------------------------------------------------------------------------------------------------

# Rewritten only when what it says changes, so that other flags rebuild and the same ones do not.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(CC) $(COMPILE) $(call LTO_OBJ,$(LTO_CC)) $(LINK))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(CC) $(COMPILE) $(call LTO_OBJ,$(LTO_CC)) $(LINK))' > $@
FORCE:

$(B)/obj/bus/%.o: bus/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(COMPILE) $(call LTO_OBJ,$(LTO_CC)) -MMD -MP -c $< -o $@

$(B)/obj/%.o: %.c $(B)/flags | $(gen_stamp)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(COMPILE) -Itests -MMD -MP -c $< -o $@

$(B)/gen/%.o: $(GEN)/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(COMPILE) -MMD -MP -c $< -o $@

# The lists of members are stamped as well: a removed source must leave the archive.
$(internal_a): $(lib_obj) $(B)/members
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $(lib_obj)
$(whole): $(lib_obj) $(B)/members
	$(call say,LD)
	$(Q)$(or $(call lto_of,$(LTO_CC),$(CC) $(COMPILE) -flto=auto -flinker-output=nolto-rel -nostdlib),$(LD)) -r -o $@ $(lib_obj)
# One object, in which every name but the public ones is local: a program may use the others for itself.
$(lib_a): $(whole) $(GEN)/libbus.names
	@rm -f $@
	$(call say,AR)
	$(Q)$(OBJCOPY) --keep-global-symbols=$(GEN)/libbus.names $(whole) $(B)/libbus.o
	$(Q)$(AR) rcs $@ $(B)/libbus.o
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
	$(Q)scripts/export-list --map BUS_$(SOVERSION) $(public) > $@
$(GEN)/libbus.names: $(public) scripts/export-list
	@mkdir -p $(@D)
	$(Q)scripts/export-list $(public) > $@
$(lib_so): $(whole) $(GEN)/libbus.map
	$(call say,LINK)
	$(Q)$(CC) -shared $(if $(filter release clang debug,$(VARIANT)),-Wl$(comma)-z$(comma)defs) -Wl,-soname,libbus.so.$(SOVERSION) -Wl,--version-script=$(GEN)/libbus.map $(LINK) -o $@ $(whole) $(PKG_LIBS)
$(B)/libbus.so: $(lib_so)
	$(Q)ln -sf libbus.so.$(VERSION) $(B)/libbus.so.$(SOVERSION)
	$(Q)ln -sf libbus.so.$(SOVERSION) $@

$(B)/bin/bus: $(cli_obj) $(whole)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $@ $(cli_obj) $(whole) $(PKG_LIBS) $(CLI_LIBS)

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

$(B)/tests/services/%: $(B)/obj/tests/support/services/%.o $(gen_a) $(internal_a)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $@ $< $(gen_a) $(internal_a) $(PKG_LIBS)

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
	$(Q)$(TOOL_CC) $(TOOL_COMPILE) $(call LTO_OBJ,$(TOOL_CC)) -MMD -MP -c $< -o $@
endif

$(GEN)/.stamp: $(schemac) $(schemas) $(versions)
	@mkdir -p $(GEN)
	$(call say,GEN)
	$(Q)rm -f $(filter-out $(gen_names:%=$(GEN)/%.h) $(gen_names:%=$(GEN)/%.c),$(wildcard $(GEN)/*.h $(GEN)/*.c))
	$(Q)$(schemac) -o $(GEN) $(schemas)
	$(if $(versions),$(Q)$(schemac) --suffix v2 -o $(GEN) $(versions))
	@touch $@
$(foreach n,$(gen_names),$(GEN)/$(n).c $(GEN)/$(n).h): $(GEN)/.stamp ;

# Tests reach what the library does not export.
tsan_obj := $(if $(filter tsan,$(VARIANT)),$(B)/obj/tests/support/tsan/c11_threads.o)
test_link = @mkdir -p $(@D); $(if $(V),,printf '  %-8s %s\n' LINK $@;) \
	$(CC) -pie $(LINK) $(WRAP) -o $@ $< $(tsan_obj) -Wl,--start-group $(support_a) $(gen_a) $(internal_a) -Wl,--end-group $(TEST_LIBS) $(PKG_LIBS) $(CLI_LIBS)
$(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(tsan_obj) $(support_a) $(gen_a) $(internal_a)
	$(test_link)
$(B)/tests/mock/%: $(B)/obj/tests/mock/%.o $(tsan_obj) $(support_a) $(gen_a) $(internal_a)
	$(test_link)
$(B)/tests/simulation/%: $(B)/obj/tests/simulation/%.o $(tsan_obj) $(support_a) $(gen_a) $(internal_a)
	$(test_link)
$(B)/tests/fuzz/%: $(B)/obj/tests/fuzz/%.o $(support_a) $(gen_a) $(internal_a)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(LINK) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(support_a) $(gen_a) $(internal_a) -Wl,--end-group $(TEST_LIBS) $(PKG_LIBS)
$(B)/tests/bench/%: $(B)/obj/tests/bench/%.o $(gen_a) $(whole)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $@ $< $(gen_a) $(whole) $(PKG_LIBS) -lm

$(page): $(B)/obj/scripts/pages.o $(internal_a)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) -pie $(LINK) -o $@ $< $(internal_a) $(PKG_LIBS)

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
# A Java compiler, Maven and the network, once.
bench-peers: all $(bench_bin)
	@BUS_BUILD='$(BUILD)' scripts/bench-peers --bin $(B)/tests/bench --output $(BUILD)/bench-peers.json $(BENCH)
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

check: lib $(programs) $(schemac) $(page) api-docs
	@$(RUN) -s check -t 120 scripts/check-format scripts/check-style scripts/check-layers scripts/check-headers scripts/check-symbols scripts/check-api scripts/check-docs scripts/check-manual scripts/check-help scripts/check-schemas scripts/check-schemac scripts/check-install scripts/check-setup scripts/check-mutants scripts/check-runner scripts/check-commands
# In each variant that builds the library: compilers and sanitizers add names of their own.
symbols: lib
	@$(RUN) -s symbols-$(VARIANT) scripts/check-symbols
# Manual pages of the public headers, and the same as HTML.
api          := $(BUILD)/api
$(api)/.stamp: $(public) scripts/api-docs scripts/contracts.py docs/configuration.md
	@mkdir -p $(@D)
	$(call say,API)
	$(Q)scripts/api-docs --man $(api)/man3 --html $(api)/html --version $(VERSION) $(public)
	$(Q)scripts/api-docs --properties docs/configuration.md > $(api)/properties
	@touch $@
api-docs: $(api)/.stamp
docs: $(page) api-docs
	@mkdir -p docs
	$(page) configuration > docs/configuration.md
	$(page) metrics > docs/metrics.md

# ---- for editors --------------------------------------------------------------------------------------------------

# What clangd and its like want to know, by the rules above: COMMANDS=file puts it elsewhere.
COMMANDS ?= compile_commands.json
quoted    = $(subst ",\",$(subst \,\\,$(1)))
command   = {"directory": "$(CURDIR)", "file": "$(1)", "command": "$(call quoted,$(CC) $(COMPILE) $(2) -c $(1))"}
other_src := $(sort $(wildcard services/*/*.c examples/*/*.c scripts/*.c tests/support/*.c tests/support/*/*.c) \
	$(foreach d,unit mock simulation fuzz bench,$(wildcard tests/$(d)/*.c)))
compile_commands.json: $(gen_stamp) FORCE
	$(file >$(COMMANDS),[$(subst } {,}$(comma) {,$(foreach s,$(lib_src) $(cli_src) $(schemac_src) $(gen_names:%=$(GEN)/%.c),$(call command,$(s),)) \
	$(foreach s,$(other_src),$(call command,$(s),-Itests)))])
	$(call say,JSON)

# ---- install ------------------------------------------------------------------------------------------------------

INSTALL ?= install
MANDIR  ?= $(PREFIX)/share/man
COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
DOCDIR  ?= $(PREFIX)/share/doc/bus
# Pages written by hand; a section of the manual is the end of their name.
man_pages := $(wildcard docs/*.[1-9])
completion := $(firstword $(wildcard completion/bus.bash))

# PREFIX may differ each time. The libraries below ours are named by their flags, not as packages of pkg-config: so those who do not link
# the archive need no development files of theirs, and a librdkafka that pkg-config does not find by itself is found.
FILLED = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@VERSION@|$(VERSION)|g' -e 's|@SOVERSION@|$(SOVERSION)|g' \
	-e 's|@DOCDIR@|$(DOCDIR)|g' -e '/@PROPERTIES@/{r $(api)/properties' -e 'd' -e '}' -e 's|@MAJOR@|$(MAJOR)|g' -e 's|@MINOR@|$(MINOR)|g' -e 's|@PRIVATE_LIBS@|$(strip $(PKG_LIBS)) -pthread|g'
packages := $(patsubst %.in,%,$(wildcard *.pc.in cmake/*.in))
$(packages:%=$(B)/%): $(B)/%: %.in FORCE
	@mkdir -p $(@D)
	$(FILLED) $< > $@

install: lib $(programs) $(packages:%=$(B)/%) api-docs
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/include/bus $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/cmake/bus $(DESTDIR)$(PREFIX)/bin
	$(INSTALL) -m 644 $(public) $(DESTDIR)$(PREFIX)/include/bus/
	$(INSTALL) -m 644 $(lib_a) $(DESTDIR)$(LIBDIR)/libbus.a
	$(INSTALL) -m 755 $(lib_so) $(DESTDIR)$(LIBDIR)/libbus.so.$(VERSION)
	ln -sf libbus.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libbus.so.$(SOVERSION)
	ln -sf libbus.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libbus.so
	$(INSTALL) -m 644 $(filter %.pc,$(packages:%=$(B)/%)) $(DESTDIR)$(LIBDIR)/pkgconfig/
	$(INSTALL) -m 644 $(filter %.cmake,$(packages:%=$(B)/%)) $(DESTDIR)$(LIBDIR)/cmake/bus/
	$(if $(cli_src),$(INSTALL) -m 755 $(B)/bin/bus $(DESTDIR)$(PREFIX)/bin/bus)
	$(if $(schemac_src),$(INSTALL) -m 755 $(B)/bin/bus-schemac $(DESTDIR)$(PREFIX)/bin/bus-schemac)
	$(INSTALL) -d $(DESTDIR)$(DOCDIR)/api $(DESTDIR)$(DOCDIR)/docs $(patsubst %,$(DESTDIR)$(MANDIR)/man%,1 3 7)
	$(INSTALL) -m 644 $(api)/man3/*.3 $(DESTDIR)$(MANDIR)/man3/
	set -e; for page in $(man_pages); do $(FILLED) $$page > $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done
	$(INSTALL) -m 644 $(api)/html/*.html $(DESTDIR)$(DOCDIR)/api/
	$(INSTALL) -m 644 LICENSE CHANGELOG.md $(DESTDIR)$(DOCDIR)/
	cp -r docs/*.md docs/*.svg docs/examples $(DESTDIR)$(DOCDIR)/docs/ && chmod -R u+w,a+rX $(DESTDIR)$(DOCDIR)/docs
	$(if $(completion),$(INSTALL) -d $(DESTDIR)$(COMPLETIONS) && $(INSTALL) -m 644 $(completion) $(DESTDIR)$(COMPLETIONS)/bus)

uninstall: api-docs
	rm -f $(patsubst bus/include/%,$(DESTDIR)$(PREFIX)/include/%,$(public))
	rm -f $(patsubst %,$(DESTDIR)$(LIBDIR)/%,libbus.a libbus.so libbus.so.$(SOVERSION) libbus.so.$(VERSION) $(patsubst %.pc,pkgconfig/%.pc,$(packages:cmake/%=cmake/bus/%)))
	rm -f $(foreach page,$(man_pages),$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))
	cd $(api)/man3 && for page in *.3; do rm -f $(DESTDIR)$(MANDIR)/man3/$$page; done
	rm -rf $(patsubst %,$(DESTDIR)$(DOCDIR)/%,LICENSE CHANGELOG.md api docs)
	-rmdir $(DESTDIR)$(DOCDIR) $(DESTDIR)$(PREFIX)/include/bus $(DESTDIR)$(LIBDIR)/cmake/bus 2>/dev/null
	rm -f $(patsubst %,$(DESTDIR)$(PREFIX)/bin/%,bus bus-schemac) $(DESTDIR)$(COMPLETIONS)/bus

clean:
	rm -rf $(BUILD)

# ---- for people and editors ---------------------------------------------------------------------------------------

# Formats the C in place; `make check` tells what is not as .clang-format says, and what scripts/check-style cannot mend.
format:
	@scripts/check-style --fix
	@scripts/check-format --fix

help:
	@sed -n '/^#:/s/^#: \{0,1\}//p' Makefile

#: make                 the library, the bus command and the services, in
#:                      build/release
#: make test            everything that CI does, about an hour; the last line
#:                      counts
#: make unit mock       unit tests, and tests against an embedded broker (T="buf
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
#: make interop         tests with foreign clients
#: make mutants         breaks the product on purpose, line by line (M="3 7": only
#:                      these; MUTANTS_TURN=date: a few)
#: make controls        ten mutants that the simulation's random histories must
#:                      find, or their silence proves nothing
#: make chaos           three Kafka nodes and the shop under load, attacked, healed
#:                      and audited (A="leader sigstop", CHAOS_SECONDS=60, SEED=1;
#:                      tests/chaos/chaos --help)
#: make chaos-short     the part of it that CI runs, two minutes
#: make audited         mutants that bus audit alone must find: the worst
#:                      defects, each with its rule taken out
#: make soak            random attacks until HOURS=4 are over
#: make bench           compared with librdkafka and SQLite alone, drawn in
#:                      build/bench.svg (BENCH="--curves")
#: make bench-smoke     does all of it run, with the right counts and orders?
#: make bench-peers     compared with Kafka Streams, in turns, drawn in
#:                      build/bench-peers.svg (BENCH=--smoke: tiny sizes)
#: make check           format, layers, headers, symbols, pages, help texts, an
#:                      installed copy
#: make symbols         does the library export only the public names? (any
#:                      VARIANT)
#: make demo            orders through three services, on an embedded broker
#:                      (KAFKA=local|host:port)
#: make format          the C as .clang-format says (clang-format 14)
#: make docs            writes docs/configuration.md and docs/metrics.md from the
#:                      tables in the code, and what api-docs makes
#: make api-docs        manual pages and HTML pages of the public headers, in
#:                      build/api
#: make compile_commands.json
#:                      for clangd (VARIANT=clang: without gcc's own options)
#: make install         DESTDIR=, PREFIX=/usr/local; make uninstall
#: make clean
#: VARIANT=release|clang|debug|asan|tsan|fuzz|coverage, each in its own directory;
#: BUILD=dir: elsewhere. RDKAFKA=system: the system's librdkafka; RDKAFKA=dir: that
#: prefix's; otherwise the one that scripts/setup built, unless the system's is as
#: new

.PHONY: all lib programs gen tests-built test unit mock simulate sanitizers integration interop fuzz fuzz-coverage bench bench-smoke bench-peers mutants controls audited soak demo check symbols docs api-docs format \
	install uninstall clean help FORCE
