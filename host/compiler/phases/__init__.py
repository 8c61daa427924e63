# SPDX-License-Identifier: Apache-2.0
"""Networks that are larger than the chip: cut into phases, each of which is on the chip at one time."""
