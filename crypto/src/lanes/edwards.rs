//! Points of the curve under ristretto255, one a lane: doubling, addition, multiples by a secret scalar, weighted sums.
//!
//! - **Place**: `ristretto` decodes into these and encodes from them
//! - **Shapes**: a lane is a point; coordinates X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z, curve -x^2 + y^2 = 1 + d x^2 y^2
//! - **Security**: a scalar's digits choose by masks over the whole table, never by an address or a branch; the formulas are
//!   complete, so the identity and the small-order points are no exceptions. [`weighted_sum`] selects the same way, though its
//!   weights are public. Tables and digits are cleared
//! - **Source**: Hisil, Wong, Carter, Dawson 2008: dbl-2008-hwcd, add-2008-hwcd-3
//!
//! # Notation
//! ```text
//! Extended    X, Y, Z, T, as products        what is stored and encoded
//! Projective  X, Y, Z                        what is doubled
//! Completed   E, F, G, H                     X = E*F, Y = G*H, Z = F*G, T = E*H: what doubling and addition give
//! Addend      Y+X, Y-X, 2Z, 2d*T             a table's entry
//! Augend      Y+X, Y-X, Z, T                 what an entry is added to
//! ```

use zeroize::{Zeroize, Zeroizing};

use super::field::{D2, Field, Wide};
use super::limbs::WRITTEN_OUT;
use super::simd::{Instructions, LANES, Mask, U64s, with_instructions};

/// Signed digits of a scalar, radix 16, in [-8, 8), least significant first: 64 of them.
pub(super) const DIGITS: usize = 64;
/// Digits of a weight below 2^128: the last is a carry.
pub(super) const WEIGHT_DIGITS: usize = 33;
/// Groups whose tables are held at the same time by [`weighted_sum`]: 320 KiB.
const GROUPS_AT_ONCE: usize = 32;

/// One point a lane.
#[derive(Clone, Copy)]
pub(crate) struct Extended {
    pub(super) x: Wide,
    pub(super) y: Wide,
    pub(super) z: Wide,
    pub(super) t: Wide,
}

#[derive(Clone, Copy)]
struct Projective {
    x: Field,
    y: Field,
    z: Field,
}

#[derive(Clone, Copy)]
pub(super) struct Completed {
    e: Field,
    f: Field,
    g: Field,
    h: Field,
}

#[derive(Clone, Copy)]
pub(super) struct Augend {
    y_plus_x: Field,
    y_minus_x: Field,
    z: Field,
    t: Field,
}

#[derive(Clone, Copy)]
pub(super) struct Addend {
    pub(super) y_plus_x: Field,
    pub(super) y_minus_x: Field,
    pub(super) z2: Field,
    pub(super) t2d: Field,
}

/// P, 2P, .. 8P in every lane.
struct Table([Addend; 8]);

impl Drop for Table {
    fn drop(&mut self) {
        for Addend { y_plus_x, y_minus_x, z2, t2d } in &mut self.0 {
            [y_plus_x, y_minus_x, z2, t2d].into_iter().for_each(Zeroize::zeroize);
        }
    }
}

#[allow(clippy::inline_always)] // see `simd`
impl Extended {
    #[inline(always)]
    pub(super) fn identity(t: Instructions) -> Extended {
        Extended { x: Wide::zero(t), y: Wide::one(t), z: Wide::one(t), t: Wide::zero(t) }
    }

