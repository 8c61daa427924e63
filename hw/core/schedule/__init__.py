# SPDX-License-Identifier: Apache-2.0
"""Which sample is worked on next: slots, descriptors, the two threads."""
