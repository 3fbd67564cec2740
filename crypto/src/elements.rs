//! Lists of elements with the points they encode, so that a list is decoded once however often it is computed with.
//!
//! - **Place**: C1, C2 and Z of a request: validated when they arrive (B4, B5), summed, multiplied, unblinded
//! - **Shapes**: 32 bytes an element, 160 more once it is decoded, 320 by four lanes
//! - **Invariants**: the points are those of the elements; a copy has elements only, so that logs and queues stay small
//! - **Errors**: [`GroupError`] (whoever sent the bytes)
//! - **Security**: points are as public, or as sensitive, as their elements; cleared when dropped

use std::ops::Deref;
use std::sync::OnceLock;

use crate::{
    group::{Element, GroupError},
    kernel::kernel,
    points::{self, Points, RUN},
};

/// Elements, in order.
pub struct Elements {
    elements: Vec<Element>,
    points: OnceLock<Points>,
}

impl Elements {
    /// The elements of these encodings, decoded.
    ///
    /// # Errors
    /// As [`Element::from_bytes`], when any has one; then there is no element.
    pub fn from_bytes(encodings: &[[u8; 32]]) -> Result<Elements, GroupError> {
        let points = points::decode(kernel(), encodings)?;
        Ok(Elements::of_points(Element::of_computed(encodings)?, points))
    }

    /// [`from_bytes`](Self::from_bytes) of each list; short ones share the kernel.
    pub fn from_bytes_lists(lists: &[&[[u8; 32]]]) -> Vec<Result<Elements, GroupError>> {
        let alone = || lists.iter().map(|list| Elements::from_bytes(list)).collect();
        if lists.len() < 2 || lists.iter().any(|list| list.len() > RUN) {
            return alone();
        }
        // one bad encoding spoils the decoding of all: then each list is judged alone
        let Ok(decoded) = points::decode(kernel(), &lists.concat()) else { return alone() };
        let mut first = 0;
        let list_of = |list: &&[[u8; 32]]| {
            let places: Vec<usize> = (first..first + list.len()).collect();
            first += list.len();
            Ok(Elements::of_points(Element::of_computed(list)?, decoded.pick(&places)))
        };
        lists.iter().map(list_of).collect()
    }

    /// Elements whose points are known.
    pub(crate) fn of_points(elements: Vec<Element>, points: Points) -> Elements {
        debug_assert_eq!(elements.len(), points.len());
        Elements { elements, points: OnceLock::from(points) }
    }

    /// The points, decoded now if they are not yet.
    pub(crate) fn points(&self) -> &Points {
        self.points.get_or_init(|| points::of_elements(kernel(), self.elements.iter()))
    }
}

impl From<Vec<Element>> for Elements {
    fn from(elements: Vec<Element>) -> Elements {
        Elements { elements, points: OnceLock::new() }
    }
}

impl Clone for Elements {
    fn clone(&self) -> Elements {
        self.elements.clone().into()
    }
}

impl Deref for Elements {
    type Target = [Element];

    fn deref(&self) -> &[Element] {
        &self.elements
    }
}

impl PartialEq for Elements {
    fn eq(&self, other: &Elements) -> bool {
        self.elements == other.elements
    }
}

impl Eq for Elements {}

impl std::fmt::Debug for Elements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Elements({})", self.elements.len())
    }
}
