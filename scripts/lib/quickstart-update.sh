# shellcheck shell=bash
# shellcheck disable=SC2154 # DIR, AS, NODE, AWS and the functions are quickstart's
# The story of quickstart --update: three versions, of which one is broken. Sourced by scripts/quickstart.

PROGRAMS=(ssmd ssmd-runner ssmd-download ssmd-stager ssmd-updater ssmctl)

# A build of its own, whose number changes: only one file is compiled again for each version.
build_version() { # OVERRIDE
  local log=build/versions.log at name
  mkdir -p build
  { cmake --preset dev -B build/versions -DSSMD_VERSION_OVERRIDE="$1" &&
      cmake --build build/versions --target "${PROGRAMS[@]}" ssmhub; } >"$log" 2>&1 ||
    { tail -n 60 "$log" >&2; die "the build failed; all of it is in $log"; }
  VERSION=$(build/versions/agent/ssmd --version | cut -d' ' -f2)
  at=$DIR/versions/$VERSION/bin
  as_user mkdir -p "$at"
  for name in "${PROGRAMS[@]}" ssmhub; do
    install -m 755 build/versions/*/"$name" "$at/$name"
  done
}

# The version whose middle number is so much higher.
higher() { # VERSION N
  printf '%s\n' "$1" | awk -F. -v n="$2" '{ print $1 "." $2 + n "." $3 }'
}

quickstart_update() {
  local first next broken arch url id
  step "a build, three times, of which the second and the third differ in their number only"
  build_version ""
  first=$VERSION next=$(higher "$VERSION" 1) broken=$(higher "$VERSION" 2)
  build_version "$next"
  build_version "$broken"
  BIN=$DIR/versions/$first/bin
  say "built: $first, $next and $broken"
  rm -f "$DIR/versions/$broken/bin/ssmd"
  as_user sh -c "cat > '$DIR/versions/$broken/bin/ssmd' && chmod 755 '$DIR/versions/$broken/bin/ssmd'" <<TEXT
#!/bin/sh
[ "\$1" != --version ] || { echo "ssmd $broken"; exit 0; }
echo "this version does not start" >&2
exit 3
TEXT
  say "broken on purpose: $broken, which ends as soon as it is started"

  step "an update source: a directory with three signed versions, for any web server"
  case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64) arch=arm64 ;;
    i?86) arch=386 ;;
    *) arch=arm ;;
  esac
  release() { as_user "$BIN/ssmctl" release "$@"; }
  as_user mkdir -m 700 "$DIR/keys"
  for id in root release timestamp; do release keygen "$DIR/keys/$id.pem" >/dev/null; done
  release root "$DIR/source" --root-key "$DIR/keys/root.pem.pub" --release-key "$DIR/keys/release.pem.pub" \
    --timestamp-key "$DIR/keys/timestamp.pem.pub" >/dev/null
  release sign "$DIR/source" root --key "$DIR/keys/root.pem" >/dev/null
  for id in "$first" "$next" "$broken"; do
    as_user tar -C "$DIR/versions/$id" --exclude=ssmhub -czf "$DIR/ssmd-$id-linux-$arch.tar.gz" bin
    release add "$DIR/source" "$DIR/ssmd-$id-linux-$arch.tar.gz" >/dev/null
  done
  release sign "$DIR/source" manifest --key "$DIR/keys/release.pem" >/dev/null
  release timestamp "$DIR/source" --key "$DIR/keys/timestamp.pem" >/dev/null
  release verify "$DIR/source"

  step "ssmhub, which also serves that directory; ssmd $first in a version slot, supervised by ssmd-updater"
  start_hub --updates "$DIR/source"
  as_user sh -c "cat > '$DIR/root/etc/ssmd/ssmd.json'" <<TEXT
{
  "Identity": {"CustomIdentities": [{"InstanceID": "$NODE", "Region": "us-east-1"}]},
  "Ssm": {"Endpoint": "$URL"},
  "Mds": {"Endpoint": "$URL"},
  "Mgs": {"Endpoint": "$URL"},
  "Ssmd": {
    "UpdateSource": "$URL/updates",
    "UpdateRootFile": "$DIR/source/1.root.json",
    "UpdateProvingSeconds": 5,
    "UpdateDeadlineSeconds": 30
  }
}
TEXT
  as_user "$BIN/ssmd-updater" install --root "$DIR/root" --from "$BIN"
  "${AS[@]}" "$DIR/root/opt/ssmd/proven/bin/ssmd-updater" supervise --root "$DIR/root" >>"$DIR/agent.log" 2>&1 &
  AGENT_PID=$!
  wait_for 30 "the node to be online" sh -c "grep -q 'knows this node' '$DIR/agent.log'"
  show_node

  step "a script that takes a while, and meanwhile the document by which the service updates agents"
  id=$(ssm send-command --document-name AWS-RunShellScript --instance-ids "$NODE" --query Command.CommandId --output text \
    --parameters "commands=[\"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line \$i; echo \$i > '$DIR/progress'; sleep 1; done; exit 7\"]")
  wait_for 30 "the script to be at work" test -s "$DIR/progress"
  update=$(ssm send-command --document-name AWS-UpdateSSMAgent --instance-ids "$NODE" --parameters "version=$next" \
    --query Command.CommandId --output text)
  wait_for 60 "the end of the update" finished "$update"
  say "--- what the service has of the update"
  ssm get-command-invocation --command-id "$update" --instance-id "$NODE" --output text \
    --query '[Status,StandardOutputContent]'
  show_node
  wait_for 60 "the end of the script" finished "$id"
  say "--- and of the script that ran through it: its own exit code, all of its output"
  ssm get-command-invocation --command-id "$id" --instance-id "$NODE" --output text \
    --query '[Status,ResponseCode,StandardOutputContent]'

  step "an operator updates to $broken; it does not start, and $next comes back by itself"
  as_user "$BIN/ssmctl" --root "$DIR/root" update --to "$broken" && die "the broken version was kept"
  as_user "$BIN/ssmd-updater" status --root "$DIR/root"
  show_node

  step "what the journal knows"
  as_user "$BIN/ssmctl" --root "$DIR/root" jobs --all
  as_user "$BIN/ssmctl" --root "$DIR/root" audit verify

  step "done; nothing is left running. Try next"
  cat <<TEXT
  scripts/quickstart --update --keep            keep the directory, and look around in it
  docs/release-format.md, ssmctl(1) "release"   an update source of your own, with keys that are kept apart
  ssmd-updater(8)                               slots and units on a machine with systemd
  docs/internals/update.md                      how it works, and what happens when something dies on the way
TEXT
}

show_node() {
  ssm describe-instance-information --output table \
    --query 'InstanceInformationList[].{Node:InstanceId,Ping:PingStatus,Agent:AgentVersion}'
}
