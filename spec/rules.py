# SPDX-License-Identifier: Apache-2.0
"""What a driver must know besides the layout of packets: when each may be sent, what it does, what answers it.

The JSON file beside the generated Verilog has it as data; ``protocol_page()`` is docs/protocol.md.
"""

from dataclasses import dataclass

from backspike.spec.counters import COUNTERS, LINK_COUNTERS
from backspike.spec.fields import Fields
from backspike.spec.packets import HEADER, TAGS, Cause, Kind, payload_range
from backspike.spec.tables import (
    DESCRIPTOR,
    DESCRIPTOR_STRIDE,
    EXPECTATIONS,
    EXPECTATIONS_STRIDE,
    FAN_IN,
    FAN_IN_STRIDE,
    ROUTE,
    TAPE_SLOT_STRIDE,
    TAPE_STRIDE,
    Region,
)

__all__ = ["CAUSES", "ORDER", "RULES", "TABLES", "Rule", "protocol_page"]


@dataclass(frozen=True)
class Rule:
    """One kind of packet.

    Attributes
    ----------
    sender, receiver : str
        Who sends it to whom.
    payload : str
        Its words.
    when : str
        The state in which it is taken; else it is dropped with cause STATE.
    effect : str
        What it does.
    answer : str
        What comes back because of it, or "".
    """

    sender: str
    receiver: str
    payload: str
    when: str
    effect: str
    answer: str = ""


