# SPDX-License-Identifier: Apache-2.0
# What .ci/run and .ci/nightly share: each step with its time; what it prints is kept in build/gate.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mkdir -p build/gate
: >build/gate/times.txt

# The file of a command's output, as tests/check_documents.py finds it: make-sim-CORES-6.txt
kept() { printf 'build/gate/%s.txt' "$(printf %s "$*" | tr -cs 'A-Za-z0-9' '-' | sed 's/^-//; s/-$//')"; }

# Run a command; say how long it took.
try() {
  local began=$SECONDS
  printf '\n== %s\n' "$*"
  "$@" 2>&1 | tee "$(kept "$@")"
  printf '%6d s  %s\n' $((SECONDS - began)) "$*" | tee -a build/gate/times.txt
}

# The time of each step, and of all.
finish() {
  printf '\n== all passed\n'
  cat build/gate/times.txt
  printf '%6d s  in all\n' "$SECONDS"
}
