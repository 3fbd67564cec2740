//! Many group elements at once: every batched computation of the protocol is written over [`Points`], whatever computes it.
//!
//! - **Place**: under `oprf::server`, `escrow`, `evaluation`, `pedersen`: A3, B3, B4, B5 and the audit
//! - **Shapes**: any number of points; 160 or 320 bytes each while they are computed with, so callers go through long lists in runs
//!   of [`RUN`]
//! - **Invariants**: the same encodings from every kernel; the identity is a point here, its callers refuse it
//! - **Security**: constant time in points and secret scalars; [`weighted_sums`] are variable time, on public values.
//!   Points are cleared when dropped
//! - **Source**: RFC 9496; kernels: `lanes`, otherwise curve25519-dalek

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint},
    scalar::Scalar,
    traits::VartimeMultiscalarMul,
};
use zeroize::{Zeroize, Zeroizing};

#[cfg(target_arch = "x86_64")]
use crate::lanes::{avx2, avx512};
use crate::{
    group::{Element, GroupError},
    kernel::{Kernel, by_kernel},
    secret::SecretScalar,
};

/// Points that callers compute with at a time: one run of coordinates stays in the second-level cache.
pub(crate) const RUN: usize = 1024;

/// 1/2 modulo l: what is multiplied by it is doubled while it is encoded.
pub(crate) static HALF: LazyLock<Scalar> = LazyLock::new(|| Scalar::from(2u8).invert());

/// Sums of at most so many points are computed side by side, a sum a lane; longer ones alone, a point a lane.
pub(crate) const SHORT_SUM: usize = 16;

/// Points, in order.
pub(crate) enum Points {
    #[cfg(target_arch = "x86_64")]
    Lanes(avx512::points::Points),
    #[cfg(target_arch = "x86_64")]
    FourLanes(avx2::points::Points),
    Portable(Vec<RistrettoPoint>),
}

#[cfg(target_arch = "x86_64")]
impl From<avx512::points::Points> for Points {
    fn from(points: avx512::points::Points) -> Points {
        Points::Lanes(points)
    }
}

#[cfg(target_arch = "x86_64")]
impl From<avx2::points::Points> for Points {
    fn from(points: avx2::points::Points) -> Points {
        Points::FourLanes(points)
    }
}

impl Drop for Points {
    fn drop(&mut self) {
        if let Points::Portable(points) = self {
            points.iter_mut().for_each(Zeroize::zeroize);
        }
    }
}

/// One expression for two lists of the same kernel's lanes, and one where they are not.
macro_rules! by_kernel_of_both {
    ($of:expr, $a:ident, $b:ident => $in_lanes:expr, $one_by_one:expr $(,)?) => {
        match $of {
            #[cfg(target_arch = "x86_64")]
            (Points::Lanes($a), Points::Lanes($b)) => $in_lanes,
            #[cfg(target_arch = "x86_64")]
            (Points::FourLanes($a), Points::FourLanes($b)) => $in_lanes,
            _ => $one_by_one,
        }
    };
}

/// `HashToGroup` and the like: the one-way map of 64 uniform bytes each.
pub(crate) fn map(kernel: Kernel, uniform: &[[u8; 64]]) -> Points {
    by_kernel!(
        kernel, Kernel,
        lanes => lanes.map(uniform).into(),
        Kernel::Portable => Points::Portable(uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect()),
    )
}

/// Elements as points.
pub(crate) fn of_elements<'a>(kernel: Kernel, elements: impl ExactSizeIterator<Item = &'a Element>) -> Points {
    by_kernel!(
        kernel, Kernel,
        lanes => {
            let encodings: Vec<[u8; 32]> = elements.map(Element::to_bytes).collect();
            lanes.decode(&encodings).expect("an element's encoding is canonical").into()
        },
        Kernel::Portable => Points::Portable(elements.map(Element::point).collect()),
    )
}

/// The points of these encodings.
///
/// # Errors
/// [`GroupError::Identity`] if any is the identity, [`GroupError::NotCanonical`] if any does not decode.
pub(crate) fn decode(kernel: Kernel, encodings: &[[u8; 32]]) -> Result<Points, GroupError> {
    if encodings.contains(&[0; 32]) {
        return Err(GroupError::Identity);
    }
    let decoded = by_kernel!(
        kernel, Kernel,
        lanes => lanes.decode(encodings).ok().map(Points::from),
        Kernel::Portable => {
            let decoded = encodings.iter().map(|bytes| CompressedRistretto(*bytes).decompress());
            decoded.collect::<Option<_>>().map(Points::Portable)
        },
    );
    decoded.ok_or(GroupError::NotCanonical)
}

/// One list after the other; each but the last has a multiple of [`RUN`] points.
pub(crate) fn joined(parts: Vec<Points>) -> Points {
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or(Points::Portable(Vec::new()));
    for mut part in parts {
        by_kernel_of_both!(
            (&mut all, &mut part),
            all, part => all.append(part),
            all = Points::Portable([&**all.portable(), &**part.portable()].concat()),
        );
    }
    all
}

