//! A kernel against dalek, sha2 and hkdf on whatever bytes a fuzzer finds: [`compare`].
//!
//! - **Place**: called for both kernels by `crypto/fuzz/fuzz_targets/lanes.rs` as `riskveil_crypto::lanes_differential`; the test
//!   below runs it over the seed corpus `crypto/fuzz/corpus/lanes`
//! - **Shapes**: bytes are a program: a count of points, then at most [`STEPS`] steps on two lists of so many points, each list in
//!   lanes and in dalek. Where bytes run out, zeros follow
//! - **Invariants**: after every step a list encodes, and its double encodes, to the same bytes from both
//!
//! ```text
//! a = decode    any 32 bytes, edges of the field, encodings of a, their negatives and neighbours
//! a = map       any 64 bytes, edges of the field
//! a = k*a       k any scalar below 2^255, reduced or not; one for all lanes, or each lane its own
//! a = a + b, a - b, a + torsion
//! swap          a and b
//! equal         a and b, lane by lane
//! sum w_i*a_i   weights below 2^128, across runs of groups
//! a = v_i*B     fixed bases, full and small, sometimes one of a
//! batches       the same through `points`, by the kernel and portable
//! digests       SHA-512, expand_message_xmd, Finalize, HKDF of messages of unequal lengths
//! ```

use std::sync::OnceLock;

use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_POINT,
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::{Identity, VartimeMultiscalarMul},
};
use hkdf::Hkdf;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use super::{
    bucket_sum,
    edwards::{self, Extended},
    field::{SQRT_M1, Wide},
    fixed_base::{FULL, FixedBase, SMALL},
    ristretto,
    simd::{Instructions, LANES},
};
use crate::{
    kernel::Kernel,
    oprf::suite,
    points::{self, Base},
    sha512::{self, Digests},
};

/// Steps of one program.
const STEPS: usize = 12;
/// Points of a list: two groups of eight and a part of a third.
const MOST_POINTS: usize = 20;
/// Bytes of a message: up to four blocks and a part of a fifth.
const LONGEST_MESSAGE: u16 = 600;
/// The first byte of p, little-endian.
const P_LOWEST: u8 = 0xed;
/// The other bytes of p.
const P_TAIL: [u8; 31] = {
    let mut bytes = [0xff; 31];
    bytes[30] = 0x7f;
    bytes
};

/// Runs the program in `data` by this kernel and by dalek; nothing where the processor lacks the instructions.
///
/// # Panics
/// Where they differ.
pub(crate) fn compare(data: &[u8]) {
    let Some(proof) = Instructions::detect() else { return };
    let mut program = Program::new(proof, data);
    for _ in 0..STEPS {
        if program.bytes.0.is_empty() {
            break;
        }
        program.step();
    }
}

