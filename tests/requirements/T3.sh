#!/usr/bin/env bash
# T3: every route is crawled without a login: only the allow-list answers, and nothing but the gate listens beyond loopback.
# The routes come from the gate's own table, so that a new one cannot be forgotten here.
. "$(dirname "$0")/../integration/lib.sh"
begin T3
server_init
server_start
agent_enrol "$work/agent"
demo_sources "$work/agent"; agent "$work/agent" archive >/dev/null # so that every route has something to give
ca=$work/server/root/root.crt
ask() { curl -sS -o "$work/body" -D "$work/head" -w '%{http_code}' --cacert "$ca" -X "$1" "https://$gate$2" ${3:+--data-binary "$3"} 2>"$work/curl.err" || echo 000; }

# What an unknown may be given, by method and path; everywhere else every answer is a refusal.
given() {
  case "$1 $2" in
    "GET /v1/nonce"|"GET /v1/health"|"GET /checkpoint"|"GET /tile/"*) echo 200 ;;
    "POST /v1/enrol") echo 202 ;;
    *) echo none ;;
  esac
}
id=00112233445566778899aabbccddeeff
routes=$(sed -n 's/^ *{ "\([A-Z]*\)", "\([^"]*\)", TAIL_\([A-Z]*\),.*/\1 \2 \3/p' "$root/server/gate/route.c")
n=$(wc -l <<<"$routes")
[ "$n" -ge 24 ] || die "only $n routes were read from the table"
while read -r method path tail; do
  case $tail in ID) path=$path$id ;; TILE) path=${path}0/000 ;; ENTRIES) path=${path}000 ;; esac
  case $path in */upload/*) [ "$method" = PUT ] && path="$path?offset=0&length=1" ;; */message/*) path="$path?upload=$id" ;; */next) path="$path?after=0" ;; */vault/v1/mirror | */vault/v1/register) [ "$method" = GET ] && path="$path?from=0" ;; esac
  for m in GET POST PUT DELETE; do
    got=$(ask $m "$path" "$([ $m = GET ] || echo x)")
    ok; [[ $got = 4?? ]] || [ "$got" = "$(given $m "${path%%\?*}")" ] || fail "$m $path without a login: $got"
    ok; ! grep -qi '^server:\|^x-powered-by:\|chatkluis-server\|microhttpd' "$work/head" || fail "$m $path says what it runs on"
  done
done <<<"$routes"
# What scanners ask for: one answer, of one size.
sizes=
for p in / /heapdump /actuator /actuator/heapdump /actuator/env /metrics /debug/pprof/ /debug /status /server-status /admin /api /api/search /.git/config /.env /v2/nonce /v1 \
  /v1/ /vault /vault/v1/ /index.html /favicon.ico /robots.txt /swagger.json '/v1/../../etc/passwd' /%2e%2e/%2e%2e/etc/passwd; do
  got=$(ask GET "$p"); equal "GET $p" "$got" 404
  sizes="$sizes $(stat -c %s "$work/body")"
done
equal "answers to unknown paths differ in size" "$(tr ' ' '\n' <<<"$sizes" | sed '/^$/d' | sort -u | wc -l)" 1

# The page: nothing without its key, not even its own files; no debug route.
where=${page#http://}; where=${where%%/*}
for p in / /api/search?q=a /api/conversation /app.js /index.html /metrics /debug /heapdump; do
  got=$(curl -sS -o "$work/body" -w '%{http_code}' "http://$where$p"); equal "the page: $p without its key" "$got" 403
done
got=$(curl -sS -o "$work/body" -w '%{http_code}' -H 'Host: elders.example' "$page"); equal "the page under another name" "$got" 421
# Who listens, and where.
all=$(part_pid gate; part_pid vault; part_pid tsa; part_pid page)
beyond=0
for pid in $all; do
  for inode in $(ls -l "/proc/$pid/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\].*/\1/p'); do
    local_address=$(awk -v i="$inode" '$10 == i && $4 == "0A" { print $2 }' /proc/net/tcp)
    [ -n "$local_address" ] || continue
    ok; [ "${local_address%%:*}" = 0100007F ] || { fail "pid $pid listens on $local_address"; beyond=1; }
  done
done
equal "sockets beyond loopback though only loopback was asked for" "$beyond" 0
end 200
