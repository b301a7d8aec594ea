#!/usr/bin/env bash
# Promise: the systemd units that are shipped say what systemd understands, leave little open by its own measure, and allow every system call that
# gate, vault, page and time authority really make while they take in packages, rebuild and check.
. "$(dirname "$0")/lib.sh"
command -v systemd-analyze >/dev/null || { echo "units: skipped: systemd-analyze is not installed"; exit 77; }
begin units
mkdir "$work/units"
for part in gate vault tsa page; do
  sed "s|/usr/bin/chatkluis-server|$bin/chatkluis-server|" "$root/server/systemd/chatkluis-$part.service" >"$work/units/chatkluis-$part.service"
  cp "$root/server/systemd/chatkluis-page.socket" "$work/units/"
  check "chatkluis-$part.service is a unit" systemd-analyze verify --man=no "$work/units/chatkluis-$part.service"
  check "chatkluis-$part.service leaves little open (at most 1.5 of 10)" systemd-analyze security --offline=true --no-pager --threshold=15 "$work/units/chatkluis-$part.service"
done
printf '[Service]\nExecStart=/bin/true\nNonsense=1\n' >"$work/units/planted.service"
refuse "control: an open unit" systemd-analyze security --offline=true --no-pager --threshold=15 "$work/units/planted.service"

# What each part calls, seen from outside.
server_init
give_away # the units' user is not root either
server_start_as strace -f -qq --seccomp-bpf -o "$work/calls" "${as[@]}"
agent_enrol "$work/agent"
demo_sources "$work/agent"
agent "$work/agent" archive >/dev/null
await_hits 1 vergunning || die "nothing was archived"
curl -sf -c "$work/jar" -o /dev/null "$page"
check "the page answers" curl -sf -b "$work/jar" "${page%%/\?*}/api/search?q=vergunning&purpose=toets"
"$bin/chatkluis-server" check --home "$work/server" --read-data >/dev/null
"$bin/chatkluis-server" rebuild-index --home "$work/server" >/dev/null 2>&1
kill "$(pgrep -P "$server_pid")"; wait "$server_pid" || true; server_pid=

# The vault's only way out is the gate, and nobody may come to it by the network: so its unit says, and so it did.
for part in vault page; do
  equal "$part: addresses that its unit lets through" "$(sed -n 's/^IPAddress//p' "$root/server/systemd/chatkluis-$part.service" | paste -sd ' ')" "Deny=any Allow=localhost"
done

# pid -> part: by what serve executed, inherited by threads and children.
awk -v ways="$work/ways" '
  { pid = $1 }
  match($0, /execve\("[^"]*", \["chatkluis-server", "(gate|vault|tsa|page)"/) { split(substr($0, RSTART, RLENGTH), q, "\""); part[pid] = q[6] }
  part[pid] != "" && match($0, /(clone|clone3|fork|vfork)\(.*= [0-9]+$/) { part[$NF] = part[pid] }
  part[pid] != "" && match($0, /(clone|clone3|fork|vfork) resumed.*= [0-9]+$/) { part[$NF] = part[pid] }
  { n++; line[n] = $0 }
  END {
    for (i = 1; i <= n; i++) {
      split(line[i], w, " ")
      if (part[w[1]] != "" && match(line[i], / (connect|bind|listen)\(.*(sun_path="[^"]*"|sin_port=htons\([0-9]+\))/)) {
        way = substr(line[i], RSTART + 1, RLENGTH - 1); call = way
        sub(/\(.*/, "", call); sub(/.*(sun_path="|htons\()/, "", way); gsub(/["()]/, "", way); sub(/.*\//, "", way)
        print part[w[1]], call, way >ways
      }
      if (part[w[1]] == "" || !match(line[i], /^[0-9]+ +[a-z0-9_]+\(/)) { continue }
      call = substr(line[i], RSTART, RLENGTH); sub(/^[0-9]+ +/, "", call); sub(/\(/, "", call)
      print part[w[1]], call
    } }' "$work/calls" | sort -u >"$work/called"

went() { awk -v part="$1" -v call="$2" '$1 == part && $2 == call { print $3 }' "$work/ways" | sort -u | paste -sd ' '; }
equal "where the vault connected to" "$(went vault connect)" "${gate##*:}"
equal "where the page server connected to" "$(went page connect)" page.sock
equal "what the vault bound" "$(went vault bind)" control.sock
equal "where the time authority connected to" "$(went tsa connect)" ""
ok; [ "$(went gate connect | wc -w)" -le 1 ] || fail "the gate connected to $(went gate connect)"

expand() { # NAME…: system calls of sets, one a line
  local n
  for n in "$@"; do
    case $n in @*) systemd-analyze --no-pager syscall-filter "$n" 2>/dev/null | sed -n 's/^ *\([a-z0-9_@][a-z0-9_-]*\)$/\1/p' | while read -r m; do
        [ "$m" = "$n" ] || expand "$m"; done ;; *) echo "$n" ;; esac
  done
}
for part in gate vault tsa page; do
  : >"$work/allowed"
  while read -r words; do
    case $words in
      ~*) expand ${words#\~} | sort -u | comm -23 <(sort -u "$work/allowed") - >"$work/rest"; mv "$work/rest" "$work/allowed" ;;
      *) expand $words >>"$work/allowed" ;;
    esac
  done < <(sed -n 's/^SystemCallFilter=//p' "$root/server/systemd/chatkluis-$part.service")
  sort -u "$work/allowed" -o "$work/allowed"
  sed -n "s/^$part //p" "$work/called" | sort -u >"$work/needs"
  n=$(wc -l <"$work/needs")
  ok; [ "$n" -ge 20 ] || fail "$part: only $n system calls were seen"
  # execve: systemd itself starts the program, before the filter counts the part's own; the filter allows it anyway.
  missing=$(comm -23 "$work/needs" "$work/allowed" | tr '\n' ' ')
  equal "$part: calls that its unit forbids" "${missing:-none}" none
  ok; grep -qx ptrace "$work/allowed" && fail "$part: its unit allows ptrace"
  echo "units: $part makes $n system calls of $(wc -l <"$work/allowed") allowed"
done
end 28