/// The bytes not read yet; zeros after them.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(self.0.len().min(most));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// 64 bytes that look random, from two.
    fn spread(&mut self) -> [u8; 64] {
        Sha512::digest(self.array::<2>()).into()
    }

    /// A field element's 32 bytes: near 0, p, 2^255, 2^256 and the ends of limbs, or any.
    fn field(&mut self) -> [u8; 32] {
        let choice = self.byte();
        let near = choice >> 3;
        let mut bytes = [0; 32];
        match choice & 7 {
            0 => bytes[0] = near,
            // p - 16 .. p + 15
            1 => {
                bytes[0] = P_LOWEST - 16 + near;
                bytes[1..].copy_from_slice(&P_TAIL);
            }
            // 2^255 - 1 - near, 2^256 - 1 - near
            top @ (2 | 3) => {
                bytes = [0xff; 32];
                (bytes[0], bytes[31]) = (0xff - near, if top == 2 { 0x7f } else { 0xff });
            }
            // one bit, or all below it
            4 => {
                let bit = self.byte();
                bytes[usize::from(bit / 8)] = 1 << (bit % 8);
                if near & 1 == 1 {
                    bytes[..usize::from(bit / 8)].fill(0xff);
                }
            }
            5 => bytes = [self.byte(); 32],
            6 => bytes.copy_from_slice(&self.spread()[..32]),
            _ => bytes = self.array(),
        }
        bytes
    }

    fn uniform(&mut self) -> [u8; 64] {
        let mut uniform = self.spread();
        match self.byte() & 3 {
            0 => {
                uniform[..32].copy_from_slice(&self.field());
                uniform[32..].copy_from_slice(&self.field());
            }
            1 => uniform[..32].copy_from_slice(&self.field()),
            _ => {}
        }
        uniform
    }

    /// A scalar below 2^`bits`: small, near l, of equal or extreme digits, one bit, or any; reduced or not.
    fn scalar(&mut self, bits: usize) -> [u8; 32] {
        let choice = self.byte();
        let near = Scalar::from(choice >> 3);
        let mut scalar = match choice & 7 {
            0 => near.to_bytes(),
            1 => (-near).to_bytes(),
            2 => (near * Scalar::from(2u8).invert()).to_bytes(),
            3 => [self.byte(); 32],
            // every digit of radix 16 is -8
            4 => {
                let mut nibbles = [0x77; 32];
                nibbles[0] = 0x78;
                nibbles
            }
            5 => {
                let bit = self.byte();
                let mut power = [0; 32];
                power[usize::from(bit / 8)] = 1 << (bit % 8);
                power
            }
            6 => Scalar::from_bytes_mod_order_wide(&self.spread()).to_bytes(),
            _ => self.array(),
        };
        for (at, byte) in scalar.iter_mut().enumerate() {
            *byte &= match bits.saturating_sub(8 * at) {
                kept @ 0..8 => (1u8 << kept) - 1,
                _ => u8::MAX,
            };
        }
        scalar
    }

    fn weight(&mut self) -> u128 {
        match self.byte() {
            choice @ 0..16 => u128::from(choice),
            choice @ 16..32 => u128::MAX - u128::from(choice - 16),
            choice @ 32..160 => 1 << (choice - 32),
            choice @ 160..176 => u128::from_le_bytes([choice << 4 | choice & 15; 16]),
            _ => u128::from_le_bytes(self.array()),
        }
    }

    /// A message whose length is at or near the ends of blocks, or any; it repeats bytes that are read again.
    fn message(&mut self) -> Vec<u8> {
        let [choice, low, high] = self.array();
        let length = match choice {
            ..128 => {
                [0, 1, 55, 63, 64, 103, 110, 111, 112, 113, 127, 128, 129, 239, 240, 256][usize::from(choice & 15)]
            }
            _ => usize::from(u16::from_le_bytes([low, high]) % LONGEST_MESSAGE),
        };
        let contents = self.0.iter().copied().chain([choice, low, high]).cycle();
        contents.take(length).collect()
    }
}

/// The same points in lanes and in dalek. Lanes beyond the last point hold anything.
#[derive(Clone)]
struct Both {
    lanes: Vec<Extended>,
    dalek: Vec<RistrettoPoint>,
}

impl Both {
    fn check(&self, proof: Instructions) {
        let count = self.dalek.len();
        assert_eq!(ristretto::encode_all(&self.lanes, count), encodings(&self.dalek));
        let doubles: Vec<[u8; 32]> =
            RistrettoPoint::double_and_compress_batch(&self.dalek).into_iter().map(|point| point.0).collect();
        assert_eq!(ristretto::double_and_encode_all(proof, &self.lanes, count), doubles);
    }
}

fn encodings(points: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    points.iter().map(|point| point.compress().0).collect()
}

/// p - s.
fn negative(s: &[u8; 32]) -> [u8; 32] {
    let mut borrow = false;
    std::array::from_fn(|at| {
        let of_p = if at == 0 { P_LOWEST } else { P_TAIL[at - 1] };
        let (difference, below) = of_p.overflowing_sub(s[at]);
        let (difference, below_too) = difference.overflowing_sub(u8::from(borrow));
        borrow = below || below_too;
        difference
    })
}

fn filled<T: Copy>(values: &[T], rest: T) -> [T; LANES] {
    std::array::from_fn(|lane| values.get(lane).copied().unwrap_or(rest))
}

struct Program<'a> {
    proof: Instructions,
    bytes: Bytes<'a>,
    count: usize,
    a: Both,
    b: Both,
}

