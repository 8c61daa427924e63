# SPDX-License-Identifier: Apache-2.0
"""The chip as a program: packets in, packets out, memory words in between. It is the packet contract, made to run.

It knows nothing of cycles. A core works off its jobs one after the other, each at once; which job is next is left to
whoever runs the model. What must not depend on that order does not: that is what the hardware is compared with.

``core.py`` says what a packet does and why it is dropped, ``slots.py`` who waits for what, ``memory.py`` which
addresses there are, ``learning.py`` and ``numbers.py`` what is computed, ``chip.py`` how packets travel.
"""

from tests.support.chip_model.chip import ModelChip
from tests.support.chip_model.core import ModelCore

__all__ = ["ModelChip", "ModelCore"]
