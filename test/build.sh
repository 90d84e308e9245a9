#!/usr/bin/env bash
# Builds what exists: TypeScript to dist/, and the addon once its binding is in the source list.
set -euo pipefail
cd "$(dirname "$0")/.."
if grep -q '^binding/' native/sources.txt; then
  prefix="$(node -p 'require("path").dirname(require("path").dirname(process.execPath))')"
  nodedir=()
  [ -f "$prefix/include/node/node_api.h" ] && nodedir=("--nodedir=$prefix")
  npx --no-install node-gyp configure build --silent -j max "${nodedir[@]}"
fi
npx --no-install tsc -p tsconfig.json
npx --no-install tsc -p bench/tsconfig.json
