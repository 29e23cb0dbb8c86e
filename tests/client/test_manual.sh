#!/bin/bash
# usage: test_manual.sh      libmregion(3) names every function of mregion.h, and no other.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# The functions for numbers are declared by a macro, and one stands for all of them.
declared=$(grep -oE '^(MREGION_API .*|    .*)?\bmregion_[a-z_]+\(' "$root/client/mregion.h" |
    grep '^MREGION_API' | grep -oE 'mregion_[a-z_]+' | sort -u)
named=$(grep -oE 'mregion_[a-z_0-9]+' "$root/client/libmregion.3" | grep -v '^mregion_code$\|^mregion_error$\|^mregion_uv$\|_nat32$' | sort -u)
diff <(echo "$declared") <(echo "$named") || {
    echo "what mregion.h declares (<) and what libmregion.3 names (>) differ"
    exit 1
}
[[ $(wc -l <<<"$declared") -gt 50 ]] || {
    echo "mregion.h was not understood: $declared"
    exit 1
}
