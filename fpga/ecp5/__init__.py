# SPDX-License-Identifier: Apache-2.0
"""What only ECP5 devices need: places of cells, the late reset, netlists that can be simulated."""
