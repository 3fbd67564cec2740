"""edwards25519, ristretto255 (RFC 9496), hashing to it (RFC 9380, RFC 9497) and Ed25519 (RFC 8032, ZIP 215).

Variable time, for public data only. Derived from a CC0 reference that was written from the RFC text.
"""
import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = (-121665 * pow(121666, P - 2, P)) % P
D2 = 2 * D % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
SQRT_M1 = P - SQRT_M1 if SQRT_M1 & 1 else SQRT_M1
SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235
ONE_MINUS_D_SQ = (1 - D * D) % P
D_MINUS_ONE_SQ = (D - 1) ** 2 % P


class Point:
    """A point of edwards25519 in extended coordinates."""

    __slots__ = ("x", "y", "z", "t")

    def __init__(self, x, y, z, t):
        self.x, self.y, self.z, self.t = x % P, y % P, z % P, t % P

    def __add__(self, o):
        a = (self.y - self.x) * (o.y - o.x) % P
        b = (self.y + self.x) * (o.y + o.x) % P
        c = self.t * o.t % P * D2 % P
        d = 2 * self.z * o.z % P
        e, f, g, h = b - a, d - c, d + c, b + a
        return Point(e * f, g * h, f * g, e * h)

    def double(self):
        a, b, c = self.x * self.x % P, self.y * self.y % P, 2 * self.z * self.z % P
        h = a + b
        e = h - (self.x + self.y) ** 2
        g = a - b
        f = c + g
        return Point(e * f, g * h, f * g, e * h)

    def __neg__(self):
        return Point(-self.x, self.y, self.z, -self.t)

    def __sub__(self, o):
        return self + (-o)

    def __rmul__(self, k):
        table = [IDENTITY, self]
        for _ in range(14):
            table.append(table[-1] + self)
        r = IDENTITY
        for nibble in "%x" % k:
            r = r.double().double().double().double()
            if nibble != "0":
                r = r + table[int(nibble, 16)]
        return r

    def is_identity(self):
        """The identity of edwards25519."""
        return self.x == 0 and self.y == self.z

    def same_point(self, o):
        """Equality on edwards25519."""
        return (self.x * o.z - o.x * self.z) % P == 0 and (self.y * o.z - o.y * self.z) % P == 0

    def __eq__(self, o):
        """Equality in ristretto255 (RFC 9496 section 4.3.3)."""
        return (self.x * o.y - self.y * o.x) % P == 0 or (self.y * o.y - self.x * o.x) % P == 0

    __hash__ = None


IDENTITY = Point(0, 1, 1, 0)


def _abs(x):
    x %= P
    return P - x if x & 1 else x


