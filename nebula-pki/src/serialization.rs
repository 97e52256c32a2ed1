//! Serialization (feature `serde`): names as they are everywhere, times as Unix seconds.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::{Details, Fingerprint};

/// Its 64 lower-case hexadecimal digits.
impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From the same form, and no other.
impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Fingerprint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a fingerprint of 64 lower-case hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Fingerprint, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// The members of `details` that [`Certificate::to_json`](crate::Certificate::to_json) has, but for
/// times, which are Unix seconds, and the issuer, which is null in a CA. What is not UTF-8 in names and
/// groups is replaced.
impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = |networks: &[ipnet::IpNet]| {
            networks.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let mut details = serializer.serialize_struct("Details", 8)?;
        details.serialize_field("name", &*self.name())?;
        details.serialize_field("networks", &texts(self.networks()))?;
        details.serialize_field("unsafeNetworks", &texts(self.unsafe_networks()))?;
        details.serialize_field("groups", &self.groups().collect::<Vec<_>>())?;
        details.serialize_field("isCa", &self.is_ca())?;
        details.serialize_field("notBefore", &self.not_before())?;
        details.serialize_field("notAfter", &self.not_after())?;
        details.serialize_field("issuer", &self.issuer())?;
        details.end()
    }
}
