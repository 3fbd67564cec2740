//! Public keys that a thread decoded lately: those of members and periods are read from the state for every request.
//!
//! - **Shapes**: [`SLOTS`] encodings of 32 bytes a thread; a newer one takes the slot of an older one
//! - **Invariants**: only what decoded is kept, and found again by all of its 32 bytes
//! - **Security**: for public values: which ones are kept shows in time. Whoever sends many keys makes others be decoded again

use std::cell::RefCell;
use std::thread::LocalKey;

const SLOTS: usize = 64;

/// Encodings and what they decode to.
pub(crate) type Lately<T> = RefCell<[Option<([u8; 32], T)>; SLOTS]>;

/// What the encoding decodes to, from memory if it was decoded lately.
pub(crate) fn decoded<T: Copy, E>(
    lately: &'static LocalKey<Lately<T>>,
    bytes: &[u8; 32],
    decode: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    // any byte but the last ones of an encoding is as good as random
    let slot = usize::from(bytes[7]) % SLOTS;
    lately.with_borrow_mut(|slots| match &slots[slot] {
        Some((known, decoded)) if known == bytes => Ok(*decoded),
        _ => {
            let decoded = decode()?;
            slots[slot] = Some((*bytes, decoded));
            Ok(decoded)
        }
    })
}
