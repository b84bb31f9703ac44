#!/usr/bin/env bash
# Fuzzes each target for some seconds, one after the other: `scripts/fuzz.sh SECONDS [TARGET…]`, without targets all.
# One line a target says what was done; what is found ends the run, with the input that shows it.
#
# With KEEP=1 what covers something new is kept in fuzz/corpus for the next run; else in a directory that is removed, and
# the same octets are tried each time, so that one commit does not fail by chance where the one before it passed.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?seconds for each target}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
for tool in "cargo fuzz" g++; do
  $tool --version >/dev/null 2>&1 || { echo "fuzz: $tool is absent: run scripts/setup.sh" >&2; exit 69; }
done

# Coverage is what the stable compiler can do, too; AddressSanitizer is not, and would find nothing: there is no unsafe
# code here. As `dev`, for the profile in fuzz/Cargo.toml.
options=(--dev --sanitizer none)
cargo fuzz build "${options[@]}"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for target in "${targets[@]}"; do
  corpus=$scratch/$target
  if [ "${KEEP:-}" = 1 ]; then corpus=fuzz/corpus/$target; fi
  mkdir -p "$corpus" "fuzz/artifacts/$target"
  words=(-dict=fuzz/sip.dict)
  if [ "${KEEP:-}" != 1 ]; then chance=(-seed=1); else chance=(); fi
  # Its octets are choices, and words among them none in particular.
  if [ "$target" = core ]; then words=(); fi
  log=$scratch/$target.log
  if ! cargo fuzz run "${options[@]}" "$target" "$corpus" "fuzz/seeds/$target" -- "${words[@]}" "${chance[@]}" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "fuzz: $target fails; the input is in fuzz/artifacts/$target: make it a named test (docs/fuzzing.md)" >&2
    exit 1
  fi
  executed=$(awk '/stat::number_of_executed_units/ { print $2 }' "$log")
  edges=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
  inputs=$(sed -n 's|.* corp: \([0-9]*\)/.*|\1|p' "$log" | tail -n 1)
  if [ "${executed:-0}" -eq 0 ] || [ "${edges:-0}" -eq 0 ]; then
    tail -n 20 "$log" >&2
    echo "fuzz: $target did not run, or sees no coverage" >&2
    exit 1
  fi
  printf '%-8s %9d executions in %d s, %d edges, %d inputs, nothing found\n' "$target" "$executed" "$seconds" "$edges" "$inputs"
done
