# sailor: a planner for distributed training (C11, MPI, OpenMP, HDF5).  `make help` lists the targets,
# `make config` shows what was found.  A site may put its own settings into config.mk.
-include config.mk

# ---- what a user may set ------------------------------------------------------------------------------------
MODE    ?= release#   release | debug | asan | fuzz (clang, libFuzzer)
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
LIBDIR  ?= $(PREFIX)/lib/sailor
DATADIR ?= $(PREFIX)/share/sailor
MANDIR  ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
MPI     ?= mpich#     where a system has several side by side: mpich | openmpi
mpi_kind := $(strip $(MPI))
MPIEXEC ?= $(firstword $(shell command -v mpirun.$(mpi_kind) mpirun mpiexec srun 2>/dev/null))
NP      ?= 2#         ranks of the MPI tests
PYTHON  ?= $(firstword $(wildcard /usr/bin/python3) python3)
WERROR  ?= 0#         1: warnings are errors
V       ?= 0#         1: show the commands
FUZZ_SECONDS ?= 60#   per harness
FAULTS       ?=#      calls that are made to fail: a few; all: 441 of them
BENCH_RUNS   ?= 5
FIGURES_DIR  ?= build/figures
FRESH_DIR    ?= build/fresh
FIGURES_FLAGS ?=#     of sailor figures: --frontier-limit 600, --corrected, ...

mode := $(strip $(MODE))
comma := ,
sh = '$(subst ','\'',$(1))'# one word of the shell, whatever is in it: paths may have spaces
# make would expand a dollar in a path, and the shell would split a path of two lines. $$ is a dollar.
define newline


endef
paths := PREFIX DESTDIR BINDIR LIBDIR DATADIR MANDIR BASHDIR ZSHDIR FIGURES_DIR FRESH_DIR MPIEXEC PYTHON
given = $(filter command environment,$(firstword $(origin $(1))))
dash = $(filter -%,$(firstword $(value $(1))))# commands would take it for an option
odd = $(or $(findstring $(newline),$(value $(1))),$(dash),$(if $(call given,$(1)),$(findstring $$,$(subst $$$$,,$(value $(1))))))
$(foreach v,$(paths),$(if $(call odd,$(v)),$(error $(v)=$(value $(v)): a $$, a new line or a dash before all; expected a path, $$ as $$$$)))
Q    := $(if $(filter 1,$(V)),,@)
B    := build/$(mode)
# release programs are in build/ itself, those of other modes beside their objects
BIN  := $(if $(filter release,$(mode)),build,$(B))

# ---- version: the tag, or VERSION and the commit, or VERSION alone outside of a checkout -----------------------
VERSION := $(shell v=$$(cat VERSION); test -e .git && { git describe --tags --dirty 2>/dev/null || \
             { g=$$(git describe --always --dirty 2>/dev/null) && echo "$$v+g$$g"; }; } || echo "$$v")

