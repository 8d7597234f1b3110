# lambdapool: every command. `make help` lists them; README.md says where to start.
#
# Plain GNU make. Everything that is made lands in $(BUILD), except the link ./lambdapool to the program.
# Overridable: BUILD, CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR, FUZZ_TIME, ROUNDS, PYTHON, SETUP=no (never install packages) or
# SETUP=check (say which are missing).

BUILD     = build
CC        = gcc
CFLAGS    = -O2 -g
LDFLAGS   =
PREFIX    = /usr/local
FUZZ_TIME = 10
SETUP     = yes
PYTHON    = /usr/bin/python3
ROUNDS    = 5
VERSION  := $(shell sed -n 's/^.define LP_VERSION  *"\(.*\)"/\1/p' host/lambdapool.h)
SOVERSION = 0

WARNINGS  = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes
CPP_FLAGS = -iquote . -iquote host -I/usr/include/lua5.4
C_FLAGS   = -std=gnu11 $(WARNINGS) $(CPP_FLAGS) -fPIC -fvisibility=hidden -ftls-model=initial-exec \
  -ffunction-sections -fdata-sections

# What the programs link. Both carry the whole Lua API and export it, so that C modules load in them. The agent
# needs libc and libm of the machine it lands on and nothing else. The host's libuv is its own as well, for it is told
# where to allocate.
LD_FLAGS    = -pie -Wl,--gc-sections -Wl,-z,relro,-z,now
LUA_LIBS    = -Wl,--whole-archive -l:liblua5.4.a -Wl,--no-whole-archive -l:liblua5.4-cjson.a
EXPORT_LUA  = -Wl,--dynamic-list=$(BUILD)/exports.list
AGENT_LIBS  = $(LUA_LIBS) -l:libzstd.a -lm
HOST_LIBS   = $(LUA_LIBS) -l:libuv_a.a -l:libhttp_parser.a -l:libzstd.a -lm
STRIP_AGENT = -s

# What needs OpenSSL, libcurl, expat, SQLite and libzip is a module of its own, loaded when it is first asked for: loading these
# libraries would cost every start of the program a millisecond.
CLOUD_LIBS = -lcrypto -lcurl -lexpat -lsqlite3 -lzip -lz

# So is what edits lines on a terminal.
TERMINAL_LIBS = -ledit

