//! Many group elements at once: every batched computation of the protocol is written over [`Points`], whatever computes it.
//!
//! - **Place**: under `oprf::server`, `escrow`, `evaluation`, `pedersen`: A3, B3, B4, B5 and the audit
//! - **Shapes**: any number of points; 160 bytes each while they are computed with, so callers go through long lists in runs
//!   of [`RUN`]
//! - **Invariants**: the same encodings from either kernel; the identity is a point here, its callers refuse it
//! - **Security**: constant time in points and secret scalars; [`Points::weighted_sum`] is variable time, on public values.
//!   Points are cleared when dropped
//! - **Source**: RFC 9496; kernel: `lanes`, otherwise curve25519-dalek

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint},
    scalar::Scalar,
    traits::{Identity, VartimeMultiscalarMul},
};
use zeroize::{Zeroize, Zeroizing};

#[cfg(target_arch = "x86_64")]
use crate::lanes::{
    bucket_sum, edwards,
    edwards::Extended,
    fixed_base::{self, FixedBase},
    ristretto,
    simd::Avx512,
};
use crate::{
    group::{Element, GroupError},
    kernel::Kernel,
    secret::SecretScalar,
};

/// Points that callers compute with at a time: one run of coordinates stays in the second-level cache.
pub(crate) const RUN: usize = 1024;

/// 1/2 modulo l: what is multiplied by it is doubled while it is encoded.
pub(crate) static HALF: LazyLock<Scalar> = LazyLock::new(|| Scalar::from(2u8).invert());

/// Sums of at most so many points are computed eight sums at a time; longer ones alone, eight points at a time.
const SHORT_SUM: usize = 16;

/// Points, in order.
pub(crate) enum Points {
    #[cfg(target_arch = "x86_64")]
    Lanes(LanePoints),
    Portable(Vec<RistrettoPoint>),
}

#[cfg(target_arch = "x86_64")]
pub(crate) struct LanePoints {
    proof: Avx512,
    groups: Vec<Extended>,
    count: usize,
}

#[cfg(target_arch = "x86_64")]
impl LanePoints {
    const fn new(proof: Avx512, groups: Vec<Extended>, count: usize) -> LanePoints {
        LanePoints { proof, groups, count }
    }

    /// The group and the lane of a point.
    fn lane(&self, place: usize) -> (&Extended, usize) {
        (&self.groups[place / 8], place % 8)
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for LanePoints {
    fn drop(&mut self) {
        self.groups.iter_mut().for_each(Extended::clear);
    }
}

impl Drop for Points {
    fn drop(&mut self) {
        if let Points::Portable(points) = self {
            points.iter_mut().for_each(Zeroize::zeroize);
        }
    }
}

/// `HashToGroup` and the like: the one-way map of 64 uniform bytes each.
pub(crate) fn map(kernel: Kernel, uniform: &[[u8; 64]]) -> Points {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Lanes(proof) => {
            Points::Lanes(LanePoints::new(proof, ristretto::map_all(proof, uniform), uniform.len()))
        }
        Kernel::Portable => Points::Portable(uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect()),
    }
}

/// Elements as points.
pub(crate) fn of_elements<'a>(kernel: Kernel, elements: impl ExactSizeIterator<Item = &'a Element>) -> Points {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Lanes(proof) => {
            let encodings: Vec<[u8; 32]> = elements.map(Element::to_bytes).collect();
            let groups = ristretto::decode_all(proof, &encodings).expect("an element's encoding is canonical");
            Points::Lanes(LanePoints::new(proof, groups, encodings.len()))
        }
        Kernel::Portable => Points::Portable(elements.map(Element::point).collect()),
    }
}

/// The points of these encodings.
///
/// # Errors
/// As [`check_encodings`].
pub(crate) fn decode(kernel: Kernel, encodings: &[[u8; 32]]) -> Result<Points, GroupError> {
    if encodings.contains(&[0; 32]) {
        return Err(GroupError::Identity);
    }
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Lanes(proof) => {
            let groups = ristretto::decode_all(proof, encodings).map_err(|_| GroupError::NotCanonical)?;
            Ok(Points::Lanes(LanePoints::new(proof, groups, encodings.len())))
        }
        Kernel::Portable => {
            let decoded = encodings.iter().map(|bytes| CompressedRistretto(*bytes).decompress());
            decoded.collect::<Option<_>>().map(Points::Portable).ok_or(GroupError::NotCanonical)
        }
    }
}

