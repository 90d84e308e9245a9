#!/usr/bin/env bash
# Every test: TypeScript compile, native unit tests and fuzz replay under ASan and UBSan, the
# threaded rooms under TSan, vitest: unit tests side by side, then the end-to-end tests alone.
# Ends with one line: N passed, N failed, N skipped. Nothing here can hang without end.
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

native() {
  step "configure ($1)" cmake --preset "$1" || return
  step "compile ($1)" cmake --build "build-$1" || return
  local total broken omitted
  ctest --test-dir "build-$1" -j "$(nproc)" --output-on-failure --no-tests=ignore \
    --output-junit "$reports/$1.xml"
  read -r total broken omitted < <(node test/count.cjs ctest "$reports/$1.xml")
  passed=$((passed + total - broken - omitted))
  failed=$((failed + broken)) skipped=$((skipped + omitted))
}

step 'build' npm run --silent build
native asan
native tsan
step 'configure (release)' cmake --preset release &&
  step 'compile (load generator)' cmake --build build-release --target onehop_loadgen

# A test that starves its own event loop never sees its timeout: this one ends it, as a failure. At a
# terminal the runner stays in front, so that Ctrl-C reaches it.
front=() && [ -t 0 ] && front=(--foreground)
timeout "${front[@]}" --kill-after=30 32m npx --no-install vitest run \
  --reporter=default --reporter=json --outputFile.json="$reports/vitest.json"
status=$?
if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
  echo 'FAILED: vitest did not end; the first file not listed above hangs' >&2
fi
read -r total broken omitted < <(node test/count.cjs vitest "$reports/vitest.json")
[ "$status" -ne 0 ] && [ "$broken" -eq 0 ] && broken=1 && total=$((total + 1))
passed=$((passed + total - broken - omitted))
failed=$((failed + broken)) skipped=$((skipped + omitted))

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