    /// One point a lane, each a lane of its group; the identity in the lanes after the last one.
    pub(super) fn pick<'a>(proof: Instructions, lanes: impl Iterator<Item = (&'a Extended, usize)>) -> Extended {
        let mut picked = Extended::identity(proof);
        let mut limbs = picked.coordinates().map(|wide| wide.0.map(U64s::to_array));
        for (to, (group, from)) in lanes.enumerate() {
            for (limbs, wide) in limbs.iter_mut().zip(group.coordinates()) {
                limbs.iter_mut().zip(&wide.0).for_each(|(limb, register)| limb[to] = register.to_array()[from]);
            }
        }
        for (wide, limbs) in [&mut picked.x, &mut picked.y, &mut picked.z, &mut picked.t].into_iter().zip(&limbs) {
            wide.0.iter_mut().zip(limbs).for_each(|(register, limb)| *register = U64s::load(proof, limb));
        }
        picked
    }

    fn coordinates(&self) -> [&Wide; 4] {
        [&self.x, &self.y, &self.z, &self.t]
    }

    /// Overwrites the coordinates.
    pub(crate) fn clear(&mut self) {
        [&mut self.x, &mut self.y, &mut self.z, &mut self.t].into_iter().for_each(Zeroize::zeroize);
    }

    #[inline(always)]
    fn augend(&self) -> Augend {
        Augend {
            y_plus_x: self.y.add(&self.x).carry(),
            y_minus_x: self.y.sub(&self.x).carry(),
            z: self.z.carry(),
            t: self.t.carry(),
        }
    }

    #[inline(always)]
    pub(super) fn addend(&self) -> Addend {
        let d2 = Field::constant(self.x.proof(), &D2);
        Addend {
            y_plus_x: self.y.add(&self.x).carry(),
            y_minus_x: self.y.sub(&self.x).carry(),
            z2: self.z.double().carry(),
            t2d: self.t.carry().times(&d2),
        }
    }

    #[inline(always)]
    fn doubled(&self) -> Extended {
        double(&Projective { x: self.x.carry(), y: self.y.carry(), z: self.z.carry() }).extended()
    }

    #[inline(always)]
    pub(super) fn plus(&self, addend: &Addend) -> Extended {
        add(&self.augend(), addend, Mask::none(self.x.proof())).extended()
    }

    /// The sum, lane by lane.
    #[inline(always)]
    pub(super) fn add(&self, other: &Extended) -> Extended {
        self.plus(&other.addend())
    }

    /// `self - other`, lane by lane.
    #[inline(always)]
    pub(super) fn sub(&self, other: &Extended) -> Extended {
        add(&self.augend(), &other.addend(), Mask::all(self.x.proof())).extended()
    }
}

#[allow(clippy::inline_always)] // see `simd`
impl Completed {
    #[inline(always)]
    fn projective(&self) -> Projective {
        Projective { x: self.e.times(&self.f), y: self.g.times(&self.h), z: self.f.times(&self.g) }
    }

    #[inline(always)]
    pub(super) fn augend(&self) -> Augend {
        let (x, y) = (self.e.mul(&self.f), self.g.mul(&self.h));
        Augend {
            y_plus_x: y.add(&x).carry(),
            y_minus_x: y.sub(&x).carry(),
            z: self.f.times(&self.g),
            t: self.e.times(&self.h),
        }
    }

    #[inline(always)]
    pub(super) fn extended(&self) -> Extended {
        Extended { x: self.e.mul(&self.f), y: self.g.mul(&self.h), z: self.f.mul(&self.g), t: self.e.mul(&self.h) }
    }
}

/// dbl-2008-hwcd with a = -1; E = 2XY, not (X+Y)^2 - A - B: X+Y would need a carry of its own.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn double(p: &Projective) -> Completed {
    let (a, b, c) = (p.x.square(), p.y.square(), p.z.square());
    Completed {
        e: p.x.mul(&p.y).double().carry(),
        f: a.add(&c.double()).sub(&b).carry(),
        g: b.sub(&a).carry(),
        h: a.add(&b).carry(),
    }
}