/// One list of points after the other; each but the last is a whole number of groups of eight.
pub(crate) fn joined(parts: Vec<Points>) -> Option<Points> {
    let mut parts = parts.into_iter();
    let mut all = parts.next()?;
    for mut part in parts {
        match (&mut all, &mut part) {
            #[cfg(target_arch = "x86_64")]
            (Points::Lanes(all), Points::Lanes(part)) => {
                debug_assert!(all.count.is_multiple_of(8));
                all.groups.append(&mut part.groups);
                all.count += part.count;
            }
            (Points::Portable(all), Points::Portable(part)) => all.append(part),
            #[cfg(target_arch = "x86_64")]
            _ => return None,
        }
    }
    Some(all)
}

/// Refuses the first encoding that is the identity or not canonical, as [`Element::from_bytes`] does.
pub(crate) fn check_encodings(kernel: Kernel, encodings: &[[u8; 32]]) -> Result<(), GroupError> {
    if encodings.contains(&[0; 32]) {
        return Err(GroupError::Identity);
    }
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Lanes(proof) => {
            let mut runs = encodings.chunks(RUN);
            runs.try_for_each(|run| ristretto::decode_all(proof, run).map(drop)).map_err(|_| GroupError::NotCanonical)
        }
        Kernel::Portable => {
            let decodes = |bytes: &[u8; 32]| CompressedRistretto(*bytes).decompress().is_some();
            if encodings.iter().all(decodes) { Ok(()) } else { Err(GroupError::NotCanonical) }
        }
    }
}

/// `scalar_i * base`.
pub(crate) fn multiples(base: &Base, scalars: &[Zeroizing<[u8; 32]>]) -> Points {
    match base {
        #[cfg(target_arch = "x86_64")]
        Base::Lanes(proof, table) => {
            let mut groups = Vec::with_capacity(scalars.len().div_ceil(8));
            for scalars in scalars.chunks(8) {
                let mut eight = Zeroizing::new([[0; 32]; 8]);
                eight.iter_mut().zip(scalars).for_each(|(lane, scalar)| lane.copy_from_slice(&**scalar));
                groups.push(table.multiply(&eight));
            }
            Points::Lanes(LanePoints::new(*proof, groups, scalars.len()))
        }
        Base::Portable(table) => {
            let multiple = |bytes: &Zeroizing<[u8; 32]>| table.as_ref() * &Scalar::from_bytes_mod_order(**bytes);
            Points::Portable(scalars.iter().map(multiple).collect())
        }
    }
}

/// The bytes of secret scalars, as [`multiples`] takes them.
pub(crate) fn scalar_bytes<'a>(scalars: impl Iterator<Item = &'a SecretScalar>) -> Vec<Zeroizing<[u8; 32]>> {
    scalars.map(|scalar| scalar.expose(|scalar| Zeroizing::new(scalar.to_bytes()))).collect()
}

/// The encodings of `2 * (half * P)` of each list, one secret scalar: short lists share the lanes, long ones go by runs.
pub(crate) fn multiply_and_double(lists: &[&Points], half: &Scalar) -> Vec<Vec<[u8; 32]>> {
    let computed = |points: &Points| -> Vec<[u8; 32]> {
        let runs = points.runs();
        runs.iter().flat_map(|run| run.multiply(half).double_and_encode()).collect()
    };
    let together = if lists.len() > 1 { concatenated(lists) } else { None };
    let Some(together) = together else { return lists.iter().map(|points| computed(points)).collect() };
    let encodings = computed(&together);
    let mut rest = &encodings[..];
    let own = |points: &&Points| {
        let (own, others) = rest.split_at(points.len());
        rest = others;
        own.to_vec()
    };
    lists.iter().map(own).collect()
}

/// Short lists as one; none where one is long.
fn concatenated(lists: &[&Points]) -> Option<Points> {
    if lists.iter().any(|points| points.len() > RUN) {
        return None;
    }
    match lists.first()? {
        #[cfg(target_arch = "x86_64")]
        Points::Lanes(first) => {
            let mut lanes = Vec::with_capacity(lists.iter().map(|points| points.len()).sum());
            for points in lists {
                let Points::Lanes(points) = points else { return None };
                lanes.extend((0..points.count).map(|place| points.lane(place)));
            }
            let groups = lanes.chunks(8).map(|eight| Extended::pick(first.proof, eight.iter().copied())).collect();
            Some(Points::Lanes(LanePoints::new(first.proof, groups, lanes.len())))
        }
        Points::Portable(_) => None,
    }
}

