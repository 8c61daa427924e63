# SPDX-License-Identifier: Apache-2.0
"""Readers of data: each makes ``RawData`` of one kind of files, and maps what may be larger than memory."""
