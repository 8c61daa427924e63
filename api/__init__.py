# SPDX-License-Identifier: Apache-2.0
"""Networks in Python: trained, tested, saved and loaded, in the golden model or on a chip."""

from backspike.api.backends import Port, Simulated
from backspike.api.model import Model

__all__ = ["Model", "Port", "Simulated"]
