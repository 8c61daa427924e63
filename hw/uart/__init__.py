# SPDX-License-Identifier: Apache-2.0
"""The chip behind a serial line."""

from backspike.hw.uart.chip import UartChip
from backspike.hw.uart.link import UartLink

__all__ = ["UartChip", "UartLink"]
