//! Any number of points in lanes, group by group: what `crate::points` asks of a kernel.
//!
//! - **Invariants**: lanes after the last point hold any point
//! - **Security**: constant time in points and secret scalars; [`Points::weighted_sum`] is on public values. Points are cleared
//!   when dropped

use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::Identity,
};
use zeroize::Zeroizing;

use super::bucket_sum;
use super::edwards::{self, Extended, WEIGHT_DIGITS};
use super::fixed_base::FixedBase;
use super::ristretto::{self, Undecodable};
use super::simd::{Instructions, LANES};

/// Points, in order.
pub(crate) struct Points {
    proof: Instructions,
    groups: Vec<Extended>,
    count: usize,
}

impl Drop for Points {
    fn drop(&mut self) {
        self.groups.iter_mut().for_each(Extended::clear);
    }
}

impl Instructions {
    /// The element of each uniform string.
    pub(crate) fn map(self, uniform: &[[u8; 64]]) -> Points {
        Points { proof: self, groups: ristretto::map_all(self, uniform), count: uniform.len() }
    }

    /// The element of each encoding.
    ///
    /// # Errors
    /// [`Undecodable`].
    pub(crate) fn decode(self, encodings: &[[u8; 32]]) -> Result<Points, Undecodable> {
        let groups = ristretto::decode_all(self, encodings)?;
        Ok(Points { proof: self, groups, count: encodings.len() })
    }
}

impl FixedBase {
    /// `scalar_i * base`.
    pub(crate) fn multiples(&self, scalars: &[Zeroizing<[u8; 32]>]) -> Points {
        let mut groups = Vec::with_capacity(scalars.len().div_ceil(LANES));
        for scalars in scalars.chunks(LANES) {
            groups.push(self.multiply(&lanes_of(scalars.iter().map(|scalar| &**scalar))));
        }
        Points { proof: self.proof(), groups, count: scalars.len() }
    }
}

impl Points {
    fn of(&self, groups: Vec<Extended>) -> Points {
        Points { proof: self.proof, groups, count: self.count }
    }

    fn zip(&self, other: &Points, of_groups: fn(&Extended, &Extended) -> Extended) -> Points {
        let groups = self.groups.iter().zip(&other.groups).map(|(a, b)| of_groups(a, b)).collect();
        Points { proof: self.proof, groups, count: self.count.min(other.count) }
    }

    /// `k * P` of each, one secret k.
    pub(crate) fn multiply(&self, k: &Scalar) -> Points {
        let digits = edwards::shared_digits(self.proof, &Zeroizing::new(k.to_bytes()));
        self.of(self.groups.iter().map(|group| edwards::multiply(&digits, group)).collect())
    }

    /// `k_i * P_i`, each with its own secret scalar.
    pub(crate) fn multiply_each(&self, scalars: &[Scalar]) -> Points {
        let mut products = Vec::with_capacity(self.groups.len());
        for (group, scalars) in self.groups.iter().zip(scalars.chunks(LANES)) {
            let scalars = lanes_of(scalars.iter().map(Scalar::as_bytes));
            products.push(edwards::multiply(&edwards::lane_digits(self.proof, &scalars), group));
        }
        self.of(products)
    }

    /// The sum, point by point.
    pub(crate) fn add(&self, other: &Points) -> Points {
        self.zip(other, edwards::sum)
    }

    /// The difference, point by point.
    pub(crate) fn sub(&self, other: &Points) -> Points {
        self.zip(other, edwards::difference)
    }

    /// Whether they are the same elements, point by point.
    pub(crate) fn equal(&self, other: &Points) -> Vec<bool> {
        let groups = self.groups.iter().zip(&other.groups);
        groups.flat_map(|(a, b)| ristretto::equal(a, b).to_array()).take(self.count.min(other.count)).collect()
    }

    /// The encodings.
    pub(crate) fn encode(&self) -> Vec<[u8; 32]> {
        ristretto::encode_all(&self.groups, self.count)
    }

    /// The encodings of twice each point, with one inversion for each lane of all.
    pub(crate) fn double_and_encode(&self) -> Vec<[u8; 32]> {
        ristretto::double_and_encode_all(self.proof, &self.groups, self.count)
    }

