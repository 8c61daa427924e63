# SPDX-License-Identifier: Apache-2.0
"""From "train this batch" to packets and back, without any I/O."""