/// `scalar_i * base`.
pub(crate) fn multiples(base: &Base, scalars: &[Zeroizing<[u8; 32]>]) -> Points {
    by_kernel!(
        base, Base,
        table => table.multiples(scalars).into(),
        Base::Portable(table) => {
            let multiple = |bytes: &Zeroizing<[u8; 32]>| table.as_ref() * &Scalar::from_bytes_mod_order(**bytes);
            Points::Portable(scalars.iter().map(multiple).collect())
        },
    )
}

/// The bytes of secret scalars, as [`multiples`] takes them.
pub(crate) fn scalar_bytes<'a>(scalars: impl Iterator<Item = &'a SecretScalar>) -> Vec<Zeroizing<[u8; 32]>> {
    scalars.map(|scalar| scalar.expose(|scalar| Zeroizing::new(scalar.to_bytes()))).collect()
}

/// The encodings of `2 * (half * P)` of each list, one secret scalar: short lists share the lanes, long ones go by runs.
pub(crate) fn multiply_and_double(lists: &[&Points], half: &Scalar) -> Vec<Vec<[u8; 32]>> {
    let computed = |points: &Points| -> Vec<[u8; 32]> {
        points.runs().iter().flat_map(|run| run.multiply(half).double_and_encode()).collect()
    };
    let are_short = lists.len() > 1 && lists.iter().all(|points| points.len() <= RUN);
    let Some(together) = (if are_short { together(lists) } else { None }) else {
        return lists.iter().map(|points| computed(points)).collect();
    };
    let encodings = computed(&together);
    let mut rest = &encodings[..];
    let own = |points: &&Points| {
        let (own, others) = rest.split_at(points.len());
        rest = others;
        own.to_vec()
    };
    lists.iter().map(own).collect()
}

/// All lists as one, if they are in the lanes of one kernel.
#[cfg(target_arch = "x86_64")]
fn together(lists: &[&Points]) -> Option<Points> {
    let eight = lists.iter().map(|points| points.in_eight_lanes()).collect::<Option<Vec<_>>>();
    let four = lists.iter().map(|points| points.in_four_lanes()).collect::<Option<Vec<_>>>();
    eight
        .map(|lists| avx512::points::together(&lists).into())
        .or_else(|| four.map(|lists| avx2::points::together(&lists).into()))
}

#[cfg(not(target_arch = "x86_64"))]
fn together(_: &[&Points]) -> Option<Points> {
    None
}