/// add-2008-hwcd-3 with a = -1; `p - q` in the lanes of `negative`: -q swaps Y+X with Y-X and negates T, which swaps F and G.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn add(p: &Augend, q: &Addend, negative: Mask) -> Completed {
    let plus = q.y_plus_x.blend(negative, &q.y_minus_x);
    let minus = q.y_minus_x.blend(negative, &q.y_plus_x);
    let a = p.y_minus_x.mul(&minus);
    let b = p.y_plus_x.mul(&plus);
    let c = p.t.mul(&q.t2d);
    let d = p.z.mul(&q.z2);
    let (difference, sum) = (d.sub(&c), d.add(&c));
    Completed {
        e: b.sub(&a).carry(),
        f: difference.blend(negative, &sum).carry(),
        g: sum.blend(negative, &difference).carry(),
        h: b.add(&a).carry(),
    }
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn identity_augend(t: Instructions) -> Augend {
    let (one, zero) = (Field::one(t), Field::zero(t));
    Augend { y_plus_x: one, y_minus_x: one, z: one, t: zero }
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn table(p: &Extended) -> Table {
    let p1 = p.addend();
    let p2 = p.doubled();
    let p3 = p2.plus(&p1);
    let p4 = p2.doubled();
    let p6 = p3.doubled();
    Table([
        p1,
        p2.addend(),
        p3.addend(),
        p4.addend(),
        p4.plus(&p1).addend(),
        p6.addend(),
        p6.plus(&p1).addend(),
        p4.doubled().addend(),
    ])
}

/// `|digit| * P`, the identity for 0, and the lanes whose digit is negative: every entry is read, under a mask.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn select(table: &Table, digit: U64s) -> (Addend, Mask) {
    let t = digit.proof();
    let magnitude = digit.magnitude();
    let (one, two, zero) = (Field::one(t), Field::two(t), Field::zero(t));
    let mut chosen = Addend { y_plus_x: one, y_minus_x: one, z2: two, t2d: zero };
    let mut multiple = 0;
    while multiple < 8 {
        let entry = &table.0[multiple];
        let mask = magnitude.equals(U64s::splat(t, multiple as u64 + 1));
        chosen = Addend {
            y_plus_x: chosen.y_plus_x.blend(mask, &entry.y_plus_x),
            y_minus_x: chosen.y_minus_x.blend(mask, &entry.y_minus_x),
            z2: chosen.z2.blend(mask, &entry.z2),
            t2d: chosen.t2d.blend(mask, &entry.t2d),
        };
        multiple += 1;
    }
    (chosen, digit.highest_bits())
}

with_instructions! {
    /// `k_i * P_i` in lane i; `digits[j]` holds digit j of every lane's scalar. Constant time.
    pub(crate) fn multiply(digits: &[U64s; DIGITS], p: &Extended) -> Extended {
        let t = digits[0].proof();
        let table = table(p);
        let (entry, negative) = select(&table, digits[DIGITS - 1]);
        let mut sum = add(&identity_augend(t), &entry, negative);
        let mut place = DIGITS - 1;
        while place > 0 {
            place -= 1;
            if WRITTEN_OUT {
                sum = double(&double(&double(&double(&sum.projective()).projective()).projective()).projective());
            } else {
                let mut doublings = 0;
                while doublings < 4 {
                    sum = double(&sum.projective());
                    doublings += 1;
                }
            }
            let (entry, negative) = select(&table, digits[place]);
            sum = add(&sum.augend(), &entry, negative);
        }
        sum.extended()
    }
}