impl<'a> Program<'a> {
    fn new(proof: Instructions, data: &'a [u8]) -> Program<'a> {
        let mut bytes = Bytes(data);
        let count = usize::from(bytes.byte()) % MOST_POINTS + 1;
        let base = vec![RISTRETTO_BASEPOINT_POINT; count];
        let lanes = ristretto::decode_all(proof, &encodings(&base)).expect("the generator's encoding");
        let a = Both { lanes, dalek: base };
        Program { proof, bytes, count, b: a.clone(), a }
    }

    fn step(&mut self) {
        match self.bytes.byte() % 16 {
            0 | 1 => self.decode(),
            2 => self.map(),
            3 => self.multiply(),
            4 => self.multiply_each(),
            5 => self.add(),
            6 => self.subtract(),
            7 => self.add_torsion(),
            8 => std::mem::swap(&mut self.a, &mut self.b),
            9 => self.equal(),
            10 => self.weighted_sum(),
            11 => self.fixed_base(),
            12 => self.batches(),
            13 => self.digests(),
            14 => self.expansions(),
            _ => self.hkdf(),
        }
        self.a.check(self.proof);
    }

    fn each<T>(&mut self, one: impl Fn(&mut Bytes<'a>) -> T) -> Vec<T> {
        (0..self.count).map(|_| one(&mut self.bytes)).collect()
    }

    /// Candidates are refused where dalek refuses them and replaced by the identity; they become a, and a becomes b.
    fn decode(&mut self) {
        let own = encodings(&self.a.dalek);
        let mut candidates = Vec::with_capacity(self.count);
        for own in own {
            let choice = self.bytes.byte();
            let mut bytes = own;
            match choice {
                0..32 => bytes = self.bytes.field(),
                32..48 => bytes = self.bytes.array(),
                // a neighbour: one bit changed
                48..64 => {
                    let bit = self.bytes.byte();
                    bytes[usize::from(bit / 8)] ^= 1 << (bit % 8);
                }
                // a string that looks random, with the two bits clear that no encoding has
                64..96 => {
                    bytes.copy_from_slice(&self.bytes.spread()[..32]);
                    (bytes[0], bytes[31]) = (bytes[0] & 0xfe, bytes[31] & 0x7f);
                }
                // the negative one of the two roots
                96..112 => bytes = negative(&own),
                _ => {}
            }
            candidates.push(bytes);
        }
        let decoded: Vec<Option<RistrettoPoint>> =
            candidates.iter().map(|bytes| CompressedRistretto(*bytes).decompress()).collect();
        let [by_lanes, by_dalek] =
            [Kernel::from(self.proof), Kernel::Portable].map(|kernel| points::decode(kernel, &candidates).map(drop));
        assert_eq!(by_lanes, by_dalek);
        // the first that is refused is named; it is replaced until none is left
        let mut refused = decoded.iter().enumerate().filter(|(_, point)| point.is_none()).map(|(at, _)| at);
        let lanes = loop {
            match ristretto::decode_all(self.proof, &candidates) {
                Ok(lanes) => break lanes,
                Err(undecodable) => {
                    assert_eq!(Some(undecodable.at), refused.next());
                    candidates[undecodable.at] = [0; 32];
                }
            }
        };
        assert_eq!(refused.next(), None);
        let dalek = decoded.into_iter().map(|point| point.unwrap_or(RistrettoPoint::identity())).collect();
        self.b = std::mem::replace(&mut self.a, Both { lanes, dalek });
    }

    fn map(&mut self) {
        let uniform = self.each(Bytes::uniform);
        let lanes = ristretto::map_all(self.proof, &uniform);
        let dalek = uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect();
        self.b = std::mem::replace(&mut self.a, Both { lanes, dalek });
    }

    fn multiply(&mut self) {
        let k = self.bytes.scalar(255);
        let digits = edwards::shared_digits(self.proof, &k);
        let k = Scalar::from_bytes_mod_order(k);
        self.a.lanes.iter_mut().for_each(|group| *group = edwards::multiply(&digits, group));
        self.a.dalek.iter_mut().for_each(|point| *point *= k);
    }

    fn multiply_each(&mut self) {
        let scalars = self.each(|bytes| bytes.scalar(255));
        for (group, scalars) in self.a.lanes.iter_mut().zip(scalars.chunks(LANES)) {
            *group = edwards::multiply(&edwards::lane_digits(self.proof, &filled(scalars, [0; 32])), group);
        }
        let products = self.a.dalek.iter_mut().zip(&scalars);
        products.for_each(|(point, k)| *point *= Scalar::from_bytes_mod_order(*k));
    }

    fn add(&mut self) {
        self.a.lanes.iter_mut().zip(&self.b.lanes).for_each(|(a, b)| *a = edwards::sum(a, b));
        self.a.dalek.iter_mut().zip(&self.b.dalek).for_each(|(a, b)| *a += b);
    }

    fn subtract(&mut self) {
        self.a.lanes.iter_mut().zip(&self.b.lanes).for_each(|(a, b)| *a = edwards::difference(a, b));
        self.a.dalek.iter_mut().zip(&self.b.dalek).for_each(|(a, b)| *a -= b);
    }

    /// Other coordinates of the same elements: (0, -1), (i, 0) or (-i, 0) is added.
    fn add_torsion(&mut self) {
        let (zero, one) = (Wide::zero(self.proof), Wide::one(self.proof));
        let i = Wide::constant(self.proof, &SQRT_M1);
        let (x, y) = match self.bytes.byte() % 3 {
            0 => (zero, one.negate().carry().exact()),
            1 => (i, zero),
            _ => (i.negate().carry().exact(), zero),
        };
        let torsion = Extended { x, y, z: one, t: zero };
        let before = self.a.lanes.clone();
        self.a.lanes.iter_mut().for_each(|group| *group = edwards::sum(group, &torsion));
        let mut same = before.iter().zip(&self.a.lanes).flat_map(|(a, b)| ristretto::equal(a, b).to_array());
        assert!(same.all(|same| same));
    }

    fn equal(&self) {
        let groups = self.a.lanes.iter().zip(&self.b.lanes);
        let in_lanes = groups.flat_map(|(a, b)| ristretto::equal(a, b).to_array());
        for (in_lanes, (a, b)) in in_lanes.zip(self.a.dalek.iter().zip(&self.b.dalek)) {
            assert_eq!(in_lanes, a == b);
        }
    }

    fn weighted_sum(&mut self) {
        // mostly a few groups, sometimes more than a run of 32
        let groups = if self.bytes.byte() < 240 { self.a.lanes.len() } else { 33 + self.a.lanes.len() };
        let (mut lanes, mut dalek, mut digits) = (Vec::new(), Vec::new(), Vec::new());
        let (mut weights, mut of_lanes) = (Vec::new(), Vec::new());
        let own = self.each(Bytes::weight);
        let own = self.a.lanes.iter().zip(self.a.dalek.chunks(LANES).zip(own.chunks(LANES)));
        for (group, (points, own)) in own.cycle().take(groups) {
            lanes.push(*group);
            dalek.extend_from_slice(points);
            digits.extend(edwards::weight_digits(self.proof, &filled(own, 0)));
            weights.extend(own.iter().map(|weight| Scalar::from(*weight)));
            of_lanes.extend(filled(own, 0));
        }
        let sums = ristretto::encode_all(&[edwards::weighted_sum(self.proof, &digits, &lanes)], LANES);
        let sums = sums.iter().map(|sum| CompressedRistretto(*sum).decompress().expect("encoded by the kernel"));
        let expected = RistrettoPoint::vartime_multiscalar_mul(&weights, &dalek);
        assert_eq!(sums.sum::<RistrettoPoint>(), expected);
        // buckets take any number of points, few ones slowly
        assert_eq!(bucket_sum::bucket_sum(self.proof, &lanes, &of_lanes), expected);
    }

    fn fixed_base(&mut self) {
        static TABLES: OnceLock<[FixedBase; 2]> = OnceLock::new();
        let (choice, proof) = (self.bytes.byte(), self.proof);
        let generator = RISTRETTO_BASEPOINT_POINT;
        let tables = TABLES.get_or_init(|| [FULL, SMALL].map(|windows| FixedBase::new(proof, &generator, windows)));
        let windows = if choice & 1 == 0 { FULL } else { SMALL };
        let own;
        let (table, base) = if choice < 224 {
            (&tables[usize::from(choice & 1)], generator)
        } else {
            own = FixedBase::new(proof, &self.a.dalek[0], windows);
            (&own, self.a.dalek[0])
        };
        let scalars = self.each(|bytes| bytes.scalar(windows * 5 - 1));
        let lanes = scalars.chunks(LANES).map(|scalars| table.multiply(&filled(scalars, [0; 32]))).collect();
        let dalek = scalars.iter().map(|k| Scalar::from_bytes_mod_order(*k) * base).collect();
        self.b = std::mem::replace(&mut self.a, Both { lanes, dalek });
    }

    /// What the rooms above use: counts that are no multiple of the lanes, scalars reduced.
    fn batches(&mut self) {
        let uniform = self.each(Bytes::uniform);
        let k = Scalar::from_bytes_mod_order(self.bytes.scalar(255));
        let scalars = self.each(|bytes| Scalar::from_bytes_mod_order(bytes.scalar(255)));
        let values = self.each(|bytes| Zeroizing::new(bytes.scalar(34)));
        let weights = self.each(Bytes::weight);
        let [in_lanes, portable] = [Kernel::from(self.proof), Kernel::Portable].map(|kernel| {
            let mapped = points::map(kernel, &uniform);
            let own = mapped.multiply_each(&scalars);
            let moved = own.sub(&mapped.multiply(&k)).add(&mapped);
            let small = points::multiples(&Base::small(kernel, &RISTRETTO_BASEPOINT_POINT), &values);
            (
                [mapped.encode(), moved.encode(), own.double_and_encode(), small.double_and_encode()],
                [moved.equal(&own), moved.equal(&moved)],
                points::weighted_sums(&[(&moved, &weights), (&mapped, &weights)]),
            )
        });
        assert_eq!(in_lanes, portable);
    }

    fn digests(&mut self) {
        let messages = self.each(Bytes::message);
        let digests = sha512::digests(self.proof.into(), &messages);
        assert_eq!(digests.len(), messages.len());
        for (digest, message) in digests.iter().zip(&messages) {
            assert_eq!(digest[..], Sha512::digest(message)[..]);
        }
    }

    fn expansions(&mut self) {
        let messages = self.each(Bytes::message);
        let dst = self.bytes.message();
        let dst = &dst[..dst.len().min(255)];
        let parts = dst.split_at(dst.len() / 2);
        let expanded = self.agreed(|kernel| sha512::expand_message_xmd(kernel, &messages, &[parts.0, parts.1]));
        for (expanded, message) in expanded.iter().zip(&messages) {
            let mut uniform = [0; 64];
            suite::expand_message_xmd::<Sha512>(&[message], &[dst], &mut uniform).expect("64 bytes, a short tag");
            assert_eq!(*expanded, uniform);
        }
        let unblinded = self.each(|bytes| bytes.array());
        self.agreed(|kernel| sha512::finalize(kernel, &messages, &unblinded));
    }

    fn hkdf(&mut self) {
        let (salt, ikms, infos) = (self.bytes.message(), self.each(Bytes::message), self.each(Bytes::message));
        let okms = self.agreed(|kernel| sha512::extract(kernel, &salt, &ikms).expand(&infos));
        for ((okm, ikm), info) in okms.iter().zip(&ikms).zip(&infos) {
            let mut expected = [0; 64];
            Hkdf::<Sha512>::new(Some(&salt), ikm).expand(info, &mut expected).expect("one block");
            assert_eq!(*okm, expected);
        }
    }

    /// What the kernel and the portable code give.
    fn agreed(&self, digests: impl Fn(Kernel) -> Digests) -> Digests {
        let [in_lanes, portable] = [Kernel::from(self.proof), Kernel::Portable].map(digests);
        assert_eq!(in_lanes.len(), self.count);
        assert_eq!(in_lanes, portable);
        in_lanes
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use rand_chacha::{
        ChaCha20Rng,
        rand_core::{RngCore, SeedableRng},
    };

    use super::compare;

    #[test]
    fn the_fuzzer_s_seeds_give_the_same_as_dalek() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/lanes");
        let mut count = 0;
        for entry in fs::read_dir(corpus).unwrap() {
            compare(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0);
    }

    #[test]
    fn random_programs_give_the_same_as_dalek() {
        let rng = &mut ChaCha20Rng::from_seed([14; 32]);
        for _ in 0..300 {
            let mut program = vec![0; rng.next_u32() as usize % 2048];
            rng.fill_bytes(&mut program);
            compare(&program);
        }
    }
}
