# SPDX-License-Identifier: Apache-2.0
# Sets up .venv, then runs the program's own commands in it. `make help` says what there is.

PYTHON := python3
VENV := .venv
STAMP := $(VENV)/installed
RUN := $(VENV)/bin/python -m
LINKS := $(VENV)/types/backspike

CHIP := CORES LANES STEPS SLOTS SLICES WEIGHTS NEURONS TAPE_WORDS FAN_IN ROUTES LIST_DEPTH BATCH_TERMS\
  OPERAND_BITS NOISE TERNARY DENSE_ONLY CHAIN OUTPUT
TRAINING := PRESET NETWORK RULE LOSS LOSS_SPAN RESET KAPPA THETA WIDTH RATE UPDATE MOMENTUM DECAY LOSS_SCALE DATA SAMPLES\
  ENCODER CLASSES BATCH TESTS EPOCHS VALIDATION PATIENCE SEED IDLE
FLAGS := STRICT BIAS NO_SKIPPING
BENCH := CASES CORES SAMPLES RULE SEED OUTPUT
BITSTREAM := $(CHIP) BOARD CLOCK BAUD SEED
SYNTH := $(filter-out CORES,$(CHIP)) BOARD UNIT
ASIC := $(filter-out CORES,$(CHIP)) LIBERTY UNIT CYCLES HOLD WIRE SEED
FEDERATED := WORKERS ROUNDS LOCAL_EPOCHS PARTITION DROP
TARGETS := help sim bench federated verilog bitstream boards synth asic test test-full lint gates check-docs docs nightly setup\
  clean distclean

# What each target takes on the command line, apart from PYTHON.
TAKES_sim := $(CHIP) $(TRAINING) $(FLAGS) WAVES
TAKES_bench := $(BENCH)
TAKES_federated := $(FEDERATED) STEPS OUTPUT $(filter-out PRESET EPOCHS IDLE,$(TRAINING)) STRICT BIAS
TAKES_verilog := $(CHIP)
TAKES_bitstream := $(BITSTREAM) RECORD
TAKES_synth := $(SYNTH)
TAKES_asic := $(ASIC)
TAKES_test := ARGS
TAKES_test-full := ARGS
TAKES_gates := RENEW
TAKES_check-docs := RENEW

# A variable that nothing reads is most likely misspelled.
GOALS := $(or $(MAKECMDGOALS),help)
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
WRONG := $(filter-out PYTHON $(foreach goal,$(GOALS),$(TAKES_$(goal))),$(GIVEN))
ifneq ($(WRONG),)
$(error make $(GOALS) has no variable $(firstword $(WRONG)); it has PYTHON $(foreach goal,$(GOALS),$(TAKES_$(goal))))
endif
ifneq ($(words $(CURDIR)),1)
$(error The path of this folder must not contain spaces, which Verilator cannot handle: $(CURDIR))
endif
$(foreach flag,$(FLAGS) RECORD RENEW,$(if $(filter-out 0 1,$($(flag))),$(error $(flag) must be 0 or 1, not $($(flag)))))
$(if $(filter-out 0 1 all,$(WAVES)),$(error WAVES must be 0, 1 or all, not $(WAVES)))

# --tape-words='64' for TAPE_WORDS=64; nothing for a variable that is not set.
lower = $(subst _,-,$(shell echo $(1) | tr A-Z a-z))
quoted = '$(subst ','\'',$(1))'
options = $(foreach name,$(1),$(if $($(name)),--$(call lower,$(name))=$(call quoted,$($(name)))))
switches = $(foreach name,$(1),$(if $(filter 1,$($(name))),--$(call lower,$(name))))
recording = $(if $(filter 1,$(WAVES)),--waves)$(if $(filter all,$(WAVES)),--waves=all)

# Variables of this Makefile are not meant for those of Verilator, which run below it.
MAKEOVERRIDES :=
unexport $(CHIP) $(TRAINING) $(FLAGS) $(BENCH) $(FEDERATED) $(BITSTREAM) $(ASIC) RECORD RENEW WAVES ARGS
# Tests that share what they build stay in one process, and the longest come first: tests/conftest.py.
PROCESSES := --numprocesses auto --dist loadgroup --no-loadscope-reorder
# The matrices are small: more threads would wait for each other.
export OMP_NUM_THREADS ?= 1
# Built simulations, which all targets share: sim/verilator/build_cache.py.
export BACKSPIKE_CACHE ?= $(CURDIR)/build/cache

.PHONY: $(TARGETS) tools FORCE

help:
	@sed -n 's/^#: \{0,1\}//p' Makefile