# ---- compiler and libraries: every probe can be overridden -----------------------------------------------------
ifeq ($(origin CC),default)
CC := $(firstword $(shell command -v mpicc.$(mpi_kind) mpicc 2>/dev/null))
endif
PKG_CONFIG ?= pkg-config
pc = $(firstword $(foreach p,$(1),$(shell $(PKG_CONFIG) --exists $(p) 2>/dev/null && echo $(p))))
# third-party headers are -isystem: our warnings are about our code; /usr/include must not be named (it breaks C++)
includes = $(shell $(PKG_CONFIG) --cflags-only-I $(1) 2>/dev/null)
sys = $(filter-out -isystem/usr/include,$(patsubst -I%,-isystem%,$(includes)))
hdf5_pc := $(call pc,hdf5-$(mpi_kind) hdf5-mpi hdf5)
HDF5_CPPFLAGS  ?= $(if $(hdf5_pc),$(call sys,$(hdf5_pc)))
# only HDF5 itself: its .pc file drags in MPI's private libraries, which mpicc knows better
HDF5_LIBS      ?= $(if $(hdf5_pc),$(filter -L% -lhdf5%,$(shell $(PKG_CONFIG) --libs $(hdf5_pc))))
CJSON_CPPFLAGS ?= $(patsubst %/cjson,%,$(filter-out -isystem/usr/include/cjson,$(call sys,libcjson)))
CJSON_LIBS     ?= $(if $(call pc,libcjson),$(shell $(PKG_CONFIG) --libs libcjson))
METIS_LIBS     ?= $(if $(wildcard /usr/include/metis.h),-lmetis)# optional: the planner flashflex (Debian: libmetis-dev)
BLAS_CPPFLAGS  ?= $(if $(call pc,openblas),$(call sys,openblas))
BLAS_LIBS      ?= $(if $(call pc,openblas),$(shell $(PKG_CONFIG) --libs openblas))# any BLAS with cblas.h
# optional: the backend for NVIDIA GPUs and NCCL, a shared object that sailor-train loads when asked for
nvccs := $(realpath $(shell command -v nvcc 2>/dev/null)) $(wildcard /usr/local/cuda/bin/nvcc)
CUDA_HOME      ?= $(patsubst %/bin/nvcc,%,$(firstword $(nvccs)))
NVCC           ?= $(if $(strip $(CUDA_HOME)),$(wildcard $(CUDA_HOME)/bin/nvcc))
nccl_hs = $(wildcard $(addsuffix /include/nccl.h,$(CUDA_HOME) /usr/local /usr))
NCCL_HOME      ?= $(patsubst %/include/nccl.h,%,$(firstword $(nccl_hs)))
CUDA_ARCHS     ?= 80 90#  the newest also as PTX, for GPUs that are newer still
CMOCKA_LIBS    ?= $(if $(call pc,cmocka),$(shell $(PKG_CONFIG) --libs cmocka))
missing := $(if $(CC),,mpicc (Debian: mpich);)
missing += $(if $(strip $(HDF5_LIBS)),, HDF5 (libhdf5-mpich-dev, or HDF5_CPPFLAGS= HDF5_LIBS=);)
missing += $(if $(strip $(CJSON_LIBS)),, cJSON (libcjson-dev, or CJSON_CPPFLAGS= CJSON_LIBS=);)
blas    := $(strip $(BLAS_LIBS))# without one there is a planner and no trainer
cuda    := $(if $(blas),$(strip $(NVCC)))
nccl    := $(if $(cuda),$(strip $(NCCL_HOME)))

ifeq ($(mode),fuzz)
export MPICH_CC := clang
export OMPI_CC  := clang
endif
opt_release := -O3 -g -DNDEBUG -fno-math-errno -ffp-contract=off
opt_debug   := -O0 -g3 -ffp-contract=off
opt_asan    := -O1 -g -fno-omit-frame-pointer -ffp-contract=off \
               -fsanitize=address,undefined -fno-sanitize-recover=undefined
opt_fuzz    := $(opt_asan) -fsanitize=fuzzer-no-link -Wno-unused-command-line-argument
ifeq ($(opt_$(mode)),)
$(error MODE=$(mode): expected release, debug, asan or fuzz)
endif
OPT  ?= $(opt_$(mode))
WARN ?= -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wundef -Wpointer-arith -Wcast-qual
WARN += $(if $(filter 1,$(WERROR)),-Werror)
CPPFLAGS   += -D_GNU_SOURCE -DH5_USE_110_API -Isrc $(HDF5_CPPFLAGS) $(CJSON_CPPFLAGS) $(BLAS_CPPFLAGS)
CPPFLAGS   += $(if $(strip $(METIS_LIBS)),-DHAVE_METIS)
ALL_CFLAGS := -std=c11 $(OPT) -fopenmp $(WARN) $(CFLAGS)
LDLIBS     += $(HDF5_LIBS) $(CJSON_LIBS) $(METIS_LIBS) -lm