impl Points {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        by_kernel!(
            self, Points,
            lanes => lanes.len(),
            Points::Portable(points) => points.len(),
        )
    }

    /// Runs of [`RUN`] points.
    fn runs(&self) -> Vec<Points> {
        let places: Vec<usize> = (0..self.len()).collect();
        places.chunks(RUN).map(|run| self.pick(run)).collect()
    }

    /// The points at these places, in their order.
    pub(crate) fn pick(&self, places: &[usize]) -> Points {
        by_kernel!(
            self, Points,
            lanes => lanes.pick(places).into(),
            Points::Portable(points) => Points::Portable(places.iter().map(|place| points[*place]).collect()),
        )
    }

    #[cfg(target_arch = "x86_64")]
    const fn in_eight_lanes(&self) -> Option<&avx512::points::Points> {
        if let Points::Lanes(points) = self { Some(points) } else { None }
    }

    #[cfg(target_arch = "x86_64")]
    const fn in_four_lanes(&self) -> Option<&avx2::points::Points> {
        if let Points::FourLanes(points) = self { Some(points) } else { None }
    }

    /// `k * P` of each, one secret k.
    pub(crate) fn multiply(&self, k: &Scalar) -> Points {
        by_kernel!(
            self, Points,
            lanes => lanes.multiply(k).into(),
            Points::Portable(points) => Points::Portable(points.iter().map(|point| k * point).collect()),
        )
    }

    /// `k_i * P_i`, each with its own secret scalar.
    pub(crate) fn multiply_each(&self, scalars: &[Scalar]) -> Points {
        by_kernel!(
            self, Points,
            lanes => lanes.multiply_each(scalars).into(),
            Points::Portable(points) => {
                Points::Portable(scalars.iter().zip(points).map(|(scalar, point)| scalar * point).collect())
            },
        )
    }

    /// The sum, point by point.
    pub(crate) fn add(&self, other: &Points) -> Points {
        by_kernel_of_both!(
            (self, other),
            a, b => a.add(b).into(),
            Points::Portable(self.portable().iter().zip(other.portable().iter()).map(|(a, b)| a + b).collect()),
        )
    }

    /// The difference, point by point.
    pub(crate) fn sub(&self, other: &Points) -> Points {
        by_kernel_of_both!(
            (self, other),
            a, b => a.sub(b).into(),
            Points::Portable(self.portable().iter().zip(other.portable().iter()).map(|(a, b)| a - b).collect()),
        )
    }

    /// Whether they are the same elements, point by point.
    pub(crate) fn equal(&self, other: &Points) -> Vec<bool> {
        by_kernel_of_both!(
            (self, other),
            a, b => a.equal(b),
            self.portable().iter().zip(other.portable().iter()).map(|(a, b)| a == b).collect(),
        )
    }

    /// The encodings.
    pub(crate) fn encode(&self) -> Vec<[u8; 32]> {
        by_kernel!(
            self, Points,
            lanes => lanes.encode(),
            Points::Portable(points) => points.iter().map(|point| point.compress().0).collect(),
        )
    }

    /// The encodings of twice each point, with one inversion for all. Halve scalars before, never encodings after.
    pub(crate) fn double_and_encode(&self) -> Vec<[u8; 32]> {
        by_kernel!(
            self, Points,
            lanes => lanes.double_and_encode(),
            Points::Portable(points) => {
                RistrettoPoint::double_and_compress_batch(points).into_iter().map(|point| point.0).collect()
            },
        )
    }

    /// `sum w_i * P_i`, in variable time: weights and points are public.
    fn weighted_sum(&self, weights: &[u128]) -> RistrettoPoint {
        by_kernel!(
            self, Points,
            lanes => lanes.weighted_sum(weights),
            Points::Portable(points) => {
                RistrettoPoint::vartime_multiscalar_mul(weights.iter().map(|weight| Scalar::from(*weight)), points)
            },
        )
    }

    /// As dalek's points; an encoding and a decoding each from lanes.
    fn portable(&self) -> Zeroizing<Vec<RistrettoPoint>> {
        let decode = |encoding: [u8; 32]| CompressedRistretto(encoding).decompress();
        Zeroizing::new(by_kernel!(
            self, Points,
            lanes => lanes.encode().into_iter().filter_map(decode).collect(),
            Points::Portable(points) => points.clone(),
        ))
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
    let mut short = short_sums(&short).into_iter().map(Element::of_encoding);
    let alone = |(points, weights): &Weighted<'_>| Element::from_point(points.weighted_sum(weights));
    let sum = |sum: &Weighted<'_>| if is_short(sum.1) { short.next() } else { None }.unwrap_or_else(|| alone(sum));
    sums.iter().map(sum).collect()
}

/// Encodings of short sums, a sum a lane; none unless all points are in the lanes of one kernel.
#[cfg(target_arch = "x86_64")]
fn short_sums(sums: &[Weighted<'_>]) -> Vec<[u8; 32]> {
    let eight: Option<Vec<_>> =
        sums.iter().map(|(points, weights)| Some((points.in_eight_lanes()?, *weights))).collect();
    let four: Option<Vec<_>> = sums.iter().map(|(points, weights)| Some((points.in_four_lanes()?, *weights))).collect();
    match (eight, four) {
        (Some(sums), _) => avx512::points::short_sums(&sums),
        (None, Some(sums)) => avx2::points::short_sums(&sums),
        (None, None) => Vec::new(),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn short_sums(_: &[Weighted<'_>]) -> Vec<[u8; 32]> {
    Vec::new()
}

/// A public base with a table of its multiples.
#[derive(Clone)]
pub(crate) enum Base {
    #[cfg(target_arch = "x86_64")]
    Lanes(Arc<avx512::fixed_base::FixedBase>),
    #[cfg(target_arch = "x86_64")]
    FourLanes(Arc<avx2::fixed_base::FixedBase>),
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
        by_kernel!(
            kernel, Kernel,
            lanes => lanes.small_base(point).into(),
            Kernel::Portable => Base::full(kernel, point),
        )
    }

    /// A table for any scalar.
    pub(crate) fn full(kernel: Kernel, point: &RistrettoPoint) -> Base {
        by_kernel!(
            kernel, Kernel,
            lanes => lanes.base(point).into(),
            Kernel::Portable => Base::Portable(Arc::new(RistrettoBasepointTable::create(point))),
        )
    }

    const fn is_of(&self, kernel: Kernel) -> bool {
        match (self, kernel) {
            #[cfg(target_arch = "x86_64")]
            (Base::Lanes(_), Kernel::Lanes(_)) | (Base::FourLanes(_), Kernel::FourLanes(_)) => true,
            (Base::Portable(_), Kernel::Portable) => true,
            #[cfg(target_arch = "x86_64")]
            _ => false,
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl From<avx512::fixed_base::FixedBase> for Base {
    fn from(table: avx512::fixed_base::FixedBase) -> Base {
        Base::Lanes(Arc::new(table))
    }
}

#[cfg(target_arch = "x86_64")]
impl From<avx2::fixed_base::FixedBase> for Base {
    fn from(table: avx2::fixed_base::FixedBase) -> Base {
        Base::FourLanes(Arc::new(table))
    }
}