    /// How many.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// Adds points after these, whose number is a multiple of the lanes.
    pub(crate) fn append(&mut self, others: &mut Points) {
        debug_assert!(self.count.is_multiple_of(LANES));
        self.groups.append(&mut others.groups);
        self.count += std::mem::take(&mut others.count);
    }

    /// The points at these places, in their order.
    pub(crate) fn pick(&self, places: &[usize]) -> Points {
        let first = places.first().copied().unwrap_or(0);
        let are_groups = first.is_multiple_of(LANES) && places.iter().zip(first..).all(|(place, next)| *place == next);
        let groups = if are_groups {
            self.groups[first / LANES..(first + places.len()).div_ceil(LANES)].to_vec()
        } else {
            let group = |places: &[usize]| Extended::pick(self.proof, places.iter().map(|place| self.lane(*place)));
            places.chunks(LANES).map(group).collect()
        };
        Points { proof: self.proof, groups, count: places.len() }
    }

    /// The group and the lane of a point.
    fn lane(&self, place: usize) -> (&Extended, usize) {
        (&self.groups[place / LANES], place % LANES)
    }

    /// `sum w_i * P_i`; weights and points are public.
    pub(crate) fn weighted_sum(&self, weights: &[u128]) -> RistrettoPoint {
        if weights.len() >= bucket_sum::PAYS_FROM {
            return bucket_sum::bucket_sum(self.proof, &self.groups, weights);
        }
        let mut digits = Vec::with_capacity(self.groups.len() * WEIGHT_DIGITS);
        for weights in weights.chunks(LANES) {
            let mut group = [0; LANES];
            group[..weights.len()].copy_from_slice(weights);
            digits.extend_from_slice(&edwards::weight_digits(self.proof, &group));
        }
        let sum = edwards::weighted_sum(self.proof, &digits, &self.groups);
        ristretto::encode_all(&[sum], LANES)
            .into_iter()
            .filter_map(|encoding| CompressedRistretto(encoding).decompress())
            .fold(RistrettoPoint::identity(), |sum, lane| sum + lane)
    }
}

/// All lists as one; there is at least one.
pub(crate) fn together(lists: &[&Points]) -> Points {
    let proof = lists[0].proof;
    let lanes: Vec<(&Extended, usize)> =
        lists.iter().flat_map(|points| (0..points.count).map(|place| points.lane(place))).collect();
    let groups = lanes.chunks(LANES).map(|group| Extended::pick(proof, group.iter().copied())).collect();
    Points { proof, groups, count: lanes.len() }
}

/// The encodings of `sum w_i * P_i` of each list of points and weights, a sum a lane; weights and points are public.
pub(crate) fn short_sums(sums: &[(&Points, &[u128])]) -> Vec<[u8; 32]> {
    let mut encodings = Vec::with_capacity(sums.len());
    for group in sums.chunks(LANES) {
        let proof = group[0].0.proof;
        let terms = group.iter().map(|(_, weights)| weights.len()).max().unwrap_or(0);
        let (mut digits, mut points) = (Vec::with_capacity(terms * WEIGHT_DIGITS), Vec::with_capacity(terms));
        for term in 0..terms {
            let mut weights = [0; LANES];
            weights.iter_mut().zip(group).for_each(|(lane, (_, own))| *lane = own.get(term).copied().unwrap_or(0));
            digits.extend_from_slice(&edwards::weight_digits(proof, &weights));
            let mut lanes = Vec::with_capacity(LANES);
            for (points, weights) in group {
                // a sum without such a term has the weight 0 for whatever point stands in its lane
                lanes.push(points.lane(if term < weights.len() { term } else { 0 }));
            }
            points.push(Extended::pick(proof, lanes.into_iter()));
        }
        let sum = edwards::weighted_sum(proof, &digits, &points);
        encodings.extend(ristretto::encode_all(&[sum], group.len()));
    }
    encodings
}

/// A scalar a lane, zeros after the last.
fn lanes_of<'a>(scalars: impl Iterator<Item = &'a [u8; 32]>) -> Zeroizing<[[u8; 32]; LANES]> {
    let mut lanes = Zeroizing::new([[0; 32]; LANES]);
    lanes.iter_mut().zip(scalars).for_each(|(lane, scalar)| lane.copy_from_slice(scalar));
    lanes
}
