//! SHA-512 of many messages, one a lane.
//!
//! - **Place**: under `hmac` and `crate::sha512`: expand_message_xmd, Finalize, HMAC and HKDF of many inputs
//! - **Shapes**: messages of any length, each lane its own; lanes that are done keep their state while longer ones go on
//! - **Security**: constant time in the messages' bytes, not in their lengths
//! - **Source**: FIPS 180-4 sections 5.3.5 and 6.4

use zeroize::Zeroizing;

use super::simd::{Instructions, LANES, Mask, REGISTER, U64s, transpose, with_instructions};
use crate::sha512::Digests;

/// Bytes of a block.
pub(super) const BLOCK: usize = 128;

/// The chaining value of one message a lane.
pub(super) type State = [U64s; 8];

const INITIAL: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

impl Instructions {
    /// SHA-512 of each message.
    pub(crate) fn digests(self, messages: &[impl AsRef<[u8]>]) -> Digests {
        after(&initial(self), 0, messages)
    }

    /// SHA-512 of a block of zeros followed by each message.
    pub(crate) fn digests_after_zeros(self, messages: &[impl AsRef<[u8]>]) -> Digests {
        let mut state = initial(self);
        absorb_block(&mut state, &[[0; BLOCK]; LANES]);
        after(&state, BLOCK, messages)
    }
}

/// The digests of messages that follow `absorbed` bytes in every lane of `state`.
fn after(state: &State, absorbed: usize, messages: &[impl AsRef<[u8]>]) -> Digests {
    let mut digests = Zeroizing::new(Vec::with_capacity(messages.len()));
    for messages in messages.chunks(LANES) {
        let group = Zeroizing::new(finish(state, absorbed, &group(messages)));
        digests.extend_from_slice(&group[..messages.len()]);
    }
    digests
}

/// A message a lane, empty ones after the last.
pub(super) fn group(messages: &[impl AsRef<[u8]>]) -> [&[u8]; LANES] {
    std::array::from_fn(|lane| messages.get(lane).map_or(&[][..], AsRef::as_ref))
}

/// The initial hash value in every lane.
pub(super) fn initial(proof: Instructions) -> State {
    INITIAL.map(|word| U64s::splat(proof, word))
}

/// Absorbs one block a lane.
pub(super) fn absorb_block(state: &mut State, blocks: &[[u8; BLOCK]; LANES]) {
    compress(state, blocks, Mask::all(state[0].proof()));
}

/// The digests of messages of which `absorbed` bytes, whole blocks, are in `state` already.
pub(super) fn finish(state: &State, absorbed: usize, rest: &[&[u8]; LANES]) -> [[u8; 64]; LANES] {
    let (mut state, proof) = (*state, state[0].proof());
    // 0x80 and a length of 16 bytes follow the message
    let blocks = rest.map(|message| (message.len() + 17).div_ceil(BLOCK));
    let longest = blocks.iter().copied().max().unwrap_or(0);
    for block in 0..longest {
        let mut padded = [[0; BLOCK]; LANES];
        let running = blocks.map(|of_lane| block < of_lane);
        for (lane, (message, buffer)) in rest.iter().zip(&mut padded).enumerate() {
            if !running[lane] {
                continue;
            }
            let at = block * BLOCK;
            let part = message.get(at..).unwrap_or_default();
            let taken = part.len().min(BLOCK);
            buffer[..taken].copy_from_slice(&part[..taken]);
            if at <= message.len() && taken < BLOCK {
                buffer[taken] = 0x80;
            }
            if block + 1 == blocks[lane] {
                let bits = (absorbed + message.len()) as u128 * 8;
                buffer[BLOCK - 16..].copy_from_slice(&bits.to_be_bytes());
            }
        }
        compress(&mut state, &padded, Mask::from_array(proof, running));
    }
    digests(&state)
}

with_instructions! {
    fn digests(state: &State) -> [[u8; 64]; LANES] {
        let mut words = *state;
        for word in &mut words {
            *word = word.swap_bytes();
        }
        let mut digests = [[0; 64]; LANES];
        let (parts, _) = words.as_chunks::<LANES>();
        for (part, words) in parts.iter().enumerate() {
            for (digest, row) in digests.iter_mut().zip(transpose(words)) {
                let (parts, _) = digest.as_chunks_mut::<REGISTER>();
                row.store_bytes(&mut parts[part]);
            }
        }
        digests
    }
}

