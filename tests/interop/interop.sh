#!/usr/bin/env bash
# Promise: an evidence record of ours convinces BouncyCastle (ERSEvidenceRecord) of its own object and of no other; and records that
# BouncyCastle makes today convince us.  Not part of ./run test: a Java of 265 MB.  Usage: interop.sh BUILD_DIR
set -euo pipefail
build=$(readlink -f "$1")
cd "$(dirname "$(readlink -f "$0")")/../.."
jars=/usr/share/java/bcprov.jar:/usr/share/java/bcpkix.jar:/usr/share/java/bcutil.jar
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir "$work/classes" "$work/ours" "$work/theirs"
javac -cp "$jars" -d "$work/classes" tests/interop/Evidence.java
bc() { java -cp "$work/classes:$jars" Evidence "$@"; }

"$build/tests/evidence_make" "$work/ours"
o=$work/ours
bc check "$o/authority.der" "$o/one.ers" "$o/object0" "$o"/object[1-6]
for r in batch renewed rehashed; do bc check "$o/authority.der" "$o/$r.ers" "$o/object4" "$o"/object[0-35-6]; done
# It must be able to refuse: an object that has changed.
echo anders >"$o/object4/file0"
if bc check "$o/authority.der" "$o/batch.ers" "$o/object4" 2>/dev/null; then echo "interop: a changed object is accepted"; exit 1; fi

# The other way round: the unit test, over records made just now in the place of the committed ones.
bc make "$work/theirs"
mkdir -p "$work/root/tests/unit/vectors"
mv "$work/theirs" "$work/root/tests/unit/vectors/evidence"
(cd "$work/root" && "$build/tests/test_evidence" >/dev/null 2>"$work/log") || { cat "$work/log"; echo "interop: a record of BouncyCastle is refused"; exit 1; }
echo "interop: BouncyCastle and Chatkluis believe each other's evidence records"
