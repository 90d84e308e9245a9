{
  # What ships. native/sources.txt is the one list of sources; CMakeLists.txt reads it too.
  # OpenSSL is Node's own: its headers lie beside node's, its symbols are the executable's, and
  # `-z now` makes a missing one a load error instead of a crash later.
  "targets": [
    {
      "target_name": "onehop",
      "sources": ["<!@(node native/sources.cjs)"],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": [
        "NAPI_VERSION=8", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED",
        # A terminated worker cannot be thrown into.
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
      ],
      "cflags": ["-O2", "-Wall", "-Wextra", "-fvisibility=hidden", "-ffunction-sections"],
      "cflags!": ["-O3"],
      "cflags_cc": [
        "-std=c++20", "-fvisibility-inlines-hidden", "-fno-exceptions", "-fno-rtti",
      ],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "ldflags": [
        "-Wl,-Bsymbolic", "-Wl,-z,now", "-Wl,--gc-sections", "-Wl,--exclude-libs,ALL",
      ],
    },
  ],
}
