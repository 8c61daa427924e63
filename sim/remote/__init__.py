# SPDX-License-Identifier: Apache-2.0
"""A simulated chip that a program talks to packet by packet, as to a real one."""
