#!/usr/bin/env bash
# Promise: what the agent archived, tools that are not ours find right: openssl, sha256sum, unzip, file, xmllint; and so are exports of it.  Each tool is first shown
# to refuse something broken.
. "$(dirname "$0")/lib.sh"
begin independent
shared=${KLUIS_SHARED:-$root/../shared}
xsd=$shared/standards/mdto/xsd/MDTO-XML1.0.1.xsd
[ -f "$xsd" ] || echo "independent: skipping the MDTO schema: $xsd is not there"

server_init
server_start
agent_enrol "$work/agent"
demo_sources "$work/agent"
agent "$work/agent" archive
"$bin/chatkluis-agent" packages --home "$work/agent" --export "$work/export"
server_stop

# The verifier stands alone (decision 0016): in a folder with nothing but itself and what it is to judge.  That the release does: walls.sh.
if [[ $(ldd "$bin/chatkluis-verify" 2>&1) == *"statically linked"* ]]; then
  mkdir "$work/bare"
  one=$(ls "$work"/export/*.asice | head -n 1)
  cp "$bin/chatkluis-verify" "$work/server/trust.json" "$one" "${one%.asice}.receipt.json" "$work/bare/"
  if [ "$(id -u)" = 0 ] || unshare -r true 2>/dev/null; then
    alone() { if [ "$(id -u)" = 0 ]; then chroot "$work/bare" "$@"; else unshare -r chroot "$work/bare" "$@"; fi; }
    check "the verifier needs nothing else" alone /chatkluis-verify --trust /trust.json --receipt "/$(basename "${one%.asice}").receipt.json" "/${one##*/}"
  else
    echo "independent: skipping the verifier in a bare folder: no right to change the root"
  fi
fi

# trust.json as the tools like it
pem() { # MEMBER FILE
  jq -r ".$1[]" "$work/server/trust.json" | while read -r c; do printf -- '-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n' "$(fold -w 64 <<<"$c")"; done >"$2"
}
pem device_cas "$work/device.pem"; pem seal_cas "$work/seal.pem"; pem time_authorities "$work/time.pem"
cms() { openssl cms -verify -cades -binary -inform DER -in "$1" -content "$2" -CAfile "$3" -partial_chain -purpose any -no-CApath -no-CAstore -out /dev/null; }
stamp() { # P7S
  "$bin/../tests/p7s_token" "$1" "$work/token" "$work/value" &&
    openssl ts -verify -in "$work/token" -token_in -data "$work/value" -CAfile "$work/time.pem" -partial_chain
}
# Every name and digest that the ASiC manifest lists, as sha256sum reads them: it holds base64, sha256sum wants hexadecimal.
asic_list() {
  xmllint --nonet --xpath '//*[local-name()="DataObjectReference"]/@URI' "$1" | sed 's/.*URI="\([^"]*\)".*/\1/' >"$work/names"
  xmllint --nonet --xpath '//*[local-name()="DigestValue"]/text()' "$1" | while read -r d; do base64 -d <<<"$d" | xxd -p -c 64; done >"$work/digests"
  paste -d ' ' "$work/digests" "$work/names" | sed 's/ /  /'
}
n=0 sidecars=0
for p in "$work"/export/*.asice; do
  n=$((n + 1))
  d=$work/open$n r=${p%.asice}.receipt.json
  equal "the package's name is its digest" "$(sha256sum <"$p" | cut -d ' ' -f 1).asice" "${p##*/}"
  check "unzip -t" unzip -tqq "$p"
  check "file names an ASiC-E" grep -qi 'application/vnd.etsi.asic-e+zip\|asic-e' <<<"$(file -b "$p"; file -b --mime-type "$p")"
  mkdir "$d"; (cd "$d" && unzip -qq "$p")
  check "manifest-sha256.txt" env -C "$d" sha256sum --strict --quiet -c manifest-sha256.txt
  check "tagmanifest-sha256.txt" env -C "$d" sha256sum --strict --quiet -c tagmanifest-sha256.txt
  asic_list "$d/META-INF/ASiCManifest001.xml" >"$d.list"
  check "ASiCManifest001.xml" env -C "$d" sha256sum --strict --quiet -c "$d.list"
  equal "the ASiC manifest lists every file" "$(cut -c 67- "$d.list" | sort)" "$(cd "$d" && find data bagit.txt bag-info.txt manifest-sha256.txt tagmanifest-sha256.txt -type f | sort)"
  equal "the bag's manifest lists all of data" "$(cut -c 67- "$d/manifest-sha256.txt" | sort)" "$(cd "$d" && find data -type f | sort)"
  check "signature by openssl cms" cms "$d/META-INF/signature001.p7s" "$d/META-INF/ASiCManifest001.xml" "$work/device.pem"
  check "its token by openssl ts" stamp "$d/META-INF/signature001.p7s"
  jq -j .proof "$r" | sed '1,/^$/d' >"$d.checkpoint"
  jq -r .seal "$r" | base64 -d >"$d.seal"
  check "checkpoint seal by openssl cms" cms "$d.seal" "$d.checkpoint" "$work/seal.pem"
  check "its token by openssl ts" stamp "$d.seal"
  check "the receipt names the package" grep -q "package $(basename "$p" .asice)" <(jq -r .leaf "$r")
  check "chatkluis-verify agrees" "$bin/chatkluis-verify" --trust "$work/server/trust.json" --receipt "$r" "$p"
  while read -r x; do
    sidecars=$((sidecars + 1))
    if [ -f "$xsd" ]; then check "MDTO of $x" xmllint --nonet --noout --schema "$xsd" "$d/$x"; else check "XML of $x" xmllint --nonet --noout "$d/$x"; fi
  done < <(cd "$d" && find data -name '*.mdto.xml')
