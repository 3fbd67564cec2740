//! Serde for the small registries of this room: the registered `u8` in BCS, the registered word in JSON.

/// Implements serde for an enum that has `code`, `from_code`, `as_str` and `from_word`.
macro_rules! serde_by_code {
    ($name:ty, $expected:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str(self.as_str())
                } else {
                    serializer.serialize_u8(self.code())
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let found = if deserializer.is_human_readable() {
                    Self::from_word(&<String as serde::Deserialize>::deserialize(deserializer)?)
                } else {
                    Self::from_code(<u8 as serde::Deserialize>::deserialize(deserializer)?)
                };
                found.ok_or_else(|| serde::de::Error::custom(concat!("not a registered ", $expected)))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use serde_by_code;
