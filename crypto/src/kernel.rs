//! Which code computes batches of points and digests: eight or four lanes at a time, or dalek and sha2 one by one.
//!
//! - **Invariants**: chosen once, by what the processor has; all give the same bytes for every input, so the choice is of
//!   speed only
//! - **Security**: all are constant time in secrets

use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(target_arch = "x86_64")]
use crate::lanes::{avx2, avx512};

/// Forces [`Choice::FourLanes`] when set to `avx2`, [`Choice::Portable`] when set to `portable`; read once.
pub const VARIABLE: &str = "RISKVEIL_KERNEL";

/// What computes, the fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// AVX-512 IFMA, eight at a time.
    Lanes,
    /// AVX2, four at a time.
    FourLanes,
    /// curve25519-dalek and sha2.
    Portable,
}

impl Choice {
    /// Every choice, the fastest first.
    pub const ALL: [Choice; 3] = [Choice::Lanes, Choice::FourLanes, Choice::Portable];

    /// The word in logs and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Choice::Lanes => "avx512ifma, 8 lanes",
            Choice::FourLanes => "avx2, 4 lanes",
            Choice::Portable => "portable",
        }
    }
}

/// A choice with the proof that it can be followed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Lanes(avx512::simd::Instructions),
    #[cfg(target_arch = "x86_64")]
    FourLanes(avx2::simd::Instructions),
    Portable,
}

/// A `match` on [`Kernel`] or on an enum of the same variants: one expression for what is in lanes, whichever, and one for the
/// portable variant.
macro_rules! by_kernel {
    ($of:expr, $enum:ident, $in_lanes:pat => $lanes:expr, $portable:pat => $one_by_one:expr $(,)?) => {
        match $of {
            #[cfg(target_arch = "x86_64")]
            $enum::Lanes($in_lanes) => $lanes,
            #[cfg(target_arch = "x86_64")]
            $enum::FourLanes($in_lanes) => $lanes,
            $portable => $one_by_one,
        }
    };
}
pub(crate) use by_kernel;

#[cfg(target_arch = "x86_64")]
impl From<avx512::simd::Instructions> for Kernel {
    fn from(proof: avx512::simd::Instructions) -> Kernel {
        Kernel::Lanes(proof)
    }
}

#[cfg(target_arch = "x86_64")]
impl From<avx2::simd::Instructions> for Kernel {
    fn from(proof: avx2::simd::Instructions) -> Kernel {
        Kernel::FourLanes(proof)
    }
}

impl Kernel {
    pub(crate) const fn choice(self) -> Choice {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Lanes(_) => Choice::Lanes,
            #[cfg(target_arch = "x86_64")]
            Kernel::FourLanes(_) => Choice::FourLanes,
            Kernel::Portable => Choice::Portable,
        }
    }
}

const UNDECIDED: u8 = u8::MAX;

/// The place in [`Choice::ALL`] of the fastest that may compute.
static FASTEST: AtomicU8 = AtomicU8::new(UNDECIDED);

/// What computes in this process.
pub fn chosen() -> Choice {
    kernel().choice()
}

/// Chooses for this process, for comparisons in one run; returns what then computes: the next in [`Choice::ALL`] where the
/// processor lacks the instructions.
pub fn choose(choice: Choice) -> Choice {
    FASTEST.store(choice as u8, Ordering::Relaxed);
    chosen()
}

pub(crate) fn kernel() -> Kernel {
    let fastest = Choice::ALL.get(usize::from(FASTEST.load(Ordering::Relaxed))).copied().unwrap_or_else(|| {
        let choice = match std::env::var_os(VARIABLE) {
            Some(value) if value == "avx2" => Choice::FourLanes,
            Some(value) if value == "portable" => Choice::Portable,
            _ => Choice::Lanes,
        };
        FASTEST.store(choice as u8, Ordering::Relaxed);
        choice
    });
    at_most(fastest)
}

/// The fastest from `fastest` on that this processor has.
#[cfg(target_arch = "x86_64")]
fn at_most(fastest: Choice) -> Kernel {
    match fastest {
        Choice::Lanes => avx512::simd::Instructions::detect().map_or_else(|| at_most(Choice::FourLanes), Kernel::from),
        Choice::FourLanes => avx2::simd::Instructions::detect().map_or(Kernel::Portable, Kernel::from),
        Choice::Portable => Kernel::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn at_most(_: Choice) -> Kernel {
    Kernel::Portable
}
