//! SHA-512 of many messages, and what RFC 9380, RFC 9497 and RFC 5869 build on it, by whichever kernel computes.
//!
//! - **Place**: hashing to the group (A3, B3), `Finalize` (A3, B5), slots (A3, B6), blindings of commitments (A3)
//! - **Shapes**: one result of 64 bytes a message; HKDF outputs of one block, up to 64 bytes
//! - **Invariants**: the bytes of the `sha2` and `hkdf` crates (tested for random lengths); HKDF here *is* RFC 5869's: extract with
//!   one salt for all, expand of T(1) alone
//! - **Security**: constant time in the bytes, not in lengths; chaining values that depend on secrets are cleared
//! - **Source**: FIPS 180-4, RFC 2104, RFC 5869, RFC 9380 section 5.3.1

use hkdf::Hkdf;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::kernel::{Kernel, by_kernel};
#[cfg(target_arch = "x86_64")]
use crate::lanes::{avx2, avx512};

const BLOCK: usize = 128;

/// 64 bytes a message; cleared when dropped.
pub(crate) type Digests = Zeroizing<Vec<[u8; 64]>>;

/// SHA-512 of each message.
pub(crate) fn digests(kernel: Kernel, messages: &[impl AsRef<[u8]>]) -> Digests {
    by_kernel!(
        kernel, Kernel,
        lanes => lanes.digests(messages),
        Kernel::Portable => {
            Zeroizing::new(messages.iter().map(|message| Sha512::digest(message.as_ref()).into()).collect())
        },
    )
}

/// `expand_message_xmd(message, DST, 64)` with SHA-512 of each message; `dst_parts` concatenated are the DST, at most 255 bytes.
pub(crate) fn expand_message_xmd(kernel: Kernel, messages: &[impl AsRef<[u8]>], dst_parts: &[&[u8]]) -> Digests {
    let dst = dst_parts.concat();
    debug_assert!(dst.len() <= 255);
    let dst_prime = [&dst[..], &[dst.len() as u8]].concat();
    // msg | l_i_b_str | 0 | DST_prime, after a block of zeros
    let tail = [&64u16.to_be_bytes()[..], &[0], &dst_prime].concat();
    let framed = Joined::all(messages.iter().map(|message| [message.as_ref(), &tail]));
    let framed = framed.messages();
    let b_0 = by_kernel!(
        kernel, Kernel,
        lanes => lanes.digests_after_zeros(&framed),
        Kernel::Portable => {
            let zeros = Sha512::new_with_prefix([0; BLOCK]);
            let digest = |message: &&[u8]| zeros.clone().chain_update(message).finalize().into();
            Zeroizing::new(framed.iter().map(digest).collect())
        },
    );
    let b_1 = Joined::all(b_0.iter().map(|b_0| [&b_0[..], &[1], &dst_prime]));
    digests(kernel, &b_1.messages())
}

/// `Hash(len(input) | input | len(N) | N | "Finalize")` of each pair: the last step of RFC 9497 section 3.3. Inputs are of at
/// most 65,535 bytes, which hashing them to the group has checked.
pub(crate) fn finalize(kernel: Kernel, inputs: &[impl AsRef<[u8]>], unblinded: &[[u8; 32]]) -> Digests {
    let lengths: Vec<[u8; 2]> =
        inputs.iter().map(|input| u16::try_from(input.as_ref().len()).unwrap_or(u16::MAX).to_be_bytes()).collect();
    let length_of_n = 32u16.to_be_bytes();
    let parts = lengths.iter().zip(inputs).zip(unblinded);
    let framed = parts.map(|((len, input), N)| [&len[..], input.as_ref(), &length_of_n, N, b"Finalize"]);
    digests(kernel, &Joined::all(framed).messages())
}

/// PRKs of HKDF-SHA-512, ready to expand.
pub(crate) enum Prks {
    #[cfg(target_arch = "x86_64")]
    Lanes(avx512::hmac::HmacKeys),
    #[cfg(target_arch = "x86_64")]
    FourLanes(avx2::hmac::HmacKeys),
    Portable(Vec<Hkdf<Sha512>>),
}

#[cfg(target_arch = "x86_64")]
impl From<avx512::hmac::HmacKeys> for Prks {
    fn from(keys: avx512::hmac::HmacKeys) -> Prks {
        Prks::Lanes(keys)
    }
}

#[cfg(target_arch = "x86_64")]
impl From<avx2::hmac::HmacKeys> for Prks {
    fn from(keys: avx2::hmac::HmacKeys) -> Prks {
        Prks::FourLanes(keys)
    }
}

/// `HKDF-Extract(salt, ikm)` of each.
pub(crate) fn extract(kernel: Kernel, salt: &[u8], ikms: &[impl AsRef<[u8]>]) -> Prks {
    by_kernel!(
        kernel, Kernel,
        lanes => lanes.extract(salt, ikms).into(),
        Kernel::Portable => {
            Prks::Portable(ikms.iter().map(|ikm| Hkdf::<Sha512>::new(Some(salt), ikm.as_ref())).collect())
        },
    )
}

impl Prks {
    /// The first 64 bytes of `HKDF-Expand(PRK, info)`, each PRK with its own info.
    pub(crate) fn expand(&self, infos: &[impl AsRef<[u8]>]) -> Digests {
        by_kernel!(
            self, Prks,
            keys => {
                let messages = Joined::all(infos.iter().map(|info| [info.as_ref(), &[1]]));
                keys.mac(&messages.messages())
            },
            Prks::Portable(prks) => {
                let mut okms = Zeroizing::new(vec![[0; 64]; prks.len()]);
                for ((prk, info), okm) in prks.iter().zip(infos).zip(okms.iter_mut()) {
                    prk.expand(info.as_ref(), okm).expect("64 bytes are one block of HKDF-SHA-512");
                }
                okms
            },
        )
    }
}

/// Messages one after the other in a buffer of the exact size, so that no copy is left behind; cleared when dropped.
struct Joined {
    bytes: Zeroizing<Vec<u8>>,
    ends: Vec<usize>,
}

impl Joined {
    /// The parts of each message, joined.
    fn all<'a, const N: usize>(messages: impl Iterator<Item = [&'a [u8]; N]> + Clone) -> Joined {
        let mut total = 0;
        let ends = messages
            .clone()
            .map(|parts| {
                total += parts.iter().map(|part| part.len()).sum::<usize>();
                total
            })
            .collect();
        let mut bytes = Zeroizing::new(Vec::with_capacity(total));
        messages.flatten().for_each(|part| bytes.extend_from_slice(part));
        Joined { bytes, ends }
    }

    fn messages(&self) -> Vec<&[u8]> {
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end]).collect()
    }
}
