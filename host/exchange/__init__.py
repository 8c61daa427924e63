# SPDX-License-Identifier: Apache-2.0
"""Networks of other programs: files in the Neuromorphic Intermediate Representation (NIR), in and out."""
