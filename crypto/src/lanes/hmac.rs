//! HMAC and HKDF with SHA-512 of many keys, one a lane.
//!
//! - **Place**: under `crate::sha512`: slots, label keys, blindings of commitments
//! - **Shapes**: one key for all messages, or a key of 64 bytes a message
//! - **Security**: constant time in keys and messages, not in lengths; chaining values and padded keys are cleared
//! - **Source**: RFC 2104, RFC 5869

use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

use super::sha512::{BLOCK, State, absorb_block, finish, group, initial};
use super::simd::{Instructions, LANES};
use crate::sha512::Digests;

/// Chaining values of HMAC keys: after `key ^ ipad`, after `key ^ opad`, a key a lane.
pub(crate) struct HmacKeys {
    groups: Vec<[State; 2]>,
    /// One group stands for every group of messages.
    shared: bool,
}

impl Drop for HmacKeys {
    fn drop(&mut self) {
        self.groups.iter_mut().flatten().for_each(Zeroize::zeroize);
    }
}

impl Instructions {
    /// `HKDF-Extract(salt, ikm)` of each, as keys.
    pub(crate) fn extract(self, salt: &[u8], ikms: &[impl AsRef<[u8]>]) -> HmacKeys {
        HmacKeys::of(self, &HmacKeys::shared(self, salt).mac(ikms))
    }
}

impl HmacKeys {
    fn shared(proof: Instructions, key: &[u8]) -> HmacKeys {
        let mut padded = [0; BLOCK];
        if key.len() > BLOCK {
            padded[..64].copy_from_slice(&Sha512::digest(key));
        } else {
            padded[..key.len()].copy_from_slice(key);
        }
        HmacKeys { groups: vec![keyed(proof, &[padded; LANES])], shared: true }
    }

    fn of(proof: Instructions, keys: &[[u8; 64]]) -> HmacKeys {
        let mut groups = Vec::with_capacity(keys.len().div_ceil(LANES));
        let mut padded = Zeroizing::new([[0; BLOCK]; LANES]);
        for keys in keys.chunks(LANES) {
            padded.iter_mut().zip(keys).for_each(|(block, key)| block[..64].copy_from_slice(key));
            groups.push(keyed(proof, &padded));
        }
        HmacKeys { groups, shared: false }
    }

    /// HMAC-SHA-512 of each message.
    pub(crate) fn mac(&self, messages: &[impl AsRef<[u8]>]) -> Digests {
        let mut macs = Zeroizing::new(Vec::with_capacity(messages.len()));
        for (at, messages) in messages.chunks(LANES).enumerate() {
            let [inner, outer] = &self.groups[if self.shared { 0 } else { at }];
            let inner = Zeroizing::new(finish(inner, BLOCK, &group(messages)));
            let mac = Zeroizing::new(finish(outer, BLOCK, &group(&inner[..])));
            macs.extend_from_slice(&mac[..messages.len()]);
        }
        macs
    }
}

fn keyed(proof: Instructions, keys: &[[u8; BLOCK]; LANES]) -> [State; 2] {
    [0x36, 0x5c].map(|pad| {
        let mut blocks = Zeroizing::new(*keys);
        blocks.as_flattened_mut().iter_mut().for_each(|byte| *byte ^= pad);
        let mut state = initial(proof);
        absorb_block(&mut state, &blocks);
        state
    })
}
