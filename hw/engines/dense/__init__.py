# SPDX-License-Identifier: Apache-2.0
"""Small engines for dense layers only, with the ports of the general ones.

They keep no lists: a row of bits is scanned again for each result, which costs no cycle as long as no word of the row
is zero, and a quarter of the logic of the general engines is enough. All lanes work on the same block of outputs.
Back-propagation and weight gradient are one engine, which finds and reads each delta once for both.
"""