#: make sim         generate a chip, simulate it, train it on real digits, compare it with the golden model
#: make bench       measure a set of networks on simulated chips; tables and pictures in build/bench
#: make federated   let workers with data of their own learn one network together; result in build/federated
#: make verilog     write a chip as Verilog, and a JSON description beside it
#: make bitstream   turn a chip into a bitstream for an FPGA board
#: make boards      list the FPGA boards, and the largest chip that has been built for each
#: make synth       area and clock of a chip's units on an FPGA
#: make asic        area, delay and energy of a chip's units in the standard cells of a liberty file
#: make test        run the tests; make test ARGS='-k router' runs some
#: make test-full   run the tests, also those that take very long
#: make lint        check the style, the layers of imports and the types of the sources
#: make gates       compare cycles and area with committed values, after make sim; RENEW=1 commits those of today
#: make check-docs  compare the numbers of the pages with what .ci/run has printed; RENEW=1 puts those into the pages
#: make docs        build the site of the pages and of the reference in build/site; runs the tutorials
#: make nightly     run what takes too long for every change
#: make setup       only install everything into .venv, which every other target does when needed
#: make clean       remove what was built, and the simulations kept in build/cache; make distclean removes .venv too
#:
#: Variables of sim and verilog, with their defaults:
#:   CORES=4            cores, in the most nearly square mesh
#:   LANES=1            lanes of each engine: 1, 2, 4 or 8
#:   STEPS=4            time steps
#:   SLOTS=2            samples in flight per layer slice
#:   SLICES=4           layer slices that a core can hold
#:   WEIGHTS=16384      weights that a core can hold
#:   NEURONS=256        neurons that a core can hold
#:   TAPE_WORDS=64      words of 32 input spikes that a core can hold per slot
#:   FAN_IN=32          entries of a core's fan-in table, one for each producer of each slice
#:   ROUTES=64          entries of a core's table of packet sources and destinations
#:   LIST_DEPTH=1024    entries of the engines' lists: inputs of a group that an output pixel sees
#:   BATCH_TERMS=65536  terms of a gradient in a batch: steps x output pixels x samples
#:   OPERAND_BITS=1     bits of what a gradient multiplies a delta with: 1 spikes, 7 traces and counts too
#:   NOISE=0            1: noise can move thresholds, for the rule opzo; 0: not
#:   TERNARY=0          1: errors can also go back as ternary spikes, with OPERAND_BITS of 2 to 8; 0: not
#:   DENSE_ONLY=0       1: smaller engines, for dense layers only; 0: also convolutions
#:   CHAIN=0            1: a chain of cores, with small routers; 0: a mesh
#:   OUTPUT             folder for everything that is written: build/sim or build/verilog; no spaces in that of sim
#: Variables of sim:
#:   PRESET=digits      what is taken for all variables that are not set: digits, as listed here; mlp: 784-128-10 on 20
#:                      cores; deep20: a convolutional network of eight layers on 20 cores
#:   NETWORK=64-128-10  layers, such as 64-128-10 or 1x28x28-c16k3s2p1-a2-10
#:   RULE=bptt          learning rule: bptt, tbptt:C, sltt, sltt-k:K, ottt, ottt-o, dsr, spide:TB, dfa, opzo
#:   LOSS=rate          rate: squared error of the spike rate, on the chip; cross-entropy: by the host
#:   LOSS_SPAN=all      all: all steps count for loss and answer; last: the last one alone
#:   RESET=soft         reset of a neuron that spikes: soft or hard
#:   KAPPA=0.5          leak of a neuron, 0 to 1
#:   THETA=1.0          threshold of a neuron
#:   WIDTH              full width of the surrogate gradient, by default 2 THETA, in the last layer 4 THETA
#:   STRICT=0           1: a neuron spikes above the threshold only, not at it
#:   BIAS=0             1: every neuron has a bias
#:   RATE               learning rate of the first epochs; by default it follows from network and data
#:   UPDATE             what weights follow: momentum, lion or sign; by default momentum, with ottt-o lion
#:   MOMENTUM           momentum of the weight updates, by default 0.875, with lion and sign 0.984375
#:   DECAY=1.0          share of a weight that an update keeps: weight decay
#:   LOSS_SCALE         factor of the loss, by default 1 / STEPS
#:   DATA=digits        digits, mnist5k, FILE.npz, FILE.csv, NAME_TRAIN.ts, or a folder of IDX files or of recordings of
#:                      events; network and steps follow from the data where they are not set
#:   ENCODER            what makes inputs of the data, by default that for this kind of data: see docs/data.md
#:   CLASSES            names of the classes in the order of their numbers, joined by commas
#:   SAMPLES=208        training samples on the chip, rounded up to whole batches
#:   BATCH=16           samples per weight update; with ottt-o 1
#:   TESTS=96           test samples on the chip
#:   EPOCHS=20          epochs of the golden model's full training
#:   VALIDATION=0.0     share of the training samples that decides which epoch's weights are taken, such as 0.2
#:   PATIENCE           epochs without a better result on them after which the training ends
#:   SEED=1             seed of weights, order of samples and initial memory contents
#:   IDLE=0.0           chance that the host pauses in a cycle
#:   NO_SKIPPING=0      1: the engines work on zeros too
#:   WAVES=0            1: record the first batch's waves, of all links, in chip.vcd; all: of all signals
#: Variables of bench:
#:   CASES              names joined by commas: digits, mlp, deep20, scaling, lanes-dense, lanes-conv, golden; all by default
#:   CORES              numbers of cores joined by commas, instead of those of the cases
#:   SAMPLES            training samples of each run, instead of those of the cases
#:   RULE=bptt          learning rules joined by commas, such as bptt,sltt: each case runs with each
#:   SEED=1             as in sim
#:   OUTPUT             folder for everything that is written: build/bench
#: Variables of federated, beside those of sim from STEPS and NETWORK on that are about the training:
#:   WORKERS=5          workers, each with a share of the training samples
#:   ROUNDS=3           rounds
#:   LOCAL_EPOCHS=1     epochs of each worker in a round
#:   PARTITION=iid      iid: samples are shared out at random; label: each worker sees few of the classes
#:   DROP=0.0           chance that a worker is absent in a round
#:   OUTPUT             folder for everything that is written: build/federated
#: Variables of bitstream and, apart from CORES, synth (also LANES to CHAIN, by default those of the board):
#:   BOARD=ulx3s_85f    one of those that make boards lists
#:   CORES              cores, by default as many as the board's file says
#:   OUTPUT             folder for everything that is written: build/fpga/BOARD or build/synth
#: Variables of bitstream:
#:   CLOCK              clock of the chip in MHz, by default that of the board
#:   BAUD               symbols per second of the serial port, by default those of the board
#:   SEED=1             of the placement
#:   RECORD=0           1: add the result to fpga/built.json and docs/fpga.md
#: Variables of synth:
#:   UNIT               units joined by commas, such as router,core.forward; all, without their clocks, by default
#: Variables of asic (also LANES to CHAIN, as in verilog):
#:   LIBERTY            liberty file of the standard cells; needed
#:   UNIT               units joined by commas, such as router,sums.lane_0; by default the tile
#:   CYCLES             cycles with random inputs, for the switching energy; by default that is not computed
#:   HOLD               input ports that keep a value in these cycles, such as valid=1, joined by commas
#:   WIRE               capacitance of wires in femtofarads for each pin that they go to, by default none
#:   SEED=1             of the random inputs
#:   OUTPUT             folder for everything that is written: build/asic
#: PYTHON=python3 is the Python that .venv is made with, 3.11 or newer.