RULES = {
    Kind.SPIKES: Rule(
        sender="host, or a slice of a layer before",
        receiver="slice (the host: of the last layer), or from the host to slices of many cores (header.host = 1)",
        payload="spikes, surrogate masks: bit k is input 32 * word + k of the slice; bits that are no inputs must be "
        "0, as a dense_only chip takes them for inputs; of groups from whose noise a slice learns, the first word is 1 "
        "where the threshold was lowered, 0 elsewhere and where the mask is 0",
        when="the slot takes inputs (its frame before is done), the step is one of EXPECTATIONS.steps, the word is "
        "one of the "
        "EXPECTATIONS.inputs words from EXPECTATIONS.tape on and has not come for this step and frame, the core "
        "does not erase; and, "
        "for step 0, no UPDATE of the slice waits",
        effect="none with header.host = 1 where the slice's EXPECTATIONS.shared is 0 or there is no such slice; else "
        "the inputs are there; a step starts when all of its words are, in the order of steps and slots. The "
        "last packet of step 0 says whether the frame is for training, and with its kind whether it begins a sample: "
        "then all potentials, counts and operands start from 0",
        answer="SPIKES of each step to the targets of the slice; at the end of the frame CREDIT to its sources",
    ),
    Kind.ERROR: Rule(
        sender="the slices behind, or the host behind the last layer",
        receiver="core of the neuron, or the host in front of the first layer (DESCRIPTOR.errors = 3)",
        payload="two or three words, low one first: a two's complement number in units of the square of the format's "
        "least significant bit",
        when="the core does not erase",
        effect="added to dLoss/ds of this neuron, step and slot, modulo 2**96. It must come before the ERRORS_DONE of "
        "its sender; one that comes later counts for this frame or for the next one in the slot",
    ),
    Kind.ERRORS_DONE: Rule(
        sender="the slices behind, or the host behind the last layer",
        receiver="slice, or the host in front of the first layer",
        payload="none",
        when="EXPECTATIONS.label is 0, fewer than EXPECTATIONS.errors_done have come for the slot's next training "
        "frame, and the core "
        "does "
        "not erase",
        effect="counted; with EXPECTATIONS.errors_done of them the frame's errors are complete",
    ),
    Kind.CREDIT: Rule(
        sender="the slices behind",
        receiver="slice (the host: of the first layer)",
        payload="none",
        when="the slot waits for credits: fewer than EXPECTATIONS.credits have come since its last frame began; and "
        "the core "
        "does not erase",
        effect="counted; with EXPECTATIONS.credits of them the slot's next frame may begin",
    ),
    Kind.LABEL: Rule(
        sender="host",
        receiver="slice of the last layer",
        payload="none; the tag has the target's number counted from the slice's first neuron, or no_label",
        when="EXPECTATIONS.label is 1, no label waits for the slot's next training frame, and the core does not erase",
        effect="the label of the slot's next training frame. One that waits is taken when the errors of the frame "
        "begin to be worked out; then the label of the frame after it may come",
    ),
    Kind.WRITE: Rule(
        sender="host",
        receiver="core",
        payload="address, then 1 to 14 words for consecutive addresses",
        when="region CONTROL: always; others: no job of the core is in work or could start, no READ of memory is being "
        "answered",
        effect="the words are written, up to the first one that may not be; a word of EXPECTATIONS starts the core "
        "anew",
    ),
    Kind.READ: Rule(
        sender="host",
        receiver="core, or the host link (header.host = 1)",
        payload="address; the tag has the number of words, 1 to 14",
        when="no READ is being answered; regions below CONTROL: as WRITE",
        effect="the words are read as they are now: no job starts, and nothing is written to memories, before they "
        "are; "
        "those of COUNTER one after the other, as each is then",
        answer="DATA, one packet or several, their words in order",
    ),
    Kind.DATA: Rule(
        sender="core, or the host link",
        receiver="host",
        payload="address, then 1 to 14 words from consecutive addresses",
        when="it answers a READ",
        effect="",
    ),
    Kind.UPDATE: Rule(
        sender="host",
        receiver="slice",
        payload="none",
        when="no UPDATE of the slice waits",
        effect="waits until all frames of the slice whose step 0 was complete when it came are done, then changes the "
        "weights and clears the gradients; with clear it only clears gradients, with velocities these too",
        answer="UPDATED when it is done; none where a write to EXPECTATIONS comes while it waits",
    ),
    Kind.UPDATED: Rule(
        sender="slice", receiver="host", payload="none", when="it answers an UPDATE", effect="the weights have changed"
    ),
    Kind.FAULT: Rule(
        sender="core, or the host link",
        receiver="host",
        payload="header of the dropped packet",
        when="a packet was dropped; while one report waits to be sent, further drops are only counted (counter "
        "dropped)",
        effect="",
    ),
    Kind.MORE: Rule(
        sender="host, or a slice of a layer before",
        receiver="as SPIKES",
        payload="as SPIKES",
        when="as SPIKES",
        effect="as SPIKES, but the frame goes on with the sample of the frame before: each neuron starts from the "
        "potential and the spike that the last step of the slice has left, whatever it was of; where operands have "
        "several bits, they and the counts of spikes go on too. A write to "
        "EXPECTATIONS does not change these; after reset they are undefined, so that the first frame must be SPIKES",
        answer="MORE of each step to the targets of the slice; at the end of the frame CREDIT to its sources",
    ),
    Kind.BACK: Rule(
        sender="host, or a slice of a layer before",
        receiver="as SPIKES, in a chip generated with ternary; in others the kind is unknown",
        payload="as SPIKES",
        when="as SPIKES",
        effect="as MORE, but the neurons stay as they are, whatever the inputs: their spikes are 0, their masks are "
        "set where a neuron has spiked in some steps of the sample and not in all DESCRIPTOR.sample, in a layer with a "
        "loss everywhere. If the frame, which must have one step, is for training, a delta is a ternary spike: p = "
        "round(p - q + g), then q = 1 if p >= 1/2, -1 if p <= -1/2, else 0; g is the error before it is rounded, 0 "
        "where the mask is clear, and q the delta. Where the slice's frame before was none of these, p and q were 0",
        answer="BACK to the targets of the slice; at the end of the frame CREDIT to its sources",
    ),
}
"""What each kind of packet is for, in the order of their codes."""

CAUSES = {
    Cause.KIND: "the kind is unknown, or not one that goes to a core",
    Cause.LENGTH: "the number of payload words is not one that the kind may have",
    Cause.ADDRESS: "there is no such core, or the host link has not what is asked for",
    Cause.FIELD: "a slice, slot, step, word, neuron, region or address is not there, or unused bits are not 0",
    Cause.STATE: "the packet is right, but not now: see the rules of its kind",
}
"""Why a packet is dropped: the first cause that applies, in this order, and of a WRITE that of its first wrong word."""

