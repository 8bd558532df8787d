#!/bin/sh
# What an update of ssmd asks of the package manager that owns it. ssmd runs this below ssmd-runner (update_package.c), so
# that it goes on while the package's own scripts restart ssmd. Nothing here believes an exit status: what is installed
# afterwards is asked by `look`.
#
#   install MANAGER FILE WANTED up|down SECONDS STOP   FILE must be the package's; SECONDS until it must have begun; it does
#                                                      not begin once the file STOP exists
#   look    MANAGER PROGRAM                            three lines: state and version of the package, what the program says
#
# Exit status of install: 0 the package manager is content; 1 it is not; 20 stopped, 21 not begun, 22 the version is not to
# be had. The reason goes to standard error.
set -u
PACKAGE=ssmd
LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
PATH=${PATH:+$PATH:}/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL DEBIAN_FRONTEND NEEDRESTART_SUSPEND PATH

say() { printf '%s\n' "$*" >&2; }
now() { date +%s; }

run() { # the words of a command into $out, its status into $status; they are shown too
  printf '$ %s\n' "$*"
  out=$("$@" 2>&1 </dev/null)
  status=$?
  printf '%s\n' "$out"
}

# The lines that say why, in one.
reason() {
  why=$(printf '%s\n' "$out" | grep -E '^E: |^dpkg: error|^ installed .* script|[Ee]rror|^No |^Problem|already locked|is locked by' | head -n 6)
  [ -n "$why" ] || why=$(printf '%s\n' "$out" | tail -n 3)
  printf '%s' "$why" | tr '\n' ' ' | tr -s ' '
}

is_locked() {
  case $manager:$status in
  *:0) return 1 ;;
  zypper:7 | dnf:200 | yum:200) ;; # with exit_on_lock they do not wait themselves, where nobody could stop them
  zypper:*) return 1 ;;
  *) printf '%s\n' "$out" | grep -qiE 'could not get lock|unable to (lock|acquire)|transaction lock|failed to (obtain|acquire).* lock|existing lock' ;;
  esac
}

# Again and again as long as somebody else works with packages.
when_free() {
  while :; do
    [ ! -e "$stop" ] || exit 20
    left=$((end - $(now)))
    run "$@"
    is_locked || return 0
    if [ "$left" -le 0 ]; then
      say "somebody else is working with packages, and did not end in time: $(reason)"
      exit 21
    fi
    sleep 2
  done
}

owner() {
  case $manager in
  apt-get) dpkg-query -S "$1" 2>/dev/null | sed -n 's/^\([^:, ]*\)[^,]*$/\1/p' ;;
  *) rpm -qf --qf '%{NAME}\n' "$1" 2>/dev/null | sort -u ;; # two versions, where the power went in between
  esac
}

refresh() {
  case $manager in
  apt-get) when_free timeout 600 apt-get -q -o Acquire::Retries=2 update ;;
  dnf) when_free timeout 600 dnf -q --setopt=exit_on_lock=True makecache --refresh ;;
  yum) when_free timeout 600 yum -q --setopt=exit_on_lock=True clean expire-cache ;;
  zypper) when_free timeout 600 zypper -n -q refresh ;;
  esac
  # Lists that are there may do: it is told if they do not.
  [ "$status" -eq 0 ] || printf 'the lists could not all be refreshed; going on with those that are there\n'
}

# Versions that are to be had, as the package manager writes them, the highest first: into $offered. yum folds long lines
# where it has no terminal, so what it lists is read as words: name, version, repository.
list_offered() {
  case $manager in
  apt-get)
    when_free apt-cache madison "$PACKAGE"
    offered=$(printf '%s\n' "$out" | sed -n 's/^[^|]*| *\([^ |]*\) *|.*/\1/p')
    ;;
  zypper)
    when_free timeout 600 zypper -n -q search -s -x -t package "$PACKAGE"
    offered=$(printf '%s\n' "$out" | awk -F'|' -v p="$PACKAGE" '{ gsub(/ /, "") } NF >= 6 && $2 == p && $6 !~ /^\(/ { print $4 }' | sort -rV)
    ;;
  *)
    when_free timeout 600 "$manager" -q --setopt=exit_on_lock=True list --showduplicates "$PACKAGE"
    offered=$(printf '%s\n' "$out" | tr -s ' ' '\n' | awk -v p="$PACKAGE." '
      n == 2 { if ($0 !~ /^@/ && $0 != "installed") print version; n = 0; next }
      n == 1 { version = $0; n = 2; next }
      index($0, p) == 1 && substr($0, length(p) + 1) ~ /^[a-z0-9_]+$/ { n = 1 }' | sort -rV)
    ;;
  esac
}

# Of those, the first that is WANTED but for an epoch before and a revision behind.
choose() {
  for v in $offered; do
    case ${v#*:} in
    "$1" | "$1"[-+~]*) printf '%s\n' "$v" && return 0 ;;
    esac
  done
  return 1
}

install() {
  exact=$1 verb=install down=
  case $manager in
  apt-get)
    [ "$direction" = up ] || down=--allow-downgrades
    when_free apt-get -y -q --only-upgrade --no-remove $down -o DPkg::Lock::Timeout=2 -o Dpkg::Use-Pty=0 \
      -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install "$PACKAGE=$exact"
    ;;
  zypper)
    [ "$direction" = up ] || down=--oldpackage
    when_free zypper -n install --no-recommends $down "$PACKAGE=$exact"
    ;;
  *)
    [ "$direction" = up ] || verb=downgrade
    when_free "$manager" -y --setopt=exit_on_lock=True "$verb" "$PACKAGE-${exact#*:}"
    ;;
  esac
  [ "$status" -eq 0 ] || { say "$manager ended with status $status: $(reason)"; exit 1; }
}

do_install() {
  file=$1 wanted=$2 direction=$3 end=$(($(now) + $4)) stop=$5
  [ "$(owner "$file")" = "$PACKAGE" ] || {
    say "$file does not belong to a package $PACKAGE, so $manager cannot replace it"
    exit 21
  }
  refresh
  list_offered
  exact=$(choose "$wanted") || {
    have=$(printf '%s\n' "$offered" | uniq | head -n 20 | tr '\n' ' ')
    why=
    [ -n "$offered" ] || [ "$status" -eq 0 ] || why=" ($(reason))"
    say "the repositories of $manager have no version $wanted of $PACKAGE; they have: ${have:-none}$why"
    exit 22
  }
  install "$exact"
}

do_look() {
  case $manager in
  apt-get) dpkg-query -W -f '${db:Status-Status}\n${Version}\n' "$PACKAGE" 2>/dev/null || printf 'missing\n\n' ;;
  *)
    versions=$(rpm -q --qf '%{VERSION}-%{RELEASE}\n' "$PACKAGE" 2>/dev/null) || versions=
    case $versions in
    '') printf 'missing\n\n' ;;
    *"
"*) printf 'twice\n%s\n' "$(printf '%s' "$versions" | tr '\n' ' ')" ;;
    *) printf 'installed\n%s\n' "$versions" ;;
    esac
    ;;
  esac
  timeout 20 "$1" --version 2>&1 </dev/null | head -n 1
}

verb=$1 manager=$2
shift 2
"do_$verb" "$@"
