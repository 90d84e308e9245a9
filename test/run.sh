#!/usr/bin/env bash
# Every test: TypeScript compile, native unit tests under ASan and UBSan, fuzz replay, vitest.
# Ends with one line: N passed, N failed, N skipped.
set -uo pipefail
cd "$(dirname "$0")/.."
bash test/setup.sh
passed=0 failed=0 skipped=0

step() {
  echo "== $1"
  shift
  "$@" || { echo "FAILED: $*" >&2; failed=$((failed + 1)); return 1; }
}

reports="$(mktemp -d)"
trap 'rm -rf "$reports"' EXIT

step 'build' npm run --silent build
if step 'configure (asan)' cmake --preset asan &&
  step 'compile (asan)' cmake --build build-asan; then
  ctest --test-dir build-asan --output-on-failure --output-junit "$reports/ctest.xml"
  read -r total broken omitted < <(node test/count.cjs ctest "$reports/ctest.xml")
  passed=$((passed + total - broken - omitted))
  failed=$((failed + broken)) skipped=$((skipped + omitted))
fi

npx --no-install vitest run --reporter=default --reporter=json \
  --outputFile.json="$reports/vitest.json"
status=$?
read -r total broken omitted < <(node test/count.cjs vitest "$reports/vitest.json")
[ "$status" -ne 0 ] && [ "$broken" -eq 0 ] && broken=1 && total=$((total + 1))
passed=$((passed + total - broken - omitted))
failed=$((failed + broken)) skipped=$((skipped + omitted))

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