impl Points {
    /// `k * P` of each, one secret k.
    pub(crate) fn multiply(&self, k: &Scalar) -> Points {
        match self {
            #[cfg(target_arch = "x86_64")]
            Points::Lanes(LanePoints { proof, groups, count }) => {
                let bytes = Zeroizing::new(k.to_bytes());
                let digits = edwards::shared_digits(*proof, &bytes);
                let groups = groups.iter().map(|group| edwards::multiply(&digits, group)).collect();
                Points::Lanes(LanePoints::new(*proof, groups, *count))
            }
            Points::Portable(points) => Points::Portable(points.iter().map(|point| k * point).collect()),
        }
    }

    /// Runs of [`RUN`] points.
    fn runs(&self) -> Vec<Points> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Points::Lanes(LanePoints { proof, groups, count }) => {
                let run = |(number, groups): (usize, &[Extended])| {
                    Points::Lanes(LanePoints::new(*proof, groups.to_vec(), (*count - number * RUN).min(RUN)))
                };
                groups.chunks(RUN / 8).enumerate().map(run).collect()
            }
            Points::Portable(points) => points.chunks(RUN).map(|run| Points::Portable(run.to_vec())).collect(),
        }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Points::Lanes(points) => points.count,
            Points::Portable(points) => points.len(),
        }
    }

    /// The points at these places, in their order.
    pub(crate) fn pick(&self, places: &[usize]) -> Points {
        match self {
            #[cfg(target_arch = "x86_64")]
            Points::Lanes(points) => {
                let in_order = || places.iter().zip(places[0]..).all(|(place, expected)| *place == expected);
                let picked = if !places.is_empty() && places[0] % 8 == 0 && in_order() {
                    points.groups[places[0] / 8..(places[0] + places.len()).div_ceil(8)].to_vec()
                } else {
                    let lane = |place: &usize| points.lane(*place);
                    places.chunks(8).map(|eight| Extended::pick(points.proof, eight.iter().map(lane))).collect()
                };
                Points::Lanes(LanePoints::new(points.proof, picked, places.len()))
            }
            Points::Portable(points) => Points::Portable(places.iter().map(|place| points[*place]).collect()),
        }
    }

    /// `k_i * P_i`, each with its own secret scalar.
    pub(crate) fn multiply_each(&self, scalars: &[Scalar]) -> Points {
        match self {
            #[cfg(target_arch = "x86_64")]
            Points::Lanes(LanePoints { proof, groups, count }) => {
                let mut products = Vec::with_capacity(groups.len());
                for (group, scalars) in groups.iter().zip(scalars.chunks(8)) {
                    let mut eight = Zeroizing::new([[0; 32]; 8]);
                    eight.iter_mut().zip(scalars).for_each(|(lane, scalar)| lane.copy_from_slice(scalar.as_bytes()));
                    products.push(edwards::multiply(&edwards::lane_digits(*proof, &eight), group));
                }
                Points::Lanes(LanePoints::new(*proof, products, *count))
            }
            Points::Portable(points) => {
                Points::Portable(scalars.iter().zip(points).map(|(scalar, point)| scalar * point).collect())
            }
        }
    }

    /// The sum, point by point.
    pub(crate) fn add(&self, other: &Points) -> Points {
        match (self, other) {
            #[cfg(target_arch = "x86_64")]
            (Points::Lanes(a), Points::Lanes(b)) => {
                let groups = a.groups.iter().zip(&b.groups).map(|(a, b)| edwards::sum(a, b)).collect();
                Points::Lanes(LanePoints::new(a.proof, groups, a.count.min(b.count)))
            }
            _ => Points::Portable(self.portable().iter().zip(other.portable().iter()).map(|(a, b)| a + b).collect()),
        }
    }

    /// The difference, point by point.
    pub(crate) fn sub(&self, other: &Points) -> Points {
        match (self, other) {
            #[cfg(target_arch = "x86_64")]
            (Points::Lanes(a), Points::Lanes(b)) => {
                let groups = a.groups.iter().zip(&b.groups).map(|(a, b)| edwards::difference(a, b)).collect();
                Points::Lanes(LanePoints::new(a.proof, groups, a.count.min(b.count)))
            }
            _ => Points::Portable(self.portable().iter().zip(other.portable().iter()).map(|(a, b)| a - b).collect()),
        }
    }

    /// Whether they are the same elements, point by point.
    pub(crate) fn equal(&self, other: &Points) -> Vec<bool> {
        match (self, other) {
            #[cfg(target_arch = "x86_64")]
            (Points::Lanes(a), Points::Lanes(b)) => {
                let masks = a.groups.iter().zip(&b.groups).map(|(a, b)| ristretto::equal(a, b));
                let lanes = masks.flat_map(|mask| (0..8).map(move |lane| mask >> lane & 1 == 1));
                lanes.take(a.count.min(b.count)).collect()
            }
            _ => self.portable().iter().zip(other.portable().iter()).map(|(a, b)| a == b).collect(),
        }
    }

    /// The encodings.
    pub(crate) fn encode(&self) -> Vec<[u8; 32]> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Points::Lanes(LanePoints { groups, count, .. }) => ristretto::encode_all(groups, *count),
            Points::Portable(points) => points.iter().map(|point| point.compress().0).collect(),
        }
    }

    /// The encodings of twice each point, with one inversion for all. Halve scalars before, never encodings after.
    pub(crate) fn double_and_encode(&self) -> Vec<[u8; 32]> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Points::Lanes(LanePoints { proof, groups, count }) => {
                ristretto::double_and_encode_all(*proof, groups, *count)
            }
            Points::Portable(points) => {
                RistrettoPoint::double_and_compress_batch(points).into_iter().map(|point| point.0).collect()
            }
        }
    }

    /// `sum w_i * P_i`, in variable time: weights and points are public.
    fn weighted_sum(&self, weights: &[u128]) -> RistrettoPoint {
        let decoded = |encodings: Vec<[u8; 32]>| {
            encodings.into_iter().map(|encoding| CompressedRistretto(encoding).decompress().unwrap_or_default())
        };
        match self {
            #[cfg(target_arch = "x86_64")]
            Points::Lanes(LanePoints { proof, groups, .. }) if weights.len() >= bucket_sum::PAYS_FROM => {
                let sums = bucket_sum::bucket_sum(*proof, groups, weights);
                decoded(ristretto::encode_all(&sums.windows, sums.count))
                    .rfold(RistrettoPoint::identity(), |higher, window| {
                        (0..sums.bits).fold(higher, |point, _| point + point) + window
                    })
            }
            #[cfg(target_arch = "x86_64")]
            Points::Lanes(LanePoints { proof, groups, .. }) => {
                let mut digits = Vec::with_capacity(groups.len() * 33);
                for weights in weights.chunks(8) {
                    let mut eight = [0; 8];
                    eight[..weights.len()].copy_from_slice(weights);
                    digits.extend_from_slice(&edwards::weight_digits(*proof, &eight));
                }
                decoded(ristretto::encode_all(&[edwards::weighted_sum(*proof, &digits, groups)], 8)).sum()
            }
            Points::Portable(points) => {
                RistrettoPoint::vartime_multiscalar_mul(weights.iter().map(|weight| Scalar::from(*weight)), points)
            }
        }
    }

    /// As dalek's points; an encoding and a decoding each from lanes.
    fn portable(&self) -> Zeroizing<Vec<RistrettoPoint>> {
        let decode = |encoding: [u8; 32]| CompressedRistretto(encoding).decompress();
        match self {
            #[cfg(target_arch = "x86_64")]
            Points::Lanes(_) => Zeroizing::new(self.encode().into_iter().filter_map(decode).collect()),
            Points::Portable(points) => Zeroizing::new(points.clone()),
        }
    }
}

