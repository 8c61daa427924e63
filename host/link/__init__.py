# SPDX-License-Identifier: Apache-2.0
"""The serial link to a chip, at the host's end."""
