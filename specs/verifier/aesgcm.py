"""AES-256-GCM (FIPS 197, NIST SP 800-38D), decryption with a nonce of 96 bits. Variable time, for public keys only."""
import hmac


def _tables():
    sbox, p, q = [0] * 256, 1, 1
    while True:
        p = (p ^ p << 1 ^ (0x11B if p & 0x80 else 0)) & 0xFF
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        q ^= 0x09 if q & 0x80 else 0
        s = q
        for n in (1, 2, 3, 4):
            s ^= (q << n | q >> (8 - n)) & 0xFF
        sbox[p] = s ^ 0x63
        if p == 1:
            break
    sbox[0] = 0x63
    return sbox


_SBOX = _tables()


def _double(b):
    return (b << 1 ^ (0x1B if b & 0x80 else 0)) & 0xFF


def _expand(key):
    words, rcon = [list(key[4 * i:4 * i + 4]) for i in range(8)], 1
    for i in range(8, 60):
        w = words[i - 1]
        if i % 8 == 0:
            w = [_SBOX[b] for b in w[1:] + w[:1]]
            w[0] ^= rcon
            rcon = _double(rcon)
        elif i % 8 == 4:
            w = [_SBOX[b] for b in w]
        words.append([a ^ b for a, b in zip(words[i - 8], w)])
    return [sum(words[4 * r:4 * r + 4], []) for r in range(15)]


def _block(keys, block):
    s = [a ^ b for a, b in zip(block, keys[0])]
    for r in range(1, 15):
        s = [_SBOX[s[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if r < 14:
            mixed = []
            for c in range(0, 16, 4):
                col = s[c:c + 4]
                whole = col[0] ^ col[1] ^ col[2] ^ col[3]
                mixed += [col[i] ^ whole ^ _double(col[i] ^ col[(i + 1) % 4]) for i in range(4)]
            s = mixed
        s = [a ^ b for a, b in zip(s, keys[r])]
    return bytes(s)


def _multiply(x, y):
    z = 0
    for i in range(127, -1, -1):
        if x >> i & 1:
            z ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return z


def open_sealed(key, nonce, ciphertext, tag, aad):
    """The plaintext, or None if the tag is not this key's, nonce's, ciphertext's and additional data's."""
    keys = _expand(key)
    h = int.from_bytes(_block(keys, bytes(16)), "big")
    y = 0
    for part in (aad, ciphertext):
        for i in range(0, len(part), 16):
            y = _multiply(y ^ int.from_bytes(part[i:i + 16].ljust(16, b"\0"), "big"), h)
    y = _multiply(y ^ (len(aad) * 8 << 64 | len(ciphertext) * 8), h)
    mask = int.from_bytes(_block(keys, nonce + b"\0\0\0\1"), "big")
    if not hmac.compare_digest((y ^ mask).to_bytes(16, "big"), tag):
        return None
    stream = b"".join(_block(keys, nonce + (2 + i).to_bytes(4, "big")) for i in range((len(ciphertext) + 15) // 16))
    return bytes(a ^ b for a, b in zip(ciphertext, stream))