sim: $(STAMP) tools
	$(RUN) backspike.cli sim $(call options,$(CHIP) $(TRAINING)) $(call switches,$(FLAGS)) $(recording)

bench: $(STAMP) tools
	$(RUN) backspike.cli bench $(call options,$(BENCH))

federated: $(VENV)/federated
	$(RUN) backspike.cli federated $(call options,$(FEDERATED) STEPS OUTPUT $(filter-out PRESET EPOCHS IDLE,$(TRAINING))) $(call switches,STRICT BIAS)

verilog: $(STAMP)
	$(RUN) backspike.cli verilog $(call options,$(CHIP))

bitstream: $(STAMP)
	$(RUN) backspike.cli bitstream $(call options,$(BITSTREAM)) $(call switches,RECORD)

boards: $(STAMP)
	$(RUN) backspike.cli boards

synth: $(STAMP)
	$(RUN) backspike.cli synth $(call options,$(SYNTH))

asic: $(VENV)/asic
	$(RUN) backspike.cli asic $(call options,$(ASIC))

test: $(STAMP) tools
	$(RUN) pytest $(PROCESSES) $(ARGS)

test-full: $(STAMP) tools
	$(RUN) pytest -m '' $(PROCESSES) $(ARGS)

lint: $(STAMP)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	@mkdir -p $(LINKS) && for folder in spec golden host hw sim fpga api cli; do ln -sfn $(CURDIR)/$$folder $(LINKS); done
	cd $(VENV)/types && $(CURDIR)/$(VENV)/bin/lint-imports --config $(CURDIR)/pyproject.toml
	$(RUN) mypy

gates: $(STAMP) tools
	$(RUN) tests.gates $(call switches,RENEW)

check-docs: $(STAMP)
	$(RUN) tests.check_documents $(call switches,RENEW)

docs: $(VENV)/docs tools
	$(RUN) sphinx -q -W --keep-going -b html -c docs . build/site
	@echo "site: build/site/index.html"

nightly:
	.ci/nightly

setup: $(STAMP)

clean:
	rm -rf build docs/reference .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) backspike.egg-info

tools:
	@for tool in g++ make perl; do \
	  command -v $$tool >/dev/null || { echo "$$tool is missing: Verilator needs g++, make and perl" >&2; exit 1; }; \
	done

# The environment holds absolute paths, so it is made anew when the folder has moved.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): FORCE
endif

$(VENV)/federated: $(STAMP)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[federated]'
	@touch $@

$(VENV)/asic: $(STAMP)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[asic]'
	@touch $@

$(VENV)/docs: $(STAMP)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: Python 3.11 or newer is needed" >&2; exit 1; }
	@$(PYTHON) -c 'import platform, sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, but \
	$(PYTHON) is " + platform.python_version() + "; name another one with make PYTHON=python3.11")'
	@echo "installing backspike and what it needs into $(VENV), which takes some minutes"
	@test "$$(cat $@ 2>/dev/null)" = "$(CURDIR)" || $(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[sim,test,fpga,nir,fast]'
	@echo "$(CURDIR)" >$@