def _sqrt_ratio(u, v):
    v3 = v * v % P * v % P
    r = u * v3 % P * pow(u * v3 % P * v3 % P * v % P, (P - 5) // 8, P) % P
    check = v * r % P * r % P
    u %= P
    correct, flipped, flipped_i = check == u, check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return correct or flipped, _abs(r)


INVSQRT_A_MINUS_D = _sqrt_ratio(1, -1 - D)[1]


# ristretto255

def decode(b):
    """The element, or None if the encoding is not canonical or the identity ("element" of evidence.md)."""
    s = int.from_bytes(b, "little")
    if len(b) != 32 or s >= P or s & 1 or s == 0:
        return None
    ss = s * s % P
    u1, u2 = 1 - ss, 1 + ss
    u2s = u2 * u2 % P
    v = (-(D * u1 % P * u1) - u2s) % P
    square, inv = _sqrt_ratio(1, v * u2s % P)
    dx = inv * u2 % P
    dy = inv * dx % P * v % P
    x = _abs(2 * s * dx)
    y = u1 * dy % P
    t = x * y % P
    if not square or t & 1 or y == 0:
        return None
    return Point(x, y, 1, t)


def encode(p):
    """The 32 bytes of an element; the identity is 32 zero bytes."""
    u1 = (p.z + p.y) * (p.z - p.y) % P
    u2 = p.x * p.y % P
    inv = _sqrt_ratio(1, u1 * u2 % P * u2 % P)[1]
    den1, den2 = inv * u1 % P, inv * u2 % P
    z_inv = den1 * den2 % P * p.t % P
    if p.t * z_inv % P & 1:
        x, y, den = p.y * SQRT_M1 % P, p.x * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    else:
        x, y, den = p.x, p.y, den2
    if x * z_inv % P & 1:
        y = -y % P
    return _abs(den * (p.z - y)).to_bytes(32, "little")


def _elligator(b):
    t = (int.from_bytes(b, "little") & (2**255 - 1)) % P
    r = SQRT_M1 * t % P * t % P
    u, v = (r + 1) * ONE_MINUS_D_SQ % P, (-1 - r * D) * (r + D) % P
    square, s = _sqrt_ratio(u, v)
    c = -1 % P
    if not square:
        s, c = -_abs(s * t) % P, r
    n = (c * (r - 1) % P * D_MINUS_ONE_SQ - v) % P
    w0, w1, w2, w3 = 2 * s * v, n * SQRT_AD_MINUS_ONE, 1 - s * s, 1 + s * s
    return Point(w0 * w3, w2 * w1, w1 * w3, w0 * w2)


def from_uniform(b):
    """RFC 9496's one-way map of 64 bytes."""
    return _elligator(b[:32]) + _elligator(b[32:])


G_BYTES = bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")
G = decode(G_BYTES)
CTX = b"OPRFV1-\x01-ristretto255-SHA512"


def expand_message_xmd(msg, dst, n):
    """RFC 9380 section 5.3.1 with SHA-512, for a DST of at most 255 bytes."""
    h = hashlib.sha512
    dst += bytes([len(dst)])
    b0 = h(bytes(128) + msg + n.to_bytes(2, "big") + b"\0" + dst).digest()
    out = [h(b0 + b"\1" + dst).digest()]
    while 64 * len(out) < n:
        mixed = bytes(a ^ b for a, b in zip(b0, out[-1]))
        out.append(h(mixed + bytes([len(out) + 1]) + dst).digest())
    return b"".join(out)[:n]


def hash_to_group(msg):
    """RFC 9497's HashToGroup of OPRFV1-\\x01-ristretto255-SHA512."""
    return from_uniform(expand_message_xmd(msg, b"HashToGroup-" + CTX, 64))


def hash_to_scalar(msg):
    """RFC 9497's HashToScalar of the same suite."""
    return int.from_bytes(expand_message_xmd(msg, b"HashToScalar-" + CTX, 64), "little") % L


def scalar(b):
    """32 bytes little-endian below l, or None."""
    n = int.from_bytes(b, "little")
    return n if len(b) == 32 and n < L else None


# Ed25519

def _decompress(b, canonical):
    n = int.from_bytes(b, "little")
    sign, y = n >> 255, n & (2**255 - 1)
    if canonical and y >= P:
        return None
    y %= P
    square, x = _sqrt_ratio(y * y - 1, D * y % P * y + 1)
    if not square or (canonical and x == 0 and sign):
        return None
    if x & 1 != sign:
        x = -x % P
    return Point(x, y, 1, x * y)


B = _decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"), True)


def _small_order(p):
    return p.double().double().double().is_identity()


def key(b):
    """A canonical Ed25519 point that is not of small order ("key" of evidence.md), or None."""
    p = _decompress(b, True) if len(b) == 32 else None
    return None if p is None or _small_order(p) else p


def is_point(b):
    """Whether these 32 bytes decode as ZIP 215 decodes them."""
    return _decompress(b, False) is not None


def _challenge(signature, public, msg):
    return int.from_bytes(hashlib.sha512(signature[:32] + public + msg).digest(), "little") % L


def ed25519_strict(public, msg, signature):
    """Strict Ed25519: canonical A, R and s, none of small order, s*B = R + k*A without a cofactor."""
    a, r, s = key(public), key(signature[:32]), scalar(signature[32:])
    if a is None or r is None or s is None:
        return False
    return (s * B).same_point(r + _challenge(signature, public, msg) * a)


def ed25519_zip215(public, msg, signature):
    """ZIP 215: any encoding of A and R, canonical s, 8*s*B = 8*R + 8*k*A."""
    a, r, s = _decompress(public, False), _decompress(signature[:32], False), scalar(signature[32:])
    if a is None or r is None or s is None:
        return False
    return _small_order(s * B - r - _challenge(signature, public, msg) * a)