with_instructions! {
    /// Lane by lane, the sum over groups g of `weight * P` for weights below 2^128; `digits[33 g + j]` holds digit j of group g.
    ///
    /// Doublings are shared by all points of a run of groups (Straus), so a point costs 33 additions and its table.
    pub(crate) fn weighted_sum(proof: Instructions, digits: &[U64s], points: &[Extended]) -> Extended {
        debug_assert_eq!(digits.len(), points.len() * WEIGHT_DIGITS);
        let mut total = Extended::identity(proof);
        for (points, digits) in points.chunks(GROUPS_AT_ONCE).zip(digits.chunks(GROUPS_AT_ONCE * WEIGHT_DIGITS)) {
            let mut tables = Vec::with_capacity(points.len());
            for point in points {
                tables.push(table(point));
            }
            let mut sum = Extended::identity(proof);
            let mut place = WEIGHT_DIGITS;
            while place > 0 {
                place -= 1;
                sum = sum.doubled().doubled().doubled().doubled();
                let mut augend = sum.augend();
                let mut last = None;
                for (group, table) in tables.iter().enumerate() {
                    let (entry, negative) = select(table, digits[group * WEIGHT_DIGITS + place]);
                    let completed = add(&augend, &entry, negative);
                    augend = completed.augend();
                    last = Some(completed);
                }
                if let Some(completed) = last {
                    sum = completed.extended();
                }
            }
            total = total.add(&sum);
        }
        total
    }
}

/// The digits of one scalar below 2^255 for every lane. The scalar is secret: recoding has no branch.
pub(crate) fn shared_digits(proof: Instructions, scalar: &[u8; 32]) -> Zeroizing<[U64s; DIGITS]> {
    let digits = radix_16(scalar);
    let mut lanes = Zeroizing::new([U64s::zero(proof); DIGITS]);
    for (lane, digit) in lanes.iter_mut().zip(digits.iter()) {
        *lane = U64s::splat(proof, i64::from(*digit).cast_unsigned());
    }
    lanes
}

/// The digits of scalars below 2^255, one a lane.
pub(crate) fn lane_digits(proof: Instructions, scalars: &[[u8; 32]; LANES]) -> Zeroizing<[U64s; DIGITS]> {
    let mut rows = Zeroizing::new([[0u64; LANES]; DIGITS]);
    for (lane, scalar) in scalars.iter().enumerate() {
        for (row, digit) in rows.iter_mut().zip(radix_16(scalar).iter()) {
            row[lane] = i64::from(*digit).cast_unsigned();
        }
    }
    let mut lanes = Zeroizing::new([U64s::zero(proof); DIGITS]);
    for (lane, row) in lanes.iter_mut().zip(rows.iter()) {
        *lane = U64s::load(proof, row);
    }
    lanes
}

/// The 33 digits of public weights below 2^128, one a lane.
pub(crate) fn weight_digits(proof: Instructions, weights: &[u128; LANES]) -> [U64s; WEIGHT_DIGITS] {
    let mut rows = [[0u64; LANES]; WEIGHT_DIGITS];
    for (lane, weight) in weights.iter().enumerate() {
        let mut scalar = [0; 32];
        scalar[..16].copy_from_slice(&weight.to_le_bytes());
        for (row, digit) in rows.iter_mut().zip(radix_16(&scalar).iter()) {
            row[lane] = i64::from(*digit).cast_unsigned();
        }
    }
    rows.map(|row| U64s::load(proof, &row))
}

/// Signed digits in [-8, 8) of a scalar below 2^255, the last one in [0, 8].
fn radix_16(scalar: &[u8; 32]) -> Zeroizing<[i8; DIGITS]> {
    let mut digits = Zeroizing::new([0i8; DIGITS]);
    for (pair, byte) in digits.chunks_exact_mut(2).zip(scalar) {
        pair[0] = (byte & 15).cast_signed();
        pair[1] = (byte >> 4).cast_signed();
    }
    for place in 0..DIGITS - 1 {
        let carry = (digits[place] + 8) >> 4;
        digits[place] -= carry << 4;
        digits[place + 1] += carry;
    }
    digits
}

with_instructions! {
    /// The sum, lane by lane.
    pub(crate) fn sum(a: &Extended, b: &Extended) -> Extended {
        a.add(b)
    }
}

with_instructions! {
    /// The difference, lane by lane.
    pub(crate) fn difference(a: &Extended, b: &Extended) -> Extended {
        a.sub(b)
    }
}
