#!/bin/sh
# What one whole call costs the core in instructions: the same each time, unlike its time. Needs valgrind.
# Two runs differ in nothing but a thousand calls; what they cost is left in target/instructions.out for
# callgrind_annotate.
set -eu
cd "$(dirname "$0")/.."
bench=$("${CARGO:-cargo}" bench --locked --bench call --no-run 2>&1 | sed -n 's/.*(\(.*\))$/\1/p')
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=target/instructions.out "$bench" --count "$1" 2>&1 |
        awk '/Collected/ { print $4 }'
}
before=$(instructions 0)
after=$(instructions 1000)
echo "$(((after - before) / 1000)) instructions a call, the peers' part included"