ORDER = (
    "Any packet may be sent at any time: it has the effect that its rule names, or it is dropped, counted and "
    "reported. "
    "A driver that keeps the following order gets no FAULT.",
    "After reset, write EXPECTATIONS of every core that is used, then DESCRIPTOR, FAN_IN, ROUTE, the constant inputs "
    "in TAPE and "
    "WEIGHT; then UPDATE with clear and velocities for every slice, and wait for all UPDATED. Contents of memories are "
    "undefined until they are written, and tables must describe one network: they are not checked.",
    "A frame is EXPECTATIONS.steps steps of a sample, one after the other: all of them, or a part. SPIKES bring the "
    "first frame of a sample, MORE those that follow. Errors do not go back from one frame to the one before it: with "
    "frames of one step a sample may have any number of steps, and each frame is trained or not by itself. BACK bring "
    "frames behind those of a sample, without inputs, in which errors go back as ternary spikes; each is for training.",
    "A write to EXPECTATIONS makes the core forget all frames of all its slices, partial counts, error sums and "
    "waiting "
    "UPDATEs. Every slice then expects its first frame in slot 0. The core is busy (CONTROL bit 1) until it has "
    "erased "
    "what was left; meanwhile it takes only WRITE, READ and UPDATE.",
    "Frame n after that uses slot n modulo the number of slots, in every slice; frames of a sample follow each other. "
    "Send its inputs to every slice of the "
    "first layer when every one of them has sent CREDIT for the slot's frame before (at first: at once). Steps and "
    "words may come in any order, each word once; all of one kind, and with the same train.",
    "Inputs that slices of several cores want go out once where these have the same number, the same "
    "EXPECTATIONS.tape, and EXPECTATIONS.shared = 1: in packets with host = 1, whose x and y are the last column and "
    "row that have such a slice, or in a chain the last core. Cores that are nearer get them too, and take no "
    "notice where EXPECTATIONS.shared of this slice is 0: so write it also where only an earlier network had the "
    "slice.",
    "For a training frame with EXPECTATIONS.label, send LABEL to every slice of the last layer, to those that do not "
    "hold the target with no_label, when the inputs may be sent. Without, send ERROR for the outputs when all spikes "
    "of the frame have come, then ERRORS_DONE to every slice of the last layer.",
    "Output words of a slot come in the order of its frames. When those of all samples of a batch have come, send "
    "UPDATE to every slice, and wait for all UPDATED before the inputs of the next batch.",
    "What brings errors to groups behind the others of a slice may learn (DESCRIPTOR.learning). Its weights are "
    "updated as those of another slice, whose EXPECTATIONS are 0: send its UPDATE when the slice has answered its own.",
    "Between two UPDATEs a gradient may get at most batch_terms terms: steps of all training frames x output pixels "
    "x pooled pixels of a tap x the largest operand, which is 1 where operands are spikes.",
    "READ and WRITE memory (regions below CONTROL) only while the core is not busy: CONTROL bit 1 is 0, and "
    "nothing for "
    "it is under way. One READ at a time for each core.",
    "After a FAULT with a sample's packet, wait until all cores are idle and nothing is under way (CONTROL and the "
    "counters of the engines stand still), write EXPECTATIONS of all cores, wait until none is busy, clear the "
    "gradients with "
    "UPDATE, and send the batch again.",
    "The host must take what the chip sends: while it does not, cores wait.",
    "Counters have 32 bits and wrap; take differences modulo 2**32.",
)
"""What a driver does, in which order."""

TABLES = {"expectations": EXPECTATIONS, "fan_in": FAN_IN, "route": ROUTE, "descriptor": DESCRIPTOR}
"""Tables of a core by name."""