done
[ "$n" -ge 4 ] || die "only $n packages"
[ "$sidecars" -ge $((4 * n)) ] || die "only $sidecars sidecars in $n packages"

# Exports, with the keys of this home: seal, list and evidence record.  openssl, sha256sum and unzip find them right.
x=0
for p in "$work"/export/*.asice; do
  x=$((x + 1)); e=$work/export$x.asice; d=$work/exported$x r=${p%.asice}.receipt.json
  "$bin/../tests/export_make" "$work/server" "$p" "$e"
  check "unzip -t of an export" unzip -tqq "$e"
  mkdir "$d"; (cd "$d" && unzip -qq "$e")
  asic_list "$d/META-INF/ASiCManifest002.xml" >"$d.list"
  check "ASiCManifest002.xml" env -C "$d" sha256sum --strict --quiet -c "$d.list"
  equal "the seal's manifest lists every file" "$(cut -c 67- "$d.list" | sort)" \
    "$(cd "$d" && find . -type f | sed 's|^\./||' | grep -vE '^mimetype$|videnceRecord|videncerecord|002\.' | sort)"
  asic_list "$d/META-INF/ASiCEvidenceRecordManifest001.xml" >"$d.list"
  check "ASiCEvidenceRecordManifest001.xml" env -C "$d" sha256sum --strict --quiet -c "$d.list"
  equal "the record's manifest lists every file" "$(cut -c 67- "$d.list" | sort)" \
    "$(cd "$d" && find . -type f | sed 's|^\./||' | grep -vE '^mimetype$|videnceRecord|videncerecord' | sort)"
  check "seal by openssl cms" cms "$d/META-INF/signature002.p7s" "$d/META-INF/ASiCManifest002.xml" "$work/seal.pem"
  check "its token by openssl ts" stamp "$d/META-INF/signature002.p7s"
  openssl pkcs7 -inform DER -in "$d/META-INF/signature002.p7s" -print_certs | sed -n '/BEGIN X509 CRL/,/END X509 CRL/p' >"$d.crl"
  check "its list by openssl crl" grep -q 'verify OK' <(openssl crl -in "$d.crl" -CAfile "$work/device.pem" -noout 2>&1)
  check "the evidence record is DER" openssl asn1parse -inform DER -in "$d/META-INF/evidencerecord001.ers"
  check "the export holds the package's bytes" cmp -n "$(($(LC_ALL=C grep -abo 'META-INF/signature001.p7s' "$p" | head -n 1 | cut -d : -f 1)))" "$p" "$e"
  "$bin/chatkluis-verify" --trust "$work/server/trust.json" --receipt "$r" --json "$e" >"$work/out" || fail "an export is not valid"
  equal "layers of an export" "$(jq -r '[.package, .layers.seal.state, .layers.evidence.state, .layers.revocation.state, .layers.receipt.state] | join(" ")' "$work/out")" \
    "$(basename "$p" .asice) valid valid valid valid"
done
# Years from now the package alone is in doubt; with a device that was revoked before it signed, the export is invalid.
p=$(printf '%s\n' "$work"/export/*.asice | sed -n 1p)
rc=0; "$bin/chatkluis-verify" --trust "$work/server/trust.json" --at 2099-01-01T00:00:00Z "$work/export1.asice" >"$work/out" || rc=$?
equal "in 2099" "$rc" 2
"$bin/../tests/export_make" "$work/server" "$p" "$work/revoked.asice" 2025-01-01T00:00:00Z
rc=0; "$bin/chatkluis-verify" --trust "$work/server/trust.json" --json "$work/revoked.asice" >"$work/out" || rc=$?
equal "a revoked device" "$rc $(jq -r .layers.revocation.state "$work/out")" "1 invalid"
refuse "openssl cms over a changed list of the seal" cms "$work/exported1/META-INF/signature002.p7s" <(cat "$work/exported1/META-INF/ASiCManifest002.xml"; echo) "$work/seal.pem"
refuse "openssl crl under another authority" grep -q 'verify OK' <(openssl crl -in "$work/exported1.crl" -CAfile "$work/seal.pem" -noout 2>&1 || true)

# Controls: each tool refuses what is broken.
d=$work/open1
printf x >>"$d/META-INF/ASiCManifest001.xml"
refuse "openssl cms over a changed manifest" cms "$d/META-INF/signature001.p7s" "$d/META-INF/ASiCManifest001.xml" "$work/device.pem"
refuse "openssl cms under the seal's authority" cms "$work/open2/META-INF/signature001.p7s" "$work/open2/META-INF/ASiCManifest001.xml" "$work/seal.pem"
refuse "openssl cms over a changed checkpoint" cms "$d.seal" <(cat "$d.checkpoint"; echo) "$work/seal.pem"
"$bin/../tests/p7s_token" "$work/open2/META-INF/signature001.p7s" "$work/token" "$work/value"
refuse "openssl ts over other data" openssl ts -verify -in "$work/token" -token_in -data "$d.checkpoint" -CAfile "$work/time.pem" -partial_chain
refuse "openssl ts under another authority" openssl ts -verify -in "$work/token" -token_in -data "$work/value" -CAfile "$work/device.pem" -partial_chain
f=$(cut -c 67- "$d.list" | sed -n 1p); printf x >>"$d/$f"
refuse "sha256sum of a changed file" env -C "$d" sha256sum --strict --quiet -c "$d.list"
refuse "sha256sum of a changed file, by the bag" env -C "$d" sha256sum --strict --quiet -c manifest-sha256.txt
p=$(ls "$work"/export/*.asice | sed -n 1p); head -c -100 "$p" >"$work/short.asice"
refuse "unzip -t of a cut package" unzip -tqq "$work/short.asice"
if [ -f "$xsd" ]; then
  sidecar=$(find "$work/open2/data" -name '*.mdto.xml' | sed -n 1p); sed 's/<naam>/<naan>/;s|</naam>|</naan>|' "$sidecar" >"$work/bad.mdto.xml"
  refuse "xmllint of a wrong sidecar" xmllint --nonet --noout --schema "$xsd" "$work/bad.mdto.xml"
fi
end $((14 * n + 11 * x + sidecars + 12))