# Sources are found, not listed. The two main files and the embedded Lua are the programs; all the rest is one archive,
# from which each program and each test takes what it names. The agent's malloc is for the agent alone.
C_FILES     := $(wildcard host/*.c host/codec/*.c host/cloud/*.c host/terminal/*.c agent/*.c)
PARTS       := $(filter-out host/main.c host/lib_module.c agent/main.c agent/malloc.c,$(C_FILES))
INSIDE      := $(filter-out host/cloud/% host/terminal/% agent/%,$(PARTS)) # of the library
CLOUD       := $(filter host/cloud/%,$(C_FILES))
TERMINAL    := $(filter host/terminal/%,$(C_FILES))
LUA_MODULES := $(sort $(shell find lua/lambdapool -name '*.lua' 2>/dev/null))
ARGPARSE    := /usr/share/lua/5.4/argparse.lua
C_TESTS     := $(wildcard tests/host/*_test.c tests/host/codec/*_test.c tests/agent/*_test.c)
SPECS       := $(wildcard tests/*_spec.lua tests/*/*_spec.lua)
SCRIPTS     := $(wildcard tests/*.t tests/*/*.t)
FUZZERS     := $(wildcard tests/fuzz/*.c)
HELPERS     := $(patsubst %.c,$(BUILD)/tests/%,$(notdir $(wildcard tests/agent/rapi.c tests/host/fake_agent.c)))
OOM         := $(wildcard tests/oom*.c)
EMBED_TESTS := $(wildcard tests/embed/*_test.c)

ARCHIVE       = $(BUILD)/parts.a
PROGRAMS      = $(BUILD)/lambdapool $(BUILD)/bootstrap $(BUILD)/cloud.so $(BUILD)/terminal.so
LIBRARY       = $(BUILD)/liblambdapool.so.$(VERSION)
MODULE        = $(BUILD)/lambdapool.so
LIBRARIES     = $(LIBRARY) $(BUILD)/liblambdapool.a $(MODULE)
TEST_PROGRAMS = $(C_TESTS:%.c=$(BUILD)/%) $(OOM:%.c=$(BUILD)/%) $(HELPERS) $(BUILD)/tests/bench/invoke_load \
  $(EMBED_TESTS:%.c=$(BUILD)/%) $(STAGE)/.done

# Debian 12 packages, by what needs them.
BUILD_PACKAGES = gcc libc6-dev lua5.4 liblua5.4-dev lua-cjson-dev libuv1-dev libhttp-parser-dev libzstd-dev \
  libxxhash-dev libssl-dev libcurl4-openssl-dev libexpat1-dev libedit-dev libsqlite3-dev libzip-dev zlib1g-dev lua-argparse
TEST_PACKAGES  = lua-busted lua-check libcmocka-dev clang clang-format libclang-rt-14-dev perl zip unzip \
  binutils procps curl openssl tmux luarocks awscli python3 python3-boto3 g++ pkg-config cmake luajit libluajit-5.1-dev \
  libsdl2-dev xvfb $(NODE_PACKAGES)
# Node.js may be there from somewhere else, with an npm of its own.
NODE_PACKAGES := $(shell command -v npm >/dev/null || echo nodejs npm ca-certificates)
BENCH_PACKAGES = python3 python3-cloudpickle python3-boto3
CHECK_PACKAGES = valgrind

ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

help: ## list the commands
	@echo 'make COMMAND, where COMMAND is'
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  %-9s %s\n", $$1, $$2}' Makefile

# --- packages ---------------------------------------------------------------------------------------------------------

# $(call install,PACKAGES): one apt-get step, and only when something is missing.
define install
	@[ "$(SETUP)" = no ] && exit 0; missing=; sudo=; \
	if ! command -v apt-get >/dev/null; then \
	  [ "$(SETUP)" = check ] && exit 0; \
	  echo 'lambdapool: this system has no apt-get; install what these Debian 12 packages hold:' >&2; \
	  echo '  $(1)' >&2; \
	  echo '  then run make again with SETUP=no' >&2; exit 1; \
	fi; \
	for package in $(1); do \
	  case $$(dpkg-query -W -f '$${db:Status-Status}\n' $$package 2>/dev/null) in \
	    installed*) ;; *) missing="$$missing $$package" ;; \
	  esac; \
	done; \
	[ -z "$$missing" ] && exit 0; \
	[ "$(SETUP)" = check ] && { echo "lambdapool: as root: apt-get install$$missing" >&2; exit 1; }; \
	if [ "$$(id -u)" != 0 ]; then \
	  sudo=sudo; \
	  command -v sudo >/dev/null || { echo "lambdapool: as root: apt-get install$$missing" >&2; exit 1; }; \
	fi; \
	echo "installing$$missing"; \
	$$sudo apt-get -q update && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $$missing
endef

setup: ## install the Debian packages that building, testing and measuring need
	$(call install,$(BUILD_PACKAGES) $(TEST_PACKAGES) $(BENCH_PACKAGES) $(CHECK_PACKAGES))
setup-build:
	$(call install,$(BUILD_PACKAGES))
setup-test:
	$(call install,$(BUILD_PACKAGES) $(TEST_PACKAGES))
setup-bench:
	$(call install,$(BUILD_PACKAGES) $(BENCH_PACKAGES))
setup-valgrind:
	$(call install,$(BUILD_PACKAGES) $(TEST_PACKAGES) $(CHECK_PACKAGES))

# --- the programs -----------------------------------------------------------------------------------------------------

build: setup-build ## build/lambdapool and build/bootstrap, and ./lambdapool that leads there
	@$(MAKE) programs

programs: $(PROGRAMS) $(LIBRARIES)
ifeq ($(BUILD),build)
programs: lambdapool
lambdapool: | $(PROGRAMS)
	ln -sfn $(BUILD)/lambdapool $@
endif

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/embed.c: host/embed.lua $(LUA_MODULES) Makefile
	@mkdir -p $(@D)
	lua5.4 host/embed.lua lua/lambdapool $(LUA_MODULES) lambdapool.argparse=$(ARGPARSE) > $@

$(BUILD)/embed.o: $(BUILD)/embed.c
	$(CC) $(C_FLAGS) $(CFLAGS) -g0 -c -o $@ $<

$(BUILD)/exports.list: Makefile
	@mkdir -p $(@D)
	echo '{ lua_*; luaL_*; luaopen_*; };' > $@

# They take the functions of Lua and libuv as they come (host/port.h), and show nothing but how that is done.
PART_LINK = $(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,--exclude-libs,ALL

$(BUILD)/host/cloud/%.o $(BUILD)/host/terminal/%.o: C_FLAGS += -DLP__PART
$(BUILD)/host/cloud/lib_%.o $(BUILD)/host/terminal/lib_%.o: C_FLAGS += -include host/lua_port.h

$(BUILD)/cloud.so: $(CLOUD:%.c=$(BUILD)/%.o) $(BUILD)/host/part.o
	$(PART_LINK) -o $@ $^ $(CLOUD_LIBS)

$(BUILD)/terminal.so: $(TERMINAL:%.c=$(BUILD)/%.o) $(BUILD)/host/part.o
	$(PART_LINK) -o $@ $^ $(TERMINAL_LIBS)

# Where `make install` puts files that the program and the library look for is part of them.
$(BUILD)/installed: always
	@mkdir -p $(@D)
	@echo '$(PREFIX)/libexec/lambdapool' | cmp -s - $@ || echo '$(PREFIX)/libexec/lambdapool' > $@
$(BUILD)/host/lib_parts.o: $(BUILD)/installed
$(BUILD)/host/lib_parts.o: C_FLAGS += -DLP__INSTALLED='"$(PREFIX)/libexec/lambdapool"'

$(ARCHIVE): $(PARTS:%.c=$(BUILD)/%.o) $(BUILD)/embed.o
	rm -f $@
	ar qcs $@ $^ # q: two files may share a base name

$(BUILD)/lambdapool: $(BUILD)/host/main.o $(ARCHIVE) $(BUILD)/exports.list
	$(CC) $(CFLAGS) $(LDFLAGS) $(LD_FLAGS) $(EXPORT_LUA) -o $@ \
	  $(BUILD)/host/main.o $(ARCHIVE) $(HOST_LIBS)

$(BUILD)/bootstrap: $(BUILD)/agent/main.o $(BUILD)/agent/malloc.o $(ARCHIVE) $(BUILD)/exports.list
	$(CC) $(CFLAGS) $(LDFLAGS) $(LD_FLAGS) $(EXPORT_LUA) $(STRIP_AGENT) -o $@ \
	  $(BUILD)/agent/main.o $(BUILD)/agent/malloc.o $(ARCHIVE) $(AGENT_LIBS)

# --- the library ------------------------------------------------------------------------------------------------------

# liblambdapool holds Lua and everything else that it is made of, and shows nothing but the functions of lambdapool.h. So
# it is linked to one object first. What Debian has compiled for programs cannot reach the variables of the C library from
# a shared library: they get others, in host/foreign.c.
FOREIGN       = $(addprefix $(BUILD)/foreign/,liblua5.4.a liblua5.4-cjson.a libuv_a.a libhttp_parser.a libzstd.a)
FOREIGN_NAMES = stdin stdout stderr environ in6addr_any pthread_atfork \
  $(foreach end,compress decompress,ZSTD_trace_$(end)_begin ZSTD_trace_$(end)_end) \
  $(if $(findstring sanitize=thread,$(CFLAGS)),syscall)

$(BUILD)/foreign/%.a: Makefile
	@mkdir -p $(@D)
	objcopy $(foreach name,$(FOREIGN_NAMES),--redefine-sym $(name)=lp__foreign_$(name)) \
	  "$$($(CC) -print-file-name=$(@F))" $@

$(BUILD)/api.list: host/lambdapool.h
	@mkdir -p $(@D)
	sed -n 's/^LP_API .*\(lp_[a-z_]*\)(.*/\1/p' $< > $@

$(BUILD)/library.o: $(INSIDE:%.c=$(BUILD)/%.o) $(BUILD)/embed.o $(FOREIGN)
	$(CC) -r -nostdlib -o $@ $^

$(BUILD)/library.list: $(BUILD)/api.list Makefile
	{ echo 'LAMBDAPOOL_$(SOVERSION) { global:'; sed 's/$$/;/' $<; echo 'local: *; };'; } > $@

$(LIBRARY): $(BUILD)/library.o $(BUILD)/library.list
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,liblambdapool.so.$(SOVERSION) -Wl,--gc-sections -Wl,-z,relro,-z,now \
	  $(if $(findstring sanitize,$(CFLAGS)),,-Wl,-z,defs) -Wl,--version-script=$(BUILD)/library.list -o $@ $< -pthread -lm

$(BUILD)/liblambdapool.a: $(BUILD)/library.o $(BUILD)/api.list
	objcopy --keep-global-symbols=$(BUILD)/api.list $< $(BUILD)/lambdapool.o
	rm -f $@
	ar qcs $@ $(BUILD)/lambdapool.o

# The Lua module is the same without Lua, whose functions are the program's. It may lack them (weak), so that another Lua
# than 5.4 can load it and is told. It stays loaded: the process may end threads of it after the state is closed.
$(BUILD)/module.o: $(BUILD)/host/lib_module.o $(INSIDE:%.c=$(BUILD)/%.o) $(BUILD)/embed.o $(filter-out %/liblua5.4.a,$(FOREIGN))
	$(CC) -r -nostdlib -o $@ $^
	objcopy --wildcard --weaken-symbol='lua_*' --weaken-symbol='luaL_*' $@

$(BUILD)/module.list: Makefile
	@mkdir -p $(@D)
	echo '{ global: luaopen_lambdapool; local: *; };' > $@

$(MODULE): $(BUILD)/module.o $(BUILD)/module.list
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,nodelete \
	  -Wl,--version-script=$(BUILD)/module.list -o $@ $< -pthread -lm

demo: build ## install what is missing, build, and count words with the pool
	./lambdapool run examples/wordcount.lua /usr/share/common-licenses/*

install: build ## install below $(DESTDIR)$(PREFIX)
	@$(MAKE) install-files

# All that names a folder finds it from where it is itself: the tree may be moved as a whole.
TO       = $(DESTDIR)$(PREFIX)
FILL_IN  = sed 's/@VERSION@/$(VERSION)/g; s/@SOVERSION@/$(SOVERSION)/g'

install-files:
	install -D -m 755 $(BUILD)/lambdapool $(TO)/bin/lambdapool
	install -d $(TO)/libexec/lambdapool $(TO)/lib/pkgconfig $(TO)/lib/cmake/lambdapool
	install -m 755 $(BUILD)/bootstrap $(BUILD)/cloud.so $(BUILD)/terminal.so $(TO)/libexec/lambdapool
	install -D -m 644 host/lambdapool.h $(TO)/include/lambdapool.h
	install -m 644 $(LIBRARY) $(BUILD)/liblambdapool.a $(TO)/lib
	install -D -m 644 $(MODULE) $(TO)/lib/lua/5.4/lambdapool.so
	ln -sfn liblambdapool.so.$(VERSION) $(TO)/lib/liblambdapool.so.$(SOVERSION)
	ln -sfn liblambdapool.so.$(SOVERSION) $(TO)/lib/liblambdapool.so
	$(FILL_IN) host/lambdapool.pc.in > $(TO)/lib/pkgconfig/lambdapool.pc
	for name in lambdapool-config lambdapool-config-version; do \
	  $(FILL_IN) host/$$name.cmake.in > $(TO)/lib/cmake/lambdapool/$$name.cmake || exit 1; \
	done
	install -d $(TO)/share/doc/lambdapool/examples/embed
	install -m 644 README.md LICENSE $(TO)/share/doc/lambdapool
	install -m 644 examples/*.lua $(TO)/share/doc/lambdapool/examples
	cp -R examples/embed/. $(TO)/share/doc/lambdapool/examples/embed
	chmod -R u=rwX,go=rX $(TO)/share/doc/lambdapool

# The Lua module for LuaRocks, which moves what is in $(LIBDIR) to where Lua finds it. The module finds the rest beside it.
ROCK    = lambdapool-$(VERSION)
SOURCES = Makefile README.md LICENSE host agent lua examples

rock: $(BUILD)/$(ROCK)-1.src.rock ## build/lambdapool-VERSION-1.src.rock, for `luarocks install`

$(BUILD)/$(ROCK)-1.src.rock: Makefile README.md LICENSE $(shell find host agent lua examples -type f)
	@mkdir -p $(@D)
	tar czf $(BUILD)/$(ROCK).tar.gz --sort=name --owner=0 --group=0 --transform 's,^,$(ROCK)/,' $(SOURCES)
	cp lua/$(ROCK)-1.rockspec $(BUILD)
	rm -f $@
	cd $(BUILD) && zip -q $(@F) $(ROCK)-1.rockspec $(ROCK).tar.gz

rock-parts: setup-build
	@$(MAKE) $(MODULE) $(BUILD)/bootstrap $(BUILD)/cloud.so

install-rock:
	install -D -m 755 $(MODULE) $(LIBDIR)/lambdapool.so
	install -D -m 755 $(BUILD)/bootstrap $(LIBDIR)/lambdapool/bootstrap
	install -D -m 755 $(BUILD)/cloud.so $(LIBDIR)/lambdapool/cloud.so

# What would be installed, for the tests of it. An install folder has no say in it.
STAGE = $(BUILD)/stage
stage: $(STAGE)/.done
$(STAGE)/.done: $(PROGRAMS) $(LIBRARIES) host/lambdapool.h $(wildcard host/*.in) README.md $(wildcard examples/*.lua) \
  $(shell find examples/embed -type f)
	rm -rf $(STAGE)
	@$(MAKE) install-files PREFIX='$(abspath $(STAGE))' DESTDIR=
	touch $@

# Programs that embed lambdapool know the installed library and nothing of this tree.
$(BUILD)/tests/embed/%: tests/embed/%.c $(wildcard tests/embed/*.h) $(STAGE)/.done
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) $(LDFLAGS) -o $@ $< -pthread -Wl,-rpath,'$(abspath $(STAGE))/lib' \
	  $$(PKG_CONFIG_PATH='$(abspath $(STAGE))/lib/pkgconfig' pkg-config --cflags --libs lambdapool)

clean: ## remove everything that was made
	rm -rf $(BUILD)
ifeq ($(BUILD),build)
	rm -f lambdapool
endif

# --- tests ------------------------------------------------------------------------------------------------------------

# tests/run runs one test, in any language or mode, and prints TAP; prove runs all of them and counts.
PROVE      = LAMBDAPOOL_BUILD=$(abspath $(BUILD)) FUZZ_TIME=$(FUZZ_TIME) prove -fo --exec tests/run
TESTS      = $(C_TESTS) $(EMBED_TESTS) $(OOM) $(SPECS) $(SCRIPTS)
CLOUD_SPECS = $(addprefix tests/lua/,$(addsuffix _spec.lua,archive aws_sigv4 aws_sigv4_headers crypto files http json serve_blobs sigv4 sqlite xml))
CHECKED    = $(C_TESTS) $(wildcard tests/lua/codec*_spec.lua tests/host/codec*_spec.lua) $(CLOUD_SPECS)
THREADS    = $(filter %/threads_test.c %/wait_test.c,$(EMBED_TESTS)) tests/host/intake_test.c
# Workers for which a thread receives.
RECEIVED   = $(addprefix tests/host/worker_,$(addsuffix test.c,end_ progress_ start_) test.c)
# In a Lua of somebody else's, where lambdapool is a module.
STOCK      = $(addsuffix _spec.lua,$(addprefix tests/lua/,codec_values codec_globals codec_metatables codec_errors \
  codec_calls codec_requests codec_slices codec_hostile pool executor future async init polling python_pool \
  python_futures seeds http) tests/e2e/kinds tests/e2e/aws_pool)
FAULTS     = $(addprefix tests/e2e/,faults_spec.lua kinds_spec.lua outside_spec.lua)

ASAN_FLAGS = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
ASAN       = BUILD=$(BUILD)/asan CFLAGS='$(ASAN_FLAGS)' STRIP_AGENT=
TSAN       = BUILD=$(BUILD)/tsan CFLAGS='-O1 -g -fsanitize=thread' STRIP_AGENT=
FUZZ       = BUILD=$(BUILD)/fuzz CC=clang CFLAGS='$(ASAN_FLAGS) -fsanitize=fuzzer-no-link'

test: setup-test ## install what is missing, build, run every test
	@$(MAKE) npm
	@$(MAKE) programs test-programs
	@$(MAKE) $(ASAN) programs test-programs
	@$(MAKE) $(TSAN) thread-programs
	@$(MAKE) $(FUZZ) fuzz-programs
	$(PROVE) -j2 make:lint $(TESTS) $(RECEIVED:%=received:%) $(STOCK:%=stock:%) $(CHECKED:%=asan:%) $(EMBED_TESTS:%=asan:%) $(FAULTS:%=asan:%) $(THREADS:%=tsan:%) \
	  $(FUZZERS:%=fuzz:%)

check: build ## run the tests named by T=, for example T='tests/lua/pool_spec.lua tests/host/loop_test.c'
	@$(MAKE) setup-test test-programs npm
	$(PROVE) -v $(T)

asan: setup-test ## C tests and codec specs with AddressSanitizer and UBSan
	@$(MAKE) $(ASAN) programs test-programs
	$(PROVE) $(CHECKED:%=asan:%) $(EMBED_TESTS:%=asan:%) $(FAULTS:%=asan:%)

tsan: setup-test ## hosts on many threads with ThreadSanitizer
	@$(MAKE) programs
	@$(MAKE) $(TSAN) thread-programs
	$(PROVE) $(THREADS:%=tsan:%)

valgrind: setup-valgrind ## C tests and codec specs under valgrind
	@$(MAKE) programs test-programs
	$(PROVE) $(CHECKED:%=valgrind:%)

fuzz: setup-test ## feed every parser for FUZZ_TIME seconds, starting from its corpus
	@$(MAKE) $(FUZZ) fuzz-programs
	$(PROVE) $(FUZZERS:%=fuzz:%)

oom: setup-test ## fail the allocator at every allocation in turn
	@$(MAKE) $(OOM:%.c=$(BUILD)/%)
	$(PROVE) $(OOM)

# The AWS SDK for JavaScript, one of the clients that `lambdapool serve` is tested with.
SDK = $(addsuffix @3.750.0,$(addprefix @aws-sdk/client-,lambda iam sts cloudwatch-logs))
npm: $(BUILD)/npm/.done
$(BUILD)/npm/.done: Makefile
	@mkdir -p $(@D)
	npm install --prefix $(@D) --no-audit --no-fund --loglevel=error $(SDK)
	touch $@

test-programs: $(TEST_PROGRAMS)
thread-programs: $(THREADS:%.c=$(BUILD)/%)
fuzz-programs: $(FUZZERS:%.c=$(BUILD)/%)

$(BUILD)/tests/%_test: $(BUILD)/tests/%_test.o $(ARCHIVE)
	$(CC) $(CFLAGS) $(LDFLAGS) $(LD_FLAGS) -o $@ $< $(ARCHIVE) -lcmocka $(HOST_LIBS) \
	  $(CLOUD_LIBS) $(TERMINAL_LIBS)

$(BUILD)/tests/oom%: $(BUILD)/tests/oom%.o $(ARCHIVE)
	$(CC) $(CFLAGS) $(LDFLAGS) $(LD_FLAGS) -o $@ $< $(ARCHIVE) -lcmocka $(HOST_LIBS) \
	  $(CLOUD_LIBS) $(TERMINAL_LIBS)

$(BUILD)/tests/rapi: $(BUILD)/tests/agent/rapi.o $(ARCHIVE)
$(BUILD)/tests/fake_agent: $(BUILD)/tests/host/fake_agent.o $(ARCHIVE)
$(HELPERS):
	$(CC) $(CFLAGS) $(LDFLAGS) $(LD_FLAGS) -o $@ $^ $(HOST_LIBS)

$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(ARCHIVE)
	$(CC) $(CFLAGS) $(LDFLAGS) $(LD_FLAGS) -fsanitize=fuzzer -o $@ $< $(ARCHIVE) $(HOST_LIBS) \
	  $(CLOUD_LIBS) $(TERMINAL_LIBS)

# --- speed ------------------------------------------------------------------------------------------------------------

BENCH = $(addprefix $(BUILD)/tests/bench/,runtime_server runtime_baseline stopwatch limits invoke_load \
  latency_server curl_load frame)

bench: setup-bench ## measure side by side with Python and plain C: ratios, targets
	@$(MAKE) programs $(BENCH)
	lua5.4 tests/bench/run.lua $(BUILD) $(PYTHON) $(ROUNDS)

$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o
	$(CC) $(CFLAGS) $(LDFLAGS) -pie -o $@ $<
$(BUILD)/tests/bench/invoke_load: $(BUILD)/tests/bench/invoke_load.o
	$(CC) $(CFLAGS) $(LDFLAGS) -pie -o $@ $< -lcrypto
$(BUILD)/tests/bench/curl_load: $(BUILD)/tests/bench/curl_load.o
	$(CC) $(CFLAGS) $(LDFLAGS) -pie -o $@ $< -lcurl
$(BUILD)/tests/bench/runtime_baseline: tests/bench/runtime_baseline.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -s -static -o $@ $<
$(BUILD)/tests/bench/frame: tests/bench/frame.c $(STAGE)/.done
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) $(LDFLAGS) -I. -o $@ $< -Wl,-rpath,'$(abspath $(STAGE))/lib' \
	  $$(PKG_CONFIG_PATH='$(abspath $(STAGE))/lib/pkgconfig' pkg-config --cflags --libs lambdapool)
$(BUILD)/tests/bench/limits: $(BUILD)/tests/bench/limits.o
	$(CC) $(CFLAGS) $(LDFLAGS) $(LD_FLAGS) -o $@ $< $(LUA_LIBS) -lm

# --- source -----------------------------------------------------------------------------------------------------------

GUESTS := $(wildcard tests/embed/*.c tests/e2e/library/*.c examples/embed/*.c examples/embed/*/*.c)
GUESTS_CC := $(wildcard examples/embed/*.cc)
ALL_C  := $(C_FILES) $(filter-out $(GUESTS),$(wildcard tests/*.c tests/*/*.c tests/*/*/*.c))
ALL_H  := $(wildcard host/*.h host/codec/*.h host/cloud/*.h host/terminal/*.h agent/*.h tests/*.h tests/*/*.h tests/*/*/*.h \
  examples/embed/*/*.h)
GUEST_FLAGS = $(WARNINGS) -Ihost -I/usr/include/lua5.4 $$(pkg-config --cflags sdl2)
GUEST_CC_FLAGS = -std=c++17 $(filter-out -Wstrict-prototypes -Wmissing-prototypes,$(GUEST_FLAGS))

lint: setup-test ## format, luacheck, and the warnings of gcc and clang
	clang-format --dry-run -Werror $(ALL_C) $(ALL_H) $(GUESTS) $(GUESTS_CC)
	luacheck -q .
	for cc in gcc clang; do \
	  $$cc -fsyntax-only -Werror $(C_FLAGS) $(ALL_C) && \
	  $$cc -fsyntax-only -Werror -std=gnu11 $(GUEST_FLAGS) $(GUESTS) || exit 1; \
	done
	for cc in g++ clang++; do \
	  $$cc -fsyntax-only -Werror $(GUEST_CC_FLAGS) $(GUESTS_CC) && \
	  $$cc -fsyntax-only -Werror $(GUEST_CC_FLAGS) -x c++ -include host/lambdapool.h /dev/null || exit 1; \
	done

format: setup-test ## lay out the C sources
	clang-format -i $(ALL_C) $(ALL_H) $(GUESTS) $(GUESTS_CC)

.PHONY: always help setup setup-build setup-test setup-bench setup-valgrind build programs demo install install-files stage clean rock rock-parts install-rock \
  test check asan tsan valgrind fuzz oom npm test-programs thread-programs fuzz-programs bench lint format

-include $(shell find $(BUILD)/host $(BUILD)/agent $(BUILD)/tests -name '*.d' 2>/dev/null)
