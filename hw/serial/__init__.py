# SPDX-License-Identifier: Apache-2.0
"""The chip behind a serial line."""

from backspike.hw.serial.uart_chip import UartChip
from backspike.hw.serial.uart_link import UartLink

__all__ = ["UartChip", "UartLink"]