/// Points and as many weights.
pub(crate) type Weighted<'a> = (&'a Points, &'a [u128]);

/// `sum w_i * P_i` of each list of points and weights, in variable time, on public values only. Short sums are computed together.
///
/// # Errors
/// [`GroupError::Identity`] where a sum is it.
pub(crate) fn weighted_sums(sums: &[Weighted<'_>]) -> Vec<Result<Element, GroupError>> {
    let is_short = |weights: &[u128]| weights.len() <= SHORT_SUM;
    let short: Vec<Weighted<'_>> = sums.iter().filter(|(_, weights)| is_short(weights)).copied().collect();
    let mut short = short_sums(&short).into_iter();
    let alone = |(points, weights): &Weighted<'_>| Element::from_point(points.weighted_sum(weights));
    let sum = |sum: &Weighted<'_>| if is_short(sum.1) { short.next() } else { None }.unwrap_or_else(|| alone(sum));
    sums.iter().map(sum).collect()
}

/// Short sums in lanes, a sum a lane; none where points are not in lanes.
#[cfg(target_arch = "x86_64")]
fn short_sums(sums: &[Weighted<'_>]) -> Vec<Result<Element, GroupError>> {
    let mut in_lanes = Vec::with_capacity(sums.len());
    for (points, weights) in sums {
        let Points::Lanes(points) = points else { return Vec::new() };
        in_lanes.push((points, *weights));
    }
    let mut elements = Vec::with_capacity(sums.len());
    for eight in in_lanes.chunks(8) {
        let proof = eight[0].0.proof;
        let terms = eight.iter().map(|(_, weights)| weights.len()).max().unwrap_or(0);
        let (mut digits, mut groups) = (Vec::with_capacity(terms * 33), Vec::with_capacity(terms));
        for term in 0..terms {
            let mut weights = [0; 8];
            weights.iter_mut().zip(eight).for_each(|(lane, (_, own))| *lane = own.get(term).copied().unwrap_or(0));
            digits.extend_from_slice(&edwards::weight_digits(proof, &weights));
            // a sum without such a term has the weight 0 for whatever point stands in its lane
            let lanes: Vec<(&Extended, usize)> = eight
                .iter()
                .map(|(points, weights)| points.lane(if term < weights.len() { term } else { 0 }))
                .collect();
            groups.push(Extended::pick(proof, lanes.into_iter()));
        }
        let sums = ristretto::encode_all(&[edwards::weighted_sum(proof, &digits, &groups)], eight.len());
        elements.extend(sums.into_iter().map(Element::of_encoding));
    }
    elements
}

#[cfg(not(target_arch = "x86_64"))]
fn short_sums(_: &[Weighted<'_>]) -> Vec<Result<Element, GroupError>> {
    Vec::new()
}

/// A public base with a table of its multiples.
#[derive(Clone)]
pub(crate) enum Base {
    #[cfg(target_arch = "x86_64")]
    Lanes(Avx512, Arc<FixedBase>),
    Portable(Arc<RistrettoBasepointTable>),
}

/// Tables kept: the generators, the audit keys and every publisher's key bound to them; 100 KB each.
const BASES_KEPT: usize = 256;

impl Base {
    /// The table of a public element: made once (2 ms), found again while it is among the last [`BASES_KEPT`] used.
    pub(crate) fn of(kernel: Kernel, element: &Element) -> Base {
        static KEPT: Mutex<VecDeque<([u8; 32], Base)>> = Mutex::new(VecDeque::new());
        let lock = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = lock();
        if let Some(at) = kept.iter().position(|(bytes, base)| bytes == element.as_bytes() && base.is_of(kernel))
            && let Some(found) = kept.remove(at)
        {
            let base = found.1.clone();
            kept.push_front(found);
            return base;
        }
        drop(kept); // two threads may make one table, neither waits for the other
        let base = Base::full(kernel, &element.point());
        let mut kept = lock();
        kept.push_front((element.to_bytes(), base.clone()));
        kept.truncate(BASES_KEPT);
        base
    }

    /// A table for scalars below 2^34.
    pub(crate) fn small(kernel: Kernel, point: &RistrettoPoint) -> Base {
        match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Lanes(proof) => Base::Lanes(proof, Arc::new(FixedBase::new(proof, point, fixed_base::SMALL))),
            Kernel::Portable => Base::full(kernel, point),
        }
    }

    /// A table for any scalar.
    pub(crate) fn full(kernel: Kernel, point: &RistrettoPoint) -> Base {
        match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Lanes(proof) => Base::Lanes(proof, Arc::new(FixedBase::new(proof, point, fixed_base::FULL))),
            Kernel::Portable => Base::Portable(Arc::new(RistrettoBasepointTable::create(point))),
        }
    }

    const fn is_of(&self, kernel: Kernel) -> bool {
        match (self, kernel) {
            #[cfg(target_arch = "x86_64")]
            (Base::Lanes(..), Kernel::Lanes(_)) => true,
            (Base::Portable(_), Kernel::Portable) => true,
            #[cfg(target_arch = "x86_64")]
            _ => false,
        }
    }
}