# ---- sources; tests/cli/layers.t checks who may include whom
src_of   = $(sort $(foreach d,$(1),$(wildcard src/$(d)/*.c)))
planner := $(call src_of,base sim io search formats import export planners cli)
nccl_c  := src/train/comm_nccl.c
plugin_c := src/train/cuda_version.c $(nccl_c)
trainer := $(filter-out $(plugin_c),$(call src_of,base sim io formats train))
src     := $(sort $(planner) $(trainer))
lib_o   := $(filter-out %/main.o,$(planner:%.c=$(B)/%.o))
train_o := $(filter-out %/main.o,$(trainer:%.c=$(B)/%.o))
programs := $(BIN)/sailor $(if $(blas),$(BIN)/sailor-train)
plugin   := $(if $(cuda),$(BIN)/sailor-train-cuda.so)

# A test program is tests/SUITE/t_*.c; the other .c files beside it are its helpers.
progs_of   = $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/$(1)/t_*.c)))
helpers_of = $(patsubst %.c,$(B)/%.o,$(sort $(filter-out tests/$(1)/t_%,$(wildcard tests/$(1)/*.c))))
unit     := $(call progs_of,unit)
property := $(call progs_of,property)
mpi      := $(call progs_of,mpi)
train    := $(if $(blas),$(call progs_of,train))
tests    := $(unit) $(property) $(mpi) $(train)
fuzzers  := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all tests config check check-unit check-property check-mpi check-train check-gpu check-cli check-html \
        check-jobs check-fuzz check-long check-faults check-slurm check-pack check-fresh replay fuzz fuzz-all \
        bench bench-scale bench-ranks bench-parts bench-train figures loop demo install uninstall deb format lint clean help \
        FORCE

## all: build the planner, build/sailor, and the trainer, build/sailor-train (the default)
all: $(programs) $(plugin)
	$(if $(plugin),,@rm -f $(BIN)/sailor-train-cuda.so)
	$(if $(blas),,@echo "  build/sailor-train: not built, no BLAS (libopenblas-dev, or BLAS_CPPFLAGS= BLAS_LIBS=)")

$(BIN)/sailor: $(planner:%.c=$(B)/%.o)
	@mkdir -p $(@D); echo "  LINK  $@"
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LDLIBS)
$(BIN)/sailor-train: $(trainer:%.c=$(B)/%.o)
	@mkdir -p $(@D); echo "  LINK  $@$(if $(cuda),, (backend cpu; CUDA: not built, no nvcc))"
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -rdynamic -o $@ $(filter %.o,$^) $(BLAS_LIBS) $(LDLIBS)

# nvcc chooses its own host compiler: NVCC_FLAGS=-ccbin ... changes it
nvcc_flags = -std=c++17 -O3 -lineinfo -Isrc $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
             -gencode arch=compute_$(lastword $(CUDA_ARCHS)),code=compute_$(lastword $(CUDA_ARCHS)) \
             -Xcompiler -Wall,-Wextra,-fPIC $(if $(filter 1,$(WERROR)),-Werror all-warnings -Xcompiler -Werror) \
             $(NVCC_FLAGS)
cuda_libs  = -L$(CUDA_HOME)/lib64 -Wl,-rpath,$(CUDA_HOME)/lib64 -lcublasLt -lcudart_static -lstdc++ -ldl -lrt -lpthread
plugin_o := $(patsubst %.c,$(B)/%.o,$(if $(nccl),$(plugin_c),$(filter-out $(nccl_c),$(plugin_c))))
$(BIN)/sailor-train-cuda.so: $(B)/src/train/backend_cuda.o $(plugin_o)
	@mkdir -p $(@D); echo "  LINK  $@ (CUDA, $(if $(nccl),NCCL,no NCCL: nccl.h not found))"
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -shared -o $@ $(filter %.o,$^) $(cuda_libs) \
	    $(if $(nccl),-L$(nccl)/lib -Wl$(comma)-rpath$(comma)$(nccl)/lib -lnccl)
$(B)/%.o: %.cu $(B)/flags
	@mkdir -p $(@D); echo "  NVCC  $<"
	$(Q)$(NVCC) $(nvcc_flags) -MMD -MP -c -o $@ $<
$(plugin_c:%.c=$(B)/%.o): private ALL_CFLAGS += -fPIC
# lets loops with a condition be vectorised; values stay the same
$(B)/src/train/backend_cpu.o $(B)/src/train/backend_cpu_bf16.o: private ALL_CFLAGS += -fno-trapping-math
$(nccl_c:%.c=$(B)/%.o): private CPPFLAGS += -isystem $(CUDA_HOME)/include \
    $(if $(filter-out /usr,$(nccl)),-isystem $(nccl)/include)

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Other flags or another compiler rebuild everything; another version only the files that print it.
flags = $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) $(LDLIBS) $(NVCC) $(if $(cuda),$(nvcc_flags))
$(B)/flags: FORCE
	$(if $(strip $(missing)),$(error not found: $(strip $(missing)) see README.md))
	@mkdir -p $(@D); echo $(call sh,$(flags)) > $@.$$$$; \
	 cmp -s $@.$$$$ $@ && rm $@.$$$$ || mv $@.$$$$ $@
$(B)/version: FORCE
	@mkdir -p $(@D); echo '$(VERSION)' > $@.$$$$; cmp -s $@.$$$$ $@ && rm $@.$$$$ || mv $@.$$$$ $@
version_o := $(patsubst %.c,$(B)/%.o,$(if $(src),$(shell grep -ls SAILOR_VERSION $(src) $(plugin_c))))
$(version_o): $(B)/version
$(version_o): CPPFLAGS += -DSAILOR_VERSION='"$(VERSION)"'

# ---- tests ---------------------------------------------------------------------------------------------------
test_link = $(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -o $@ $(filter tests/%.c,$^) \
            $(filter %.o,$^) $(test_flags) $(LDLIBS)
define test_rule
$(B)/tests/$(1)/t_%: tests/$(1)/t_%.c $(call helpers_of,$(1)) $(lib_o)
	@mkdir -p $$(@D); echo "  TEST  $$@"
	$$(test_link) $(2)
endef
$(eval $(call test_rule,unit,$(CMOCKA_LIBS)))
$(eval $(call test_rule,mpi,$(CMOCKA_LIBS)))
$(eval $(call test_rule,property,))
$(B)/tests/train/t_%: tests/train/t_%.c $(call helpers_of,train) $(train_o)
	@mkdir -p $(@D); echo "  TEST  $@"
	$(test_link) $(BLAS_LIBS) -rdynamic
# comm nccl on the host, with an NCCL over shared memory
nccl_o := $(B)/tests/train/nccl/comm_nccl.o $(B)/tests/train/nccl/nccl.o
$(B)/tests/train/t_nccl: $(nccl_o)
$(B)/tests/train/t_nccl $(nccl_o): private CPPFLAGS := -Itests/train/nccl $(CPPFLAGS)
$(B)/tests/train/nccl/comm_nccl.o: $(nccl_c) $(B)/flags
	@mkdir -p $(@D); echo "  CC    $@"
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
# system calls that fail, by LD_PRELOAD; the sanitizer has to begin before it
shim_flags := $(if $(filter asan,$(mode)),-DSANITIZED -Wl$(comma)--no-as-needed -lasan)
shim := $(B)/tests/faults/shim.so
$(shim): tests/faults/shim.c $(B)/flags
	@mkdir -p $(@D); echo "  LINK  $@"
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -shared -fPIC -o $@ $< $(shim_flags) -ldl
# the CUDA backend on the host: its own kernels on a GPU made of fibers
emulated := tests/train/emulated
$(B)/tests/train/t_cuda: | $(B)/tests/train/emulated.so $(plugin)
$(B)/tests/train/emulated.so: $(B)/tests/train/emulated/backend_cuda.o $(B)/tests/train/emulated/device.o \
                               $(B)/src/train/cuda_version.o
	@echo "  LINK  $@"
	$(Q)$(CXX) -shared -o $@ $(filter %.o,$^)
$(B)/tests/train/emulated/backend_cuda.o: src/train/backend_cuda.cu $(B)/flags
$(B)/tests/train/emulated/device.o: $(emulated)/device.cc $(B)/flags
$(B)/tests/train/emulated/%.o:
	@mkdir -p $(@D); echo "  CXX   $@"
	$(Q)$(CXX) -std=c++17 -O2 -g -fPIC -Wall -Wextra -Wno-unknown-pragmas $(if $(filter 1,$(WERROR)),-Werror) \
	    -D_GNU_SOURCE -I$(emulated) -Isrc -MMD -MP -c -o $@ -x c++ $<

## tests: build the test programs
tests: $(tests)

# tests/run counts what really ran; the results of the suites add up in build/MODE/results. hwloc's OpenCL plugin leaks
# and is unloaded before the leak sanitizer can name it: no hwloc plugins in tests.
test_env := env -u OMP_NUM_THREADS OMP_THREAD_LIMIT=2 OMP_WAIT_POLICY=passive UCX_HANDLE_ERRORS=none \
            HWLOC_PLUGINS_PATH=/nonexistent \
            OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 \
            CMOCKA_MESSAGE_OUTPUT=TAP RESULTS=$(call sh,$(CURDIR)/$(B)/results) \
            BIN=$(call sh,$(CURDIR)/$(BIN)) MPIEXEC=$(call sh,$(MPIEXEC)) PYTHON=$(call sh,$(PYTHON)) \
            CC=$(call sh,$(CC)) CPPFLAGS=$(call sh,$(CPPFLAGS)) \
            SHIM=$(call sh,$(CURDIR)/$(B)/tests/faults/shim.so) \
            EMULATED_GPU=$(call sh,$(CURDIR)/$(B)/tests/train/emulated.so) \
            T_CUDA=$(call sh,$(CURDIR)/$(B)/tests/train/t_cuda) T_NCCL=$(call sh,$(CURDIR)/$(B)/tests/train/t_nccl)
run := $(test_env) tests/run

## check: all quick tests: unit, property, mpi, train, cli, jobs
check: all tests
	$(Q)rm -rf $(B)/results
	+$(Q)$(MAKE) --no-print-directory -j1 -k check-unit check-property check-mpi check-train check-cli \
	    check-jobs; $(run) --sum
## check-unit: cmocka programs tests/unit/t_*.c
check-unit: $(unit)
	$(Q)$(run) unit $(unit)
## check-property: random and exhaustive comparisons, tests/property/t_*.c
check-property: $(property)
	$(Q)$(run) property $(property)
## check-mpi: cmocka programs tests/mpi/t_*.c under mpirun -n $(NP)
check-mpi: $(mpi)
	$(Q)$(run) -n $(NP) mpi $(mpi)
## check-train: the trainer's programs tests/train/t_*.c, some under mpirun -n 2, 4, 5 and 8, and PyTorch if there
check-train: all $(train) $(if $(blas),$(BIN)/bench_train)
	$(if $(blas),$(Q)$(run) train $(train) tests/train/torch.t \
	    tests/train/torch_families.t tests/train/torch_weights.t tests/train/transformers.t tests/train/bench.t \
	    tests/train/threads.t tests/train/nccl.t)
	$(if $(blas),$(Q)$(run) -n 2 train-2 $(B)/tests/train/t_parallel)
	$(if $(blas),$(Q)$(run) -n 4 train-4 $(B)/tests/train/t_parallel)
	$(if $(blas),$(Q)$(run) -n 5 train-5 $(B)/tests/train/t_parallel)
	$(if $(blas),$(Q)$(run) -n 8 train-8 $(B)/tests/train/t_parallel)
	$(if $(blas),$(Q)$(run) -n 2 train-nccl-2 $(B)/tests/train/t_nccl)
	$(if $(blas),$(Q)$(run) -n 4 train-nccl-4 $(B)/tests/train/t_nccl)
	$(if $(blas),$(Q)$(run) -n 5 train-nccl-5 $(B)/tests/train/t_nccl)
	$(if $(blas),$(Q)$(run) -n 2 train-cuda-2 $(B)/tests/train/t_cuda)
	$(if $(blas),$(Q)$(run) -n 4 train-cuda-4 $(B)/tests/train/t_cuda)
## check-gpu: on a machine with a GPU: the CUDA backend against the CPU's, under mpirun and compute-sanitizer
check-gpu: all $(B)/tests/train/t_cuda
	$(Q)GPU_ONLY=1 $(run) gpu $(B)/tests/train/t_cuda
	$(Q)GPU_ONLY=1 $(run) -n 2 gpu-2 $(B)/tests/train/t_cuda
	$(Q)GPU_ONLY=1 $(run) -n 4 gpu-4 $(B)/tests/train/t_cuda
	$(Q)TEST_SECONDS=1800 $(run) gpu-whole tests/cli/cuda.t tests/train/sanitize.t
## check-cli: the program from outside, tests/cli/*.t (TAP)
check-cli: all $(if $(blas),$(B)/tests/train/emulated.so)
	$(Q)$(run) cli $(sort $(wildcard tests/cli/*.t))
## check-html: of these, the HTML report, opened and clicked in headless Chromium if there is one
check-html: all
	$(Q)$(run) cli tests/cli/html.t
## check-jobs: syntax and shellcheck of every shell script
check-jobs:
	$(Q)$(run) jobs tests/slurm/scripts.t
## check-long: kill and resume, long random runs: tests/long/*.t, and tests/property with SAILOR_LONG=1
check-long: all $(property) $(shim)
	$(Q)SAILOR_LONG=1 TEST_SECONDS=1200 $(run) long $(sort $(wildcard tests/long/*.t)) \
	    $(patsubst tests/%.c,$(B)/tests/%,$(if $(property),$(shell grep -ls SAILOR_LONG tests/property/t_*.c)))
## check-faults: what users ran into, and system calls that fail: tests/faults/*.t
check-faults: all $(shim)
	$(Q)FAULTS=$(FAULTS) TEST_SECONDS=3600 $(run) faults $(sort $(wildcard tests/faults/*.t))
## check-slurm: submit the scripts of jobs/ to a throw-away local Slurm: run, cut, requeue, resume, kill, compare
check-slurm: all
	$(Q)TEST_SECONDS=900 $(run) slurm $(filter-out %/scripts.t,$(sort $(wildcard tests/slurm/*.t)))
## check-pack: what packages the last commit for others: tests/pack/*.t
check-pack: all
	$(Q)TEST_SECONDS=600 $(run) pack $(sort $(wildcard tests/pack/*.t))
## check-fresh: quickstart and quickstart check on a bare Debian 12 in build/fresh (FRESH_DIR=); root, debootstrap, 4 GB
check-fresh:
	$(Q)FRESH_DIR=$(call sh,$(FRESH_DIR)) tests/fresh.sh

# The replay needs no libFuzzer: the same harness with a small main() that reads files.
## check-fuzz: replay the corpus of every fuzz harness under the sanitizers
check-fuzz:
	+$(Q)$(MAKE) --no-print-directory MODE=asan replay
replay: $(fuzzers:%=$(B)/tests/fuzz/%.replay)
	$(Q)$(run) fuzz $^
fuzz_train_o := $(B)/src/train/arch.o $(B)/src/train/arch_read.o $(B)/src/train/data.o \
                $(B)/src/train/safetensors.o# what the trainer reads, and no BLAS
$(B)/tests/fuzz/%.replay: tests/fuzz/%.c tests/fuzz/replay.c $(lib_o) $(fuzz_train_o)
	@mkdir -p $(@D); echo "  TEST  $@"
	$(test_link)
$(B)/tests/fuzz/%: tests/fuzz/%.c $(lib_o) $(fuzz_train_o)
	@mkdir -p $(@D); echo "  FUZZ  $@"
	$(test_link) -fsanitize=fuzzer
fuzz-all: $(fuzzers:%=$(B)/tests/fuzz/%)
	$(Q)set -e; for f in $(fuzzers); do n=$${f#fuzz_}; mkdir -p $(B)/corpus/$$n; echo "  $$f: $(FUZZ_SECONDS) s"; \
	  $(test_env) $(B)/tests/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -timeout=20 \
	    -artifact_prefix=$(B)/$$f- $(B)/corpus/$$n tests/fuzz/corpus/$$n; done
## fuzz: let clang's libFuzzer look for new inputs, FUZZ_SECONDS=60 per harness
fuzz:
	$(Q)if echo 'int LLVMFuzzerTestOneInput(const char*d,long n){(void)d;return n<0;}' | \
	  clang -x c -fopenmp -fsanitize=fuzzer,address,undefined - -o /dev/null 2>/dev/null; \
	then $(MAKE) --no-print-directory MODE=fuzz fuzz-all; \
	else echo "fuzz: skipped: clang with libFuzzer and OpenMP not found (Debian: clang libclang-rt-dev libomp-dev)"; fi

# ---- measurements --------------------------------------------------------------------------------------------
# One GPU without MPI and HDF5, and the same program on the CPU, for testing
bench_o := $(patsubst src/%.c,$(B)/src/%.o,$(wildcard src/base/*.c)) $(patsubst %,$(B)/src/%.o,sim/plan sim/runner sim/sheet sim/tables \
           formats/devices formats/timeline io/json formats/planjson train/arch train/arch_read train/clock train/data train/grid \
           train/ledger train/net train/rate train/trainer train/zero)
$(BIN)/bench_gpu $(BIN)/bench_train: test_flags = -Wl,--as-needed# MPI and HDF5 are not needed
$(BIN)/bench_gpu: tests/bench/bench_gpu.c $(bench_o) $(B)/src/train/backend_cuda.o
	@mkdir -p $(@D); echo "  LINK  $@"
	$(test_link) $(cuda_libs)
$(BIN)/bench_train: tests/bench/bench_gpu.c $(bench_o) $(patsubst %,$(B)/src/train/%.o,backend_cpu backend_cpu_bf16 blas)
	@mkdir -p $(@D); echo "  LINK  $@"
	$(test_link) $(BLAS_LIBS) -DBENCH_CPU
$(BIN)/bench_%: tests/bench/bench_%.c $(lib_o)
	@mkdir -p $(@D); echo "  LINK  $@"
	$(test_link)
bench_env := BIN=$(call sh,$(CURDIR)/$(BIN)) MPIEXEC=$(call sh,$(MPIEXEC)) PYTHON=$(call sh,$(PYTHON))
quiet_env := HWLOC_PLUGINS_PATH=/nonexistent UCX_HANDLE_ERRORS=none OMP_WAIT_POLICY=passive
## bench: time the published experiments and the estimator, BENCH_RUNS=5 runs each
bench: all $(patsubst tests/bench/%.c,$(BIN)/%,$(filter-out %/bench_gpu.c,$(wildcard tests/bench/bench_*.c)))
	$(Q)$(bench_env) RUNS=$(BENCH_RUNS) tests/bench/bench.sh

## bench-scale: what pools of many zones and GPU types get after 1 s, 2 s and LIMIT=60 s each
bench-scale: $(BIN)/sailor
	$(Q)$(bench_env) tests/bench/scale.sh

## bench-train: training on the CPU compared with PyTorch (PYTHON with torch), BENCH_RUNS=5 runs each
bench-train: all $(BIN)/bench_train
	$(Q)env $(quiet_env) MPIEXEC=$(call sh,$(MPIEXEC)) $(PYTHON) tests/bench/train.py $(call sh,$(CURDIR)/$(BIN)) $(BENCH_RUNS)

## bench-ranks: two ranks of one thread against one, on searches of 20 s or more (two idle cores)
bench-ranks: $(BIN)/sailor
	$(Q)$(bench_env) MPIEXEC=$(call sh,$(MPIEXEC)) tests/bench/ranks.sh

## bench-parts: random pools against their parts and the planners, after 2 s each
bench-parts: $(BIN)/sailor
	$(Q)$(bench_env) tests/bench/parts.sh

## loop: profile and netbench on this machine's CPU ranks, plan, train, compare (some minutes)
loop: all
	$(Q)$(bench_env) $(quiet_env) tests/bench/loop.sh

## demo: train a small model on the licence texts of this machine, two ranks, and draw its losses (some minutes)
demo: all
	$(Q)$(bench_env) $(quiet_env) tests/bench/demo.sh

## figures: run the published comparison again and draw it, into build/figures (FIGURES_DIR=, FIGURES_FLAGS=)
figures: all
	$(Q)mkdir -p $(call sh,$(FIGURES_DIR))
	$(Q)$(BIN)/sailor figures -o $(call sh,$(FIGURES_DIR)/figures.h5) -f $(FIGURES_FLAGS)
	$(Q)$(call sh,$(PYTHON)) analysis/figures.py $(call sh,$(FIGURES_DIR)/figures.h5) -o $(call sh,$(FIGURES_DIR)) \
	    --format png,pdf --table $(call sh,$(FIGURES_DIR)/figures.md)

# ---- installation --------------------------------------------------------------------------------------------
man := $(sort $(wildcard man/*.1))
in_dir = $(foreach f,$(notdir $(2)),$(call sh,$(DESTDIR)$(1)/$(f)))# directory, files
## install: into $(DESTDIR)$(PREFIX)
install: all
	install -d $(call sh,$(DESTDIR)$(BINDIR)) $(call sh,$(DESTDIR)$(DATADIR)) $(if $(man),$(call in_dir,$(MANDIR),man1))
	install -m 755 $(programs) analysis/sailor-plot $(call sh,$(DESTDIR)$(BINDIR))
	$(if $(plugin),install -d $(call sh,$(DESTDIR)$(LIBDIR)) && install -m 755 $(plugin) $(call sh,$(DESTDIR)$(LIBDIR)))
	install -d $(call sh,$(DESTDIR)$(BASHDIR)) $(call sh,$(DESTDIR)$(ZSHDIR))
	for p in $(programs) analysis/sailor-plot; do \
	  $$p completion bash > $(call sh,$(DESTDIR)$(BASHDIR))/$${p##*/} && \
	  $$p completion zsh > $(call sh,$(DESTDIR)$(ZSHDIR))/_$${p##*/} || exit 1; \
	done
	for d in inputs analysis jobs docs; do if [ -d $$d ]; then cp -R $$d $(call sh,$(DESTDIR)$(DATADIR)/); fi; done
	find $(call sh,$(DESTDIR)$(DATADIR)) -name __pycache__ -prune -exec rm -rf {} +
	$(if $(man),install -m 644 $(man) $(call in_dir,$(MANDIR),man1))
at_data = sh -c 'CDPATH= cd -- "$$0" 2>/dev/null && $(1) "$$@"; :' $(call sh,$(DESTDIR)$(DATADIR)) {} +# for find -exec
## uninstall: remove what install put there, and nothing else: a site of your own in its inputs/ stays
uninstall:
	$(RM) $(call in_dir,$(BINDIR),$(programs) sailor-plot) $(call in_dir,$(MANDIR)/man1,$(man))
	$(RM) $(call in_dir,$(LIBDIR),sailor-train-cuda.so)
	$(RM) $(call in_dir,$(BASHDIR),$(programs) sailor-plot)
	$(RM) $(call in_dir,$(ZSHDIR),$(addprefix _,$(notdir $(programs)) sailor-plot))
	$(RM) -r $(call sh,$(DESTDIR)$(DATADIR)/analysis/__pycache__)
	find $(wildcard inputs analysis jobs docs) ! -type d -exec $(call at_data,rm -f)
	find $(wildcard inputs analysis jobs docs) -depth -type d -exec $(call at_data,rmdir 2>/dev/null)
	rmdir $(call sh,$(DESTDIR)$(DATADIR)) $(call sh,$(DESTDIR)$(LIBDIR)) 2>/dev/null || :
## deb: a Debian package of the last commit, in build/deb
deb:
	packaging/deb build/deb

# ---- housekeeping --------------------------------------------------------------------------------------------
c_files = $(shell find src tests -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cc')
## format: clang-format in place
format:
	clang-format -i $(c_files)
## lint: clang-format, the warnings of clang, dead exports, links and paths, long lines, one statement a line, commands: tests/lint/*.t
lint: all $(if $(blas),$(B)/tests/train/emulated.so $(nccl_o))
	$(Q)OBJECTS=$(B) WARN="$(filter-out -Werror,$(WARN))" $(run) lint $(sort $(wildcard tests/lint/*.t))
## config: print what was found
config:
	@printf '%-9s %s\n' version '$(VERSION)' mode '$(mode) -> $(BIN)/sailor' compiler '$(or $(CC),not found)' \
	  flags '$(ALL_CFLAGS)' \
	  hdf5 '$(or $(hdf5_pc),$(HDF5_LIBS),not found)' cjson '$(or $(CJSON_LIBS),not found)' \
	  blas '$(or $(BLAS_LIBS),not found)' cuda '$(or $(NVCC),not found)' nccl '$(or $(nccl),not found)' \
	  cmocka '$(or $(CMOCKA_LIBS),not found: unit and MPI tests cannot be built)' \
	  mpiexec '$(or $(MPIEXEC),not found)' prefix $(call sh,$(PREFIX))
## clean: remove build/
clean:
	$(RM) -r build
## help: this list
help:
	@awk -F': ' '/^## [a-z-]+: / { printf "  make %-15s %s\n", substr($$1, 4), substr($$0, length($$1) + 3) }' Makefile
	@echo '  variables: MODE=release|debug|asan MPI=mpich|openmpi PREFIX= DESTDIR= CC= CFLAGS= MPIEXEC= NP=2 WERROR=1 V=1'

-include $(shell find $(B) -name '*.d' 2>/dev/null)