with_instructions! {
    /// The compression function in the lanes of `running`.
    fn compress(state: &mut State, blocks: &[[u8; BLOCK]; LANES], running: Mask) {
        let t = state[0].proof();
        let mut w = [U64s::zero(t); 16];
        let (words_of_parts, _) = w.as_chunks_mut::<LANES>();
        for (part, words) in words_of_parts.iter_mut().enumerate() {
            let mut rows = [U64s::zero(t); LANES];
            for (row, block) in rows.iter_mut().zip(blocks) {
                let (parts, _) = block.as_chunks::<REGISTER>();
                *row = U64s::load_bytes(t, &parts[part]);
            }
            for (word, column) in words.iter_mut().zip(transpose(&rows)) {
                *word = column.swap_bytes();
            }
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        macro_rules! round {
            ($k:expr, $w:expr) => {{
                let sigma1 = e.rotate_right::<14>().xor3(e.rotate_right::<18>(), e.rotate_right::<41>());
                let t1 = h.add(sigma1).add(e.choose(f, g)).add($w.add(U64s::splat(t, $k)));
                let sigma0 = a.rotate_right::<28>().xor3(a.rotate_right::<34>(), a.rotate_right::<39>());
                let t2 = sigma0.add(a.majority(b, c));
                (h, g, f, e, d, c, b, a) = (g, f, e, d.add(t1), c, b, a, t1.add(t2));
            }};
        }
        let mut i = 0;
        while i < 16 {
            round!(ROUND[i], w[i]);
            i += 1;
        }
        let mut block = 16;
        while block < 80 {
            let mut i = 0;
            while i < 16 {
                let (w1, w14) = (w[(i + 1) & 15], w[(i + 14) & 15]);
                let sigma0 = w1.rotate_right::<1>().xor3(w1.rotate_right::<8>(), w1.shr::<7>());
                let sigma1 = w14.rotate_right::<19>().xor3(w14.rotate_right::<61>(), w14.shr::<6>());
                w[i] = w[i].add(sigma0).add(w[(i + 9) & 15]).add(sigma1);
                round!(ROUND[block + i], w[i]);
                i += 1;
            }
            block += 16;
        }
        for (word, after) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = word.blend(running, word.add(after));
        }
    }
}

#[rustfmt::skip]
const ROUND: [u64; 80] = [
    0x428a_2f98_d728_ae22, 0x7137_4491_23ef_65cd, 0xb5c0_fbcf_ec4d_3b2f, 0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538, 0x59f1_11f1_b605_d019, 0x923f_82a4_af19_4f9b, 0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242, 0x1283_5b01_4570_6fbe, 0x2431_85be_4ee4_b28c, 0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f, 0x80de_b1fe_3b16_96b1, 0x9bdc_06a7_25c7_1235, 0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2, 0xefbe_4786_384f_25e3, 0x0fc1_9dc6_8b8c_d5b5, 0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275, 0x4a74_84aa_6ea6_e483, 0x5cb0_a9dc_bd41_fbd4, 0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab, 0xa831_c66d_2db4_3210, 0xb003_27c8_98fb_213f, 0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2, 0xd5a7_9147_930a_a725, 0x06ca_6351_e003_826f, 0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc, 0x2e1b_2138_5c26_c926, 0x4d2c_6dfc_5ac4_2aed, 0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de, 0x766a_0abb_3c77_b2a8, 0x81c2_c92e_47ed_aee6, 0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364, 0xa81a_664b_bc42_3001, 0xc24b_8b70_d0f8_9791, 0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218, 0xd699_0624_5565_a910, 0xf40e_3585_5771_202a, 0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8, 0x1e37_6c08_5141_ab53, 0x2748_774c_df8e_eb99, 0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63, 0x4ed8_aa4a_e341_8acb, 0x5b9c_ca4f_7763_e373, 0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc, 0x78a5_636f_4317_2f60, 0x84c8_7814_a1f0_ab72, 0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28, 0xa450_6ceb_de82_bde9, 0xbef9_a3f7_b2c6_7915, 0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c, 0xd186_b8c7_21c0_c207, 0xeada_7dd6_cde0_eb1e, 0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba, 0x0a63_7dc5_a2c8_98a6, 0x113f_9804_bef9_0dae, 0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84, 0x32ca_ab7b_40c7_2493, 0x3c9e_be0a_15c9_bebc, 0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6, 0x597f_299c_fc65_7e2a, 0x5fcb_6fab_3ad6_faec, 0x6c44_198c_4a47_5817,
];
