# SPDX-License-Identifier: Apache-2.0
"""A simulated chip behind a pseudo-terminal."""
