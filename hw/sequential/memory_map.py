# SPDX-License-Identifier: Apache-2.0
"""Where everything lies in the sequential core's one memory of 16-bit words."""

from backspike.host.protocol import COUNTERS, DESCRIPTOR_STRIDE, GROUP_STRIDE, Region
from backspike.hw.sequential.instructions import WORD_BITS
from backspike.hw.shapes import WORD, Shapes

__all__ = ["LONG", "SUM_WORDS", "TAPE_WORD", "MemoryMap"]

LONG = 2
"""Memory words in a 32-bit word."""

TAPE_WORD = WORD // WORD_BITS
"""Memory words in a word of a tape."""

SUM_WORDS = 6
"""Memory words of an error sum."""

_SIZE = 1 << WORD_BITS


class MemoryMap:
    """Addresses, as attributes. Sizes are in memory words.

    Parameters
    ----------
    config: ChipConfig

    Raises
    ------
    ValueError: it does not fit into 65,536 words

    Attributes
    ----------
    size: of the whole memory
    packet: a packet that comes in
    variables: single words, by name
    sizes: number of addresses of each region
    slices, slots: of each slice, and of each slot of each slice: the words of ``SLICE`` and ``SLOT``
    arrivals: in a slot's words, the first of the counts of inputs, one for each step
    weights, velocities, gradients, descriptors, groups, peers: tables of the host's regions
    spikes, masks: of the tape: slot, step, word
    errors: error sums: slot, neuron, step
    own: the core's own spikes (all steps of a neuron in a word), and masks: slot, neuron
    potentials: by neuron
    list: where the weights of a step's spikes begin
    deltas: of each step a list of (number, delta), those that are not zero
    """

    VARIABLES = (
        "idle", "erase", "skip_off", "fault", "fault_low", "fault_high", "reading", "read_region", "read_address",
        "cleared_low", "cleared_high", "began_low", "began_high", "counting",
        "kappa", "threshold", "mask_low", "mask_high",
        "spikes_0", "spikes_1", "masks_0", "masks_1")
    SLICE = (
        "inputs", "credits", "markers", "label", "steps",  # as NEED says; inputs = 0: it takes none
        "forward_slot", "step", "backward_slot", "pending", "clear", "velocities")
    SLOT = ("complete", "train", "paid", "known", "beyond", "taken", "credits", "markers", "label")

    def __init__(self, config):
        self.config = config
        self.shapes = shapes = Shapes(config)
        self.gradient_words = max(2, -(-shapes.gradient_sum // WORD_BITS))
        self.size = 0
        self.packet = self._take(LONG * 16)  # header and 15 words, as they came
        self.variables = {name: self._take(1) for name in self.VARIABLES}
        self.sizes = self._take(len(Region))
        self.counters = self._take(LONG * len(COUNTERS))
        self.slice_words = len(self.SLICE)
        self.slices = self._take(config.slices * self.slice_words)
        self.arrivals = len(self.SLOT)
        self.slot_words = self.arrivals + config.steps
        self.slots = self._take(config.slices * config.slots * self.slot_words)
        self.descriptors = self._take(config.slices * DESCRIPTOR_STRIDE * LONG)
        self.groups = self._take(config.groups * GROUP_STRIDE * LONG)
        self.peers = self._take(config.peers * LONG)
        self.tape_words = config.slots * config.steps * config.tape_words * TAPE_WORD
        self.spikes = self._take(self.tape_words)
        self.masks = self._take(self.tape_words)
        self.error_words = config.slots * config.neurons * config.steps * SUM_WORDS
        self.errors = self._take(self.error_words)
        self.own = self._take(config.slots * config.neurons * 2)
        self.potentials = self._take(config.neurons)
        self.list = self._take(config.tape_words * WORD)
        self.delta_words = config.neurons * 2
        self.ends = self._take(config.steps)
        self.deltas = self._take(config.steps * self.delta_words)
        self.weights = self._take(config.weights)
        self.velocities = self._take(config.weights if config.momentum else 0)
        self.gradients = self._take(config.weights * self.gradient_words)
        if self.size > _SIZE:
            each = 1 + config.momentum + self.gradient_words
            raise ValueError(
                f"a sequential core's memory must be at most {_SIZE} words, not {self.size}: {each} for each of its "
                f"weights ({config.weights}); with these sizes it could have "
                f"{max(0, config.weights - -(-(self.size - _SIZE) // each))} weights")

    def _take(self, words):
        start = self.size
        self.size += words
        return start

    def slice_field(self, name):
        """Where a field lies in the words of a slice."""
        return self.SLICE.index(name)

    def slot_field(self, name):
        """Where a field lies in the words of a slot."""
        return self.SLOT.index(name)
