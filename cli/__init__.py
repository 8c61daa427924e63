# SPDX-License-Identifier: Apache-2.0
"""The ``backspike`` command: one file a subcommand."""
