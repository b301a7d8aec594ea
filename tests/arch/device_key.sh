#!/usr/bin/env bash
# Promise: an agent signs in exactly two ways: with the device key over attributes that kluis_seal_prepare built the line before, and with the
# login key over a login header.  Usage: device_key.sh SOURCE_DIR
set -euo pipefail
cd "$1"
bad=0
say() { echo "device_key: $*"; bad=1; }
signers() { grep -rlE '\b(kluis_key_sign|EVP_DigestSign\w*|EVP_PKEY_sign|ECDSA_sign|CMS_sign|CMS_add1_signer)\b' "$@" --include='*.c' | sort | tr '\n' ' '; }
# Who signs at all.
[ "$(signers agent)" = "agent/pack/freeze.c " ] || say "these files of the agent sign: $(signers agent)"
[ "$(signers lib/envelope)" = "lib/envelope/login_header.c " ] || say "these files of the envelope sign: $(signers lib/envelope)"
# How.
[ "$(grep -c 'kluis_key_sign(' agent/pack/freeze.c)" = 1 ] || say "freeze.c signs more than once"
prepared_and_signed() { grep -B 1 'kluis_key_sign(id->key, kluis_buf_bytes(&attributes)' "$1" | head -n 1 | grep -q 'kluis_seal_prepare(.*&attributes'; }
prepared_and_signed agent/pack/freeze.c || say "what freeze.c signs was not prepared the line before"
# Who gets the key: the files that name it (making it at enrolment and removing leftovers aside, which never load it).
named() { { grep -rlE "home_key_name\\(\"$1\"" agent --include='*.c' || true; } | sort | tr '\n' ' '; }
loaders() { { grep -rlE 'keystore_get\(' agent --include='*.c' || true; } | sort | tr '\n' ' '; }
[ "$(named device)" = "agent/pack/freeze.c " ] || say "the device key is named by: $(named device)"
[ "$(named login)" = "agent/courier/deliver.c " ] || say "the login key is named by: $(named login)"
[ "$(loaders)" = "agent/courier/deliver.c agent/journal/home.c agent/journal/keystore.c agent/pack/freeze.c agent/settings.c " ] || say "keys are loaded by: $(loaders)"
# settings.c keeps there what was typed for a source, under names that no key has: all that it asks for was named the lines before.
answers_only() { # FILE
  local made asked
  made=$(grep -cE 'snprintf\(out, HOME_KEY_NAME, "source-%s"' "$1") asked=$(grep -A 1 'answer_name(of, key, name, err)' "$1" | grep -cE 'keystore_get\(of->home, name,')
  [ "$made" = 1 ] && [ "$asked" = 1 ] && [ "$(grep -c 'keystore_get(' "$1")" = 1 ]
}
answers_only agent/settings.c || say "settings.c may load more than a source's secret"
grep -rqE 'login_header_write' agent --include='*.c' || say "nobody writes a login: this test looks at the wrong names"

# It must be able to fail.
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/agent"; echo 'x = kluis_key_sign(k, bytes, &s, err);' >"$tmp/agent/bad.c"
[ "$(signers "$tmp/agent")" = "$tmp/agent/bad.c " ] || say "a planted signature is not seen"
sed 's/KLUIS_TRY(kluis_seal_prepare/KLUIS_TRY(kluis_other/' agent/pack/freeze.c >"$tmp/freeze.c"
if prepared_and_signed "$tmp/freeze.c"; then say "a signature over something else is not seen"; fi
sed 's/"source-%s"/"device-%s"/' agent/settings.c >"$tmp/settings.c"
if answers_only "$tmp/settings.c"; then say "a key loaded as a source's secret is not seen"; fi
[ "$bad" = 0 ] && echo "device_key: one signature by the device key, over prepared attributes"
exit "$bad"
