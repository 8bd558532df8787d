# shellcheck shell=bash
# What the scripts share: packages from the distribution, and the build. Sourced.
# Written for Debian 12 and Ubuntu LTS.

# shellcheck disable=SC2034 # used by the scripts that source this
{
  BUILD_PACKAGES=(gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libcurl4-openssl-dev libssl-dev
    libsqlite3-dev libcjson-dev libmicrohttpd-dev libpcre2-dev libwslay-dev libexpat1-dev libyaml-dev libarchive-dev
    '?musl-tools')
  TRY_PACKAGES=('?awscli')
  TEST_PACKAGES=(check clang clang-format clang-tidy cppcheck llvm python3 python3-botocore python3-aiohttp python3-cryptography '?awscli' nginx-light
    openssl curl git procps iproute2 sqlite3 man-db shellcheck spin ccache debootstrap dpkg-dev
    '?dnf' '?rpm' '?createrepo-c' '?zypper')
}

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

missing_packages() {
  local p
  for p in "$@"; do
    dpkg-query -W -f='${Status}\n' "${p#\?}" 2>/dev/null | grep -q '^install ok installed$' || printf '%s\n' "$p"
  done
}

# ensure_packages PACKAGE...: install what is missing; without root or sudo, say what that is. "?name" is left out where
# the distribution does not have it.
ensure_packages() {
  local missing=() wanted=() as_root=() p
  command -v dpkg-query >/dev/null 2>&1 ||
    die "This script installs what it needs with apt, on Debian and Ubuntu. On another system, build by hand: see README.md."
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      mapfile -t missing < <(printf '%s\n' "${missing[@]}" | grep -v '^?') # the others can be done without
      [ ${#missing[@]} -gt 0 ] || return 0
      die "These packages are missing, and neither root nor sudo is at hand to install them:
  ${missing[*]}
Ask an administrator for:  apt-get install --no-install-recommends ${missing[*]}"
    fi
  fi
  "${as_root[@]}" apt-get update -qq >/dev/null 2>&1 || "${as_root[@]}" apt-get update ||
    say "apt-get update failed; trying with the lists that are there"
  for p in "${missing[@]}"; do
    if [ "${p#\?}" = "$p" ] || apt-cache show "${p#\?}" >/dev/null 2>&1; then wanted+=("${p#\?}"); fi
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  say "installing: ${wanted[*]}"
  # RUNLEVEL=1: services that a package brings are not started (where the distribution asks invoke-rc.d).
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 sh -c '
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 ||
      apt-get install -y --no-install-recommends "$@"' sh "${wanted[@]}" ||
    die "apt-get could not install: ${wanted[*]}"
}

# The compiler's sanitizer runtimes are packaged by version.
clang_runtime_package() {
  local v
  v=$(clang --version 2>/dev/null | sed -n 's/.*version \([0-9][0-9]*\).*/\1/p' | head -1)
  [ -n "$v" ] && printf 'libclang-rt-%s-dev' "$v"
}

# build PRESET [TARGET...]: configure and build, quiet unless it fails.
build() {
  local preset=$1 log targets=()
  shift
  [ $# -eq 0 ] || targets=(--target "$@")
  mkdir -p build
  log=build/$preset.log
  { cmake --preset "$preset" && cmake --build --preset "$preset" "${targets[@]}"; } >"$log" 2>&1 ||
    { tail -n 60 "$log" >&2; die "the $preset build failed; all of it is in $log"; }
}
