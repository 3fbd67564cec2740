//! Public keys that a thread decoded lately: those of members and periods are read from the state for every request.
//!
//! - **Shapes**: [`SETS`] times [`WAYS`] encodings of 32 bytes a thread; where a set is full, a newer one takes the place of one
//! - **Invariants**: only what decoded is kept, and found again by all of its 32 bytes
//! - **Security**: for public values: which ones are kept shows in time. Whoever sends many keys makes others be decoded again

use std::cell::RefCell;
use std::thread::LocalKey;

const SETS: usize = 32;
const WAYS: usize = 4;

/// Encodings and what they decode to.
pub(crate) type Lately<T> = RefCell<[[Option<([u8; 32], T)>; WAYS]; SETS]>;

/// Nothing decoded yet.
pub(crate) const fn nothing<T: Copy>() -> Lately<T> {
    RefCell::new([[None; WAYS]; SETS])
}

/// What the encoding decodes to, from memory if it was decoded lately.
pub(crate) fn decoded<T: Copy, E>(
    lately: &'static LocalKey<Lately<T>>,
    bytes: &[u8; 32],
    decode: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    // bytes in the middle of an encoding are as good as random
    let (set, way) = (usize::from(bytes[7]) % SETS, usize::from(bytes[8]) % WAYS);
    lately.with_borrow_mut(|sets| {
        let set = &mut sets[set];
        if let Some((_, known)) = set.iter().flatten().find(|(known, _)| known == bytes) {
            return Ok(*known);
        }
        let decoded = decode()?;
        let place = set.iter().position(Option::is_none).unwrap_or(way);
        set[place] = Some((*bytes, decoded));
        Ok(decoded)
    })
}
