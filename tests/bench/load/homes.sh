# homes.sh - agents for the load: enrolled, their packages made, sealed, stamped and encrypted by chatkluis-agent, not sent yet.  Sourced.
#
#   load_chats DIR AGENTS CHATS SEED                chats of every agent: DIR/0001/… ; one in eight has an attachment of up to 1.5 MB
#   load_homes BIN SERVER_HOME GATE DIR AGENTS      official, code, enrolment, source, packages of each: DIR/home/0001 …
# While homes are made the gate takes no upload: gate.json must say "limits": {"upload_bytes": 1} then.

load_chats() {
  local dir=$1 agents=$2 chats=$3 seed=$4
  mkdir -p "$dir"
  (cd "$dir" && mkdir -p chats && seq -f 'chats/%04g' "$agents" | xargs mkdir -p)
  awk -v dir="$dir/chats" -v agents="$agents" -v chats="$chats" -v seed="$seed" 'BEGIN {
    srand(seed)
    n = split("de het een dijk sluis overleg nota besluit morgen vandaag agenda raad college stuk graag even akkoord water provincie bijlage vraag antwoord later project planning", w, " ")
    for (a = 1; a <= agents; a++) for (c = 1; c <= chats; c++) {
      f = sprintf("%s/%04d/WhatsApp-chat met Groep %04d-%d.txt", dir, a, a, c)
      lines = 8 + int(rand() * rand() * 120)
      for (l = 0; l < lines; l++) {
        t = ""
        for (k = 3 + int(rand() * 12); k > 0; k--) t = t w[1 + int(rand() * n)] " "
        printf "%02d-%02d-2024 %02d:%02d - Afzender %04d: %s%d\n", 1 + int(l / 12), c, 8 + int(l / 12) % 12, l % 12 * 5, a + l % 3, t, l >f
      }
      if (rand() < 0.125) {
        print a, c, int(2000 + 1500000 * rand() * rand())
        printf "28-%02d-2024 20:00 - Afzender %04d: IMG-2024-%04d-%d.jpg (bestand bijgevoegd)\n", c, a, a, c >f
      }
      close(f)
    } }' | while read -r a c size; do
    head -c "$size" /dev/urandom >"$(printf '%s/chats/%04d/IMG-2024-%04d-%d.jpg' "$dir" "$a" "$a" "$c")"
  done
}

load_home() { # BIN SERVER_HOME GATE DIR NUMBER
  local bin=$1 server=$2 gate=$3 dir=$4 n=$5 rc=0
  local home=$dir/home/$n official
  official=last-$n-$(printf %s "$dir" | cksum | cut -d' ' -f1)
  "$bin/chatkluis-server" official add --home "$server" --id "$official" --name "Ambtenaar $n" --function beleid --from 2020-01-01 >/dev/null
  (umask 077; "$bin/chatkluis-server" enrol --home "$server" --official "$official" >"$dir/code-$n")
  "$bin/chatkluis-agent" enrol --home "$home" --server "https://$gate" --code "@$dir/code-$n" >/dev/null
  rm "$dir/code-$n"
  "$bin/chatkluis-agent" source add --home "$home" whatsapp-text "$dir/chats/$n" --option zone=UTC >/dev/null
  # The gate refuses what is larger than it takes, so nothing goes up, and all that waits stays as it is.
  "$bin/chatkluis-agent" archive --home "$home" --wait 0 >/dev/null 2>"$dir/said-$n" || rc=$?
  if [ "$rc" != 1 ] || ! grep -q 'the upload was not taken' "$dir/said-$n"; then
    echo "agent $n ended with $rc: $(head -c 300 "$dir/said-$n")" >&2
    return 1
  fi
  rm "$dir/said-$n"
}

load_homes() { # BIN SERVER_HOME GATE DIR AGENTS
  mkdir -p "$4/home"
  export -f load_home
  seq -f '%04g' "$5" | CHATKLUIS_KEYSTORE=file xargs -P "$(($(nproc) * 4))" -I{} bash -euo pipefail -c 'load_home "$@" || exit 255' _ "$1" "$2" "$3" "$4" {}
}

# What the agents hold, and what of it was acknowledged: ids of packages, sorted.
load_ids() { # DIR CONDITION
  local f
  for f in "$1"/home/*/agent.db; do sqlite3 "$f" "SELECT lower(hex(id)) FROM package WHERE $2"; done | sort
}