_REGIONS = {
    Region.WEIGHT: "word * lanes + lane: a number in the low bits",
    Region.GRADIENT: "as WEIGHT: low 32 bits of the exact sum, in units of the format's least significant bit",
    Region.GRADIENT_HIGH: "as WEIGHT: the sum's bits from 32 on, its sign extended",
    Region.VELOCITY: "as WEIGHT; only with momentum",
    Region.DESCRIPTOR: f"slice * {DESCRIPTOR_STRIDE} + word of the table's entry",
    Region.EXPECTATION: f"slice * {EXPECTATIONS_STRIDE} + word of the table's entry",
    Region.FAN_IN: f"entry * {FAN_IN_STRIDE} + word of the table's entry",
    Region.ROUTE: "entry",
    Region.TAPE: f"slot * {TAPE_SLOT_STRIDE} + step * {TAPE_STRIDE} + tape word: 32 spikes",
    Region.NOISE: "neuron: state of its generator, 16 bits that are not all 0; only in chips with noise",
    Region.CONTROL: "0: bit 0 skipping off, bit 1 busy, bit 2 saturated; 1: a write clears counters and bit 2",
    Region.COUNTER: "number of the counter",
}
_READ_ONLY = Region.GRADIENT, Region.GRADIENT_HIGH, Region.COUNTER
_WRITE_ONLY = Region.DESCRIPTOR, Region.EXPECTATION, Region.FAN_IN, Region.ROUTE, Region.TAPE


def _fields(fields: Fields) -> str:
    places = [(name, fields.offset(name), width) for name, width in fields.fields.items()]
    return ", ".join(f"`{name}` {low}" + (f" to {low + width - 1}" if width > 1 else "") for name, low, width in places)


def _length(kind: Kind) -> str:
    low, high = payload_range(kind)
    return str(low) if low == high else f"{low} to {high}"


def _access(region: Region) -> str:
    return "read" if region in _READ_ONLY else "write" if region in _WRITE_ONLY else "both"


def protocol_page() -> str:
    """The text of docs/protocol.md."""
    lines = [
        "# Packets",
        "",
        "What goes over the host link (and between cores), and what a driver must know. This page is made from",
        "`spec/` (`python -m backspike.spec.rules`); the JSON file beside the generated Verilog has the same as data.",
        "An executable model holds the rules (`tests/support/chip_model/`): random packets are played on it and on the",
        "hardware.",
        "",
        "A packet is a header word and up to 15 payload words of 32 bits; AXI4-Stream marks the last one with `TLAST`.",
        "",
        f"Bits of the header: {_fields(HEADER)}. With `host` = 1 it goes to the host, or from there to the host link;",
        "inputs from there go to many cores: to all up to column x and row y, in a chain to all up to core (x, y).",
        "",
        "## Order",
        "",
        *(f"{n}. {sentence}" for n, sentence in enumerate(ORDER, start=1)),
        "",
        "## Kinds",
    ]
    for kind, rule in RULES.items():
        lines += [
            "",
            f"### {int(kind)} {kind.name}",
            f"From {rule.sender} to {rule.receiver}.",
            "",
            f"* Bits of the tag: {_fields(TAGS[kind])}.",
            f"* Payload ({_length(kind)}): {rule.payload}.",
            f"* When: {rule.when}.",
        ]
        lines += [f"* Effect: {rule.effect}."] if rule.effect else []
        lines += [f"* Answer: {rule.answer}."] if rule.answer else []
    lines += ["", "## Causes", "", "| code | cause | why a packet is dropped |", "|---|---|---|"]
    lines += [f"| {int(cause)} | `{cause.name}` | {text} |" for cause, text in CAUSES.items()]
    lines += ["", "The first that applies is given; of a `WRITE`, that of its first wrong word.", "", "## Regions", ""]
    lines += ["| code | region | access | address |", "|---|---|---|---|"]
    lines += [f"| {int(region)} | `{region.name}` | {_access(region)} | {text} |" for region, text in _REGIONS.items()]
    lines += ["", "## Tables", "", "Bits of an entry, over its words, least significant word first."]
    for name, table in TABLES.items():
        lines += ["", f"* `{name.upper()}` ({table.word_count} words): {_fields(table)}."]
    lines += ["", "## Counters", "", "Of a core, from 0 on: " + ", ".join(f"`{name}`" for name in COUNTERS) + "."]
    lines += ["", "Of the host link: " + ", ".join(f"`{name}`" for name in LINK_COUNTERS) + ".", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(protocol_page(), end="")
