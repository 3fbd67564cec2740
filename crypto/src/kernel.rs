//! Which code computes batches of points and digests: eight lanes at a time, or dalek and sha2 one by one.
//!
//! - **Invariants**: chosen once, by what the processor has; both give the same bytes for every input, so the choice is of
//!   speed only
//! - **Security**: both are constant time in secrets

use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(target_arch = "x86_64")]
use crate::lanes::simd::Avx512;

/// Forces [`Choice::Portable`] when set to `portable`; read once.
pub const VARIABLE: &str = "RISKVEIL_KERNEL";

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// AVX-512 IFMA, eight at a time.
    Lanes,
    /// curve25519-dalek and sha2.
    Portable,
}

impl Choice {
    /// The word in logs and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Choice::Lanes => "avx512ifma, 8 lanes",
            Choice::Portable => "portable",
        }
    }
}

/// A choice with the proof that it can be followed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Lanes(Avx512),
    Portable,
}

impl Kernel {
    pub(crate) const fn is_portable(self) -> bool {
        matches!(self, Kernel::Portable)
    }
}

const UNDECIDED: u8 = 0;
const LANES: u8 = 1;
const PORTABLE: u8 = 2;

static CHOSEN: AtomicU8 = AtomicU8::new(UNDECIDED);

/// What computes in this process.
pub fn chosen() -> Choice {
    match kernel() {
        Kernel::Portable => Choice::Portable,
        #[cfg(target_arch = "x86_64")]
        Kernel::Lanes(_) => Choice::Lanes,
    }
}

/// Chooses for this process, for comparisons in one run; returns what then computes: not [`Choice::Lanes`] where the
/// processor lacks the instructions.
pub fn choose(choice: Choice) -> Choice {
    let code = match choice {
        Choice::Lanes => LANES,
        Choice::Portable => PORTABLE,
    };
    CHOSEN.store(code, Ordering::Relaxed);
    chosen()
}

pub(crate) fn kernel() -> Kernel {
    let code = match CHOSEN.load(Ordering::Relaxed) {
        UNDECIDED => {
            let portable = std::env::var_os(VARIABLE).is_some_and(|value| value == "portable");
            let code = if portable { PORTABLE } else { LANES };
            CHOSEN.store(code, Ordering::Relaxed);
            code
        }
        code => code,
    };
    if code == PORTABLE { Kernel::Portable } else { detected() }
}

#[cfg(target_arch = "x86_64")]
fn detected() -> Kernel {
    Avx512::detect().map_or(Kernel::Portable, Kernel::Lanes)
}

#[cfg(not(target_arch = "x86_64"))]
fn detected() -> Kernel {
    Kernel::Portable
}
